/* fuzz_http_head.c: two bytes that say where the stream is cut, then a request. Head and body
 * come out the same whether they arrive in one piece or in two, and nothing that llhttp would
 * frame otherwise gets past the head's scan. */
#include "proto/http/http_frame.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_head_limits limits = {
    .head_max = 2048,
    .line_max = 1024,
    .target_max = 256,
    .fields_max = 20,
};

struct outcome {
    enum status head;
    size_t head_size;
    bool framed;
    enum http_frame_event event;
    uint64_t body_size, body_sum, rest;
};

/* The body, fed up to cut first, then the rest. Copies of their own size show a step over their
 * end. */
static void feed_body(struct outcome *outcome, struct http_frame *frame, const uint8_t *text,
                      size_t size, size_t cut)
{
    size_t at = outcome->head_size;

    do {
        size_t end = cut > at && cut < size ? cut : size;
        uint8_t *piece = malloc(end - at + 1);
        struct slice input = slice_of(piece, end - at), chunk;

        assert(piece != NULL);
        memcpy(piece, text + at, end - at);
        while ((outcome->event = http_frame_next(frame, &input, &chunk)) == HTTP_FRAME_CHUNK) {
            assert(chunk.size > 0 && chunk.data >= piece &&
                   chunk.data + chunk.size <= piece + (end - at));
            outcome->body_size += chunk.size;
            for (size_t i = 0; i < chunk.size; i++)
                outcome->body_sum = outcome->body_sum * 31 + chunk.data[i];
        }
        at = end - input.size;
        free(piece);
    } while (outcome->event == HTTP_FRAME_MORE && at < size);
    outcome->rest = size - at;
}

static struct outcome run(const uint8_t *text, size_t size, size_t cut)
{
    struct outcome outcome = { .head = STATUS_MORE };
    struct http_frame frame;
    struct http_head head;

    http_head_init(&head);
    if (cut < size)
        outcome.head = http_head_feed(&head, text, cut, &limits);
    if (outcome.head == STATUS_MORE)
        outcome.head = http_head_feed(&head, text, size, &limits);
    if (outcome.head != STATUS_OK)
        return outcome;
    assert(head.size <= size && head.fields_count <= limits.fields_max);
    for (unsigned i = 0; i < head.fields_count; i++)
        assert(head.fields[i].value.offset + head.fields[i].value.size <= head.size);
    assert(head.path.offset + head.path.size <= head.size &&
           head.query.offset + head.query.size <= head.size);
    outcome.head_size = head.size;
    outcome.framed = http_frame_begin(&frame, &head, text, 1 << 20);
    /* Only a method that llhttp does not know may divide the two. */
    assert(outcome.framed || head.method == (enum http_method)HTTP_METHOD_OTHER);
    if (outcome.framed)
        feed_body(&outcome, &frame, text, size, cut);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct outcome whole = run(data + 2, size - 2, SIZE_MAX);
    struct outcome split = run(data + 2, size - 2, get_u16(data));

    assert(whole.head == split.head && whole.head_size == split.head_size && whole.framed == split.framed);
    assert(whole.event == split.event);
    if (whole.event == HTTP_FRAME_END || whole.event == HTTP_FRAME_MORE)
        assert(whole.body_size == split.body_size && whole.body_sum == split.body_sum &&
               whole.rest == split.rest);
    return 0;
}
