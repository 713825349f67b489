/* node_fingerprint.c: what the nodes hold of a run: one request a node, all at once, then shard by shard. */
#include "indexer/node_fingerprint.h"

#include "indexer/map_authority.h"
#include "indexer/node_request.h"
#include "proto/base/json_read.h"
#include "proto/base/log.h"
#include "proto/placement.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FINGERPRINT_TIMEOUT_MS = 20000, FINGERPRINT_ANSWER_MAX = 16 << 20 };

struct fingerprint_node {
    struct node_request request;
    struct fingerprint *fingerprint;
    bool owns, answered;
    struct digest_set *shards; /* owned; map->shards */
};

struct fingerprint {
    struct indexer *indexer;
    struct cluster_map *map; /* a reference */
    struct run_key run;
    struct fingerprint_node *nodes; /* owned; as in the map */
    unsigned left;
    void (*on_done)(void *data, enum status status, const struct node_fingerprint *found);
    void *data;
    struct work none; /* to call back later when nobody is asked */
};

/* --- the sum --- */

/* The owners' sets of one shard: are they the same? false: nobody answered. */
static bool fingerprint_shard(const struct fingerprint *fingerprint, unsigned shard,
                              struct digest_set *set, bool *agreed)
{
    unsigned count;
    const uint16_t *owners = placement_owners(fingerprint->map, fingerprint->run.base_time, shard, &count);
    const struct digest_set *first = NULL;

    *agreed = true;
    for (unsigned i = 0; i < count; i++) {
        const struct fingerprint_node *node = &fingerprint->nodes[owners[i]];
        if (!node->answered)
            continue;
        const struct digest_set *theirs = &node->shards[shard];
        if (first == NULL)
            first = theirs;
        else if (first->count != theirs->count || digest_compare(&first->sum, &theirs->sum) != 0)
            *agreed = false;
    }
    if (first != NULL)
        *set = *first;
    return first != NULL;
}

/* What each node says that it holds. */
static void fingerprint_held(const struct fingerprint *fingerprint, struct run_holdings *held)
{
    const struct cluster_map *map = fingerprint->map;

    held->items = calloc((map != NULL ? map->nodes_count : 0) + 1, sizeof *held->items);
    assert(held->items != NULL);
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++) {
        struct run_holding *to = &held->items[held->count];
        if (!fingerprint->nodes[i].answered)
            continue;
        held->count++;
        snprintf(to->node, sizeof to->node, "%s", map->nodes[i].id);
        for (unsigned shard = 0; shard < map->shards; shard++)
            digest_set_merge(&to->set, &fingerprint->nodes[i].shards[shard]);
    }
}

static void fingerprint_end(struct fingerprint *fingerprint)
{
    const struct cluster_map *map = fingerprint->map;
    struct run_holdings held = { .count = 0 };
    struct node_fingerprint found = { .held = &held };

    fingerprint_held(fingerprint, &held);

    for (unsigned shard = 0; map != NULL && shard < map->shards; shard++) {
        struct digest_set set;
        bool agreed;
        if (!fingerprint_shard(fingerprint, shard, &set, &agreed))
            found.shards_unanswered++;
        else if (!agreed)
            found.shards_disagreed++;
        else
            digest_set_merge(&found.set, &set);
    }
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++) {
        struct fingerprint_node *node = &fingerprint->nodes[i];
        found.nodes_unanswered += node->owns && !node->answered;
        free(node->shards);
    }
    fingerprint->on_done(fingerprint->data, map != NULL ? STATUS_OK : STATUS_NOT_READY, &found);
    run_holdings_fini(&held);
    map_unref(fingerprint->map);
    free(fingerprint->nodes);
    free(fingerprint);
}

/* --- asking --- */

static enum status fingerprint_read_shard(const json_t *item, struct fingerprint_node *node,
                                          struct error *err)
{
    uint64_t shard, count;
    const char *hash;
    struct digest sum;
    enum status status = json_get_u64(item, "shard", node->fingerprint->map->shards - 1, &shard, err);

