/* fuzz_http_chunks.c: the body behind a head, by chunks or by length, against a reader of ten lines and against llhttp.
 *
 * Input: a byte of flags, cuts, then the body and what follows it. In one piece or in many it has to be the same body and the
 * same end, and nothing is read beyond what there is. What we take nobody may read otherwise. */
#include "proto/http/http_frame.h"
#include "tests/fuzz/fuzz.h"

#include <llhttp.h>

enum { BY_LENGTH = 1, SMALL = 2, LENGTH = 100, BODY_SMALL_MAX = 40, BODY_MAX = 1 << 20 };

static const struct http_head_limits limits = {
    .head_max = 2048,
    .line_max = 1024,
    .target_max = 256,
    .fields_max = 20,
};

struct outcome {
    enum http_frame_event event;
    uint64_t used; /* of the input */
    struct slice body;
    uint8_t *bytes; /* owned */
};

static const char chunked[] = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
static const char length[] = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";

static void begin(struct http_frame *frame, bool by_length, uint64_t body_max)
{
    static struct http_head head;
    static struct http_frame_limits bounds = { .chunk_line_max = 4096, .trailers_max = 8192 };
    const char *text = by_length ? length : chunked;

    bounds.body_max = body_max;
    http_head_init(&head);
    MUST(http_head_feed(&head, (const uint8_t *)text, strlen(text), &limits) == STATUS_OK);
    MUST(http_frame_begin(frame, &head, (const uint8_t *)text, &bounds));
}

static void take(struct outcome *outcome, struct slice chunk, const uint8_t *piece, size_t size)
{
    MUST(chunk.size > 0 && chunk.data >= piece && chunk.data + chunk.size <= piece + size);
    memcpy(outcome->bytes + outcome->body.size, chunk.data, chunk.size);
    outcome->body.size += chunk.size;
}

static struct outcome read_body(struct fuzz_input input, struct fuzz_cuts cuts, unsigned flags)
{
    struct outcome outcome = { .event = HTTP_FRAME_MORE, .bytes = malloc(input.size + 1) };
    struct http_frame frame;
    struct slice chunk;

    begin(&frame, (flags & BY_LENGTH) != 0, (flags & SMALL) != 0 ? BODY_SMALL_MAX : BODY_MAX);
    while (outcome.event == HTTP_FRAME_MORE && outcome.used < input.size) {
        size_t size = fuzz_cut(&cuts, input.size - outcome.used);
        uint8_t *piece = fuzz_copy(input.data + outcome.used, size);
        struct slice rest = slice_of(piece, size);

        while ((outcome.event = http_frame_next(&frame, &rest, &chunk)) == HTTP_FRAME_CHUNK)
            take(&outcome, chunk, piece, size);
        MUST(rest.data + rest.size == piece + size);
        MUST(outcome.event != HTTP_FRAME_MORE || rest.size == 0);
        outcome.used += size - rest.size;
        free(piece);
    }
    outcome.body.data = outcome.bytes;
    if (outcome.event == HTTP_FRAME_BAD || outcome.event == HTTP_FRAME_TOO_LARGE)
        MUST(http_frame_next(&frame, &(struct slice){ 0 }, &chunk) == HTTP_FRAME_BAD);
    return outcome;
}

/* --- the other reader: RFC 9112 section 7.1, which takes any extension and any trailer --- */

static size_t line_end(struct slice text, size_t at)
{
    const uint8_t *end = at < text.size ? memmem(text.data + at, text.size - at, "\r\n", 2) : NULL;
    return end == NULL ? SIZE_MAX : (size_t)(end - text.data);
}

static bool chunk_size(struct slice text, size_t at, size_t end, uint64_t *size)
{
    size_t digits = at;

    *size = 0;
    for (; digits < end; digits++) {
        uint8_t c = text.data[digits];
        int digit = c >= '0' && c <= '9'                 ? c - '0'
                    : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                         : -1;
        if (digit < 0)
            break;
        if (*size > UINT64_MAX >> 4)
            return false;
        *size = *size << 4 | (unsigned)digit;
    }
    return digits > at;
}

