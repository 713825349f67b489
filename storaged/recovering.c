/* recovering.c: the node's routes, most of them to a refusal, on a loop of their own. */
#include "storaged/recovering.h"

#include "storaged/node_status.h"
#include "storaged/request.h"
#include "storaged/routes.h"

#include "proto/base/log.h"
#include "proto/cluster_map.h"
#include "proto/http/http_server.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RECOVERING_CONNECTIONS = 1000,
    RECOVERING_ROUTES = 64,
    RECOVERING_PATIENCE_MS = 2000, /* with who is slow */
    RECOVERING_ANSWER_MAX = 4096,
};

struct recovering {
    char id[NODE_ID_SIZE_MAX + 1];
    const struct store_progress *progress; /* borrowed */
    uv_loop_t loop;
    uv_async_t stop;
    uv_sem_t stopped; /* it accepts nobody any more */
    uv_thread_t thread;
    struct http_server *server;
    bool told; /* to stop */
};

/* --- answers --- */

static void recovering_detail(const struct store_progress *progress, char *text, size_t size)
{
    snprintf(text, size, "recovering: %" PRIu64 " of %" PRIu64 " runs are read",
             atomic_load(&progress->runs_read), atomic_load(&progress->runs));
}

static void recovering_refuse(struct http_exchange *ex)
{
    const struct recovering *recovering = http_context(ex);
    char text[128];

    recovering_detail(recovering->progress, text, sizeof text);
    request_fail_with(ex, STATUS_NOT_READY, "%s", text);
}

static void recovering_ready(struct http_exchange *ex)
{
    const struct recovering *recovering = http_context(ex);
    const struct store_progress *progress = recovering->progress;
    struct json_writer json;
    struct buf body;
    char text[128];

    recovering_detail(progress, text, sizeof text);
    buf_init(&body, RECOVERING_ANSWER_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_bool(&json, "ready", false);
    json_put_string(&json, "node", recovering->id);
    json_key(&json, "checks");
    json_array_begin(&json);
    json_object_begin(&json);
    json_put_string(&json, "name", "recovered");
    json_put_bool(&json, "ok", false);
    json_put_string(&json, "detail", text);
    json_object_end(&json);
    json_array_end(&json);
    json_key(&json, "recovering");
    json_object_begin(&json);
    json_put_u64(&json, "runs", atomic_load(&progress->runs));
    json_put_u64(&json, "read", atomic_load(&progress->runs_read));
    json_object_end(&json);
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply_header(ex, "Retry-After", "1");
    request_reply_json(ex, 503, &body);
}

/* The node's own routes, so that roles are asked for as ever; few of them have an answer now. */
static const struct http_route *recovering_routes(void)
{
    static struct http_route routes[RECOVERING_ROUTES];
    unsigned count = 0;

    for (const struct http_route *route = routes_node; route->pattern != NULL; route++) {
        assert(count + 1 < RECOVERING_ROUTES);
        routes[count] = *route;
        if (route->handle == node_status_ready)
            routes[count].handle = recovering_ready;
        else if (route->handle != node_status_health && route->handle != node_status_openapi)
            routes[count].handle = recovering_refuse;
        count++;
    }
    routes[count] = (struct http_route){ 0 };
    return routes;
}

/* --- its thread --- */

static void on_drained(struct http_server *server, void *data)
{
    (void)server, (void)data;
}

static void on_stop(uv_async_t *stop)
{
    struct recovering *recovering = container_of(stop, struct recovering, stop);

    uv_close((uv_handle_t *)stop, NULL);
    http_server_drain(recovering->server, on_drained, NULL);
    uv_sem_post(&recovering->stopped);
}

/* Until it has drained. */
static void recovering_main(void *data)
{
    struct recovering *recovering = data;

    uv_run(&recovering->loop, UV_RUN_DEFAULT);
    http_server_free(recovering->server);
    uv_run(&recovering->loop, UV_RUN_DEFAULT);
}

static enum status recovering_listen(struct recovering *recovering, const struct settings *settings,
                                     const struct security *security, struct error *err)
{
    struct http_server_options options = {
        .loop = &recovering->loop,
        .listen = settings->listen,
        .reuse_port = true,
        .limits = { .connections_max = RECOVERING_CONNECTIONS,
                    .head_timeout_ms = RECOVERING_PATIENCE_MS,
                    .idle_timeout_ms = RECOVERING_PATIENCE_MS,
                    .linger_ms = RECOVERING_PATIENCE_MS },
        .routes = recovering_routes(),
        .context = recovering,
        .auth = security->auth,
        .tls = security->tls,
        .server_name = "gribstore",
        .access_log = settings->access_log,
    };

    return http_server_start(&options, &recovering->server, err);
}

/* Everything but its memory. */
static void recovering_close(struct recovering *recovering)
{
    if (recovering->server == NULL) { /* it never ran */
        uv_close((uv_handle_t *)&recovering->stop, NULL);
        uv_run(&recovering->loop, UV_RUN_DEFAULT);
    }
    if (uv_loop_close(&recovering->loop) != 0)
        abort(); /* a handle was left open: a leak of ours */
}

struct recovering *recovering_start(const struct settings *settings, const struct security *security,
                                    const char *id, const struct store_progress *progress)
{
    struct recovering *recovering = calloc(1, sizeof *recovering);
    struct error err;
    char host[256];
    unsigned port;

    if (recovering == NULL)
        abort();
    error_init(&err);
    if (!http_address_parse(settings->listen, host, sizeof host, &port) || port == 0 ||
        uv_loop_init(&recovering->loop) != 0) {
        free(recovering);
        return NULL;
    }
    snprintf(recovering->id, sizeof recovering->id, "%s", id);
    recovering->progress = progress;
    uv_async_init(&recovering->loop, &recovering->stop, on_stop);
    if (recovering_listen(recovering, settings, security, &err) != STATUS_OK) {
        log_msg(LOG_WARN, "node.recovering", "nobody hears of it: %s", err.text);
        recovering_close(recovering);
        free(recovering);
        return NULL;
    }
    if (uv_sem_init(&recovering->stopped, 0) != 0 ||
        uv_thread_create(&recovering->thread, recovering_main, recovering) != 0)
        abort();
    return recovering;
}

const struct http_server *recovering_server(const struct recovering *recovering)
{
    return recovering != NULL ? recovering->server : NULL;
}

/* The socket is shared with the loops: were it left to a thread that has not had its turn yet, who comes after the first 200 could meet
 * a refusal. */
void recovering_stop(struct recovering *recovering)
{
    if (recovering == NULL || recovering->told)
        return;
    recovering->told = true;
    uv_async_send(&recovering->stop);
    uv_sem_wait(&recovering->stopped);
}

void recovering_free(struct recovering *recovering)
{
    if (recovering == NULL)
        return;
    recovering_stop(recovering);
    uv_thread_join(&recovering->thread);
    uv_sem_destroy(&recovering->stopped);
    recovering_close(recovering);
    free(recovering);
}
