/* http_body.c: the body of a request, as the conductor wants it, or thrown away once it has
 * replied. */
#include "proto/http/http_conn.h"

#include <assert.h>
#include <stdlib.h>

/* --- what conductors call --- */

void http_body_gather(struct http_exchange *ex, size_t size_max,
                      void (*on_body)(struct http_exchange *ex, enum status status, struct slice body))
{
    assert(ex->body.mode == HTTP_BODY_UNASKED && ex->reply.kind == HTTP_REPLY_NONE);
    ex->body.mode = HTTP_BODY_GATHER;
    ex->body.on_body = on_body;
    buf_init(&ex->body.gathered, size_max);
    http_conn_wake(ex->conn);
}

void http_body_stream(struct http_exchange *ex,
                      void (*on_chunk)(struct http_exchange *ex, struct slice chunk),
                      void (*on_end)(struct http_exchange *ex, enum status status))
{
    assert(ex->body.mode == HTTP_BODY_UNASKED && ex->reply.kind == HTTP_REPLY_NONE);
    ex->body.mode = HTTP_BODY_STREAM;
    ex->body.on_chunk = on_chunk;
    ex->body.on_end = on_end;
    http_conn_wake(ex->conn);
}

void http_body_pause(struct http_exchange *ex)
{
    ex->body.paused = true;
}

void http_body_resume(struct http_exchange *ex)
{
    ex->body.paused = false;
    http_conn_wake(ex->conn);
}

/* --- what the connection calls --- */

bool http_body_flowing(const struct http_exchange *ex)
{
    if (ex->conn->frame.ended || ex->conn->frame.failed)
        return false;
    if (ex->reply.kind != HTTP_REPLY_NONE)
        return false; /* the answer has its own rate; what is left of the body is looked at after it */
    return ex->body.mode != HTTP_BODY_UNASKED && !ex->body.paused && !ex->body.over;
}

void http_body_fail(struct http_exchange *ex, enum status status)
{
    if (ex->body.failed == STATUS_OK)
        ex->body.failed = status;
    ex->conn->last = true;
    ex->conn->frame.failed = true;
}

bool http_body_answered(const struct http_exchange *ex)
{
    const struct http_frame *frame = &ex->conn->frame;

    if (frame->failed)
        return false;
    if (frame->ended)
        return true;
    if (frame->chunked || (ex->expect && frame->body_size == 0))
        return false; /* no telling what comes, or whether any */
    return ex->head->content_length - frame->body_size <= HTTP_DISCARD_MAX;
}

static void body_end(struct http_exchange *ex, enum status status)
{
    struct http_body *body = &ex->body;

    body->over = true;
    body->paused = false;
    if (body->mode == HTTP_BODY_STREAM)
        body->on_end(ex, status);
    else
        body->on_body(ex, status,
                      slice_of(body->gathered.data, status == STATUS_OK ? body->gathered.size : 0));
}

static void body_chunk(struct http_exchange *ex, struct slice chunk)
{
    struct http_body *body = &ex->body;

    if (ex->head->chunked) /* a length that was told has been charged */
        http_auth_charge(ex, chunk.size);
    if (body->mode == HTTP_BODY_STREAM) {
        body->on_chunk(ex, chunk);
        return;
    }
    buf_append(&body->gathered, chunk.data, chunk.size);
    if (buf_status(&body->gathered) != STATUS_OK)
        body_end(ex, buf_status(&body->gathered));
}

/* The client waits for leave to send. True: it is being told. */
static bool body_continue(struct http_exchange *ex)
{
    static char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t buf = uv_buf_init(text, sizeof text - 1);

    if (!ex->expect || ex->conn->frame.ended)
        return false;
    if (ex->conn->input.size > 0) { /* it did not wait */
        ex->expect = false;
        return false;
    }
    if (ex->conn->writing)
        return false;
    ex->expect = false;
    http_conn_send(ex->conn, &buf, 1);
    return true;
}

static bool body_discard(struct http_exchange *ex)
{
    struct http_conn *conn = ex->conn;
    struct slice chunk;

    if (conn->frame.ended || conn->frame.failed || conn->last)
        return false;
    return http_frame_next(&conn->frame, &conn->input, &chunk) == HTTP_FRAME_CHUNK;
}

static bool body_pull(struct http_exchange *ex)
{
    struct http_conn *conn = ex->conn;
    struct slice chunk;

    switch (http_frame_next(&conn->frame, &conn->input, &chunk)) {
    case HTTP_FRAME_CHUNK:
        body_chunk(ex, chunk);
        return true;
    case HTTP_FRAME_END:
        body_end(ex, STATUS_OK);
        return true;
    case HTTP_FRAME_MORE:
        if (!conn->eof && !conn->dead)
            return false;
        conn->dead = true; /* it can't be completed any more */
        body_end(ex, STATUS_CANCELLED);
        return true;
    case HTTP_FRAME_TOO_LARGE:
        body_end(ex, STATUS_TOO_LARGE);
        return true;
    case HTTP_FRAME_BAD:
        break;
    }
    metric_add(&http_metric_malformed, 1);
    body_end(ex, STATUS_BAD_REQUEST);
    return true;
}

bool http_body_step(struct http_exchange *ex)
{
    struct http_body *body = &ex->body;

    if (ex->reply.kind != HTTP_REPLY_NONE)
        return body_discard(ex);
    if (body->mode == HTTP_BODY_UNASKED || body->over)
        return false;
    if (body->failed != STATUS_OK) {
        body_end(ex, body->failed);
        return true;
    }
    if (body->mode == HTTP_BODY_GATHER && ex->head->content_length > body->gathered.size_max) {
        body_end(ex, STATUS_TOO_LARGE);
        return true;
    }
    if (body->paused && !ex->conn->dead)
        return false;
    if (body_continue(ex))
        return true;
    return body_pull(ex);
}
