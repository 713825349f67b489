/* http_frame.c: llhttp as something to pull from: every callback only notes what it saw, and
 * pauses. */
#include "proto/http/http_frame.h"

#include <assert.h>

static int frame_on_headers_complete(llhttp_t *parser)
{
    ((struct http_frame *)parser->data)->head_seen = true;
    return 0;
}

static int frame_on_body(llhttp_t *parser, const char *at, size_t size)
{
    ((struct http_frame *)parser->data)->chunk = slice_of(at, size);
    return size > 0 ? HPE_PAUSED : 0; /* resumed without new input it calls with nothing */
}

static int frame_on_chunk_header(llhttp_t *parser)
{
    struct http_frame *frame = parser->data;

    frame->chunk_line = true;
    frame->trailers = parser->content_length == 0;
    return HPE_PAUSED;
}

static int frame_on_message_complete(llhttp_t *parser)
{
    ((struct http_frame *)parser->data)->ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t frame_settings = {
    .on_headers_complete = frame_on_headers_complete,
    .on_body = frame_on_body,
    .on_chunk_header = frame_on_chunk_header,
    .on_message_complete = frame_on_message_complete,
};

/* Runs llhttp over input until it pauses or has used it all; false: it found an error. */
static bool frame_execute(struct http_frame *frame, struct slice *input)
{
    const char *data = input->size > 0 ? (const char *)input->data : "";
    llhttp_errno_t result;

    result = llhttp_execute(&frame->parser, data, input->size);
    frame->paused = result == HPE_PAUSED;
    size_t used = input->size;
    if (frame->paused) {
        used = (size_t)(llhttp_get_error_pos(&frame->parser) - data);
        llhttp_resume(&frame->parser);
    }
    assert(used <= input->size);
    if (input->size > 0)
        *input = slice_of(input->data + used, input->size - used);
    return result == HPE_OK || result == HPE_PAUSED;
}

bool http_frame_begin(struct http_frame *frame, const struct http_head *head, const uint8_t *text,
                      const struct http_frame_limits *limits)
{
    struct slice input = slice_of(text + head->start, head->size - head->start);
    bool body = head->chunked || head->content_length > 0;

    memset(frame, 0, sizeof *frame);
    llhttp_init(&frame->parser, HTTP_REQUEST, &frame_settings);
    frame->parser.data = frame;
    frame->limits = limits;
    frame->chunked = head->chunked;
    if (!frame_execute(frame, &input) || input.size > 0 || !frame->head_seen ||
        frame->ended == body || (frame->parser.flags & F_CHUNKED) != (head->chunked ? F_CHUNKED : 0) ||
        (!head->chunked && frame->parser.content_length != head->content_length)) {
        frame->failed = true;
        return false;
    }
    return true;
}

/* Lines between the pieces of a chunked body: size is what was used and is not body. */
static bool frame_count_overhead(struct http_frame *frame, size_t size)
{
    frame->line += size;
    frame->overhead += size;
    if (frame->overhead > HTTP_CHUNK_OVERHEAD_MAX + frame->body_size)
        return false;
    size_t chunk_line_max = frame->limits->chunk_line_max;
    size_t line_max = frame->trailers ? frame->limits->trailers_max : chunk_line_max;
    /* The line that ends here may be the one that begins the trailers: it was an ordinary one. */
    if (frame->line > (frame->chunk_line ? chunk_line_max : line_max))
        return false;
    if (frame->chunk_line) {
        frame->chunk_line = false;
        frame->line = 0;
    }
    return true;
}

static enum http_frame_event frame_fail(struct http_frame *frame, enum http_frame_event event)
{
    frame->failed = true;
    return event;
}

enum http_frame_event http_frame_next(struct http_frame *frame, struct slice *input, struct slice *chunk)
{
    if (frame->failed)
        return HTTP_FRAME_BAD;
    while (!frame->ended && (input->size > 0 || frame->paused)) {
        size_t before = input->size;

        frame->chunk = slice_of(NULL, 0);
        if (!frame_execute(frame, input))
            return frame_fail(frame, HTTP_FRAME_BAD);
        size_t overhead = before - input->size - frame->chunk.size;
        frame->body_size += frame->chunk.size;
        if (frame->chunked && !frame_count_overhead(frame, overhead))
            return frame_fail(frame, HTTP_FRAME_BAD);
        if (frame->body_size > frame->limits->body_max)
            return frame_fail(frame, HTTP_FRAME_TOO_LARGE);
        if (frame->chunk.size > 0) {
            *chunk = frame->chunk;
            return HTTP_FRAME_CHUNK;
        }
    }
    return frame->ended ? HTTP_FRAME_END : HTTP_FRAME_MORE;
}
