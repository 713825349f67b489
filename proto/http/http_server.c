/* http_server.c: listen, accept, limit, drain; the queues of deadlines. */
#include "proto/http/http_server.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/http/http_conn.h"
#include "proto/http/http_secure.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SERVER_BACKLOG = 4096,
    SERVER_TICK_MAX_MS = 500,
    SERVER_TICK_MIN_MS = 5,
    SERVER_HOST_SIZE = 256
};

/* --- what can be read --- */

/* Reads up to HTTP_BATCH_MAX of those that can be read, then sends what they are answered. */
static void server_run_batch(struct http_server *server)
{
    server->gathering = server->readable.next != server->readable.prev; /* one alone is not kept waiting */
    for (unsigned i = 0; i < HTTP_BATCH_MAX && !list_empty(&server->readable); i++) {
        struct http_socket *socket = list_last(&server->readable, struct http_socket, readable);

        list_remove(&socket->readable);
        http_socket_receive(socket);
    }
    server->gathering = false;
    server->held_size = 0;
    while (!list_empty(&server->unsent))
        http_socket_send_held(list_first(&server->unsent, struct http_socket, unsent));
}

static void server_run_readable(struct http_server *server)
{
    if (list_empty(&server->readable))
        return;
    server->now_us = clock_monotonic_us();
    server->serving = true;
    while (!list_empty(&server->readable))
        server_run_batch(server);
    server->readable_count = 0;
    server->serving = false;
}

uint64_t http_server_now_us(const struct http_server *server)
{
    return server->serving ? server->now_us : clock_monotonic_us();
}

/* libuv asks the kernel up to 48 times in a row when that has many to tell of: they are not kept waiting for its end. */
void http_server_readable(struct http_server *server, struct list *readable)
{
    if (!list_empty(readable))
        return;
    list_append(&server->readable, readable);
    if (++server->readable_count == HTTP_READABLE_MAX)
        server_run_readable(server);
}

/* --- what was woken --- */

static void server_run_awake(struct http_server *server)
{
    struct list now;

    list_init(&now);
    list_splice(&now, &server->awake);
    while (!list_empty(&now))
        http_conn_advance(list_first(&now, struct http_conn, awake)); /* takes itself off the list */
    if (list_empty(&server->awake))
        uv_idle_stop(&server->idle);
}

void http_server_on_idle(uv_idle_t *idle)
{
    server_run_awake(container_of(idle, struct http_server, idle));
}

static void server_on_check(uv_check_t *check)
{
    struct http_server *server = container_of(check, struct http_server, check);

    server_run_readable(server);
    if (!list_empty(&server->awake))
        server_run_awake(server);
}

/* --- accept --- */

static void server_accept(struct http_server *server)
{
    /* Not taking a connection makes libuv stop looking for more: they wait in the backlog. */
    server->full = server->connections_count >= server->limits.connections_max ||
                   http_conn_accept(server) != STATUS_OK;
    if (!server->full)
        metric_add(&http_metric_accepted, 1);
}

static void server_on_connection(uv_stream_t *stream, int status)
{
    struct http_server *server = container_of(stream, struct http_server, listener);

    if (status == 0) {
        server_accept(server);
        return;
    }
    /* Without a descriptor left libuv has closed what waited (it keeps one in reserve for that),
     * so this does not spin. */
    metric_add(&http_metric_accept_errors, 1);
    log_msg(LOG_WARN, "http.accept", "%s", uv_strerror(status));
}

/* --- deadlines --- */

static void server_on_tick(uv_timer_t *tick)
{
    struct http_server *server = container_of(tick, struct http_server, tick);
    uint64_t now = uv_now(server->options.loop);

    for (unsigned i = HTTP_TIMER_NONE + 1; i < HTTP_TIMER_COUNT; i++) {
        while (!list_empty(&server->timers[i])) {
            struct http_conn *conn = list_first(&server->timers[i], struct http_conn, timer_item);

            if (conn->deadline_ms > now)
                break;
            list_remove(&conn->timer_item);
            http_conn_expire(conn);
        }
    }
    if (server->full && !server->draining && server->connections_count < server->limits.connections_max)
        server_accept(server);
}

/* Often enough to be late by an eighth of the shortest delay at most. */
static uint64_t server_tick_ms(const struct http_server *server)
{
    uint64_t tick_ms = SERVER_TICK_MAX_MS;

    for (unsigned i = HTTP_TIMER_NONE + 1; i < HTTP_TIMER_COUNT; i++)
        if (server->delays_ms[i] / 8 < tick_ms)
            tick_ms = server->delays_ms[i] / 8;
    return tick_ms < SERVER_TICK_MIN_MS ? SERVER_TICK_MIN_MS : tick_ms;
}

