/* http_frame.c: a body by its length, or chunk by chunk.
 *
 *     SIZE_FIRST --> SIZE --CR--> SIZE_LF --not 0--> DATA --> DATA_CR --> DATA_LF --> SIZE_FIRST
 *                      | ;         ^   '---0--> TRAILER_FIRST --CR--> LAST_LF --> ended
 *                      '--> EXTENSION            |        ^
 *                                                v        |
 *                                    TRAILER_NAME --:--> TRAILER_VALUE --CR--> TRAILER_LF
 *
 * Each line ends in CRLF and holds no other CR, LF or NUL; nothing stands between a size and its end or its ';'. */
#include "proto/http/http_frame.h"

#include <assert.h>
#include <llhttp.h>

enum frame_state {
    FRAME_SIZE_FIRST,
    FRAME_SIZE,
    FRAME_EXTENSION,
    FRAME_SIZE_LF,
    FRAME_DATA,
    FRAME_DATA_CR,
    FRAME_DATA_LF,
    FRAME_TRAILER_FIRST,
    FRAME_TRAILER_NAME,
    FRAME_TRAILER_VALUE,
    FRAME_TRAILER_LF,
    FRAME_LAST_LF,
};

/* --- the head, as llhttp reads it --- */

struct second_reading {
    llhttp_t parser;
    bool head_seen, ended;
};

static int reading_on_headers_complete(llhttp_t *parser)
{
    ((struct second_reading *)parser->data)->head_seen = true;
    return 0;
}

