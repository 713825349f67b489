/* cluster_change.c: a cluster map and a wish -> the next map.
 *
 *     copy      the map, with room for one more node and one more era
 *     prune     eras that end before the oldest base_time held
 *     act       one function a wish: nodes, states, owners
 *     count     the epoch that follows
 *
 * Nodes keep their numbers, but for REMOVE, which owner tables are told of: so a table before and one after are compared
 * number by number. */
#include "proto/cluster_change.h"

#include "proto/cluster_map_make.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static const char *const action_names[] = { "add",       "retire", "evacuate", "keep",
                                            "replace",   "rename", "remove",   "lost",
                                            "rebalance", "pause",  "resume" };

const char *cluster_action_name(enum cluster_action action)
{
    assert((unsigned)action < ARRAY_COUNT(action_names));
    return action_names[action];
}

bool cluster_action_parse(const char *name, enum cluster_action *action)
{
    for (unsigned i = 0; i < ARRAY_COUNT(action_names); i++) {
        if (strcmp(name, action_names[i]) == 0) {
            *action = (enum cluster_action)i;
            return true;
        }
    }
    return false;
}

/* A map that becomes the next one. */
struct change {
    struct cluster_map *next;        /* owned */
    const struct cluster_wish *wish; /* borrowed */
    unsigned node;                   /* whom it is about; NODE_NONE when nobody */
    struct plan_change sum;
    struct error *err; /* borrowed */
};

static struct map_node *change_node(struct change *change)
{
    return &change->next->nodes[change->node];
}

static size_t change_table_size(const struct cluster_map *map)
{
    return (size_t)map->shards * map->replicas;
}

/* ---- owners ---- */

static bool era_has(const struct cluster_map *map, const uint16_t *owners, unsigned node)
{
    for (size_t i = 0; i < change_table_size(map); i++) {
        if (owners[i] == node)
            return true;
    }
    return false;
}

static bool map_has(const struct cluster_map *map, unsigned node)
{
    for (unsigned i = 0; i < map->eras_count; i++) {
        if (era_has(map, map->eras[i].owners, node))
            return true;
    }
    return false;
}

/* May a node in this state own anything? */
static bool state_owns(enum node_state state)
{
    return state == NODE_IN || state == NODE_RETIRING;
}

static bool shard_same(const struct cluster_map *map, const uint16_t *of, bool by_colo)
{
    for (unsigned i = 1; i < map->replicas && of[i] != NODE_NONE; i++) {
        for (unsigned k = 0; k < i; k++) {
            const struct map_node *a = &map->nodes[of[i]], *b = &map->nodes[of[k]];
            if (by_colo ? strcmp(a->colo, b->colo) == 0
                        : a->host[0] != '\0' && strcmp(a->host, b->host) == 0)
                return true;
        }
    }
    return false;
}

/* Shards with two copies on one host. */
static uint64_t era_same_host(const struct cluster_map *map, const uint16_t *owners)
{
    uint64_t same = 0;

    for (unsigned shard = 0; shard < map->shards; shard++)
        same += shard_same(map, owners + (size_t)shard * map->replicas, false);
    return same;
}

static unsigned shard_copies(const struct cluster_map *map, const uint16_t *of)
{
    unsigned copies = 0;

    while (copies < map->replicas && of[copies] != NODE_NONE)
        copies++;
    return copies;
}

/* The first shard that has fewer owners after than before; map->shards: none has. */
static unsigned era_fewer(const struct cluster_map *map, const uint16_t *before, const uint16_t *after)
{
    for (unsigned shard = 0; shard < map->shards; shard++) {
        size_t at = (size_t)shard * map->replicas;
        if (shard_copies(map, after + at) < shard_copies(map, before + at))
            return shard;
    }
    return map->shards;
}

/* Who has part in an era: its owners, and who owns nothing because its weight is too small for a whole shard. */
static void era_members(const struct cluster_map *map, const uint16_t *owners, bool *take)
{
    uint64_t weights = 0, owned = 0;

    memset(take, 0, map->nodes_count * sizeof take[0]);
    for (size_t i = 0; i < change_table_size(map); i++) {
        if (owners[i] == NODE_NONE)
            continue;
        owned++;
        take[owners[i]] = true;
    }
    for (unsigned i = 0; i < map->nodes_count; i++)
        weights += take[i] ? map->nodes[i].weight : 0;
    for (unsigned i = 0; i < map->nodes_count; i++) {
        const struct map_node *node = &map->nodes[i];
        take[i] = take[i] ? state_owns(node->state)
                          : node->state == NODE_IN && owned * node->weight < weights;
    }
}

