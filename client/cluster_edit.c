/* cluster_edit.c: the map that holds, and the next one in its place. */
#include "client/cluster_edit.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/json_read.h"
#include "proto/cluster_map_make.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- the map now ---- */

static enum status map_of_answer(const struct call_answer *answer, struct cluster_map **map,
                                 struct error *err)
{
    *map = map_parse(answer->body.data, answer->body.size, err);
    return *map != NULL ? STATUS_OK : error_of_answer(err->status, err, answer->url);
}

static enum status map_of_nodes(struct gs_session *session, struct cluster_map **map, struct error *err)
{
    struct call call = {
        .to = CALL_NODES, .method = "GET", .path = "/cluster/map", .answer_max = MAP_JSON_SIZE_MAX
    };
    struct call_answer answer;

    call.once = true;
    enum status status = call_run(session, &call, &answer, err);
    if (status == STATUS_OK)
        status = map_of_answer(&answer, map, err);
    call_answer_fini(&answer);
    return status;
}

enum status cluster_map_now(struct gs_session *session, struct cluster_map **map, bool *of_indexer,
                            struct error *err)
{
    struct call call = {
        .to = CALL_INDEXERS, .method = "GET", .path = INDEXER_MAP_PATH, .answer_max = MAP_JSON_SIZE_MAX
    };
    struct call_answer answer;

    *map = NULL;
    call.once = true;
    enum status status = call_run(session, &call, &answer, err);
    *of_indexer = status == STATUS_OK;
    if (status == STATUS_OK)
        status = map_of_answer(&answer, map, err);
    bool refused = answer.http_status == 401 || answer.http_status == 403;
    call_answer_fini(&answer);
    if (*of_indexer || status == STATUS_CANCELLED || refused)
        return status;
    struct error of_indexers = *err;
    status = map_of_nodes(session, map, err);
    if (status != STATUS_OK && status != STATUS_CANCELLED)
        error_wrap(err, "the indexer does not give the cluster's map (%.250s), nor does a node",
                   of_indexers.text);
    if (status == STATUS_OK && (*map)->indexers_count > 0) {
        status = error_set(
            err, STATUS_UNREACHABLE,
            "the indexer keeps the cluster's map, and does not answer: %s (--indexer says where)",
            (*map)->indexers[0]);
        map_unref(*map);
        *map = NULL;
    }
    return status;
}

/* ---- the next one ---- */

static enum status map_put_indexer(struct gs_session *session, const struct cluster_map *before,
                                   const struct buf *body, struct cluster_map **newer, struct error *err)
{
    struct call call = { .to = CALL_INDEXERS, .method = "PUT", .path = INDEXER_MAP_PATH };
    struct call_answer answer;
    char match[32];

    snprintf(match, sizeof match, "\"%" PRIu64 "\"", before->epoch);
    call.body = slice_of(body->data, body->size);
    call.header = (struct transfer_header){ "If-Match", match };
    call.answer_max = MAP_JSON_SIZE_MAX;
    call.once = true;
    enum status status = call_run(session, &call, &answer, err);
    if (answer.http_status == 412) {
        *newer = map_parse(answer.body.data, answer.body.size, NULL);
        status = error_set(err, STATUS_STALE_EPOCH, "another map came first");
    }
    call_answer_fini(&answer);
    return status;
}

/* The first node that takes it decides; those that are away learn it from the others. */
static enum status map_put_nodes(struct gs_session *session, const struct cluster_map *before,
                                 const struct cluster_map *after, const struct buf *body,
                                 struct cluster_map **newer, struct error *err)
{
    enum status status = STATUS_UNREACHABLE;
    unsigned took = 0;

    (void)before;
    error_set(err, status, "no node answers");
    for (unsigned i = 0; i < after->nodes_count; i++) {
        struct call call = {
            .to = CALL_URL, .url = after->nodes[i].url, .method = "PUT", .path = "/cluster/map"
        };
        struct call_answer answer;

        if (after->nodes[i].state == NODE_OUT)
            continue;
        call.body = slice_of(body->data, body->size);
        call.answer_max = MAP_JSON_SIZE_MAX;
        enum status told = call_run(session, &call, &answer, err);
        if (answer.http_status == 412 && took == 0) {
            *newer = map_parse(answer.body.data, answer.body.size, NULL);
            status = error_set(err, STATUS_STALE_EPOCH, "another map came first");
        } else if (told == STATUS_OK) {
            took++;
        }
        call_answer_fini(&answer);
        if (status == STATUS_STALE_EPOCH || told == STATUS_CANCELLED)
            return status == STATUS_STALE_EPOCH ? status : told;
    }
    return took > 0 ? STATUS_OK : err->status;
}

