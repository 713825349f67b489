/* cluster_plan_table.c: a table of owners under construction. */
#include "proto/cluster_plan_table.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

/* The number of the first node with this text, which is what stands for it. Nobody's host is "": such a node is its own. */
static uint16_t plan_number_of(const struct cluster_map *map, unsigned node, bool colo)
{
    const char *text = colo ? map->nodes[node].colo : map->nodes[node].host;

    if (*text == '\0' && !colo)
        return (uint16_t)node;
    for (unsigned i = 0; i < node; i++) {
        if (strcmp(colo ? map->nodes[i].colo : map->nodes[i].host, text) == 0)
            return (uint16_t)i;
    }
    return (uint16_t)node;
}

static void plan_init_nodes(struct plan_table *table, const struct cluster_map *map, const bool *take)
{
    for (unsigned i = 0; i < table->nodes_count; i++) {
        struct plan_node *node = &table->nodes[i];
        node->share.weight = take[i] ? map->nodes[i].weight : 0;
        node->host = plan_number_of(map, i, false);
        node->share.colo = plan_number_of(map, i, true);
        node->hash = XXH3_64bits(map->nodes[i].id, strlen(map->nodes[i].id));
    }
}

/* Groups are numbered as hosts are; hosts without a node taken have no weight and do no harm. */
static void plan_init_groups(struct plan_table *table, unsigned replicas)
{
    unsigned hosts = 0, taken = 0;

    for (unsigned i = 0; i < table->nodes_count; i++) {
        bool first = table->nodes[i].share.weight > 0;
        taken += first;
        for (unsigned k = 0; k < i && first; k++)
            first = table->nodes[k].share.weight == 0 || table->nodes[k].host != table->nodes[i].host;
        hosts += first;
    }
    table->copies = taken < replicas ? taken : replicas;
    for (unsigned i = 0; i < table->nodes_count; i++)
        table->nodes[i].share.group = hosts >= table->copies ? table->nodes[i].host : (uint16_t)i;
}

enum status plan_table_init(struct plan_table *table, const struct cluster_map *map,
                            const bool *take, struct error *err)
{
    *table = (struct plan_table){ .shards = map->shards,
                                  .nodes_count = map->nodes_count,
                                  .words = (map->shards + 63) / 64 };
    size_t bits = (size_t)table->nodes_count * table->words;

    table->nodes = calloc(table->nodes_count, sizeof table->nodes[0]);
    table->holds = calloc(bits, sizeof table->holds[0]);
    table->held = calloc(bits, sizeof table->held[0]);
    if (table->nodes == NULL || table->holds == NULL || table->held == NULL)
        return error_set(err, STATUS_NO_MEMORY, "memory ran out");
    plan_init_nodes(table, map, take);
    plan_init_groups(table, map->replicas);
    if (table->copies == 0)
        return error_set(err, STATUS_BAD_VALUE, "there is no node to take the shards");
    size_t slots = (size_t)table->shards * table->copies;
    table->slots = malloc(slots * sizeof table->slots[0]);
    if (table->slots == NULL)
        return error_set(err, STATUS_NO_MEMORY, "memory ran out");
    memset(table->slots, 0xff, slots * sizeof table->slots[0]);
    return STATUS_OK;
}

void plan_table_fini(struct plan_table *table)
{
    free(table->nodes);
    free(table->holds);
    free(table->held);
    free(table->slots);
    *table = (struct plan_table){ .shards = 0 };
}

unsigned plan_next_held(const struct plan_table *table, unsigned node, unsigned shard)
{
    const uint64_t *row = table->holds + (size_t)node * table->words;

    for (unsigned word = shard / 64; word < table->words; word++) {
        uint64_t bits = row[word];
        if (word == shard / 64)
            bits &= ~UINT64_C(0) << shard % 64;
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return table->shards;
}

bool plan_may(const struct plan_table *table, unsigned shard, unsigned slot, unsigned node)
{
    const uint16_t *slots = plan_slots(table, shard);

    for (unsigned i = 0; i < table->copies; i++) {
        if (i != slot && slots[i] != NODE_NONE &&
            table->nodes[slots[i]].share.group == table->nodes[node].share.group)
            return false;
    }
    return true;
}

unsigned plan_cost_with(const struct plan_table *table, unsigned shard, unsigned slot, unsigned node)
{
    const uint16_t *slots = plan_slots(table, shard);
    unsigned cost = 0;

    /* A copy costs once for its host, and once for its colo, when an earlier one is there already. */
    for (unsigned i = 1; i < table->copies; i++) {
        unsigned later = i == slot && node != NODE_NONE ? node : slots[i];
        bool host = false, colo = false;
        for (unsigned k = 0; k < i && later != NODE_NONE; k++) {
            unsigned earlier = k == slot && node != NODE_NONE ? node : slots[k];
            if (earlier == NODE_NONE)
                continue;
            host = host || table->nodes[earlier].host == table->nodes[later].host;
            colo = colo || table->nodes[earlier].share.colo == table->nodes[later].share.colo;
        }
        cost += (host ? PLAN_HOST_COST : 0u) + (colo ? 1u : 0u);
    }
    return cost;
}

void plan_put(struct plan_table *table, unsigned shard, unsigned slot, unsigned node)
{
    uint16_t *at = &plan_slots(table, shard)[slot];

    table->cost -= plan_cost_with(table, shard, slot, NODE_NONE);
    if (*at != NODE_NONE) {
        table->nodes[*at].count--;
        table->holds[(size_t)*at * table->words + shard / 64] &= ~(UINT64_C(1) << shard % 64);
    }
    *at = (uint16_t)node;
    if (node != NODE_NONE) {
        table->nodes[node].count++;
        plan_bit_set(table, table->holds, node, shard);
    }
    table->cost += plan_cost_with(table, shard, slot, NODE_NONE);
}

unsigned plan_slot_of(const struct plan_table *table, unsigned shard, unsigned node)
{
    const uint16_t *slots = plan_slots(table, shard);
    unsigned slot = 0;

    while (slots[slot] != node) {
        slot++;
        assert(slot < table->copies);
    }
    return slot;
}

static uint64_t plan_excess(const struct plan_table *table, unsigned number, bool colo)
{
    uint64_t quota = 0;

    for (unsigned i = 0; i < table->nodes_count; i++) {
        if ((colo ? table->nodes[i].share.colo : table->nodes[i].host) == number)
            quota += table->nodes[i].share.quota;
    }
    return quota > table->shards ? quota - table->shards : 0;
}

uint64_t plan_cost_min(const struct plan_table *table)
{
    uint64_t cost = 0;

    for (unsigned i = 0; i < table->nodes_count; i++)
        cost += PLAN_HOST_COST * plan_excess(table, i, false) + plan_excess(table, i, true);
    return cost;
}