static void take_all_in(const struct cluster_map *map, bool *take)
{
    for (unsigned i = 0; i < map->nodes_count; i++)
        take[i] = take[i] || map->nodes[i].state == NODE_IN;
}

/* ---- an era anew ---- */

static enum status change_fewer(struct change *change, const struct map_era *era,
                                const uint16_t *owners, unsigned shard)
{
    const struct cluster_map *next = change->next;
    size_t at = (size_t)shard * next->replicas;
    char from[BASE_TIME_TEXT_SIZE] = "the beginning";

    if (!era->first)
        base_time_print(era->from, from);
    return error_set(change->err, STATUS_PRECONDITION,
                     "shard %u would have %u owners in place of %u in the era from %s: add a node first",
                     shard, shard_copies(next, owners + at), shard_copies(next, era->owners + at), from);
}

static bool era_as_good(const struct cluster_map *map, const uint16_t *before, const uint16_t *after)
{
    return era_fewer(map, before, after) == map->shards &&
           era_same_host(map, after) <= era_same_host(map, before);
}

static enum status era_plan_for(struct change *change, const struct map_era *era, const bool *take,
                                uint16_t **owners, struct plan_change *made)
{
    *owners = map_owners_new(change->next);
    if (*owners == NULL)
        return error_set(change->err, STATUS_NO_MEMORY, "no memory for a cluster map");
    enum status status = plan_owners(change->next, era->owners, take, *owners, made, change->err);
    if (status != STATUS_OK) {
        free(*owners);
        *owners = NULL;
    }
    if (status == STATUS_BAD_VALUE)
        return error_set(change->err, STATUS_PRECONDITION, "there is no other node to take its shards");
    return status;
}

/* Plans the era for who is in take, and where they can't do as well as it was for all that are *in*, if that helps. */
static enum status era_plan(struct change *change, const struct map_era *era, bool *take,
                            uint16_t **owners, struct plan_change *made)
{
    const struct cluster_map *next = change->next;
    struct plan_change wide_made;
    uint16_t *wide;

    enum status status = era_plan_for(change, era, take, owners, made);
    if (status == STATUS_OK && era_as_good(next, era->owners, *owners))
        return STATUS_OK;
    if (status != STATUS_OK && status != STATUS_PRECONDITION)
        return status;
    take_all_in(next, take);
    status = era_plan_for(change, era, take, &wide, &wide_made);
    if (status != STATUS_OK || (*owners != NULL && era_as_good(next, wide, *owners))) {
        free(wide);
        return status;
    }
    free(*owners);
    *owners = wide;
    *made = wide_made;
    return STATUS_OK;
}

/* Takes what was planned into the map. */
static enum status era_replan(struct change *change, struct map_era *era, bool *take)
{
    struct plan_change made;
    uint16_t *owners = NULL;

    enum status status = era_plan(change, era, take, &owners, &made);
    if (status == STATUS_OK) {
        unsigned shard = era_fewer(change->next, era->owners, owners);
        if (shard < change->next->shards && !change->wish->fewer)
            status = change_fewer(change, era, owners, shard);
    }
    if (status != STATUS_OK) {
        free(owners);
        return status;
    }
    free(era->owners);
    era->owners = owners;
    change->sum.moved += made.moved;
    change->sum.same_host += made.same_host;
    change->sum.same_colo += made.same_colo;
    return STATUS_OK;
}

/* Each era for its members. A node that is no longer *in* is none of them. */
static enum status change_replan_all(struct change *change, bool with_new)
{
    struct cluster_map *next = change->next;
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < next->eras_count && status == STATUS_OK; i++) {
        bool take[MAP_NODES_MAX] = { false };
        era_members(next, next->eras[i].owners, take);
        if (with_new)
            take[change->node] = true;
        status = era_replan(change, &next->eras[i], take);
    }
    return status;
}

/* ---- eras that begin and end ---- */

