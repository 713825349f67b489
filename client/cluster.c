/* cluster.c: asks nodes who they are, makes one map of them, tells it. */
#include "client/cluster.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "client/probe.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/cluster_map_make.h"
#include "proto/cluster_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLUSTER_REPLICAS = 2, CLUSTER_POLL_MS = 200 };

/* ---- the map to be ---- */

/* The highest map among nodes that were in a cluster before; NULL: all are alone. */
static enum status cluster_find(const struct cluster_member *members, unsigned count,
                                const struct cluster_member **highest, struct error *err)
{
    *highest = NULL;
    for (unsigned i = 0; i < count; i++) {
        const struct cluster_member *member = &members[i];

        if (member->map->epoch == 0)
            continue;
        if (*highest != NULL && strcmp((*highest)->map->cluster, member->map->cluster) != 0)
            return error_set(err, STATUS_OTHER_CLUSTER,
                             "%s belongs to cluster %s, %s to cluster %s", (*highest)->url,
                             (*highest)->map->cluster, member->url, member->map->cluster);
        if (*highest == NULL || member->map->epoch > (*highest)->map->epoch)
            *highest = member;
    }
    return STATUS_OK;
}

static enum status cluster_all_in(const struct cluster_member *members, unsigned count,
                                  const struct cluster_member *highest, struct error *err)
{
    for (unsigned i = 0; i < count; i++) {
        const struct cluster_map *map = members[i].map;

        if (map->nodes_count == 0 || (map->epoch == 0 && map_find(highest->map, map->nodes[0].id) == NULL))
            return error_set(err, STATUS_EXISTS,
                             "%s is in cluster %s (epoch %" PRIu64 ") already, %s is not: init makes a "
                             "cluster only once",
                             highest->url, highest->map->cluster, highest->map->epoch, members[i].url);
    }
    return STATUS_OK;
}

/* The one node with data; NULL: none has. */
static enum status cluster_find_holder(const struct cluster_member *members, unsigned count,
                                       const struct cluster_member **holder, struct error *err)
{
    *holder = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (members[i].map->nodes_count != 1)
            return error_set(err, STATUS_PRECONDITION, "%s: a node of epoch 0 with %u nodes in its map",
                             members[i].url, members[i].map->nodes_count);
        if (!members[i].has_data)
            continue;
        if (*holder != NULL)
            return error_set(err, STATUS_PRECONDITION,
                             "both %s and %s hold data: only one node of a new cluster may",
                             (*holder)->url, members[i].url);
        *holder = &members[i];
    }
    return STATUS_OK;
}

static enum status cluster_numbers(struct cluster_map *map, const struct cluster_member *members,
                                   const struct cluster_member *holder, unsigned count,
                                   const struct cluster_init_options *options, struct error *err)
{
    const struct cluster_map *like = holder != NULL ? holder->map : members[0].map;

    map->replicas = options->replicas > 0 ? options->replicas : CLUSTER_REPLICAS;
    if (options->replicas == 0 && map->replicas > count)
        map->replicas = count;
    map->min_replicas = options->min_replicas > 0 ? options->min_replicas
                        : map->replicas < 2       ? map->replicas
                                                  : 2;
    map->shards = options->shards > 0 ? options->shards : like->shards;
    if (map->replicas > count || map->replicas > MAP_REPLICAS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "%u replicas need at least as many nodes, %u are given",
                         map->replicas, count);
    if (map->min_replicas > map->replicas)
        return error_set(err, STATUS_BAD_VALUE, "min-replicas %u is more than replicas %u",
                         map->min_replicas, map->replicas);
    if (map->shards > MAP_SHARDS_MAX || (map->shards & (map->shards - 1)) != 0)
        return error_set(err, STATUS_BAD_VALUE, "%u shards: a power of two up to %d is needed",
                         map->shards, MAP_SHARDS_MAX);
    if (holder != NULL && map->shards != holder->map->shards)
        return error_set(err, STATUS_PRECONDITION, "%s holds data in %u shards: their number can't change",
                         holder->url, holder->map->shards);
    return STATUS_OK;
}

static enum status cluster_add_nodes(struct cluster_map *map, const struct cluster_member *members,
                                     unsigned count, struct error *err)
{
    for (unsigned i = 0; i < count; i++) {
        struct map_node *node = &map->nodes[i];

        if (map_find(map, members[i].map->nodes[0].id) != NULL)
            return error_set(err, STATUS_PRECONDITION,
                             "%s has the id of another one, %s: is it the same node?",
                             members[i].url, members[i].map->nodes[0].id);
        *node = members[i].map->nodes[0];
        if (node->url[0] == '\0')
            map_text_copy(node->url, sizeof node->url, members[i].url);
        node->state = NODE_IN;
        map->nodes_count++;
    }
    return STATUS_OK;
}

