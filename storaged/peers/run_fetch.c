/* run_fetch.c: GET /cluster/runs/{source}/{base_time} of a peer, then store_run_tell(). */
#include "storaged/peers/run_fetch.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"

#include <stdio.h>

enum status run_info_read(const json_t *object, struct run_info *info, struct error *err)
{
    const char *state;

    enum status status = json_get_u64(object, "incarnation", INT64_MAX, &info->incarnation, err);
    if (status == STATUS_OK)
        status = json_get_u64(object, "version", INT64_MAX, &info->version, err);
    if (status == STATUS_OK)
        status = json_get_string(object, "state", &state, err);
    if (status != STATUS_OK)
        return status;
    if (!run_state_parse(state, &info->state))
        return error_set(err, STATUS_BAD_VALUE,
                         "state: '%s' is not filling, ready, retired or purged", state);
    if (info->incarnation == 0)
        return error_set(err, STATUS_BAD_VALUE, "incarnation: begins at 1");
    return STATUS_OK;
}

static void fetch_finish(struct run_fetch *fetch, enum status status, const struct error *err)
{
    struct node_loop *loop = fetch->loop;

    transfer_request_fini(&fetch->request);
    cluster_view_release(fetch->view);
    fetch->on_done(fetch, status, err); /* fetch may be gone */
    node_loop_end(loop);
}

static void on_told(struct run_change *change, enum status status)
{
    struct run_fetch *fetch = container_of(change, struct run_fetch, change);

    /* Somebody told a still higher one meanwhile: just as good. */
    fetch_finish(fetch, status == STATUS_STALE_RUN ? STATUS_OK : status, &change->err);
}

static enum status fetch_read(struct run_fetch *fetch, struct error *err)
{
    json_t *object;

    enum status status = json_parse(fetch->request.answer.data, fetch->request.answer.size, &object, err);
    if (status != STATUS_OK)
        return status;
    status = run_info_read(object, &fetch->change.info, err);
    json_decref(object);
    return status;
}

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct run_fetch *fetch = request->user;
    struct node *node = fetch->loop->node;
    struct error err;

    error_init(&err);
    status = peer_request_done(&node->cluster, fetch->peer, request, status, failure, &err);
    if (status == STATUS_OK)
        status = fetch_read(fetch, &err);
    if (status != STATUS_OK) {
        fetch_finish(fetch, status, &err);
        return;
    }
    fetch->change.run = fetch->run;
    fetch->change.port = &fetch->loop->port;
    fetch->change.on_done = on_told;
    error_init(&fetch->change.err);
    store_run_tell(node->store, &fetch->change);
}

void run_fetch_start(struct run_fetch *fetch, struct node_loop *loop)
{
    char run[RUN_TEXT_SIZE];

    fetch->loop = loop;
    fetch->view = cluster_view(&loop->node->cluster);
    fetch->change = (struct run_change){ 0 };
    peer_request_init(&fetch->request, fetch->view);
    run_key_print(&fetch->run, run);
    snprintf(fetch->url, sizeof fetch->url, "%s/cluster/runs/%s", fetch->peer->url, run);
    fetch->request.method = "GET";
    fetch->request.url = fetch->url;
    fetch->request.on_done = on_answer;
    fetch->request.user = fetch;
    node_loop_begin(loop);
    transfer_start(loop->transfer, &fetch->request);
}
