/* run_tell.c: tell the nodes a run's state, or have them delete a retired run. */
#include "indexer/run_tell.h"

#include "indexer/map_authority.h"
#include "indexer/node_request.h"
#include "indexer/work.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum { RUN_TELL_TIMEOUT_MS = 30000 };

struct run_tell {
    struct indexer *indexer;
    struct run_key run;
    unsigned left, failed;
    void (*on_done)(void *data, unsigned failed);
    void *data;
    struct work none; /* when there is nobody to tell: calls back all the same, later */
};

struct run_tell_request {
    struct node_request request;
    struct run_tell *tell;
};

static void run_tell_end(struct run_tell *tell)
{
    if (tell->on_done != NULL)
        tell->on_done(tell->data, tell->failed);
    free(tell);
}

static void run_tell_on_done(struct node_request *request, enum status status, const struct error *err)
{
    struct run_tell_request *one = container_of(request, struct run_tell_request, request);
    struct run_tell *tell = one->tell;

    /* A node that does not have the run has nothing to delete. */
    if (status != STATUS_OK && status != STATUS_NOT_FOUND && status != STATUS_PURGED) {
        tell->failed++;
        log_msg(LOG_WARN, "run.tell", "%s", err->text);
    }
    node_request_fini(request);
    free(one);
    if (--tell->left == 0)
        run_tell_end(tell);
}

static void run_tell_send(struct run_tell *tell, enum run_order order, const char *url,
                          const struct run_info *info)
{
    struct run_tell_request *one = calloc(1, sizeof *one);
    char base_time[BASE_TIME_TEXT_SIZE];
    struct json_writer json;

    assert(one != NULL);
    one->tell = tell;
    node_request_init(&one->request, tell->indexer);
    base_time_print(tell->run.base_time, base_time);
    tell->left++;
    if (order == RUN_DELETE) {
        node_request_start(&one->request, "DELETE", url, RUN_TELL_TIMEOUT_MS, run_tell_on_done,
                           "/data/%s/%s/?incarnation=%" PRIu64 "&version=%" PRIu64,
                           tell->run.source, base_time, info->incarnation, info->version);
        return;
    }
    json_init(&json, &one->request.body);
    json_object_begin(&json);
    json_put_u64(&json, "incarnation", info->incarnation);
    json_put_u64(&json, "version", info->version);
    json_put_string(&json, "state", run_state_name(info->state));
    json_object_end(&json);
    node_request_start(&one->request, "PUT", url, RUN_TELL_TIMEOUT_MS, run_tell_on_done,
                       "/cluster/runs/%s/%s", tell->run.source, base_time);
}

static struct run_tell *run_tell_new(struct indexer *indexer, const struct run_key *run)
{
    struct run_tell *tell = calloc(1, sizeof *tell);

    assert(tell != NULL);
    tell->indexer = indexer;
    tell->run = *run;
    return tell;
}

static void run_tell_none_run(struct work *work)
{
    work->status = STATUS_OK;
}

static void run_tell_none_done(struct work *work)
{
    run_tell_end(container_of(work, struct run_tell, none));
}

void run_tell_all(struct indexer *indexer, enum run_order order, const struct run_key *run,
                  const struct run_info *info, void (*on_done)(void *data, unsigned failed), void *data)
{
    const struct cluster_map *map = map_authority_map(indexer);
    struct run_tell *tell = run_tell_new(indexer, run);

    tell->on_done = on_done;
    tell->data = data;
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++)
        if (map->nodes[i].state != NODE_OUT)
            run_tell_send(tell, order, map->nodes[i].url, info);
    if (tell->left == 0)
        work_start(indexer->loop, &tell->none, run_tell_none_run, run_tell_none_done);
}

void run_tell_node(struct indexer *indexer, const char *node_url, const struct run_key *run,
                   const struct run_info *info)
{
    run_tell_send(run_tell_new(indexer, run), RUN_TELL_STATE, node_url, info);
}