/* --- start --- */

static void server_fill_limits(struct http_server *server, const struct http_limits *asked)
{
    struct http_limits *limits = &server->limits;

    *limits = *asked;
    if (limits->head_max == 0)
        limits->head_max = 40 * 1024;
    if (limits->line_max == 0)
        limits->line_max = 32 * 1024;
    if (limits->target_max == 0)
        limits->target_max = 8 * 1024;
    if (limits->fields_max == 0)
        limits->fields_max = HTTP_FIELDS_MAX;
    if (limits->body_max == 0)
        limits->body_max = (uint64_t)64 << 30;
    if (limits->connections_max == 0)
        limits->connections_max = 10000;
    if (limits->head_timeout_ms == 0)
        limits->head_timeout_ms = 10000;
    if (limits->idle_timeout_ms == 0)
        limits->idle_timeout_ms = 60000;
    if (limits->rate_min == 0)
        limits->rate_min = 1024;
    if (limits->rate_window_ms == 0)
        limits->rate_window_ms = 10000;
    if (limits->linger_ms == 0)
        limits->linger_ms = 2000;
    if (limits->chunk_line_max == 0)
        limits->chunk_line_max = 4 * 1024;
    if (limits->trailers_max == 0)
        limits->trailers_max = 8 * 1024;
}

static void server_apply_limits(struct http_server *server)
{
    const struct http_limits *limits = &server->limits;

    server->head_limits = (struct http_head_limits){
        .head_max = limits->head_max,
        .line_max = limits->line_max,
        .target_max = limits->target_max,
        .fields_max = limits->fields_max,
    };
    server->frame_limits = (struct http_frame_limits){
        .body_max = limits->body_max,
        .chunk_line_max = limits->chunk_line_max,
        .trailers_max = limits->trailers_max,
    };
    server->delays_ms[HTTP_TIMER_IDLE] = limits->idle_timeout_ms;
    server->delays_ms[HTTP_TIMER_HEAD] = limits->head_timeout_ms;
    server->delays_ms[HTTP_TIMER_RATE] = limits->rate_window_ms;
    server->delays_ms[HTTP_TIMER_LINGER] = limits->linger_ms;
}

static struct http_server *server_new(const struct http_server_options *options)
{
    struct http_server *server = calloc(1, sizeof *server);
    unsigned routes = 0;

    if (server == NULL)
        return NULL;
    while (options->routes[routes].pattern != NULL)
        routes++;
    server->options = *options;
    server->routes_count = routes;
    server->counters = calloc(routes + 1, sizeof *server->counters);
    server->read_buffer = malloc(HTTP_READ_SIZE);
    server->secure = options->tls != NULL ? http_secure_memory_new() : NULL;
    if (server->counters == NULL || server->read_buffer == NULL ||
        (options->tls != NULL && server->secure == NULL)) {
        http_secure_memory_free(server->secure);
        free(server->counters);
        free(server->read_buffer);
        free(server);
        return NULL;
    }
    for (unsigned i = 0; i < routes; i++)
        http_counters_init(&server->counters[i], options->routes[i].name);
    http_counters_init(&server->counters[routes], "none");
    snprintf(server->name, sizeof server->name, "%s",
             options->server_name != NULL ? options->server_name : "gribstore");
    server_fill_limits(server, &options->limits);
    server_apply_limits(server);
    random_bytes(&server->id_state, sizeof server->id_state);
    list_init(&server->connections);
    list_init(&server->readable);
    list_init(&server->unsent);
    list_init(&server->awake);
    list_init(&server->exchanges);
    for (unsigned i = 0; i < HTTP_TIMER_COUNT; i++)
        list_init(&server->timers[i]);
    return server;
}

