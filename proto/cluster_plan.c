/* cluster_plan.c: a table of owners with the least moves.
 *
 *     load      keep of the old table what may stay
 *     share     how many shards each node is to hold: exact, from here on a fact
 *     fill      the free slots, by who is farthest below its quota; nobody below it may fit, then somebody passes his
 *     level     who is above his quota hands shards on to who is below, over others where it can't be done directly
 *     spread    swap where that puts copies into different colos (and hosts, where these are too few)
 *     return    swap where that gives a shard back to who had it
 *
 * Level always ends well. Think of a flow from shards over groups to nodes: the quotas can be met (a group's is at most
 * `shards`, and there are as many groups as copies), so from every node above its quota a path of hand-overs leads to one below,
 * and the shortest uses no shard twice. Swaps leave every count as it is. */
#include "proto/cluster_plan.h"

#include "proto/cluster_plan_table.h"

#include <assert.h>
#include <stdlib.h>

/* Searches end here, in swaps or hand-overs looked at: a plan takes seconds, whatever the map. */
enum { PLAN_LOOKS_MAX = 20000000, PLAN_LOOKS_A_HANDOVER = 4096 };

/* ---- load ---- */

static void plan_load(struct plan_table *table, const struct cluster_map *map, const uint16_t *old)
{
    for (unsigned shard = 0; shard < table->shards && old != NULL; shard++) {
        unsigned slot = 0;
        for (unsigned i = 0; i < map->replicas; i++) {
            unsigned node = old[(size_t)shard * map->replicas + i];
            if (node >= table->nodes_count || plan_bit(table, table->held, node, shard))
                continue;
            plan_bit_set(table, table->held, node, shard);
            if (slot < table->copies && table->nodes[node].share.weight > 0 &&
                plan_may(table, shard, slot, node))
                plan_put(table, shard, slot++, node);
        }
    }
}

static enum status plan_quotas(struct plan_table *table, struct error *err)
{
    struct plan_member *members = calloc(table->nodes_count, sizeof members[0]);

    if (members == NULL)
        return error_set(err, STATUS_NO_MEMORY, "memory ran out");
    for (unsigned i = 0; i < table->nodes_count; i++) {
        members[i] = table->nodes[i].share;
        members[i].has = table->nodes[i].count;
    }
    enum status status = plan_share(members, table->nodes_count, table->shards, table->copies);
    for (unsigned i = 0; i < table->nodes_count; i++)
        table->nodes[i].share = members[i];
    free(members);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "memory ran out");
}

/* ---- fill ---- */

/* What is still to come to each colo, group and node; below 0 above the quota. */
struct plan_left {
    int64_t *colo, *group; /* owned, in one piece */
};

static int64_t plan_below(const struct plan_node *node)
{
    return (int64_t)node->share.quota - (int64_t)node->count;
}

/* How well a node suits a free slot: compared member by member, the greater the better. */
struct plan_merit {
    int64_t rank[6];
};

static struct plan_merit plan_merit_of(const struct plan_table *table, const struct plan_left *left,
                                       unsigned shard, unsigned slot, unsigned n)
{
    const struct plan_node *node = &table->nodes[n];
    int64_t below = plan_below(node);

    return (struct plan_merit){ {
        below > 0,
        -(int64_t)plan_cost_with(table, shard, slot, n),
        left->colo[node->share.colo],
        left->group[node->share.group],
        below,
        /* Ties are broken anew for every shard: who shares shards with whom should be mixed. */
        (int64_t)((node->hash ^ (shard + 1) * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93) >>
                  1),
    } };
}

static bool plan_better(const struct plan_merit *a, const struct plan_merit *b)
{
    for (size_t i = 0; i < ARRAY_COUNT(a->rank); i++) {
        if (a->rank[i] != b->rank[i])
            return a->rank[i] > b->rank[i];
    }
    return false;
}

static unsigned plan_pick(const struct plan_table *table, const struct plan_left *left,
                          unsigned shard, unsigned slot)
{
    struct plan_merit best_merit = { { 0 } };
    unsigned best = NODE_NONE;

    for (unsigned n = 0; n < table->nodes_count; n++) {
        if (table->nodes[n].share.weight == 0 || !plan_may(table, shard, slot, n))
            continue;
        struct plan_merit merit = plan_merit_of(table, left, shard, slot, n);
        if (best == NODE_NONE || plan_better(&merit, &best_merit)) {
            best = n;
            best_merit = merit;
        }
    }
    assert(best != NODE_NONE); /* there are as many groups as copies */
    return best;
}

