/* http_handlers.c: the handlers, and the file that /file serves. */
#include "http_handlers.h"

#include "proto/http/http_range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct handled handled;

static void handlers_on_over(struct http_exchange *ex)
{
    (void)ex;
    handled.overs++;
}

static void handlers_begin(struct http_exchange *ex)
{
    handled.calls++;
    http_set_user(ex, NULL, handlers_on_over);
}

static void handle_hello(struct http_exchange *ex)
{
    handlers_begin(ex);
    http_reply_text(ex, 200, "text/plain", "hello");
}

/* --- at a later turn --- */

static void later_on_closed(uv_handle_t *timer)
{
    free(timer);
}

static void later_on_timer(uv_timer_t *timer)
{
    struct http_exchange *ex = timer->data;

    http_reply_text(ex, 200, "text/plain", "later");
    assert_ptr_equal(http_user(ex), NULL); /* it lives on: nothing is over within the call */
    uv_close((uv_handle_t *)timer, later_on_closed);
}

static void handle_later(struct http_exchange *ex)
{
    uv_timer_t *timer = malloc(sizeof *timer);

    handlers_begin(ex);
    uv_timer_init(http_loop(ex), timer);
    timer->data = ex;
    uv_timer_start(timer, later_on_timer, 1, 0);
}

static void handle_wait(struct http_exchange *ex)
{
    handlers_begin(ex);
    handled.held = ex;
}

/* --- bodies --- */

static void echo_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct buf copy;

    handled.ends++;
    handled.end = status;
    if (status != STATUS_OK) {
        http_reply_error(ex, status, NULL, NULL);
        return;
    }
    buf_init(&copy, body.size);
    buf_append(&copy, body.data, body.size);
    http_reply(ex, 200, "application/octet-stream", &copy);
}

static void handle_echo(struct http_exchange *ex)
{
    handlers_begin(ex);
    http_body_gather(ex, 1 << 20, echo_on_body);
}

static void count_on_chunk(struct http_exchange *ex, struct slice chunk)
{
    (void)ex;
    assert_true(chunk.size > 0);
    handled.body_size += chunk.size;
}

static void count_on_end(struct http_exchange *ex, enum status status)
{
    struct buf text;

    handled.ends++;
    handled.end = status;
    if (status != STATUS_OK) {
        http_reply_error(ex, status, NULL, NULL);
        return;
    }
    buf_init(&text, 64);
    buf_decimal(&text, handled.body_size);
    http_reply(ex, 200, "text/plain", &text);
}

static void handle_count(struct http_exchange *ex)
{
    handlers_begin(ex);
    http_body_stream(ex, count_on_chunk, count_on_end);
}

static void hold_on_chunk(struct http_exchange *ex, struct slice chunk)
{
    if (handled.body_size == 0) {
        handled.held = ex;
        http_body_pause(ex);
    }
    handled.body_size += chunk.size;
}

static void handle_hold(struct http_exchange *ex)
{
    handlers_begin(ex);
    http_body_stream(ex, hold_on_chunk, count_on_end);
}

static void handle_refuse(struct http_exchange *ex)
{
    handlers_begin(ex);
    http_reply_error(ex, STATUS_FULL, NULL, NULL);
}

/* More than a problem may hold. */
static void handle_long_problem(struct http_exchange *ex)
{
    const size_t size = 65 << 20;
    struct buf extra;

    handlers_begin(ex);
    buf_init(&extra, size);
    memset(buf_reserve(&extra, size), 'a', size);
    extra.size = size;
    http_reply_error(ex, STATUS_CONFLICT, NULL, &extra);
}

/* --- what the request says --- */

static void say_slice(struct buf *text, const char *name, struct slice value)
{
    buf_text(text, name);
    buf_text(text, "=");
    if (value.data == NULL)
        buf_text(text, "(none)");
    buf_append(text, value.data, value.size);
    buf_text(text, "\n");
}