static int reading_on_message_complete(llhttp_t *parser)
{
    ((struct second_reading *)parser->data)->ended = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t reading_settings = {
    .on_headers_complete = reading_on_headers_complete,
    .on_message_complete = reading_on_message_complete,
};

/* Does llhttp find the end of the head where it is, and the same framing? */
static bool frame_agreed(const struct http_head *head, const uint8_t *text)
{
    struct second_reading reading = { .head_seen = false };
    const char *data = (const char *)text + head->start;
    size_t size = head->size - head->start;
    bool body = head->chunked || head->content_length > 0;

    llhttp_init(&reading.parser, HTTP_REQUEST, &reading_settings);
    reading.parser.data = &reading;
    llhttp_errno_t result = llhttp_execute(&reading.parser, data, size);
    if (result == HPE_PAUSED && llhttp_get_error_pos(&reading.parser) != data + size)
        return false;
    if ((result != HPE_OK && result != HPE_PAUSED) || !reading.head_seen || reading.ended == body)
        return false;
    bool chunked = (reading.parser.flags & F_CHUNKED) != 0;
    return chunked == head->chunked &&
           (chunked || reading.parser.content_length == head->content_length);
}

bool http_frame_begin(struct http_frame *frame, const struct http_head *head, const uint8_t *text,
                      const struct http_frame_limits *limits)
{
    *frame = (struct http_frame){
        .limits = limits,
        .left = head->chunked ? 0 : head->content_length,
        .state = head->chunked ? FRAME_SIZE_FIRST : FRAME_DATA,
        .chunked = head->chunked,
    };
    frame->failed = !frame_agreed(head, text);
    frame->ended = !frame->failed && !head->chunked && head->content_length == 0;
    return !frame->failed;
}

/* --- between the pieces of a chunked body: a byte at a time --- */

static int frame_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool frame_go(struct http_frame *frame, bool allowed, enum frame_state next)
{
    frame->state = (uint8_t)next;
    return allowed;
}

/* The line of a size, or the bytes of a chunk, or the trailers are over. */
static bool frame_go_on_line(struct http_frame *frame, bool allowed, enum frame_state next)
{
    frame->line = 0;
    return frame_go(frame, allowed, next);
}

static bool frame_size(struct http_frame *frame, uint8_t c)
{
    int digit = frame_hex(c);

    if (digit >= 0) {
        bool fits = frame->left <= UINT64_MAX >> 4;
        frame->left = frame->left << 4 | (uint64_t)digit;
        return frame_go(frame, fits, FRAME_SIZE);
    }
    if (c == ';')
        return frame_go(frame, frame->state == FRAME_SIZE, FRAME_EXTENSION);
    return frame_go(frame, frame->state == FRAME_SIZE && c == '\r', FRAME_SIZE_LF);
}

static bool frame_size_line_end(struct http_frame *frame, uint8_t c)
{
    return frame_go_on_line(frame, c == '\n', frame->left > 0 ? FRAME_DATA : FRAME_TRAILER_FIRST);
}

static bool frame_trailer(struct http_frame *frame, uint8_t c)
{
    if (frame->state == FRAME_TRAILER_FIRST && c == '\r')
        return frame_go(frame, true, FRAME_LAST_LF);
    if (frame->state == FRAME_TRAILER_NAME && c == ':')
        return frame_go(frame, true, FRAME_TRAILER_VALUE);
    return frame_go(frame, http_token_byte(c), FRAME_TRAILER_NAME);
}

/* One byte that is not of the body; false: it may not be there. */
static bool frame_byte(struct http_frame *frame, uint8_t c)
{
    switch ((enum frame_state)frame->state) {
    case FRAME_SIZE_FIRST:
    case FRAME_SIZE:
        return frame_size(frame, c);
    case FRAME_EXTENSION:
        return c == '\r' ? frame_go(frame, true, FRAME_SIZE_LF) : http_value_byte(c);
    case FRAME_SIZE_LF:
        return frame_size_line_end(frame, c);
    case FRAME_DATA_CR:
        return frame_go(frame, c == '\r', FRAME_DATA_LF);
    case FRAME_DATA_LF:
        return frame_go_on_line(frame, c == '\n', FRAME_SIZE_FIRST);
    case FRAME_TRAILER_FIRST:
    case FRAME_TRAILER_NAME:
        return frame_trailer(frame, c);
    case FRAME_TRAILER_VALUE:
        return c == '\r' ? frame_go(frame, true, FRAME_TRAILER_LF) : http_value_byte(c);
    case FRAME_TRAILER_LF:
        return frame_go(frame, c == '\n', FRAME_TRAILER_FIRST);
    case FRAME_LAST_LF:
        frame->ended = c == '\n';
        return frame->ended;
    case FRAME_DATA:
        break;
    }
    return false;
}

static bool frame_within_limits(struct http_frame *frame)
{
    bool trailers = frame->state >= FRAME_TRAILER_FIRST;

    frame->line++;
    frame->overhead++;
    return frame->line <= (trailers ? frame->limits->trailers_max : frame->limits->chunk_line_max) &&
           frame->overhead <= HTTP_CHUNK_OVERHEAD_MAX + frame->body_size;
}

/* Up to the next byte of the body, or the end of the request, or of the input. */
static enum http_frame_event frame_between(struct http_frame *frame, struct slice *input)
{
    while (input->size > 0 && frame->state != FRAME_DATA && !frame->ended) {
        if (!frame_within_limits(frame) || !frame_byte(frame, *input->data)) {
            frame->ended = false;
            frame->failed = true;
            return HTTP_FRAME_BAD;
        }
        *input = slice_of(input->data + 1, input->size - 1);
    }
    if (frame->state == FRAME_DATA && frame->left > frame->limits->body_max - frame->body_size) {
        frame->failed = true;
        return HTTP_FRAME_TOO_LARGE;
    }
    return frame->ended ? HTTP_FRAME_END : HTTP_FRAME_MORE;
}

/* --- the body --- */

static enum http_frame_event frame_take(struct http_frame *frame, struct slice *input, struct slice *chunk)
{
    size_t size = input->size < frame->left ? input->size : (size_t)frame->left;

    *chunk = slice_of(input->data, size);
    *input = slice_of(input->data + size, input->size - size);
    frame->left -= size;
    frame->body_size += size;
    if (frame->left == 0 && frame->chunked)
        frame->state = FRAME_DATA_CR;
    else if (frame->left == 0)
        frame->ended = true;
    return HTTP_FRAME_CHUNK;
}

enum http_frame_event http_frame_next(struct http_frame *frame, struct slice *input, struct slice *chunk)
{
    if (frame->failed)
        return HTTP_FRAME_BAD;
    if (frame->ended)
        return HTTP_FRAME_END;
    if (frame->chunked && frame->state != FRAME_DATA) {
        enum http_frame_event event = frame_between(frame, input);
        if (event != HTTP_FRAME_MORE || frame->state != FRAME_DATA)
            return event;
    }
    return input->size > 0 ? frame_take(frame, input, chunk) : HTTP_FRAME_MORE;
}
