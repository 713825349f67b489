/* check_look.c: the index's list is in memory, sorted by digest, and so by shard; of the nodes' lists one shard is. */
#include "client/check_look.h"

#include "client/call.h"
#include "client/error.h"
#include "client/indexer_api.h"
#include "client/json_stream.h"
#include "client/locations.h"
#include "proto/base/json_read.h"
#include "proto/grib_frame.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHECK_LOST_READ_MAX = 1000 }; /* messages that seem lost and are asked for */

struct looking {
    struct check_look *look;
    struct check_copies index, held;
    uint16_t last_node;          /* of the index's lines: most often that of the line before */
    uint64_t *counts;            /* owned: of each node, of each shard: messages */
    struct json_stream *streams; /* owned: one a node */
    struct node_reading *readings;
    bool *listed;             /* owned; as check_shard() wants it */
    struct {                  /* the field whose places the index is telling */
        struct digest digest; /* of the issue told last */
        enum location_as as;
        unsigned issues;
    } field;
    uint64_t superseded_before_us; /* as check_shard() wants it */
};

/* What the answer of one node goes to. */
struct node_reading {
    struct looking *looking;
    uint16_t node;
    unsigned shard;
    bool asked;
};

/* --- the index --- */

static void index_begin(void *user)
{
    struct looking *looking = user;

    looking->index.count = 0;
    looking->superseded_before_us = 0;
    looking->field.issues = 0;
}

/* Has this field as many issues as there is room for? The last of them is the oldest. */
static void field_follow(struct looking *looking, const struct location *location)
{
    bool same = looking->field.issues > 0 && looking->field.as == location->as &&
                digest_compare(&looking->field.digest, &location->digest) == 0;

    if (location->as == LOCATION_QUARANTINE)
        return;
    if (location->as == LOCATION_FIELD)
        looking->field.issues = 1;
    else if (!same)
        looking->field.issues++;
    looking->field.digest = location->digest;
    looking->field.as = location->as;
    if (looking->field.issues >= INDEXER_ISSUES_MAX && location->stored_at_us > looking->superseded_before_us)
        looking->superseded_before_us = location->stored_at_us;
}

static uint16_t index_node(struct looking *looking, const char *id)
{
    const struct cluster_map *map = looking->look->map;

    if (looking->last_node == CHECK_NODE_NONE || strcmp(map->nodes[looking->last_node].id, id) != 0) {
        unsigned found = map_index(map, id);
        looking->last_node = found == NODE_NONE || map->nodes[found].state == NODE_OUT
                                 ? CHECK_NODE_NONE
                                 : (uint16_t)found;
    }
    return looking->last_node;
}

static enum status index_take(void *user, const struct location *location, struct error *err)
{
    struct looking *looking = user;
    const struct check_copy copy = { .digest = location->digest,
                                     .birth = location->birth,
                                     .offset = location->offset,
                                     .length = location->length,
                                     .node = index_node(looking, location->node) };

    field_follow(looking, location);
    return check_copies_add(&looking->index, &copy, err);
}

static enum status index_read(struct looking *looking, struct error *err)
{
    const struct check_look *look = looking->look;
    const struct locations_taker taker = { index_begin, index_take, looking };
    enum status status = locations_get(look->session, &look->run, &taker, err);

    looking->look->locations = looking->index.count;
    for (size_t i = 0; status == STATUS_OK && i < look->bad_count; i++) {
        const struct check_copy bad = { .digest = look->bad[i].digest,
                                        .node = look->bad[i].node,
                                        .bad = true };
        if (run_key_compare(&look->bad[i].run, &look->run) == 0)
            status = check_copies_add(&looking->index, &bad, err);
    }
    check_copies_sort(&looking->index);
    return status;
}

/* --- the nodes --- */

static enum status on_summary(void *user, const json_t *item, struct error *err)
{
    struct node_reading *reading = user;
    const struct cluster_map *map = reading->looking->look->map;
    uint64_t shard, count;
    enum status status = json_get_u64(item, "shard", map->shards - 1, &shard, err);

    if (status == STATUS_OK)
        status = json_get_u64(item, "count", INT64_MAX, &count, err);
    if (status == STATUS_OK)
        reading->looking->counts[(size_t)reading->node * map->shards + shard] = count;
    return error_of_answer(status, err, "a shard");
}

enum status check_read_member(const json_t *member, struct check_copy *copy, struct error *err)
{
    const char *digest, *birth;
    enum status status = json_get_string(member, "digest", &digest, err);