    if (status == STATUS_OK)
        status = json_get_u64(item, "count", INT64_MAX, &count, err);
    if (status == STATUS_OK)
        status = json_get_string(item, "hash", &hash, err);
    if (status == STATUS_OK && !digest_parse(slice_text(hash), &sum))
        status = error_set(err, STATUS_BAD_VALUE, "hash: not 64 hex digits");
    if (status == STATUS_OK)
        node->shards[shard] = (struct digest_set){ .count = count, .sum = sum };
    return status;
}

static enum status fingerprint_read(struct fingerprint_node *node, struct error *err)
{
    const struct buf *text = &node->request.transfer.answer;
    json_t *answer = NULL;
    enum status status = json_parse(text->data, text->size, &answer, err);

    if (status == STATUS_OK && !json_is_array(answer))
        status = error_set(err, STATUS_BAD_VALUE, "no list of shards");
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(answer); i++)
        status = fingerprint_read_shard(json_array_get(answer, i), node, err);
    json_decref(answer);
    return status;
}

static void fingerprint_on_shards(struct node_request *request, enum status status,
                                  const struct error *err)
{
    struct fingerprint_node *node = container_of(request, struct fingerprint_node, request);
    struct fingerprint *fingerprint = node->fingerprint;
    struct error story = *err;

    /* A node that does not know the run, or has dropped it, holds nothing of it. */
    if (status == STATUS_OK)
        status = fingerprint_read(node, &story);
    else if (status == STATUS_NOT_FOUND || status == STATUS_PURGED)
        status = STATUS_OK;
    node->answered = status == STATUS_OK;
    if (!node->answered)
        log_msg(LOG_INFO, "fingerprint.node", "%s", story.text);
    node_request_fini(request);
    if (--fingerprint->left == 0)
        fingerprint_end(fingerprint);
}

static void fingerprint_ask(struct fingerprint *fingerprint, unsigned place)
{
    struct fingerprint_node *node = &fingerprint->nodes[place];
    char base_time[BASE_TIME_TEXT_SIZE];

    if (fingerprint->map->nodes[place].state == NODE_OUT)
        return;
    node->fingerprint = fingerprint;
    node->shards = calloc(fingerprint->map->shards, sizeof *node->shards);
    assert(node->shards != NULL);
    base_time_print(fingerprint->run.base_time, base_time);
    fingerprint->left++;
    node_request_init(&node->request, fingerprint->indexer);
    node->request.transfer.answer_max = FINGERPRINT_ANSWER_MAX;
    node->request.until_stop = true;
    node_request_start(&node->request, "GET", fingerprint->map->nodes[place].url,
                       FINGERPRINT_TIMEOUT_MS, fingerprint_on_shards, "/cluster/shards/%s/%s",
                       fingerprint->run.source, base_time);
}

static void fingerprint_none_run(struct work *work)
{
    work->status = STATUS_OK;
}

static void fingerprint_none_done(struct work *work)
{
    fingerprint_end(container_of(work, struct fingerprint, none));
}

void node_fingerprint_take(struct indexer *indexer, const struct run_key *run,
                           void (*on_done)(void *data, enum status status,
                                           const struct node_fingerprint *found),
                           void *data)
{
    struct cluster_map *map = map_authority_map(indexer);
    struct fingerprint *fingerprint = calloc(1, sizeof *fingerprint);

    assert(fingerprint != NULL);
    *fingerprint = (struct fingerprint){ .indexer = indexer, .run = *run, .on_done = on_done, .data = data };
    if (map != NULL) {
        fingerprint->map = map_ref(map);
        fingerprint->nodes = calloc(map->nodes_count, sizeof *fingerprint->nodes);
        assert(fingerprint->nodes != NULL);
        for (unsigned shard = 0; shard < map->shards; shard++) {
            unsigned count;
            const uint16_t *owners = placement_owners(map, run->base_time, shard, &count);
            for (unsigned i = 0; i < count; i++)
                fingerprint->nodes[owners[i]].owns = map->nodes[owners[i]].state != NODE_OUT;
        }
        for (unsigned i = 0; i < map->nodes_count; i++)
            fingerprint_ask(fingerprint, i);
    }
    if (fingerprint->left == 0)
        work_start(indexer->loop, &fingerprint->none, fingerprint_none_run, fingerprint_none_done);
}