static enum status plan_fill(struct plan_table *table, struct error *err)
{
    struct plan_left left = { .colo = calloc(2 * (size_t)table->nodes_count, sizeof left.colo[0]) };

    if (left.colo == NULL)
        return error_set(err, STATUS_NO_MEMORY, "memory ran out");
    left.group = left.colo + table->nodes_count;
    for (unsigned n = 0; n < table->nodes_count; n++) {
        left.colo[table->nodes[n].share.colo] += plan_below(&table->nodes[n]);
        left.group[table->nodes[n].share.group] += plan_below(&table->nodes[n]);
    }
    for (unsigned shard = 0; shard < table->shards; shard++) {
        for (unsigned slot = 0; slot < table->copies; slot++) {
            if (plan_slots(table, shard)[slot] != NODE_NONE)
                continue;
            unsigned n = plan_pick(table, &left, shard, slot);
            plan_put(table, shard, slot, n);
            left.colo[table->nodes[n].share.colo]--;
            left.group[table->nodes[n].share.group]--;
        }
    }
    free(left.colo);
    return STATUS_OK;
}

/* ---- level ---- */

/* A shard that `from` could hand to `to`, and what that would cost. */
struct plan_handover {
    unsigned shard, slot, to;
    int64_t cost;
};

/* Costs first, then shards that the table before knows: the one given up, against the one regained. */
static int64_t plan_handover_cost(const struct plan_table *table, unsigned shard, unsigned slot,
                                  unsigned to)
{
    unsigned from = plan_slots(table, shard)[slot];
    int64_t cost = (int64_t)plan_cost_with(table, shard, slot, to) -
                   (int64_t)plan_cost_with(table, shard, slot, NODE_NONE);

    return 4 * cost + plan_bit(table, table->held, from, shard) - plan_bit(table, table->held, to, shard);
}

/* The best hand-over from a node above its quota straight to one below. */
static bool plan_direct(const struct plan_table *table, unsigned from, uint64_t cost_min,
                        struct plan_handover *best)
{
    unsigned looks = 0;
    bool found = false;

    for (unsigned i = 1; i <= table->nodes_count; i++) {
        unsigned to = (from + i) % table->nodes_count;
        if (plan_below(&table->nodes[to]) <= 0)
            continue;
        for (unsigned shard = plan_next_held(table, from, 0); shard < table->shards;
             shard = plan_next_held(table, from, shard + 1)) {
            unsigned slot = plan_slot_of(table, shard, from);
            if (!plan_may(table, shard, slot, to))
                continue;
            int64_t cost = plan_handover_cost(table, shard, slot, to);
            if (!found || cost < best->cost)
                *best = (struct plan_handover){ .shard = shard, .slot = slot, .to = to, .cost = cost };
            found = true;
            /* No more can be won where no copies stand badly, and a long search has seen enough. */
            if ((cost <= 0 && table->cost == cost_min) ||
                (++looks >= PLAN_LOOKS_A_HANDOVER && best->cost <= 1))
                return true;
        }
    }
    return found;
}

/* A search for the shortest way over others. */
struct plan_search {
    uint16_t *queue, *parent, *unseen; /* owned, in one piece */
    uint32_t *shard;                   /* owned; by which the parent hands over */
    unsigned unseen_count, queue_count;
};

static enum status plan_search_init(struct plan_search *search, unsigned nodes)
{
    *search = (struct plan_search){ .queue = calloc(3 * (size_t)nodes, sizeof search->queue[0]),
                                    .shard = calloc(nodes, sizeof search->shard[0]) };
    if (search->queue == NULL || search->shard == NULL)
        return STATUS_NO_MEMORY;
    search->parent = search->queue + nodes;
    search->unseen = search->parent + nodes;
    return STATUS_OK;
}

static void plan_search_fini(struct plan_search *search)
{
    free(search->queue);
    free(search->shard);
}

/* All that `from` could hand this shard to. Returns one below its quota, or NODE_NONE. */
static unsigned plan_search_shard(const struct plan_table *table, struct plan_search *search,
                                  unsigned from, unsigned shard)
{
    unsigned slot = plan_slot_of(table, shard, from);

    for (unsigned i = 0; i < search->unseen_count;) {
        unsigned to = search->unseen[i];
        if (!plan_may(table, shard, slot, to)) {
            i++;
            continue;
        }
        search->unseen[i] = search->unseen[--search->unseen_count];
        search->queue[search->queue_count++] = (uint16_t)to;
        search->parent[to] = (uint16_t)from;
        search->shard[to] = shard;
        if (plan_below(&table->nodes[to]) > 0)
            return to;
    }
    return NODE_NONE;
}

