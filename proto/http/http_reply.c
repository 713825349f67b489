/* http_reply.c: the head of a reply, and bodies that are whole or streamed; those from files:
 * http_file.c. */
#include "proto/base/clock.h"
#include "proto/http/http_condition.h"
#include "proto/http/http_conn.h"
#include "proto/http/http_problem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REPLY_PROBLEM_MAX = 64 * 1024 * 1024,
    REPLY_RETRY_AFTER_S = 5,
    REPLY_FIXED_MAX = 1024, /* of a head, besides what the conductor added */
};

/* --- the head --- */

static const struct {
    int status;
    const char *reason;
} reply_reasons[] = {
    { 200, "OK" },
    { 206, "Partial Content" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 507, "Insufficient Storage" },
};

static const char *reply_reason(int status)
{
    for (size_t i = 0; i < ARRAY_COUNT(reply_reasons); i++)
        if (reply_reasons[i].status == status)
            return reply_reasons[i].reason;
    return ""; /* RFC 9112 section 4: it may be empty */
}

/* What every reply says, made once a second. */
static void reply_make_common(struct http_server *server, uint64_t now_us)
{
    uint64_t wall_us = clock_wall_us();
    char date[HTTP_DATE_SIZE];

    http_date_print((int64_t)(wall_us / 1000000), date);
    server->common_until_us = now_us + 1000000 - wall_us % 1000000;
    server->common_size = (size_t)snprintf(
        server->common, sizeof server->common,
        "Date: %s\r\nServer: %s\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: ", date,
        server->name);
    assert(server->common_size < sizeof server->common);
}