/* A bound socket, or -1 with err set. */
static int server_bind(const struct addrinfo *address, bool reuse_port, struct error *err)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0) {
        error_set_errno(err, errno, "socket");
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* what is accepted from it inherits this */
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if ((reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        bind(fd, address->ai_addr, address->ai_addrlen) != 0) {
        error_set_errno(err, errno, "bind");
        close(fd);
        return -1;
    }
    return fd;
}

static enum status server_open(const struct http_server_options *options, int *fd, struct error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char host[SERVER_HOST_SIZE], service[8];
    unsigned port;

    if (!http_address_parse(options->listen, host, sizeof host, &port))
        return error_set(err, STATUS_BAD_VALUE, "%s is not HOST:PORT", options->listen);
    snprintf(service, sizeof service, "%u", port);
    int result = getaddrinfo(host, service, &hints, &found);
    if (result != 0)
        return error_set(err, STATUS_BAD_VALUE, "%s: %s", options->listen, gai_strerror(result));
    *fd = server_bind(found, options->reuse_port, err);
    freeaddrinfo(found);
    return *fd >= 0 ? STATUS_OK : error_wrap(err, "%s", options->listen);
}

static enum status server_share(const struct http_server *other, int *fd, struct error *err)
{
    uv_os_fd_t theirs;

    if (uv_fileno((const uv_handle_t *)&other->listener, &theirs) != 0)
        return error_set(err, STATUS_IO, "the other server does not listen");
    *fd = fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    return *fd >= 0 ? STATUS_OK : error_set_errno(err, errno, "share a listening socket");
}

static unsigned server_find_port(const struct http_server *server)
{
    struct sockaddr_storage address;
    int size = sizeof address;

    if (uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* Neither keeps the loop alive: the listener and the connections do. */
static void server_start_handles(struct http_server *server)
{
    uv_loop_t *loop = server->options.loop;
    uint64_t tick_ms = server_tick_ms(server);

    uv_timer_init(loop, &server->tick);
    uv_timer_start(&server->tick, server_on_tick, tick_ms, tick_ms);
    uv_unref((uv_handle_t *)&server->tick);
    uv_check_init(loop, &server->check);
    uv_check_start(&server->check, server_on_check);
    uv_unref((uv_handle_t *)&server->check);
    uv_idle_init(loop, &server->idle);
    server->handles = 4;
}

static void server_free_memory(struct http_server *server)
{
    http_exchanges_free(server);
    while (server->outs_count > 0)
        free(server->outs[--server->outs_count]);
    free(server->counters);
    free(server->read_buffer);
    http_secure_memory_free(server->secure);
    free(server);
}

static void server_on_start_failed(uv_handle_t *handle)
{
    server_free_memory(container_of(handle, struct http_server, listener));
}

enum status http_server_start(const struct http_server_options *options,
                              struct http_server **server, struct error *err)
{
    struct http_server *made;
    int fd = -1;

    *server = NULL;
    enum status status = options->shares != NULL ? server_share(options->shares, &fd, err)
                                                 : server_open(options, &fd, err);
    if (status != STATUS_OK)
        return status;
    made = server_new(options);
    if (made == NULL) {
        close(fd);
        return error_set(err, STATUS_NO_MEMORY, "%s", options->listen);
    }
    /* Writing to a client that left is a status, not a signal. */
    signal(SIGPIPE, SIG_IGN);
    uv_tcp_init(options->loop, &made->listener);
    int result = uv_tcp_open(&made->listener, fd);
    if (result == 0)
        result = uv_listen((uv_stream_t *)&made->listener, SERVER_BACKLOG, server_on_connection);
    if (result != 0) {
        uv_close((uv_handle_t *)&made->listener, server_on_start_failed);
        return error_set(err, STATUS_IO, "%s: %s", options->listen, uv_strerror(result));
    }
    server_start_handles(made);
    made->port = server_find_port(made);
    *server = made;
    return STATUS_OK;
}

unsigned http_server_port(const struct http_server *server)
{
    return server->port;
}

/* --- drain --- */

static void server_on_handle_closed(uv_handle_t *handle)
{
    struct http_server *server = handle->data;

    if (--server->handles == 0)
        server->on_drained(server, server->drained_data);
}

static void server_close_handle(struct http_server *server, uv_handle_t *handle)
{
    handle->data = server;
    uv_close(handle, server_on_handle_closed);
}

/* The listener is closed already; with the last connection the rest goes. */
static void server_check_drained(struct http_server *server)
{
    if (!server->draining || server->connections_count > 0 || uv_is_closing((uv_handle_t *)&server->tick))
        return;
    server_close_handle(server, (uv_handle_t *)&server->tick);
    server_close_handle(server, (uv_handle_t *)&server->check);
    server_close_handle(server, (uv_handle_t *)&server->idle);
}

void http_server_on_gone(struct http_server *server)
{
    server->connections_count--;
    metric_add(&http_metric_connections, -1);
    if (server->full && !server->draining)
        server_accept(server);
    server_check_drained(server);
}

void http_server_drain(struct http_server *server,
                       void (*on_drained)(struct http_server *server, void *data), void *data)
{
    assert(!server->draining);
    server->draining = true;
    server->on_drained = on_drained;
    server->drained_data = data;
    server_close_handle(server, (uv_handle_t *)&server->listener);
    list_for_each_safe (item, after, &server->connections)
        http_conn_drain(container_of(item, struct http_conn, item));
    server_check_drained(server);
}

void http_server_free(struct http_server *server)
{
    if (server == NULL)
        return;
    assert(server->draining && server->handles == 0);
    server_free_memory(server);
}