    if (status == STATUS_OK && !digest_parse(slice_text(digest), &copy->digest))
        status = error_set(err, STATUS_MALFORMED, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_string(member, "birth", &birth, err);
    if (status == STATUS_OK && (strlen(birth) != 16 || strspn(birth, "0123456789abcdef") != 16))
        status = error_set(err, STATUS_MALFORMED, "birth: not 16 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(member, "offset", INT64_MAX, &copy->offset, err);
    if (status == STATUS_OK)
        status = json_get_u64(member, "length", INT64_MAX, &copy->length, err);
    if (status == STATUS_OK)
        status = json_get_u64(member, "stored_at", INT64_MAX, &copy->stored_at_us, err);
    if (status == STATUS_OK)
        copy->birth = strtoull(birth, NULL, 16);
    return error_of_answer(status, err, "a message of a shard");
}

static enum status on_member(void *user, const json_t *member, struct error *err)
{
    struct node_reading *reading = user;
    struct looking *looking = reading->looking;
    struct check_copy copy = { .node = reading->node };
    enum status status = check_read_member(member, &copy, err);

    if (status == STATUS_OK && digest_shard(&copy.digest, looking->look->map->shards) != reading->shard)
        status = error_set(err, STATUS_MALFORMED, "a message is of another shard than it is listed in");
    return status == STATUS_OK ? check_copies_add(&looking->held, &copy, err) : status;
}

static void node_fails(struct looking *looking, unsigned node, const struct error *err)
{
    struct check_node *failed = &looking->look->nodes[node];

    failed->listed = false;
    snprintf(failed->error, sizeof failed->error, "%.*s", CHECK_ERROR_SIZE - 1, err->text);
}

/* What was listed of a node that then failed is not all that it holds. */
static void held_without(struct looking *looking, unsigned node)
{
    size_t kept = 0;

    for (size_t i = 0; i < looking->held.count; i++)
        if (looking->held.items[i].node != node)
            looking->held.items[kept++] = looking->held.items[i];
    looking->held.count = kept;
}

/* Waits for all that were asked. */
static enum status nodes_wait(struct looking *looking, bool summary, struct error *err)
{
    enum status result = STATUS_OK;

    for (unsigned i = 0; i < looking->look->map->nodes_count; i++) {
        struct error own;
        if (!looking->readings[i].asked)
            continue;
        enum status status = result == STATUS_OK ? json_stream_wait(&looking->streams[i], &own) : result;
        json_stream_fini(&looking->streams[i]);
        looking->readings[i].asked = false;
        if (status == STATUS_OK && summary)
            looking->look->holders++;
        if (status == STATUS_OK || status == STATUS_NOT_FOUND || status == STATUS_PURGED)
            continue; /* it has nothing of the run */
        if (status == STATUS_CANCELLED || status == STATUS_NO_MEMORY) {
            result = status;
            *err = own;
            continue;
        }
        node_fails(looking, i, &own);
        held_without(looking, i);
    }
    return result;
}

static void node_ask(struct looking *looking, unsigned node, unsigned shard,
                     enum status (*each)(void *user, const json_t *object, struct error *err),
                     const char *query)
{
    struct check_look *look = looking->look;
    struct node_reading *reading = &looking->readings[node];
    char name[RUN_TEXT_SIZE], path[RUN_TEXT_SIZE + 64];

    run_key_print(&look->run, name);
    snprintf(path, sizeof path, "/cluster/shards/%s%s", name, query);
    *reading = (struct node_reading){
        .looking = looking, .node = (uint16_t)node, .shard = shard, .asked = true
    };
    json_stream_start(&looking->streams[node], look->session, each, reading,
                      look->map->nodes[node].url, path);
}

static enum status summaries(struct looking *looking, struct error *err)
{
    for (unsigned i = 0; i < looking->look->map->nodes_count; i++)
        if (looking->look->nodes[i].listed)
            node_ask(looking, i, 0, on_summary, "");
    return nodes_wait(looking, true, err);
}

/* --- shard by shard --- */

static enum status shard_list(struct looking *looking, unsigned shard, struct error *err)
{
    const struct check_look *look = looking->look;
    char query[32];

    looking->held.count = 0;
    snprintf(query, sizeof query, "?shard=%u", shard);
    for (unsigned i = 0; i < look->map->nodes_count; i++)
        if (look->nodes[i].listed && looking->counts[(size_t)i * look->map->shards + shard] > 0)
            node_ask(looking, i, shard, on_member, query);
    enum status status = nodes_wait(looking, false, err);
    check_copies_sort(&looking->held);
    looking->look->messages += looking->held.count;
    return status;
}

static enum status shards_compare(struct looking *looking, struct check_items *found, struct error *err)
{
    const struct check_look *look = looking->look;
    const struct cluster_map *map = look->map;
    enum status status = STATUS_OK;
    size_t at = 0;

    for (unsigned shard = 0; status == STATUS_OK && shard < map->shards; shard++) {
        const struct check_frame frame = { map, look->run.base_time, looking->listed,
                                           looking->superseded_before_us };
        size_t from = at;
        while (at < looking->index.count &&
               digest_shard(&looking->index.items[at].digest, map->shards) == shard)
            at++;
        status = shard_list(looking, shard, err);
        for (unsigned i = 0; i < map->nodes_count; i++)
            looking->listed[i] = look->nodes[i].listed;
        if (status == STATUS_OK)
            status = check_shard(&frame, shard, looking->index.items + from, at - from,
                                 looking->held.items, looking->held.count, found, err);
    }
    return status;
}

/* --- what seems to be lost --- */

/* Does the place that the index names give these very bytes? */
static bool copy_is_served(const struct looking *looking, const struct check_copy *copy)
{
    const struct check_look *look = looking->look;
    char path[DATA_PATH_SIZE], range[64];
    struct call call = { .to = CALL_URL, .method = "GET", .path = path, .once = true };
    struct call_answer answer;
    struct digest digest;
    struct error err;

    if (copy->bad || copy->node == CHECK_NODE_NONE || copy->length == 0 ||
        copy->length > GRIB_MESSAGE_SIZE_MAX)
        return false;
    data_path_print(&look->run, digest_shard(&copy->digest, look->map->shards), copy->birth, path);
    snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, copy->offset,
             copy->offset + copy->length - 1);
    call.url = look->map->nodes[copy->node].url;
    call.header = (struct transfer_header){ "Range", range };
    call.answer_max = copy->length;
    bool served = call_run(look->session, &call, &answer, &err) == STATUS_OK &&
                  answer.body.size == copy->length;
    if (served)
        digest_of(answer.body.data, answer.body.size, &digest);
    call_answer_fini(&answer);
    return served && digest_compare(&digest, &copy->digest) == 0;
}

static bool digest_is_served(const struct looking *looking, const struct digest *digest)
{
    const struct check_copies *index = &looking->index;
    size_t low = 0, high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (digest_compare(&index->items[middle].digest, digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < index->count && digest_compare(&index->items[low].digest, digest) == 0; low++)
        if (copy_is_served(looking, &index->items[low]))
            return true;
    return false;
}

/* A node does not list what it has adopted, and serves it all the same: nobody is told that it is lost before it was asked for. */
static void lost_are_read(const struct looking *looking, struct check_items *found, size_t from)
{
    size_t kept = from;
    unsigned tries = 0;
    bool served = false;

    for (size_t i = from; i < found->count; i++) {
        struct check_item item = found->items[i];
        if (i == from || digest_compare(&item.digest, &found->items[kept - 1].digest) != 0)
            served = false;
        if (item.kind == CHECK_LOST && tries++ < CHECK_LOST_READ_MAX) {
            served = digest_is_served(looking, &item.digest);
            item.kind = served ? CHECK_UNCONFIRMED : CHECK_LOST;
        } else if (served && item.kind == CHECK_DANGLING) {
            continue;
        }
        found->items[kept++] = item;
    }
    found->count = kept;
}

enum status check_look(struct check_look *look, struct check_items *found, struct error *err)
{
    size_t nodes = look->map->nodes_count;
    struct looking looking = { .look = look,
                               .last_node = CHECK_NODE_NONE,
                               .counts = calloc(nodes * look->map->shards + 1, sizeof *looking.counts),
                               .streams = calloc(nodes + 1, sizeof *looking.streams),
                               .readings = calloc(nodes + 1, sizeof *looking.readings),
                               .listed = calloc(nodes + 1, sizeof *looking.listed) };
    enum status status = STATUS_OK;
    size_t from = found->count;

    look->locations = look->messages = look->holders = 0;
    if (looking.counts == NULL || looking.streams == NULL || looking.readings == NULL ||
        looking.listed == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a run");
    if (status == STATUS_OK)
        status = index_read(&looking, err);
    if (status == STATUS_OK)
        status = summaries(&looking, err);
    if (status == STATUS_OK)
        status = shards_compare(&looking, found, err);
    if (status == STATUS_OK)
        lost_are_read(&looking, found, from);
    check_copies_fini(&looking.index);
    check_copies_fini(&looking.held);
    free(looking.counts);
    free(looking.streams);
    free(looking.readings);
    free(looking.listed);
    return status;
}