static char *reply_put(char *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

#define REPLY_PUT(at, literal) reply_put(at, literal, sizeof literal - 1)

static char *reply_put_text(char *at, const char *text)
{
    return reply_put(at, text, strlen(text));
}

static char *reply_put_common(struct http_server *server, char *at)
{
    uint64_t now_us = http_server_now_us(server);

    if (now_us >= server->common_until_us || server->common_size == 0)
        reply_make_common(server, now_us);
    return reply_put(at, server->common, server->common_size);
}

/* Is this the last answer on its connection? */
static bool reply_closes(const struct http_exchange *ex)
{
    bool ended = ex->conn->eof && ex->conn->input.size == 0; /* requests that came before its end are served */

    return ex->conn->last || ended || ex->server->draining || !ex->head->keep_alive ||
           !http_body_answered(ex) || (ex->reply.length == HTTP_LENGTH_UNKNOWN && !ex->reply.chunked);
}

static char *reply_put_framing(struct http_exchange *ex, char *at)
{
    struct http_reply *reply = &ex->reply;

    if (reply->content_type[0] != '\0') {
        at = REPLY_PUT(at, "Content-Type: ");
        at = reply_put_text(at, reply->content_type);
        at = REPLY_PUT(at, "\r\n");
    }
    if (reply->chunked) {
        at = REPLY_PUT(at, "Transfer-Encoding: chunked\r\n");
    } else if (reply->length != HTTP_LENGTH_UNKNOWN && reply->status != 204 && reply->status != 304) {
        at = REPLY_PUT(at, "Content-Length: ");
        at += decimal_print(reply->length, at);
        at = REPLY_PUT(at, "\r\n");
    }
    if (reply_closes(ex)) {
        ex->conn->last = true;
        at = REPLY_PUT(at, "Connection: close\r\n");
    } else if (ex->head->minor == 0) {
        at = REPLY_PUT(at, "Connection: keep-alive\r\n");
    }
    return at;
}

static char *reply_put_line(const struct http_exchange *ex, char *at)
{
    at = REPLY_PUT(at, "HTTP/1.1 ");
    at += decimal_print((uint64_t)ex->reply.status, at);
    at = REPLY_PUT(at, " ");
    at = reply_put_text(at, reply_reason(ex->reply.status));
    return REPLY_PUT(at, "\r\n");
}

/* Once a request: printed by hand into room that holds the longest (printf took 5 % of a small read's time). */
void http_reply_head(struct http_exchange *ex, struct buf *head)
{
    struct http_reply *reply = &ex->reply;
    enum http_method method = ex->head->method;
    char *first = (char *)buf_reserve(head, REPLY_FIXED_MAX + reply->fields.size);

    assert(first != NULL);
    char *at = reply_put_line(ex, first);
    at = reply_put_common(ex->server, at);
    at = reply_put_text(at, ex->id);
    at = REPLY_PUT(at, "\r\n");
    if (method == HTTP_GET_ || method == HTTP_HEAD_)
        at = REPLY_PUT(at, "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: "
                           "Content-Range, Accept-Ranges, ETag, Content-Length\r\n");
    else if (method == HTTP_OPTIONS_)
        at = REPLY_PUT(at, "Access-Control-Allow-Origin: *\r\n");
    if (reply->status >= 300 && reply->status != 304 && !reply->has_cache_control)
        at = REPLY_PUT(at, "Cache-Control: no-store\r\n");
    if (reply->fields.size > 0)
        at = reply_put(at, reply->fields.data, reply->fields.size);
    at = reply_put_framing(ex, at);
    at = REPLY_PUT(at, "\r\n");
    assert((size_t)(at - first) <= REPLY_FIXED_MAX + reply->fields.size);
    head->size += (size_t)(at - first);
    reply->head_sent = true;
}

/* --- what conductors call --- */

void http_reply_header(struct http_exchange *ex, const char *name, const char *format, ...)
{
    struct buf *fields = &ex->reply.fields;
    size_t first;
    va_list list;

    assert(!ex->reply.head_sent);
    buf_text(fields, name);
    buf_text(fields, ": ");
    first = fields->size;
    va_start(list, format);
    buf_vformat(fields, format, list);
    va_end(list);
    assert(buf_status(fields) == STATUS_OK);
    for (size_t i = first; i < fields->size; i++)
        assert(fields->data[i] != '\r' && fields->data[i] != '\n' && fields->data[i] != '\0');
    buf_text(fields, "\r\n");
    if (http_name_equals(slice_text(name), "cache-control"))
        ex->reply.has_cache_control = true;
}

void http_reply_fields(struct http_exchange *ex, const char *text, size_t size)
{
    assert(!ex->reply.head_sent);
    buf_append(&ex->reply.fields, text, size);
    assert(buf_status(&ex->reply.fields) == STATUS_OK);
}

static void reply_begin(struct http_exchange *ex, enum http_reply_kind kind, int status,
                        const char *content_type, uint64_t length)
{
    struct http_reply *reply = &ex->reply;

    assert(reply->kind == HTTP_REPLY_NONE);
    assert(status >= 200 && status <= 599);
    reply->kind = kind;
    reply->status = status;
    reply->length = length;
    reply->bodyless = ex->head->method == HTTP_HEAD_ || status == 204 || status == 304;
    reply->chunked = length == HTTP_LENGTH_UNKNOWN && ex->head->minor == 1 && status != 204 &&
                     status != 304;
    if (content_type != NULL) {
        assert(strlen(content_type) < sizeof reply->content_type);
        strcpy(reply->content_type, content_type);
    }
    if (length != HTTP_LENGTH_UNKNOWN && !reply->bodyless && status < 400)
        http_auth_charge(ex, length);
    http_conn_wake(ex->conn);
}

void http_reply(struct http_exchange *ex, int http_status, const char *content_type, struct buf *body)
{
    uint64_t length = 0;

    if (body != NULL && buf_status(body) != STATUS_OK) {
        buf_fini(body); /* half an answer is none */
        http_reply_error(ex, STATUS_INTERNAL, NULL, NULL);
        return;
    }
    if (body != NULL) {
        length = body->size;
        ex->reply.body = *body;
        buf_init(body, body->size_max);
    }
    reply_begin(ex, HTTP_REPLY_WHOLE, http_status, content_type, length);
}

void http_reply_text(struct http_exchange *ex, int http_status, const char *content_type, const char *text)
{
    struct buf body;

    buf_init(&body, strlen(text));
    buf_text(&body, text);
    http_reply(ex, http_status, content_type, &body);
}

void http_reply_error(struct http_exchange *ex, enum status status, const struct error *err,
                      struct buf *extra)
{
    struct buf body;
    int http = status_http(status);

    buf_init(&body, REPLY_PROBLEM_MAX);
    http_problem_print(&body, status, err, ex->id, extra);
    if (extra != NULL)
        buf_fini(extra);
    if (buf_status(&body) != STATUS_OK) { /* the members are too long, or there is no memory: the problem alone */
        buf_fini(&body);
        buf_init(&body, REPLY_PROBLEM_MAX);
        http_problem_print(&body, status, err, ex->id, NULL);
    }
    if (http == 503 || http == 429)
        http_reply_header(ex, "Retry-After", "%u",
                          ex->reply.retry_after_s > 0 ? ex->reply.retry_after_s : REPLY_RETRY_AFTER_S);
    if (buf_status(&body) == STATUS_OK) {
        http_reply(ex, http, "application/problem+json", &body);
        return;
    }
    buf_fini(&body); /* http_reply() would come back here for want of memory, for ever */
    http_reply(ex, http, NULL, NULL);
}

struct http_piece *http_reply_pieces(struct http_exchange *ex, unsigned count, struct buf **text)
{
    struct http_file_reply *file = &ex->reply.file;

    assert(ex->reply.kind == HTTP_REPLY_NONE && count > 0);
    if (count > file->capacity) {
        free(file->pieces);
        file->pieces = malloc(count * sizeof *file->pieces);
        if (file->pieces == NULL)
            abort();
        file->capacity = count;
    }
    memset(file->pieces, 0, count * sizeof *file->pieces);
    file->count = count;
    buf_clear(&file->text);
    file->text.size_max = HTTP_PIECES_TEXT_MAX;
    if (text != NULL)
        *text = &file->text;
    return file->pieces;
}

void http_reply_send_pieces(struct http_exchange *ex, int http_status, const char *content_type)
{
    const struct http_file_reply *file = &ex->reply.file;
    uint64_t length = 0;

    assert(buf_status(&file->text) == STATUS_OK);
    for (unsigned i = 0; i < file->count; i++) {
        const struct http_piece *piece = &file->pieces[i];

        assert(piece->head_size <= file->text.size &&
               piece->head_offset <= file->text.size - piece->head_size);
        length += piece->head_size + (piece->fd >= 0 ? piece->length : 0);
    }
    reply_begin(ex, HTTP_REPLY_FILE, http_status, content_type, length);
}

void http_reply_file(struct http_exchange *ex, int http_status, const char *content_type,
                     struct http_piece *pieces, unsigned count, struct buf *text)
{
    struct http_file_reply *file = &ex->reply.file;

    free(file->pieces);
    file->pieces = pieces;
    file->count = file->capacity = count;
    if (text != NULL) {
        buf_fini(&file->text);
        file->text = *text;
        buf_init(text, text->size_max);
    }
    http_reply_send_pieces(ex, http_status, content_type);
}

void http_on_unreadable(struct http_exchange *ex,
                        void (*on_unreadable)(struct http_exchange *ex, const struct http_unreadable *what))
{
    assert(ex->reply.kind == HTTP_REPLY_NONE);
    ex->on_unreadable = on_unreadable;
    ex->fields_kept = ex->reply.fields.size;
}

void http_reply_take_back(struct http_exchange *ex)
{
    size_t fields_kept = ex->fields_kept;

    assert(ex->reply.kind == HTTP_REPLY_FILE && !ex->reply.file.sent);
    http_file_clear(ex);
    ex->reply.fields.size = fields_kept;
    http_reply_reset(&ex->reply);
}

void http_reply_reset(struct http_reply *reply)
{
    struct buf fields = reply->fields, head = reply->head, text = reply->file.text;
    struct http_piece *pieces = reply->file.pieces;
    unsigned capacity = reply->file.capacity;

    buf_clear(&head);
    buf_clear(&text);
    memset(reply, 0, sizeof *reply);
    reply->fields = fields;
    reply->head = head;
    reply->file.text = text;
    reply->file.pieces = pieces;
    reply->file.capacity = capacity;
}

void http_stream_start(struct http_exchange *ex, int http_status, const char *content_type,
                       uint64_t length, void (*on_ready)(struct http_exchange *ex))
{
    ex->reply.stream.on_ready = on_ready;
    ex->reply.stream.left = length;
    reply_begin(ex, HTTP_REPLY_STREAM, http_status, content_type, length);
}

void http_stream_push(struct http_exchange *ex, struct buf *data, bool last)
{
    struct http_stream_reply *stream = &ex->reply.stream;

    assert(ex->reply.kind == HTTP_REPLY_STREAM && stream->owed && !stream->failed);
    stream->owed = false;
    stream->pushed = true;
    stream->last = last;
    if (data != NULL) {
        stream->failed = buf_status(data) != STATUS_OK;
        if (ex->reply.length == HTTP_LENGTH_UNKNOWN)
            http_auth_charge(ex, data->size);
        stream->data = *data;
        buf_init(data, data->size_max);
    }
    http_conn_wake(ex->conn);
}

void http_stream_fail(struct http_exchange *ex)
{
    assert(ex->reply.kind == HTTP_REPLY_STREAM);
    ex->reply.stream.owed = false;
    ex->reply.stream.failed = true;
    http_conn_wake(ex->conn);
}

/* --- steps --- */

static uv_buf_t reply_buf(const struct buf *buf)
{
    return uv_buf_init((char *)buf->data, (unsigned)buf->size);
}

static bool reply_step_whole(struct http_exchange *ex)
{
    struct http_reply *reply = &ex->reply;
    unsigned count = 1;
    uv_buf_t bufs[2];

    if (reply->head_sent) {
        reply->done = true;
        return false;
    }
    http_reply_head(ex, &reply->head);
    bufs[0] = reply_buf(&reply->head);
    if (!reply->bodyless && reply->body.size > 0)
        bufs[count++] = reply_buf(&reply->body);
    http_conn_send(ex->conn, bufs, count);
    return true;
}

/* A push goes out with the head if that has not gone, and in a chunk of its own where the length
 * is not known. */
static bool reply_send_push(struct http_exchange *ex)
{
    struct http_stream_reply *stream = &ex->reply.stream;
    bool chunk = ex->reply.chunked && stream->data.size > 0;
    static char crlf[] = "\r\n", end[] = "0\r\n\r\n";
    unsigned count = 0;
    uv_buf_t bufs[5];

    if (ex->reply.length != HTTP_LENGTH_UNKNOWN) {
        if (stream->data.size > stream->left || (stream->last && stream->data.size < stream->left)) {
            stream->failed = true; /* more or less than was promised */
            return true;
        }
        stream->left -= stream->data.size;
    }
    if (!ex->reply.head_sent) {
        http_reply_head(ex, &ex->reply.head);
        bufs[count++] = reply_buf(&ex->reply.head);
    }
    if (chunk) {
        int size = snprintf(stream->chunk_head, sizeof stream->chunk_head, "%zx\r\n", stream->data.size);
        bufs[count++] = uv_buf_init(stream->chunk_head, (unsigned)size);
    }
    if (stream->data.size > 0)
        bufs[count++] = reply_buf(&stream->data);
    if (chunk)
        bufs[count++] = uv_buf_init(crlf, 2);
    if (ex->reply.chunked && stream->last)
        bufs[count++] = uv_buf_init(end, 5);
    stream->pushed = false;
    if (count > 0)
        http_conn_send(ex->conn, bufs, count);
    return true;
}

static bool reply_step_stream(struct http_exchange *ex)
{
    struct http_stream_reply *stream = &ex->reply.stream;

    if (stream->failed) {
        ex->conn->dead = true;
        return true;
    }
    if (ex->reply.bodyless)
        return reply_step_whole(ex);
    if (stream->pushed)
        return reply_send_push(ex);
    if (stream->last) {
        ex->reply.done = true;
        return false;
    }
    buf_fini(&stream->data);
    if (!stream->owed) {
        if (ex->conn->bytes_out >= ex->conn->turn_end) {
            ex->conn->again = true;
            return false;
        }
        stream->owed = true;
        stream->on_ready(ex);
        return true;
    }
    if (ex->reply.head_sent)
        return false;
    uv_buf_t buf;
    http_reply_head(ex, &ex->reply.head);
    buf = reply_buf(&ex->reply.head);
    http_conn_send(ex->conn, &buf, 1);
    return true;
}

/* Nobody is left to read it: over, as soon as nothing of ours is under way. */
static bool reply_drop(struct http_exchange *ex)
{
    if (!ex->reply.file.reading && !ex->reply.stream.owed)
        ex->reply.done = true;
    return false;
}

bool http_reply_step(struct http_exchange *ex)
{
    if (ex->reply.kind == HTTP_REPLY_NONE || ex->reply.done || ex->conn->writing)
        return false;
    if (ex->conn->dead)
        return reply_drop(ex);
    switch (ex->reply.kind) {
    case HTTP_REPLY_WHOLE:
        return reply_step_whole(ex);
    case HTTP_REPLY_FILE:
        return http_file_step(ex);
    case HTTP_REPLY_STREAM:
        return reply_step_stream(ex);
    case HTTP_REPLY_NONE:
        break;
    }
    return false;
}