/* Where the body ends in text, 0 where it does not; its bytes go to body. */
static size_t read_chunks(struct slice text, struct outcome *body)
{
    uint64_t size;

    for (size_t at = 0;;) {
        size_t end = line_end(text, at);
        if (end == SIZE_MAX || !chunk_size(text, at, end, &size))
            return 0;
        at = end + 2;
        if (size == 0) {
            while ((end = line_end(text, at)) != at && end != SIZE_MAX)
                at = end + 2;
            return end == SIZE_MAX ? 0 : at + 2;
        }
        if (size > text.size - at || text.size - at - size < 2 ||
            memcmp(text.data + at + size, "\r\n", 2) != 0)
            return 0;
        memcpy(body->bytes + body->body.size, text.data + at, size);
        body->body.size += size;
        at += size + 2;
    }
}

/* --- llhttp --- */

static int other_on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct outcome *other = parser->data;

    memcpy(other->bytes + other->body.size, at, size);
    other->body.size += size;
    return 0;
}

static int other_on_end(llhttp_t *parser)
{
    ((struct outcome *)parser->data)->event = HTTP_FRAME_END;
    return HPE_PAUSED;
}

/* It takes the same bytes for the same body, and is through with the last of them; or refuses them, as it does extensions
 * without a name. */
static void check_llhttp(struct fuzz_input input, unsigned flags, const struct outcome *ours)
{
    const char *head = (flags & BY_LENGTH) != 0 ? length : chunked;
    struct outcome other = { .event = HTTP_FRAME_MORE, .bytes = malloc(input.size + 1) };
    llhttp_settings_t settings;
    llhttp_t parser;

    llhttp_settings_init(&settings);
    settings.on_body = other_on_body;
    settings.on_message_complete = other_on_end;
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = &other;
    MUST(llhttp_execute(&parser, head, strlen(head)) == HPE_OK);
    llhttp_errno_t result = llhttp_execute(&parser, (const char *)input.data, ours->used);
    MUST(result != HPE_OK);
    if (result == HPE_PAUSED) {
        MUST(llhttp_get_error_pos(&parser) == (const char *)input.data + ours->used);
        MUST(other.body.size == ours->body.size);
        MUST(memcmp(other.bytes, ours->bytes, other.body.size) == 0);
    }
    free(other.bytes);
}

static void check_end(struct fuzz_input input, unsigned flags, const struct outcome *ours)
{
    struct outcome other = { .bytes = malloc(input.size + 1) };

    if ((flags & BY_LENGTH) != 0) {
        other.used = LENGTH;
        other.body.size = LENGTH;
        memcpy(other.bytes, input.data, LENGTH);
    } else {
        other.used = read_chunks(slice_of(input.data, input.size), &other);
    }
    MUST(ours->used == other.used && ours->body.size == other.body.size);
    MUST(memcmp(ours->bytes, other.bytes, other.body.size) == 0);
    free(other.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    unsigned flags = fuzz_byte(&input);
    struct fuzz_cuts cuts = fuzz_cuts(&input), none = { .count = 0 };

    if (input.size == 0)
        return 0;
    struct outcome whole = read_body(input, none, flags);
    struct outcome parts = read_body(input, cuts, flags);

    MUST(whole.event == parts.event);
    if (whole.event == HTTP_FRAME_END || whole.event == HTTP_FRAME_MORE) {
        MUST(whole.used == parts.used && whole.body.size == parts.body.size);
        MUST(memcmp(whole.bytes, parts.bytes, whole.body.size) == 0);
    }
    if (whole.event == HTTP_FRAME_END) {
        check_end(input, flags, &whole);
        check_llhttp(input, flags, &whole);
    }
    free(whole.bytes);
    free(parts.bytes);
    return 0;
}