static void change_drop_eras(struct cluster_map *next, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(next->eras[i].owners);
    next->eras_count -= count;
    memmove(next->eras, next->eras + count, next->eras_count * sizeof next->eras[0]);
    next->eras[0].first = true;
    next->eras[0].from = 0;
}

static void change_prune(struct change *change)
{
    unsigned old = 0;

    while (old + 1 < change->next->eras_count && change->next->eras[old + 1].from <= change->wish->oldest)
        old++;
    change_drop_eras(change->next, old);
}

/* An era begins at `from`: as the one that was in force then. *first: its number. */
static enum status change_split(struct change *change, int64_t from, unsigned *first)
{
    struct cluster_map *next = change->next;
    unsigned at = next->eras_count;

    while (at > 1 && next->eras[at - 1].from >= from)
        at--;
    *first = at;
    if (at < next->eras_count && next->eras[at].from == from)
        return STATUS_OK;
    if (next->eras_count >= MAP_ERAS_MAX)
        return error_set(change->err, STATUS_BAD_VALUE,
                         "the map has %d eras, and no room for another: purge what is old first",
                         MAP_ERAS_MAX);
    struct map_era era = { .from = from, .owners = map_owners_new(next) };
    if (era.owners == NULL)
        return error_set(change->err, STATUS_NO_MEMORY, "no memory for a cluster map");
    memcpy(era.owners, next->eras[at - 1].owners, change_table_size(next) * sizeof era.owners[0]);
    memmove(next->eras + at + 1, next->eras + at, (next->eras_count - at) * sizeof next->eras[0]);
    next->eras[at] = era;
    next->eras_count++;
    return STATUS_OK;
}

/* The eras from `from` on, for all that are *in*. Without data there is one. */
static enum status change_next_era(struct change *change)
{
    struct cluster_map *next = change->next;
    enum status status = STATUS_OK;
    unsigned first = 0;

    if (change->wish->has_data)
        status = change_split(change, change->wish->from, &first);
    else
        change_drop_eras(next, next->eras_count - 1);
    for (unsigned i = first; i < next->eras_count && status == STATUS_OK; i++) {
        bool take[MAP_NODES_MAX] = { false };
        take_all_in(next, take);
        status = era_replan(change, &next->eras[i], take);
    }
    /* Nothing of an era to come moves, as nothing is there. */
    change->sum.moved = 0;
    return status;
}

/* ---- nodes ---- */

static enum status change_check_url(struct change *change, const char *url)
{
    const struct cluster_map *next = change->next;

    if (url == NULL || !node_url_valid(url))
        return error_set(change->err, STATUS_BAD_VALUE,
                         "'%.80s' is no URL of a node: write http://HOST:PORT", url == NULL ? "" : url);
    for (unsigned i = 0; i < next->nodes_count; i++) {
        if (strcmp(next->nodes[i].url, url) == 0)
            return error_set(change->err, STATUS_EXISTS, "%s is the URL of %s, which is in the map (%s)",
                             url, next->nodes[i].id, node_state_name(next->nodes[i].state));
    }
    return STATUS_OK;
}

/* The node that comes, behind the others. */
static enum status change_take_in(struct change *change)
{
    struct cluster_map *next = change->next;
    const struct map_node *with = change->wish->with;

    if (with == NULL || !node_id_valid(with->id) || with->weight < 1 || with->weight > MAP_WEIGHT_MAX)
        return error_set(change->err, STATUS_BAD_VALUE, "the node that comes has no id or no weight");
    const struct map_node *there = map_find(next, with->id);
    if (there != NULL)
        return error_set(change->err, STATUS_EXISTS, "node %s is in the map already, as %s (%s)",
                         there->id, there->url, node_state_name(there->state));
    enum status status = change_check_url(change, with->url);
    if (status != STATUS_OK)
        return status;
    if (next->nodes_count >= MAP_NODES_MAX)
        return error_set(change->err, STATUS_BAD_VALUE,
                         "the map has %d nodes, and no room for another", MAP_NODES_MAX);
    change->node = next->nodes_count++;
    *change_node(change) = *with;
    change_node(change)->state = NODE_IN;
    return STATUS_OK;
}

static enum status change_find(struct change *change)
{
    const char *id = change->wish->node;

