/* http_conn.c: the machine of a connection (its states: http_core.h). */
#include "proto/http/http_conn.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

/* --- close and free --- */

static void conn_free(struct http_conn *conn)
{
    struct http_server *server = conn->server;

    assert(conn->ex == NULL && conn->socket.closed);
    list_remove(&conn->item);
    list_remove(&conn->awake);
    list_remove(&conn->timer_item);
    buf_fini(&conn->held);
    http_socket_free(conn);
    free(conn);
    http_server_on_gone(server);
}

static void conn_close(struct http_conn *conn)
{
    if (!conn->dead)
        http_socket_end(conn);
    conn->dead = true;
    http_socket_close(conn);
}

/* --- timers --- */

static void conn_set_timer(struct http_conn *conn, enum http_timer timer)
{
    struct http_server *server = conn->server;

    if (timer == conn->timer && !conn->timer_anew)
        return;
    conn->timer_anew = false;
    conn->timer = timer;
    list_remove(&conn->timer_item);
    if (timer == HTTP_TIMER_NONE)
        return;
    if (timer == HTTP_TIMER_RATE)
        conn->window_moved = http_socket_moved(conn);
    conn->deadline_ms = uv_now(server->options.loop) + server->delays_ms[timer];
    list_append(&server->timers[timer], &conn->timer_item);
}

static enum http_timer conn_timer(const struct http_conn *conn)
{
    switch (conn->state) {
    case HTTP_CONN_HEAD:
        if (conn->held.size > 0)
            return HTTP_TIMER_HEAD;
        if (!http_socket_established(conn))
            return conn->spared ? HTTP_TIMER_LINGER : HTTP_TIMER_HEAD;
        return conn->spared ? HTTP_TIMER_LINGER : HTTP_TIMER_IDLE;
    case HTTP_CONN_EXCHANGE:
        return (conn->writing && conn->socket.held_count == 0) || http_body_flowing(conn->ex)
                   ? HTTP_TIMER_RATE
                   : HTTP_TIMER_NONE;
    case HTTP_CONN_DISCARD:
        return HTTP_TIMER_RATE;
    case HTTP_CONN_LINGER:
        return conn->writing ? HTTP_TIMER_RATE : HTTP_TIMER_LINGER;
    case HTTP_CONN_CLOSED:
        break;
    }
    return HTTP_TIMER_NONE;
}

/* --- reading --- */

void http_conn_received(struct http_conn *conn, const uint8_t *data, size_t size)
{
    if (size == 0) {
        conn->eof = true;
    } else if (conn->held.size > 0) {
        buf_append(&conn->held, data, size);
        conn->dead |= buf_status(&conn->held) != STATUS_OK;
    } else {
        conn->input = slice_of(data, size);
    }
    http_conn_advance(conn);
}

static bool conn_wants_to_read(const struct http_conn *conn)
{
    if (conn->eof || conn->dead)
        return false;
    if (conn->state != HTTP_CONN_EXCHANGE)
        return conn->state != HTTP_CONN_CLOSED;
    return conn->held.size == 0 && !(conn->ex->body.paused && !conn->frame.ended);
}

/* --- steps; true: something moved --- */

static void conn_next_head(struct http_conn *conn)
{
    conn->state = HTTP_CONN_HEAD;
    conn->timer_anew = true;
    http_head_init(&conn->head);
}

/* No further request: let the client read the answer before it sees a reset for what it still
 * sends. */
static void conn_finish(struct http_conn *conn)
{
    bool all_read = conn->frame.ended && conn->head.close_asked && conn->input.size == 0;

    if (!conn->dead)
        http_socket_end(conn);
    bool over = (conn->eof || all_read) && !conn->writing;
    if (conn->dead || over || !http_socket_shutdown(conn))
        conn->state = HTTP_CONN_CLOSED;
    else
        conn->state = HTTP_CONN_LINGER;
}

static void conn_log_access(const struct http_exchange *ex, uint64_t duration_us)
{
    static const char *const methods[] = { "GET",    "HEAD",    "PUT",  "POST",
                                           "DELETE", "OPTIONS", "other" };
    enum log_level level = ex->server->options.access_log && !ex->conn->dead ? LOG_INFO : LOG_DEBUG;
    struct slice path = http_path(ex);
    struct log_line line;

    if (!log_wants(level))
        return;
    log_begin(&line, level, ex->conn->dead ? "http.aborted" : "http.request");
    log_str(&line, "method", methods[ex->head->method]);
    log_fmt(&line, "path", "%.*s", (int)path.size, (const char *)path.data);
    log_u64(&line, "status", (uint64_t)ex->reply.status);
    if (ex->reply.length != HTTP_LENGTH_UNKNOWN)
        log_u64(&line, "bytes", ex->reply.length);
    log_u64(&line, "us", duration_us);
    if (http_caller(ex)[0] != '\0')
        log_str(&line, "token", http_caller(ex));
    log_str(&line, "request", ex->id);
    log_end(&line);
}