static void handle_say(struct http_exchange *ex)
{
    struct slice key, value;
    struct buf text;

    handlers_begin(ex);
    buf_init(&text, 64 * 1024);
    say_slice(&text, "path", http_path(ex));
    say_slice(&text, "one", http_param(ex, "one"));
    say_slice(&text, "two", http_param(ex, "two"));
    say_slice(&text, "three", http_param(ex, "three"));
    for (size_t at = 0; http_query_next(ex, &at, &key, &value);) {
        buf_append(&text, key.data, key.size);
        say_slice(&text, "", value);
    }
    say_slice(&text, "q", http_query(ex, "q"));
    say_slice(&text, "x", http_header(ex, "X"));
    say_slice(&text, "xs", http_header_joined(ex, "x"));
    say_slice(&text, "id", slice_text(http_request_id(ex)));
    http_reply_header(ex, "X-Said", "%s", "so");
    http_reply(ex, 200, "text/plain", &text);
}

static void handle_post(struct http_exchange *ex)
{
    handlers_begin(ex);
    http_reply(ex, 204, NULL, NULL);
}

static void handle_bye(struct http_exchange *ex)
{
    struct error err;

    handlers_begin(ex);
    error_init(&err);
    error_set(&err, STATUS_NOT_FOUND, "it went");
    http_reply_header(ex, "Cache-Control", "max-age=%d", 5);
    http_reply_error(ex, STATUS_NOT_FOUND, &err, NULL);
}

/* --- a file --- */

uint8_t handlers_byte(uint64_t offset)
{
    return (uint8_t)(offset ^ offset >> 8 ^ offset >> 16 ^ 0x5a);
}

void handlers_file(uint64_t size)
{
    uint8_t block[64 * 1024];
    char path[] = "/tmp/test_http_file_XXXXXX";

    handled.fd = mkstemp(path);
    assert_true(handled.fd >= 0);
    unlink(path);
    for (uint64_t at = 0; at < size; at += sizeof block) {
        size_t part = size - at < sizeof block ? (size_t)(size - at) : sizeof block;

        for (size_t i = 0; i < part; i++)
            block[i] = handlers_byte(at + i);
        assert_int_equal(pwrite(handled.fd, block, part, (off_t)at), part);
    }
    handled.file_size = size;
}

void handlers_file_close(void)
{
    close(handled.fd);
    handled.fd = -1;
}

static void file_reply_ranges(struct http_exchange *ex, const struct http_range *ranges, unsigned count)
{
    struct http_piece *pieces = calloc(count + 1, sizeof *pieces);
    char boundary[HTTP_BOUNDARY_SIZE], type[128];
    struct buf text;

    http_boundary_make(boundary);
    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < count; i++) {
        pieces[i].head_offset = text.size;
        http_multipart_head(&text, boundary, i == 0, "application/wmo-grib", &ranges[i],
                            handled.file_size);
        pieces[i].head_size = text.size - pieces[i].head_offset;
        pieces[i].fd = handled.fd;
        pieces[i].offset = ranges[i].offset;
        pieces[i].length = ranges[i].length;
    }
    pieces[count].fd = -1;
    pieces[count].head_offset = text.size;
    http_multipart_end(&text, boundary);
    pieces[count].head_size = text.size - pieces[count].head_offset;
    snprintf(type, sizeof type, "multipart/byteranges; boundary=%s", boundary);
    http_reply_file(ex, 206, type, pieces, count + 1, &text);
}

static void file_on_unreadable(struct http_exchange *ex, const struct http_unreadable *what)
{
    handled.unreadables++;
    handled.unreadable = *what;
    if (what->may_reply)
        http_reply_error(ex, STATUS_DAMAGED, NULL, NULL);
}