/* The first era: what the node with data has stays where it is as far as balance allows. */
static enum status cluster_add_era(struct cluster_map *map, const struct cluster_member *holder,
                                   struct error *err)
{
    bool take[MAP_NODES_MAX];
    struct plan_change change;
    uint16_t *old = map_owners_new(map);

    map->eras[0].owners = map_owners_new(map);
    map->eras[0].first = true;
    map->eras_count = 1;
    if (old == NULL || map->eras[0].owners == NULL) {
        free(old);
        return error_set(err, STATUS_NO_MEMORY, "no memory for a cluster map");
    }
    for (unsigned i = 0; i < map->nodes_count; i++)
        take[i] = true;
    for (unsigned shard = 0; holder != NULL && shard < map->shards; shard++)
        old[shard * map->replicas] = (uint16_t)map_index(map, holder->map->nodes[0].id);
    enum status status = plan_owners(map, holder != NULL ? old : NULL, take, map->eras[0].owners,
                                     &change, err);
    free(old);
    return status;
}

static enum status cluster_make(struct cluster_map *map, const struct cluster_member *members,
                                unsigned count, const struct cluster_init_options *options,
                                struct error *err)
{
    const struct cluster_member *holder;

    enum status status = cluster_find_holder(members, count, &holder, err);
    if (status == STATUS_OK)
        status = cluster_numbers(map, members, holder, count, options, err);
    if (status == STATUS_OK)
        status = cluster_add_nodes(map, members, count, err);
    if (status != STATUS_OK)
        return status;
    map->epoch = 1;
    map_text_copy(map->cluster, sizeof map->cluster,
                  holder != NULL ? holder->map->cluster : members[0].map->cluster);
    return cluster_add_era(map, holder, err);
}

struct cluster_map *cluster_init_map(const struct cluster_member *members, unsigned count,
                                     const struct cluster_init_options *options, bool *exists,
                                     struct error *err)
{
    const struct cluster_member *highest;

    *exists = false;
    if (count == 0 || count > MAP_NODES_MAX) {
        error_set(err, STATUS_BAD_VALUE, "name 1 to %d nodes", MAP_NODES_MAX);
        return NULL;
    }
    if (cluster_find(members, count, &highest, err) != STATUS_OK)
        return NULL;
    if (highest != NULL) {
        *exists = true;
        return cluster_all_in(members, count, highest, err) == STATUS_OK ? map_copy(highest->map) : NULL;
    }
    struct cluster_map *map = map_new(count, 1);
    if (map == NULL) {
        error_set(err, STATUS_NO_MEMORY, "no memory for a cluster map");
        return NULL;
    }
    if (cluster_make(map, members, count, options, err) == STATUS_OK)
        return map;
    map_unref(map);
    return NULL;
}

/* ---- the nodes ---- */

static enum status cluster_has_data(struct gs_session *session, const char *url, bool *has_data,
                                    struct error *err)
{
    struct call call = {
        .to = CALL_URL, .url = url, .method = "GET", .path = "/cluster/runs", .answer_max = INDEXER_ANSWER_MAX
    };
    json_t *json = NULL, *runs, *run;
    size_t i;

    *has_data = false;
    enum status status = call_json(session, &call, &json, err);
    if (status == STATUS_OK)
        status = json_get_array(json, "runs", &runs, err);
    if (status == STATUS_OK) {
        json_array_foreach (runs, i, run) {
            const json_t *records = json_object_get(run, "records");

            *has_data = *has_data || json_integer_value(records) > 0;
        }
    }
    json_decref(json);
    return status == STATUS_OK ? status : error_wrap(err, "what %s holds", url);
}