static unsigned plan_search_run(const struct plan_table *table, struct plan_search *search, unsigned from)
{
    search->unseen_count = 0;
    search->queue_count = 1;
    search->queue[0] = (uint16_t)from;
    for (unsigned n = 0; n < table->nodes_count; n++) {
        if (n != from && table->nodes[n].share.weight > 0)
            search->unseen[search->unseen_count++] = (uint16_t)n;
    }
    for (unsigned at = 0; at < search->queue_count; at++) {
        unsigned node = search->queue[at];
        for (unsigned shard = plan_next_held(table, node, 0); shard < table->shards;
             shard = plan_next_held(table, node, shard + 1)) {
            unsigned end = plan_search_shard(table, search, node, shard);
            if (end != NODE_NONE)
                return end;
        }
    }
    return NODE_NONE;
}

static void plan_hand_over(struct plan_table *table, struct plan_search *search, unsigned from)
{
    unsigned to = plan_search_run(table, search, from);

    assert(to != NODE_NONE); /* the quotas can be met */
    while (to != from) {
        unsigned giver = search->parent[to];
        unsigned slot = plan_slot_of(table, search->shard[to], giver);
        assert(plan_may(table, search->shard[to], slot, to));
        plan_put(table, search->shard[to], slot, to);
        to = giver;
    }
}

static enum status plan_level(struct plan_table *table, struct error *err)
{
    struct plan_search search;
    uint64_t cost_min = plan_cost_min(table);

    enum status status = plan_search_init(&search, table->nodes_count);
    for (unsigned n = 0; n < table->nodes_count && status == STATUS_OK; n++) {
        while (plan_below(&table->nodes[n]) < 0) {
            struct plan_handover handover;
            if (plan_direct(table, n, cost_min, &handover))
                plan_put(table, handover.shard, handover.slot, handover.to);
            else
                plan_hand_over(table, &search, n);
        }
    }
    plan_search_fini(&search);
    return status == STATUS_OK ? STATUS_OK : error_set(err, status, "memory ran out");
}

/* ---- swaps ---- */

struct plan_place {
    unsigned shard, slot;
};

static unsigned plan_at(const struct plan_table *table, struct plan_place place)
{
    return plan_slots(table, place.shard)[place.slot];
}

static bool plan_may_swap(const struct plan_table *table, struct plan_place a, struct plan_place b)
{
    return plan_at(table, a) != plan_at(table, b) &&
           plan_may(table, a.shard, a.slot, plan_at(table, b)) &&
           plan_may(table, b.shard, b.slot, plan_at(table, a));
}

/* What a swap adds to the cost. */
static int plan_swap_cost(const struct plan_table *table, struct plan_place a, struct plan_place b)
{
    return (int)plan_cost_with(table, a.shard, a.slot, plan_at(table, b)) -
           (int)plan_cost_with(table, a.shard, a.slot, NODE_NONE) +
           (int)plan_cost_with(table, b.shard, b.slot, plan_at(table, a)) -
           (int)plan_cost_with(table, b.shard, b.slot, NODE_NONE);
}

/* What a swap adds to the moves. */
static int plan_swap_moves(const struct plan_table *table, struct plan_place a, struct plan_place b)
{
    unsigned x = plan_at(table, a), y = plan_at(table, b);

    return plan_bit(table, table->held, x, a.shard) + plan_bit(table, table->held, y, b.shard) -
           plan_bit(table, table->held, y, a.shard) - plan_bit(table, table->held, x, b.shard);
}

static void plan_swap(struct plan_table *table, struct plan_place a, struct plan_place b)
{
    unsigned x = plan_at(table, a), y = plan_at(table, b);

    plan_put(table, a.shard, a.slot, y);
    plan_put(table, b.shard, b.slot, x);
}

/* A swap that makes the whole cheaper for at most so many moves. */
static bool plan_spread_one(struct plan_table *table, struct plan_place a, int moves_max, uint64_t *looks)
{
    for (unsigned i = 1; i<table->shards && * looks> 0; i++) {
        struct plan_place b = { .shard = (a.shard + i) % table->shards };
        for (b.slot = 0; b.slot < table->copies; b.slot++) {
            *looks -= *looks > 0;
            if (plan_may_swap(table, a, b) && plan_swap_moves(table, a, b) <= moves_max &&
                plan_swap_cost(table, a, b) < 0) {
                plan_swap(table, a, b);
                return true;
            }
        }
    }
    return false;
}

