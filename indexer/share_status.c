/* share_status.c: who of the indexers tails what, how far behind, and whether a sweep runs. */
#include "indexer/share_status.h"

#include "indexer/catalog_watch.h"
#include "indexer/lost_nodes.h"
#include "indexer/share.h"
#include "indexer/sweep.h"
#include "indexer/tail.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SHARE_STATUS_BODY_MAX = 4 << 20 };

static void put_sweep(struct json_writer *json, const struct indexer *indexer)
{
    struct sweep_status sweep;

    sweep_status(indexer, &sweep);
    json_object_begin(json);
    json_put_bool(json, "running", sweep.running);
    if (sweep.running)
        json_put_string(json, "run", sweep.run);
    json_put_u64(json, "runs_done", sweep.runs_done);
    json_put_u64(json, "runs", sweep.runs_count);
    json_put_time(json, "started_at", sweep.started_us);
    json_put_time(json, "ended_at", sweep.ended_us);
    json_put_u64(json, "files_removed", sweep.locations_removed);
    json_put_u64(json, "documents_removed", sweep.documents_removed);
    json_put_u64(json, "nodes_skipped", sweep.nodes_skipped);
    json_put_u64(json, "kept", sweep.kept);
    json_put_u64(json, "differing", sweep.differing);
    json_put_u64(json, "unhealed", sweep.unhealed);
    json_put_u64(json, "read_again", sweep.reread);
    json_object_end(json);
}

static void put_catalog(struct json_writer *json, const struct indexer *indexer)
{
    char why[CATALOG_TROUBLE_SIZE];
    bool trouble = catalog_watch_trouble(indexer, why);

    json_object_begin(json);
    json_put_string(json, "backend", catalog_backend(indexer->catalog));
    json_put_bool(json, "ok", !trouble);
    if (trouble)
        json_put_string(json, "detail", why);
    json_object_end(json);
}

/* --- the indexers, by their leases --- */

static void put_nodes_of(struct json_writer *json, const struct catalog_lease *leases, size_t count,
                         const char *owner)
{
    json_key(json, "nodes");
    json_array_begin(json);
    for (size_t i = 0; i < count; i++)
        if (strncmp(leases[i].name, "node/", 5) == 0 && leases[i].left_ms > 0 &&
            strcmp(leases[i].owner, owner) == 0)
            json_text(json, leases[i].name + 5);
    json_array_end(json);
}

/* A database for one indexer has no leases: it is this one, with every node that it tails. */
static void put_alone(struct json_writer *json, struct indexer *indexer,
                      const struct tail_status *tails, size_t count)
{
    const char *owner = share_owner(indexer);
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)(strrchr(owner, '/') - owner), owner);
    json_object_begin(json);
    json_put_string(json, "name", name);
    json_put_bool(json, "self", true);
    json_key(json, "nodes");
    json_array_begin(json);
    for (size_t i = 0; i < count; i++)
        json_text(json, tails[i].node);
    json_array_end(json);
    json_object_end(json);
}

static void put_indexers(struct json_writer *json, struct indexer *indexer,
                         const struct tail_status *tails, size_t tails_count)
{
    size_t count;
    const struct catalog_lease *leases = share_leases(indexer, &count);

    json_array_begin(json);
    if (!catalog_is_shared(indexer->catalog))
        put_alone(json, indexer, tails, tails_count);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(leases[i].name, "indexer/", 8) != 0 || leases[i].left_ms <= 0)
            continue;
        json_object_begin(json);
        json_put_string(json, "name", leases[i].name + 8);
        json_put_bool(json, "self", strcmp(leases[i].owner, share_owner(indexer)) == 0);
        put_nodes_of(json, leases, count, leases[i].owner);
        json_object_end(json);
    }
    json_array_end(json);
}

/* --- the nodes that this one tails --- */

static void put_tails(struct json_writer *json, const struct tail_status *tails, size_t count)
{
    json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_put_string(json, "id", tails[i].node);
        json_put_bool(json, "reachable", tails[i].reachable);
        json_put_bool(json, "caught_up", tails[i].caught_up);
        json_put_u64(json, "records_behind", tails[i].records_behind);
        json_put_u64(json, "seconds_behind", tails[i].seconds_behind);
        json_object_end(json);
    }
    json_array_end(json);
}

void share_status_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct tail_status *tails = calloc(MAP_NODES_MAX, sizeof *tails);
    struct json_writer json;
    struct buf body;

    assert(tails != NULL);
    size_t count = tails_status(indexer, tails, MAP_NODES_MAX);
    buf_init(&body, SHARE_STATUS_BODY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_key(&json, "indexers");
    if (indexer->share != NULL) {
        put_indexers(&json, indexer, tails, count);
    } else { /* about to stop */
        json_array_begin(&json);
        json_array_end(&json);
    }
    json_key(&json, "nodes");
    put_tails(&json, tails, count);
    json_key(&json, "sweep");
    put_sweep(&json, indexer);
    json_key(&json, "out_after");
    lost_nodes_print(indexer, &json);
    json_key(&json, "catalog");
    put_catalog(&json, indexer);
    json_object_end(&json);
    free(tails);
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply(ex, 200, "application/json", &body);
}

void share_sweep_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct json_writer json;
    struct buf body;

    sweep_wanted(indexer, "asked for");
    buf_init(&body, SHARE_STATUS_BODY_MAX);
    json_init(&json, &body);
    put_sweep(&json, indexer);
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply(ex, 202, "application/json", &body);
}
