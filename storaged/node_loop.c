/* node_loop.c: opens, runs, drains and closes one event loop. */
#include "storaged/node_loop.h"

#include "storaged/ingest.h"
#include "storaged/journal_feed.h"
#include "storaged/node.h"
#include "storaged/recovering.h"
#include "storaged/routes.h"

#include <stdio.h>
#include <stdlib.h>

enum { STATS_AGE_MAX_MS = 1000 };

static void on_change(struct store_port *port)
{
    struct node_loop *loop = port->user;

    open_files_sweep(&loop->open_files, loop->node->store);
    journal_feed_changed(loop);
}

static void on_wake(uv_async_t *async)
{
    node_on_wake(container_of(async, struct node_loop, wake));
}

static enum status loop_open_server(struct node_loop *loop, const char *listen, struct error *err)
{
    const struct settings *settings = loop->node->settings;
    struct http_server_options options = {
        .loop = &loop->uv,
        .listen = listen,
        .reuse_port = true,
        .shares = loop->number == 0 ? recovering_server(loop->node->recovering) : NULL,
        .limits = http_settings_limits(&settings->http),
        .routes = routes_node,
        .context = loop,
        .auth = loop->node->security.auth,
        .tls = loop->node->security.tls,
        .server_name = "gribstore",
        .access_log = settings->access_log,
        .before = routes_before,
    };

    return http_server_start(&options, &loop->server, err);
}

static enum status loop_open_engines(struct node_loop *loop, struct error *err)
{
    struct transfer_options transfer = { .user_agent = "gribstore-storaged" };

    security_sign(&loop->node->security, &transfer);
    loop->port.on_change = on_change;
    loop->port.user = loop;
    enum status status = store_port_open(&loop->port, loop->node->store, &loop->uv, err);
    if (status != STATUS_OK)
        return status;
    loop->port_opened = true;
    return transfer_uv_new(&transfer, &loop->uv, &loop->transfer, err);
}

enum status node_loop_open(struct node_loop *loop, struct node *node, unsigned number,
                           const char *listen, struct error *err)
{
    *loop = (struct node_loop){ .node = node, .number = number };
    if (uv_loop_init(&loop->uv) != 0)
        return error_set(err, STATUS_NO_MEMORY, "event loop %u", number);
    loop->opened = true;
    list_init(&loop->feed_waiting);
    file_opens_init(&loop->file_opens);
    body_budget_init(&loop->budget, node->settings->body_memory / node->loops_count);
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0)
        return error_set(err, STATUS_NO_MEMORY, "event loop %u", number);
    uv_timer_init(&loop->uv, &loop->feed_timer);
    copies_init(&loop->copies, loop);
    enum status status = loop_open_engines(loop, err);
    if (status == STATUS_OK)
        status = loop_open_server(loop, listen, err);
    return status;
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_port_closed(struct store_port *port)
{
    (void)port;
}

static void on_transfer_closed(void *data)
{
    (void)data;
}

/* All that keeps the loop alive goes; when the callbacks have run it ends. */
static void loop_close_handles(struct node_loop *loop)
{
    loop->closing = true;
    if (loop->port_opened)
        store_port_close(&loop->port, on_port_closed);
    loop->port_opened = false;
    if (loop->transfer != NULL)
        transfer_uv_close(loop->transfer, on_transfer_closed, loop);
    loop->transfer = NULL;
    close_handle((uv_handle_t *)&loop->wake);
    close_handle((uv_handle_t *)&loop->feed_timer);
    copies_close(&loop->copies);
}

static void loop_close_if_done(struct node_loop *loop)
{
    if (loop->drained && loop->under_way == 0 && !loop->closing)
        loop_close_handles(loop);
}

static void on_drained(struct http_server *server, void *data)
{
    struct node_loop *loop = data;

    (void)server;
    loop->drained = true;
    loop_close_if_done(loop);
}

/* Once: answers those who only wait, then lets the server finish. */
static void loop_drain(struct node_loop *loop)
{
    if (loop->draining)
        return;
    loop->draining = true;
    journal_feed_changed(loop);
    http_server_drain(loop->server, on_drained, loop);
}

void node_loop_begin(struct node_loop *loop)
{
    loop->under_way++;
}

void node_loop_end(struct node_loop *loop)
{
    loop->under_way--;
    loop_close_if_done(loop);
}

void node_loop_wake(struct node_loop *loop)
{
    uv_async_send(&loop->wake);
}

void node_loop_drain(struct node_loop *loop)
{
    loop_drain(loop);
}

void node_loop_run(struct node_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

static void loop_thread(void *data)
{
    node_loop_run(data);
}

enum status node_loop_start(struct node_loop *loop, struct error *err)
{
    if (uv_thread_create(&loop->thread, loop_thread, loop) != 0)
        return error_set(err, STATUS_NO_MEMORY, "no thread for event loop %u", loop->number);
    loop->threaded = true;
    return STATUS_OK;
}

void node_loop_join(struct node_loop *loop)
{
    if (loop->threaded)
        uv_thread_join(&loop->thread);
    loop->threaded = false;
}

void node_loop_close(struct node_loop *loop)
{
    if (!loop->opened)
        return;
    if (!loop->closing) { /* it never ran: a failed start */
        loop_close_handles(loop);
        if (loop->server != NULL)
            loop_drain(loop);
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    if (loop->server != NULL)
        http_server_free(loop->server);
    open_files_clear(&loop->open_files);
    copies_fini(&loop->copies);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop->uv) != 0)
        abort(); /* a handle was left open: a leak of ours */
    loop->opened = false;
}

const struct store_stats *node_loop_stats(struct node_loop *loop)
{
    uint64_t now = uv_now(&loop->uv);

    if (loop->stats_at_ms == 0 || now - loop->stats_at_ms > STATS_AGE_MAX_MS) {
        store_stats(loop->node->store, &loop->stats);
        loop->stats_at_ms = now == 0 ? 1 : now;
    }
    return &loop->stats;
}