static void plan_spread(struct plan_table *table)
{
    uint64_t cost_min = plan_cost_min(table);

    for (int moves_max = 0; moves_max <= 2; moves_max++) {
        uint64_t looks = PLAN_LOOKS_MAX;
        for (struct plan_place a = { .shard = 0 }; a.shard < table->shards; a.shard++) {
            for (a.slot = 0; a.slot < table->copies; a.slot++) {
                if (table->cost <= cost_min || looks == 0)
                    break;
                if (plan_cost_with(table, a.shard, a.slot, NODE_NONE) > 0)
                    plan_spread_one(table, a, moves_max, &looks);
            }
        }
    }
}

/* The shard at a has somebody new, and `owner`, who had it before, has something new elsewhere: swap them. */
static bool plan_return_one(struct plan_table *table, struct plan_place a, unsigned owner, uint64_t *looks)
{
    for (struct plan_place b = { .shard = plan_next_held(table, owner, 0) };
         b.shard<table->shards && * looks> 0; b.shard = plan_next_held(table, owner, b.shard + 1)) {
        (*looks)--;
        b.slot = plan_slot_of(table, b.shard, owner);
        if (plan_swap_moves(table, a, b) < 0 && plan_may_swap(table, a, b) &&
            plan_swap_cost(table, a, b) <= 0) {
            plan_swap(table, a, b);
            return true;
        }
    }
    return false;
}

static void plan_return(struct plan_table *table, const struct cluster_map *map, const uint16_t *old)
{
    uint64_t looks = PLAN_LOOKS_MAX;

    for (unsigned shard = 0; shard < table->shards && old != NULL; shard++) {
        for (unsigned i = 0; i < map->replicas; i++) {
            unsigned owner = old[(size_t)shard * map->replicas + i];
            if (owner >= table->nodes_count || plan_bit(table, table->holds, owner, shard))
                continue;
            bool done = false;
            for (struct plan_place a = { .shard = shard }; a.slot < table->copies && !done; a.slot++) {
                if (!plan_bit(table, table->held, plan_at(table, a), shard))
                    done = plan_return_one(table, a, owner, &looks);
            }
        }
    }
}

/* ---- the result ---- */

static bool plan_written(const uint16_t *owners, unsigned count, unsigned node)
{
    for (unsigned i = 0; i < count; i++) {
        if (owners[i] == node)
            return true;
    }
    return false;
}

/* Who stays keeps his rank among a shard's owners; who is new comes behind. */
static void plan_write_shard(const struct plan_table *table, unsigned shard, const uint16_t *old,
                             unsigned replicas, uint16_t *owners)
{
    unsigned count = 0;

    for (unsigned i = 0; i < replicas && old != NULL; i++) {
        if (old[i] < table->nodes_count && plan_bit(table, table->holds, old[i], shard) &&
            !plan_written(owners, count, old[i]))
            owners[count++] = old[i];
    }
    for (unsigned slot = 0; slot < table->copies; slot++) {
        unsigned node = plan_slots(table, shard)[slot];
        if (!plan_bit(table, table->held, node, shard))
            owners[count++] = (uint16_t)node;
    }
    assert(count == table->copies);
    while (count < replicas)
        owners[count++] = NODE_NONE;
}

static void plan_count_shard(const struct plan_table *table, unsigned shard, struct plan_change *change)
{
    const uint16_t *slots = plan_slots(table, shard);
    bool host = false, colo = false;

    for (unsigned i = 0; i < table->copies; i++) {
        change->moved += !plan_bit(table, table->held, slots[i], shard);
        for (unsigned k = 0; k < i; k++) {
            host = host || table->nodes[slots[i]].host == table->nodes[slots[k]].host;
            colo = colo || table->nodes[slots[i]].share.colo == table->nodes[slots[k]].share.colo;
        }
    }
    change->same_host += host;
    change->same_colo += colo;
}

enum status plan_owners(const struct cluster_map *map, const uint16_t *old, const bool *take,
                        uint16_t *owners, struct plan_change *change, struct error *err)
{
    struct plan_table table;

    enum status status = plan_table_init(&table, map, take, err);
    if (status == STATUS_OK) {
        plan_load(&table, map, old);
        status = plan_quotas(&table, err);
    }
    if (status == STATUS_OK)
        status = plan_fill(&table, err);
    if (status == STATUS_OK)
        status = plan_level(&table, err);
    if (status == STATUS_OK) {
        plan_spread(&table);
        plan_return(&table, map, old);
        *change = (struct plan_change){ .moved = 0 };
        for (unsigned shard = 0; shard < table.shards; shard++) {
            size_t at = (size_t)shard * map->replicas;
            plan_write_shard(&table, shard, old == NULL ? NULL : old + at, map->replicas, owners + at);
            plan_count_shard(&table, shard, change);
        }
    }
    plan_table_fini(&table);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "plan");
}