enum status cluster_map_put(struct gs_session *session, const struct cluster_map *before,
                            const struct cluster_map *after, bool of_indexer,
                            struct cluster_map **newer, struct error *err)
{
    struct buf body;

    *newer = NULL;
    buf_init(&body, MAP_JSON_SIZE_MAX);
    map_print(after, &body);
    enum status status = buf_status(&body);
    if (status != STATUS_OK)
        error_set(err, status, "the map is too large");
    else if (of_indexer)
        status = map_put_indexer(session, before, &body, newer, err);
    else
        status = map_put_nodes(session, before, after, &body, newer, err);
    buf_fini(&body);
    return status;
}

/* ---- who comes ---- */

static enum status text_take(const json_t *json, const char *key, char *to, size_t size, struct error *err)
{
    const char *text;

    enum status status = json_get_string(json, key, &text, err);
    if (status != STATUS_OK)
        return status;
    if (strlen(text) >= size)
        return error_set(err, STATUS_BAD_VALUE, "%s: longer than %zu bytes", key, size - 1);
    map_text_copy(to, size, text);
    return STATUS_OK;
}

static enum status node_read(const json_t *json, struct map_node *node, struct error *err)
{
    uint64_t weight = 0;

    enum status status = text_take(json, "node", node->id, sizeof node->id, err);
    if (status == STATUS_OK)
        status = text_take(json, "url", node->url, sizeof node->url, err);
    if (status == STATUS_OK)
        status = text_take(json, "host", node->host, sizeof node->host, err);
    if (status == STATUS_OK)
        status = text_take(json, "colo", node->colo, sizeof node->colo, err);
    if (status == STATUS_OK)
        status = json_get_u64(json, "weight", MAP_WEIGHT_MAX, &weight, err);
    node->weight = (uint32_t)weight;
    return error_of_answer(status, err, "what it says of itself");
}

/* One that took the map from the others already (join), and is not in it. */
static enum status node_ask_joined(struct gs_session *session, const struct cluster_map *map,
                                   const char *url, struct map_node *node, struct error *err)
{
    struct call call = { .to = CALL_URL, .url = url, .method = "GET", .path = "/cluster/capacity" };
    json_t *json = NULL;

    enum status status = call_json(session, &call, &json, err);
    if (status == STATUS_OK)
        status = node_read(json, node, err);
    json_decref(json);
    if (status != STATUS_OK)
        return error_wrap(err, "%s", url);
    const struct map_node *there = map_find(map, node->id);
    if (there != NULL)
        return error_set(err, STATUS_EXISTS, "%s is node %s, which is in the map already (%s)%s",
                         url, node->id, node_state_name(there->state),
                         there->state == NODE_IN ? ": `gribstore cluster show`"
                                                 : ": `gribstore cluster keep` is its way back");
    return STATUS_OK;
}

static enum status node_take(const struct cluster_map *theirs, const char *url,
                             struct map_node *node, struct error *err)
{
    if (theirs->nodes_count != 1)
        return error_set(err, STATUS_PRECONDITION, "%s: a node of epoch 0 with %u nodes in its map",
                         url, theirs->nodes_count);
    *node = theirs->nodes[0];
    if (node->url[0] == '\0')
        map_text_copy(node->url, sizeof node->url, url);
    return STATUS_OK;
}

enum status cluster_ask_node(struct gs_session *session, const struct cluster_map *map,
                             const char *url, struct map_node *node, struct error *err)
{
    struct call call = {
        .to = CALL_URL, .url = url, .method = "GET", .path = "/cluster/map", .answer_max = MAP_JSON_SIZE_MAX
    };
    struct call_answer answer;
    struct cluster_map *theirs = NULL;

    *node = (struct map_node){ .weight = 0 };
    enum status status = call_run(session, &call, &answer, err);
    if (status == STATUS_OK)
        status = map_of_answer(&answer, &theirs, err);
    else if (status == STATUS_NOT_FOUND)
        error_wrap(err, "%s is no storage node", url);
    if (status == STATUS_OK && theirs->epoch == 0)
        status = node_take(theirs, url, node, err);
    else if (status == STATUS_OK && strcmp(theirs->cluster, map->cluster) != 0)
        status = error_set(err, STATUS_OTHER_CLUSTER,
                           "%s belongs to cluster %s, this one is %s: a node is in one cluster",
                           url, theirs->cluster, map->cluster);
    else if (status == STATUS_OK)
        status = node_ask_joined(session, map, url, node, err);
    map_unref(theirs);
    call_answer_fini(&answer);
    return status;
}