    change->node = id == NULL ? NODE_NONE : map_index(change->next, id);
    if (change->node != NODE_NONE)
        return STATUS_OK;
    return error_set(change->err, STATUS_NOT_FOUND, "there is no node %.80s in the map of epoch %" PRIu64,
                     id == NULL ? "" : id, change->next->epoch);
}

static enum status change_is_already(struct change *change)
{
    const struct map_node *node = change_node(change);

    return error_set(change->err, STATUS_PRECONDITION, "%s is %s already", node->id,
                     node_state_name(node->state));
}

/* ---- one function a wish ---- */

static enum status change_add(struct change *change)
{
    enum status status = change_take_in(change);

    if (status != STATUS_OK)
        return status;
    return change->wish->all_eras ? change_replan_all(change, true) : change_next_era(change);
}

static enum status change_retire(struct change *change)
{
    enum status status = change_find(change);

    if (status != STATUS_OK)
        return status;
    if (change_node(change)->state != NODE_IN)
        return change_is_already(change);
    change_node(change)->state = NODE_RETIRING;
    return change_next_era(change);
}

/* Its shards go to others, in every era. */
static enum status change_take_out(struct change *change, enum node_state state)
{
    enum status status = change_find(change);

    if (status != STATUS_OK)
        return status;
    if (change_node(change)->state == state && !map_has(change->next, change->node))
        return change_is_already(change);
    change_node(change)->state = state;
    for (unsigned i = 0; i < change->next->eras_count && status == STATUS_OK; i++) {
        struct map_era *era = &change->next->eras[i];
        bool take[MAP_NODES_MAX] = { false };
        if (!era_has(change->next, era->owners, change->node))
            continue;
        era_members(change->next, era->owners, take);
        status = era_replan(change, era, take);
    }
    return status;
}

static enum status change_evacuate(struct change *change)
{
    return change_take_out(change, NODE_EVACUATING);
}

/* Retiring undone: as it was added; nothing moves, and runs that came meanwhile lie where they are. Otherwise its share of all
 * that there is is its own again: what it has not given up yet it need not pull. Which shards were its own nobody knows any more. */
static enum status change_keep(struct change *change)
{
    enum status status = change_find(change);

    if (status != STATUS_OK)
        return status;
    enum node_state was = change_node(change)->state;
    if (was == NODE_IN)
        return change_is_already(change);
    change_node(change)->state = NODE_IN;
    return was == NODE_RETIRING ? change_next_era(change) : change_replan_all(change, true);
}

static enum status change_lost(struct change *change)
{
    return change_take_out(change, NODE_OUT);
}

static void change_put_in_place(struct change *change, uint16_t *owners, unsigned old)
{
    const struct cluster_map *next = change->next;

    for (size_t i = 0; i < change_table_size(next); i++) {
        if (owners[i] != old)
            continue;
        owners[i] = (uint16_t)change->node;
        change->sum.moved++;
    }
    for (unsigned shard = 0; shard < next->shards; shard++) {
        const uint16_t *of = owners + (size_t)shard * next->replicas;
        change->sum.same_host += shard_same(next, of, false);
        change->sum.same_colo += shard_same(next, of, true);
    }
}

static enum status change_replace(struct change *change)
{
    enum status status = change_find(change);
    unsigned old = change->node;

    if (status != STATUS_OK)
        return status;
    if (!map_has(change->next, old))
        return error_set(change->err, STATUS_PRECONDITION,
                         "%s owns nothing: there is nothing to take its place in", change->wish->node);
    status = change_take_in(change);
    if (status != STATUS_OK)
        return status;
    change->next->nodes[old].state = change->wish->alive ? NODE_EVACUATING : NODE_OUT;
    for (unsigned i = 0; i < change->next->eras_count; i++)
        change_put_in_place(change, change->next->eras[i].owners, old);
    return STATUS_OK;
}

static enum status change_rename(struct change *change)
{
    enum status status = change_find(change);

    if (status != STATUS_OK)
        return status;
    struct map_node *node = change_node(change);
    if (change->wish->url != NULL && strcmp(node->url, change->wish->url) == 0)
        return error_set(change->err, STATUS_PRECONDITION, "%s is %s already", node->id, node->url);
    status = change_check_url(change, change->wish->url);
    if (status == STATUS_OK)
        map_text_copy(node->url, sizeof node->url, change->wish->url);
    return status;
}