static enum status cluster_ask(struct gs_session *session, const struct probes *probes,
                               struct cluster_member *members, struct error *err)
{
    for (size_t i = 0; i < probes->count; i++) {
        const struct probe *probe = &probes->items[i];
        enum status status;

        if (probe->map == NULL) {
            *err = probe->reachable ? probe->map_err : probe->err;
            return error_wrap(err, "%s gives no map", probe->url);
        }
        members[i] = (struct cluster_member){ .url = probe->url, .map = probe->map };
        if (probe->map->epoch > 0)
            continue;
        status = cluster_has_data(session, probe->url, &members[i].has_data, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- telling ---- */

static enum status cluster_put(struct gs_session *session, enum call_to to, const char *url,
                               const char *path, const char *match, const struct buf *body,
                               struct error *err)
{
    struct call call = {
        .to = to, .url = url, .method = "PUT", .path = path, .body = slice_of(body->data, body->size)
    };
    struct call_answer answer;

    call.answer_max = MAP_JSON_SIZE_MAX;
    call.once = true;
    if (match != NULL)
        call.header = (struct transfer_header){ "If-Match", match };
    enum status status = call_run(session, &call, &answer, err);
    call_answer_fini(&answer);
    return status;
}

/* The epoch that the indexer's map has now; 0 while it has none. UNREACHABLE: no indexer answers. */
static enum status cluster_indexer_epoch(struct gs_session *session, uint64_t *epoch, struct error *err)
{
    struct call call = { .to = CALL_INDEXERS,
                         .method = "GET",
                         .path = INDEXER_MAP_PATH,
                         .answer_max = MAP_JSON_SIZE_MAX,
                         .once = true };
    struct call_answer answer;

    *epoch = 0;
    enum status status = call_run(session, &call, &answer, err);
    if (status == STATUS_OK) {
        struct cluster_map *map = map_parse(answer.body.data, answer.body.size, err);

        if (map == NULL)
            status = err->status;
        else
            *epoch = map->epoch;
        map_unref(map);
    } else if (answer.http_status != 0) {
        status = STATUS_OK; /* it is there, and has no map */
    }
    call_answer_fini(&answer);
    return status;
}

static enum status cluster_tell(struct gs_session *session, struct cluster_map *map,
                                bool *told_indexer, struct error *err)
{
    struct buf body;
    char match[32];
    uint64_t epoch;

    enum status status = cluster_indexer_epoch(session, &epoch, err);
    *told_indexer = status == STATUS_OK;
    if (*told_indexer)
        map_text_copy(map->indexers[map->indexers_count++], sizeof map->indexers[0],
                      session->indexers.items[0].url);
    buf_init(&body, MAP_JSON_SIZE_MAX);
    map_print(map, &body);
    snprintf(match, sizeof match, "\"%" PRIu64 "\"", epoch);
    if (buf_status(&body) != STATUS_OK)
        status = error_set(err, buf_status(&body), "the map is too large");
    else if (*told_indexer)
        status = cluster_put(session, CALL_INDEXERS, NULL, INDEXER_MAP_PATH, match, &body, err);
    else
        status = STATUS_OK;
    for (unsigned i = 0; i < map->nodes_count && status == STATUS_OK && !*told_indexer; i++)
        status = cluster_put(session, CALL_URL, map->nodes[i].url, "/cluster/map", NULL, &body, err);
    buf_fini(&body);
    return status;
}

/* Has it not got this map yet, or not its runs' states? Says so in err. */
static bool cluster_is_late(const struct probe *probe, const struct cluster_map *map, struct error *err)
{
    const struct cluster_map *has = probe->map;

    if (has == NULL || strcmp(has->cluster, map->cluster) != 0 || has->epoch < map->epoch)
        error_set(err, STATUS_TIMEOUT, "%s has not taken the map of epoch %" PRIu64 " yet",
                  probe->url, map->epoch);
    else if (!probe->ready)
        error_set(err, STATUS_TIMEOUT, "%s has the map of epoch %" PRIu64 " and is not ready yet: %s",
                  probe->url, map->epoch, probe->err.text);
    else
        return false;
    return true;
}

/* Until every node has this map and is ready with it. */
static enum status cluster_wait(struct gs_session *session, const char *const *urls, unsigned count,
                                const struct cluster_map *map, uint64_t wait_ms, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + wait_ms;

    for (;;) {
        struct probes probes;
        bool late = false;

        enum status status = probes_run(session, urls, count, NULL, 0, &probes, err);
        if (status != STATUS_OK)
            return status;
        for (size_t i = 0; i < probes.count && !late; i++)
            late = cluster_is_late(&probes.items[i], map, err);
        probes_fini(&probes);
        if (!late)
            return STATUS_OK;
        if (clock_monotonic_ms() >= until_ms)
            return STATUS_TIMEOUT;
        status = session_wait(session, CLUSTER_POLL_MS, err);
        if (status != STATUS_OK)
            return status;
    }
}

enum status cluster_init_nodes(struct gs_session *session, const char *const *urls, unsigned count,
                               const struct cluster_init_options *options, struct cluster_map **map,
                               bool *exists, bool *told_indexer, struct error *err)
{
    struct cluster_member *members = calloc(count + 1, sizeof *members);
    struct probes probes;

    *map = NULL;
    *exists = *told_indexer = false;
    if (members == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a cluster map");
    enum status status = probes_run(session, urls, count, NULL, 0, &probes, err);
    if (status == STATUS_OK) {
        status = cluster_ask(session, &probes, members, err);
        if (status == STATUS_OK) {
            *map = cluster_init_map(members, count, options, exists, err);
            status = *map != NULL ? STATUS_OK : err->status;
        }
        probes_fini(&probes);
    }
    free(members);
    if (status == STATUS_OK && !*exists)
        status = cluster_tell(session, *map, told_indexer, err);
    if (status == STATUS_OK)
        status = cluster_wait(session, urls, count, *map, options->wait_ms, err);
    if (status != STATUS_OK) {
        map_unref(*map);
        *map = NULL;
    }
    return status;
}