/* The reply is written, or dropped. */
static void conn_exchange_over(struct http_conn *conn)
{
    struct http_exchange *ex = conn->ex;
    uint64_t now_us = clock_monotonic_us();
    uint64_t duration_us = now_us - ex->started_us;

    conn->server->now_us = now_us;
    if (conn->dead)
        metric_add(&http_metric_aborted, 1);
    else
        http_counters_add(ex->counters, (unsigned)ex->head->method, ex->reply.status, duration_us);
    conn_log_access(ex, duration_us);
    if (ex->on_over != NULL)
        ex->on_over(ex);
    http_exchange_release(ex);
    conn->ex = NULL;
    conn->requests++;
    if (conn->dead || conn->last || conn->frame.failed)
        conn_finish(conn);
    else if (!conn->frame.ended)
        conn->state = HTTP_CONN_DISCARD;
    else
        conn_next_head(conn);
}

static bool conn_begin_exchange(struct http_conn *conn, struct slice head)
{
    conn->ex = http_exchange_take(conn, head.data, head.size);
    if (conn->ex == NULL) {
        conn->dead = true;
        conn->state = HTTP_CONN_CLOSED;
        return false;
    }
    conn->state = HTTP_CONN_EXCHANGE;
    return true;
}

/* What the client sent is no request: say so, and take no other. */
static void conn_refuse(struct http_conn *conn, enum status status, const char *reason)
{
    conn->last = true;
    conn->frame.failed = true;
    conn->frame.ended = false;
    conn->input.size = 0;
    http_head_init(&conn->head);
    metric_add(status == STATUS_TIMEOUT ? &http_metric_timeouts : &http_metric_malformed, 1);
    if (conn_begin_exchange(conn, slice_of("", 0)))
        http_dispatch_error(conn->ex, status, reason);
}

void http_conn_refuse_plain(struct http_conn *conn)
{
    conn_refuse(conn, STATUS_BAD_REQUEST,
                "this port speaks https, and the request came in plain http: its URL has to begin with https://");
    http_conn_advance(conn);
}

static bool conn_step_head(struct http_conn *conn)
{
    const struct http_server *server = conn->server;

    bool ended = conn->eof || (server->draining && !conn->spared);

    if (conn->dead || conn->last || (conn->input.size == 0 && ended)) {
        conn->state = HTTP_CONN_CLOSED;
        return true;
    }
    if (conn->input.size == 0)
        return false;
    enum status status = http_head_feed(&conn->head, conn->input.data, conn->input.size,
                                        &server->head_limits);
    if (status == STATUS_MORE) {
        conn->dead |= conn->eof;
        return conn->eof;
    }
    if (status != STATUS_OK) {
        conn_refuse(conn, status, conn->head.reason);
        return true;
    }
    struct slice head = slice_of(conn->input.data, conn->head.size);
    if (!http_frame_begin(&conn->frame, &conn->head, head.data, &server->frame_limits)) {
        if (conn->head.method != (enum http_method)HTTP_METHOD_OTHER) {
            conn_refuse(conn, STATUS_BAD_REQUEST, "the head is malformed");
            return true;
        }
        conn->last = true; /* a method nobody knows: 405, but where its body ends is not certain */
    }
    conn->input = slice_of(head.data + head.size, conn->input.size - head.size);
    if (conn_begin_exchange(conn, head))
        http_dispatch(conn->ex);
    return true;
}

static bool conn_step_exchange(struct http_conn *conn)
{
    if (http_body_step(conn->ex) || http_reply_step(conn->ex))
        return true;
    if (!conn->ex->reply.done)
        return false;
    conn_exchange_over(conn);
    return true;
}

static bool conn_step_discard(struct http_conn *conn)
{
    struct slice chunk;

    switch (http_frame_next(&conn->frame, &conn->input, &chunk)) {
    case HTTP_FRAME_CHUNK:
        return true;
    case HTTP_FRAME_END:
        conn_next_head(conn);
        return true;
    case HTTP_FRAME_MORE:
        if (conn->eof || conn->dead)
            conn->state = HTTP_CONN_CLOSED;
        return false;
    case HTTP_FRAME_BAD:
    case HTTP_FRAME_TOO_LARGE:
        break;
    }
    conn_finish(conn);
    return true;
}