static void change_forget(uint16_t *owners, size_t count, unsigned node)
{
    for (size_t i = 0; i < count; i++) {
        assert(owners[i] != node);
        if (owners[i] != NODE_NONE && owners[i] > node)
            owners[i]--;
    }
}

/* Why it can't leave, and what its way out is. */
static enum status change_owns(struct change *change)
{
    const struct map_node *node = change_node(change);

    return error_set(change->err, STATUS_PRECONDITION, "%s (%s) owns shards%s", change->wish->node,
                     node_state_name(node->state),
                     node->state == NODE_RETIRING
                         ? " of older runs: wait until these are purged, or evacuate it"
                         : ": retire or evacuate it first; with --lost, if it will not come back");
}

static enum status change_remove(struct change *change)
{
    struct cluster_map *next = change->next;

    enum status status = change_find(change);
    if (status != STATUS_OK)
        return status;
    if (map_has(next, change->node))
        return change_owns(change);
    for (unsigned i = 0; i < next->eras_count; i++)
        change_forget(next->eras[i].owners, change_table_size(next), change->node);
    next->nodes_count--;
    memmove(next->nodes + change->node, next->nodes + change->node + 1,
            (next->nodes_count - change->node) * sizeof next->nodes[0]);
    return STATUS_OK;
}

static enum status change_rebalance(struct change *change)
{
    struct cluster_map *next = change->next;
    enum status status = STATUS_OK;

    for (unsigned i = 0; i < next->eras_count && status == STATUS_OK; i++) {
        bool take[MAP_NODES_MAX] = { false };
        era_members(next, next->eras[i].owners, take);
        take_all_in(next, take);
        status = era_replan(change, &next->eras[i], take);
    }
    if (status == STATUS_OK && change->sum.moved == 0)
        return error_set(change->err, STATUS_PRECONDITION, "every node has its share already");
    return status;
}

static enum status change_pause_to(struct change *change, bool paused)
{
    if (change->next->paused == paused)
        return error_set(change->err, STATUS_PRECONDITION, "the cluster is %s",
                         paused ? "paused already" : "not paused");
    change->next->paused = paused;
    return STATUS_OK;
}

static enum status change_pause(struct change *change)
{
    return change_pause_to(change, true);
}

static enum status change_resume(struct change *change)
{
    return change_pause_to(change, false);
}

static enum status (*const change_acts[])(struct change *change) = {
    [CLUSTER_ADD] = change_add,
    [CLUSTER_RETIRE] = change_retire,
    [CLUSTER_EVACUATE] = change_evacuate,
    [CLUSTER_KEEP] = change_keep,
    [CLUSTER_REPLACE] = change_replace,
    [CLUSTER_RENAME] = change_rename,
    [CLUSTER_REMOVE] = change_remove,
    [CLUSTER_LOST] = change_lost,
    [CLUSTER_REBALANCE] = change_rebalance,
    [CLUSTER_PAUSE] = change_pause,
    [CLUSTER_RESUME] = change_resume,
};

enum status cluster_change(const struct cluster_map *map, const struct cluster_wish *wish,
                           struct cluster_map **next, struct plan_change *made, struct error *err)
{
    struct change change = { .wish = wish, .node = NODE_NONE, .err = err };

    *next = NULL;
    if ((unsigned)wish->action >= ARRAY_COUNT(change_acts))
        return error_set(err, STATUS_BAD_VALUE, "there is no such change of a cluster");
    if (map->epoch >= INT64_MAX)
        return error_set(err, STATUS_BAD_VALUE, "no epoch follows %" PRIu64, map->epoch);
    change.next = map_copy_with_room(map, 1, 1);
    if (change.next == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a cluster map");
    if (wish->has_data)
        change_prune(&change);
    enum status status = change_acts[wish->action](&change);
    if (status != STATUS_OK) {
        map_unref(change.next);
        return error_wrap(err, "%s", cluster_action_name(wish->action));
    }
    change.next->epoch++;
    *next = change.next;
    if (made != NULL)
        *made = change.sum;
    return STATUS_OK;
}
