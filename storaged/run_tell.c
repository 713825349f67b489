/* run_tell.c: hands a state to the store's writer, which puts it behind every append acknowledged before. */
#include "storaged/run_tell.h"

#include "storaged/node.h"
#include "storaged/peers/run_fetch.h"
#include "storaged/request.h"

#include <stdlib.h>

enum { TELL_BODY_MAX = 4096, RUN_JSON_MAX = 4096 };

struct tell {
    struct run_change change;
    struct http_exchange *ex;
    struct node_loop *loop;
};

static void reply_run(struct http_exchange *ex, const struct run_key *run, const struct run_info *info)
{
    struct json_writer json;
    struct buf body;

    buf_init(&body, RUN_JSON_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    request_print_run(&json, run, info);
    json_object_end(&json);
    request_reply_json(ex, 200, &body);
}

static void on_told(struct run_change *change, enum status status)
{
    struct tell *tell = container_of(change, struct tell, change);
    struct node_loop *loop = tell->loop;

    if (status == STATUS_OK)
        reply_run(tell->ex, &change->run, &change->info);
    else
        request_fail_run(tell->ex, status, &change->err, &change->run, &change->info);
    free(tell);
    node_loop_end(loop);
}

static enum status read_state(struct slice body, struct run_info *info, struct error *err)
{
    json_t *object;

    enum status status = json_parse(body.data, body.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = run_info_read(object, info, err);
    json_decref(object);
    return status;
}

static void on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct tell *tell = http_user(ex);
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "the state: %s", status_title(status));
    else
        status = read_state(body, &tell->change.info, &err);
    if (status != STATUS_OK) {
        request_fail(ex, &err);
        free(tell);
        return;
    }
    tell->change.port = &tell->loop->port;
    tell->change.on_done = on_told;
    error_init(&tell->change.err);
    node_loop_begin(tell->loop);
    store_run_tell(tell->loop->node->store, &tell->change);
}

void run_tell_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct run_key run;

    if (!request_keys_known(ex, keys) || !request_run(ex, &run))
        return;
    struct tell *tell = calloc(1, sizeof *tell);
    if (tell == NULL)
        abort();
    tell->ex = ex;
    tell->loop = request_loop(ex);
    tell->change.run = run;
    http_set_user(ex, tell, NULL);
    http_body_gather(ex, TELL_BODY_MAX, on_body);
}

void run_tell_get(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct run_info info;
    struct run_key run;

    if (!request_keys_known(ex, keys) || !request_run(ex, &run))
        return;
    store_run_state(request_loop(ex)->node->store, &run, &info);
    reply_run(ex, &run, &info);
}
