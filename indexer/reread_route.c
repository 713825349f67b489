/* reread_route.c: takes a run's cursor on a node away, as a sweep does with what differs (sweep_heal.c), and tells the node the run's state again.
 *
 * Whoever tails that node finds the cursor gone and reads the journal from its beginning to its end; then what it did not name leaves. A run that
 * is on its way out is left alone: its records are being removed. */
#include "indexer/reread_route.h"

#include "indexer/map_authority.h"
#include "indexer/run_state.h"
#include "indexer/run_tell.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

enum { REREAD_BODY_MAX = 4096 };

struct reread {
    struct work work;
    struct http_exchange *ex;
    struct indexer *indexer;
    struct catalog_run run;
    char node[NODE_ID_SIZE_MAX + 1];
};

static void reread_run(struct work *work)
{
    struct reread *reread = container_of(work, struct reread, work);

    work->status = catalog_cursor_remove(reread->indexer->catalog, reread->node, &reread->run.run,
                                         &work->err);
}

static void reread_reply(struct reread *reread)
{
    char base_time[BASE_TIME_TEXT_SIZE];
    struct json_writer json;
    struct buf body;

    base_time_print_rfc3339(reread->run.run.base_time, base_time);
    buf_init(&body, REREAD_BODY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_string(&json, "source", reread->run.run.source);
    json_put_string(&json, "base_time", base_time);
    json_put_string(&json, "node", reread->node);
    json_object_end(&json);
    http_reply_header(reread->ex, "Cache-Control", "no-store");
    http_reply(reread->ex, 202, "application/json", &body);
}

static void reread_done(struct work *work)
{
    struct reread *reread = container_of(work, struct reread, work);
    char name[RUN_TEXT_SIZE];
    struct error shown;

    error_init(&shown);
    if (work->status != STATUS_OK) {
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(reread->ex, status, &shown, NULL);
    } else {
        run_key_print(&reread->run.run, name);
        log_msg(LOG_INFO, "run.reread", "%s is read again from node %s: asked for", name, reread->node);
        reread_reply(reread);
    }
    free(reread);
}

static const struct map_node *reread_node(const struct cluster_map *map, struct slice id)
{
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++)
        if (slice_equals(id, map->nodes[i].id))
            return &map->nodes[i];
    return NULL;
}

static enum status reread_check(struct http_exchange *ex, struct catalog_run *run,
                                const struct map_node **node, struct error *err)
{
    struct indexer *indexer = http_context(ex);
    struct slice id = http_query(ex, "node");
    struct run_key key;
    enum status status = run_key_parse(http_param(ex, "source"), http_param(ex, "base_time"), &key, err);

    if (status != STATUS_OK)
        return status;
    if (id.data == NULL)
        return error_set(err, STATUS_BAD_VALUE, "node: from which node? ?node=ID");
    *node = reread_node(map_authority_map(indexer), id);
    if (*node == NULL)
        return error_set(err, STATUS_NOT_FOUND, "node: the map has no such node");
    if (!run_state_get(indexer, &key, run))
        return error_set(err, STATUS_NOT_FOUND,
                         "there is no such run in the index; GET /v1/runs lists them");
    if (run->info.state != RUN_FILLING && run->info.state != RUN_READY)
        return error_set(err, STATUS_CONFLICT, "the run is %s: nothing is read of it any more",
                         run_state_name(run->info.state));
    return STATUS_OK;
}

void reread_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    const struct map_node *node = NULL;
    struct reread *reread;
    struct catalog_run run;
    struct error err;

    error_init(&err);
    enum status status = reread_check(ex, &run, &node, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        return;
    }
    reread = calloc(1, sizeof *reread);
    assert(reread != NULL);
    *reread = (struct reread){ .ex = ex, .indexer = indexer, .run = run };
    snprintf(reread->node, sizeof reread->node, "%s", node->id);
    if (run.info.version > 0)
        run_tell_node(indexer, node->url, &run.run, &run.info);
    work_start(indexer->loop, &reread->work, reread_run, reread_done);
}