static void handle_file(struct http_exchange *ex)
{
    struct http_range *ranges = calloc(HTTP_RANGES_MAX, sizeof *ranges);
    struct http_piece *piece = calloc(1, sizeof *piece);
    unsigned count;

    handlers_begin(ex);
    if (handled.asks_unreadable)
        http_on_unreadable(ex, file_on_unreadable);
    http_reply_header(ex, "Accept-Ranges", "%s", "bytes");
    enum http_ranges asked = http_ranges_parse(http_header(ex, "Range"), handled.file_size,
                                               HTTP_RANGES_MAX, ranges, &count);
    *piece = (struct http_piece){ .fd = handled.fd, .length = handled.file_size };
    if (asked == HTTP_RANGES_SOME && count > 1) {
        free(piece);
        file_reply_ranges(ex, ranges, count);
    } else if (asked == HTTP_RANGES_SOME) {
        piece->offset = ranges[0].offset;
        piece->length = ranges[0].length;
        http_reply_file(ex, 206, "application/wmo-grib", piece, 1, NULL);
    } else {
        http_reply_file(ex, 200, "application/wmo-grib", piece, 1, NULL);
    }
    free(ranges);
}

/* --- streams --- */

static uint64_t stream_number(struct http_exchange *ex, const char *key)
{
    struct slice text = http_query(ex, key);
    uint64_t value = 0;

    decimal_parse((const char *)text.data, text.size, UINT64_MAX, &value);
    return value;
}

struct streamed {
    uint64_t count, size, pushed;
    bool fails;
};

static void stream_on_over(struct http_exchange *ex)
{
    handled.overs++;
    free(http_user(ex));
}

static void stream_on_ready(struct http_exchange *ex)
{
    struct streamed *streamed = http_user(ex);
    struct buf data;

    handled.readies++;
    if (streamed->fails && streamed->pushed == streamed->count) {
        http_stream_fail(ex);
        return;
    }
    buf_init(&data, streamed->size);
    uint8_t *room = buf_reserve(&data, streamed->size);
    for (uint64_t i = 0; i < streamed->size; i++)
        room[i] = handlers_byte(streamed->pushed * streamed->size + i);
    data.size = streamed->size;
    streamed->pushed++;
    http_stream_push(ex, &data, streamed->pushed == streamed->count && !streamed->fails);
}

static void handle_stream(struct http_exchange *ex)
{
    struct streamed *streamed = calloc(1, sizeof *streamed);
    struct slice end = http_query(ex, "end");
    uint64_t length = HTTP_LENGTH_UNKNOWN;

    handled.calls++;
    streamed->count = stream_number(ex, "count");
    streamed->size = stream_number(ex, "size");
    streamed->fails = slice_equals(end, "fail");
    if (stream_number(ex, "known"))
        length = streamed->count * streamed->size + (slice_equals(end, "short") ? 1 : 0);
    http_set_user(ex, streamed, stream_on_over);
    http_stream_start(ex, 200, "application/x-ndjson", length, stream_on_ready);
}

const struct http_route handlers_routes[] = {
    { HTTP_GET_, "/hello", ROLE_NONE, "hello", handle_hello },
    { HTTP_GET_, "/later", ROLE_NONE, "later", handle_later },
    { HTTP_GET_, "/wait", ROLE_NONE, "wait", handle_wait },
    { HTTP_PUT_, "/echo", ROLE_NONE, "echo", handle_echo },
    { HTTP_PUT_, "/count", ROLE_NONE, "count", handle_count },
    { HTTP_PUT_, "/hold", ROLE_NONE, "hold", handle_hold },
    { HTTP_PUT_, "/refuse", ROLE_NONE, "refuse", handle_refuse },
    { HTTP_GET_, "/long-problem", ROLE_NONE, "long-problem", handle_long_problem },
    { HTTP_GET_, "/say/{one}/{two}", ROLE_NONE, "say", handle_say },
    { HTTP_GET_, "/file", ROLE_NONE, "file", handle_file },
    { HTTP_GET_, "/stream", ROLE_NONE, "stream", handle_stream },
    { HTTP_POST_, "/post", ROLE_NONE, "post", handle_post },
    { HTTP_GET_, "/bye", ROLE_NONE, "bye", handle_bye },
    { .pattern = NULL },
};

void handlers_reset(void)
{
    memset(&handled, 0, sizeof handled);
    handled.fd = -1;
}