static bool conn_step(struct http_conn *conn)
{
    switch (conn->state) {
    case HTTP_CONN_HEAD:
        return conn_step_head(conn);
    case HTTP_CONN_EXCHANGE:
        return conn_step_exchange(conn);
    case HTTP_CONN_DISCARD:
        return conn_step_discard(conn);
    case HTTP_CONN_LINGER:
        conn->input.size = 0;
        if ((conn->eof && !conn->writing) || conn->dead)
            conn->state = HTTP_CONN_CLOSED;
        return false;
    case HTTP_CONN_CLOSED:
        conn->input.size = 0;
        return false;
    }
    return false;
}

/* --- advance --- */

/* What was not used moves out of the server's read buffer, or to the front of our own. */
static void conn_keep_rest(struct http_conn *conn)
{
    size_t rest = conn->input.size;

    if (rest == 0) {
        buf_fini(&conn->held);
    } else if (conn->held.size > 0) {
        buf_consume(&conn->held, conn->held.size - rest);
    } else {
        buf_append(&conn->held, conn->input.data, rest);
        conn->dead |= buf_status(&conn->held) != STATUS_OK;
    }
    conn->input = slice_of(NULL, 0);
}

static void conn_settle(struct http_conn *conn)
{
    if (conn->dead && conn->state == HTTP_CONN_HEAD)
        conn->state = HTTP_CONN_CLOSED;
    if (conn->dead || conn->state == HTTP_CONN_CLOSED) {
        conn_set_timer(conn, HTTP_TIMER_NONE);
        conn_close(conn);
        if (conn->socket.closed && conn->ex == NULL)
            conn_free(conn);
        return;
    }
    http_socket_read(conn, conn_wants_to_read(conn));
    conn_set_timer(conn, conn_timer(conn));
    if (conn->again)
        http_conn_wake(conn);
}

void http_conn_advance(struct http_conn *conn)
{
    if (conn->advancing)
        return;
    conn->advancing = true;
    conn->again = false;
    conn->turn_end = conn->bytes_out + HTTP_TURN_MAX;
    list_remove(&conn->awake);
    if (conn->held.size > 0)
        conn->input = slice_of(conn->held.data, conn->held.size);
    while (conn_step(conn))
        ;
    conn_keep_rest(conn);
    conn->advancing = false;
    conn_settle(conn);
}

void http_conn_wake(struct http_conn *conn)
{
    if (conn->advancing || !list_empty(&conn->awake))
        return;
    list_append(&conn->server->awake, &conn->awake);
    uv_idle_start(&conn->server->idle, http_server_on_idle);
}

/* --- accept, expire, drain --- */

enum status http_conn_accept(struct http_server *server)
{
    struct http_conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL)
        return STATUS_NO_MEMORY;
    conn->server = server;
    list_init(&conn->awake);
    list_init(&conn->timer_item);
    buf_init(&conn->held, server->limits.head_max + 2 * HTTP_READ_SIZE);
    http_head_init(&conn->head);
    if (http_socket_accept(conn) != STATUS_OK) {
        free(conn);
        return STATUS_IO;
    }
    list_append(&server->connections, &conn->item);
    server->connections_count++;
    metric_add(&http_metric_connections, 1);
    http_conn_advance(conn);
    if (conn->socket.reading) /* its first request may have come with it: then epoll need not know it yet */
        http_server_readable(server, &conn->socket.readable);
    return STATUS_OK;
}

static void conn_check_rate(struct http_conn *conn)
{
    const struct http_limits *limits = &conn->server->limits;
    uint64_t moved = http_socket_moved(conn);
    uint64_t least = limits->rate_min * limits->rate_window_ms / 1000;

    if (moved - conn->window_moved >= least)
        return; /* the next window begins when the connection settles */
    metric_add(&http_metric_timeouts, 1);
    if (conn->state == HTTP_CONN_EXCHANGE && !conn->writing)
        http_body_fail(conn->ex, STATUS_TIMEOUT);
    else
        conn->dead = true;
}

void http_conn_expire(struct http_conn *conn)
{
    enum http_timer timer = conn->timer;

    conn->timer = HTTP_TIMER_NONE;
    if (timer == HTTP_TIMER_RATE) {
        conn_check_rate(conn);
    } else if (timer == HTTP_TIMER_IDLE) {
        conn->state = HTTP_CONN_CLOSED;
    } else if (timer == HTTP_TIMER_HEAD && http_socket_established(conn)) {
        conn_refuse(conn, STATUS_TIMEOUT, "the head of the request took too long");
        buf_fini(&conn->held);
    } else {
        conn->dead = true;
    }
    http_conn_advance(conn);
}

/* A request that has been sent is answered, though we may not have read it yet; and who has only
 * just connected is about to send one. All other connections between two requests are closed:
 * clients know that this can happen to those. */
void http_conn_drain(struct http_conn *conn)
{
    conn->spared = http_socket_has_unread(conn) || conn->requests == 0;
    conn->timer_anew |= conn->state == HTTP_CONN_HEAD;
    http_conn_wake(conn);
}
