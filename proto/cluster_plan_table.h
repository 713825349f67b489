/* cluster_plan_table.h: a table of owners under construction: who holds what, what is allowed, what it costs. Pure. */
#ifndef PROTO_CLUSTER_PLAN_TABLE_H
#define PROTO_CLUSTER_PLAN_TABLE_H

#include "proto/cluster_map.h"
#include "proto/cluster_plan_share.h"

/* What two copies of a shard on one host cost, against 1 for two in one colo. */
enum { PLAN_HOST_COST = 16 };

struct plan_node {
    struct plan_member share; /* weight 0: takes nothing */
    uint16_t host;            /* a number, as share.colo: the same for the same text */
    uint32_t count;           /* shards it holds now */
    uint64_t hash;            /* of its id: breaks ties */
};

struct plan_table {
    unsigned shards, copies, nodes_count, words;
    struct plan_node *nodes; /* owned */
    uint16_t *slots; /* owned; shards * copies, NODE_NONE where free: the free ones are a shard's last */
    uint64_t *holds; /* owned; a bit per node and shard */
    uint64_t *held;  /* owned; the same of the table before */
    uint64_t cost;   /* the sum over the shards */
};

/* Numbers hosts and colos and decides on groups: hosts, while there are `copies` of them among the nodes taken (then copies on
 * one host can't happen), else each node is one (then they cost). BAD_VALUE when no node is taken, NO_MEMORY. */
enum status plan_table_init(struct plan_table *table, const struct cluster_map *map,
                            const bool *take, struct error *err);
void plan_table_fini(struct plan_table *table); /* also after a failed init */

static inline uint16_t *plan_slots(const struct plan_table *table, unsigned shard)
{
    return table->slots + (size_t)shard * table->copies;
}

static inline bool plan_bit(const struct plan_table *table, const uint64_t *bits, unsigned node,
                            unsigned shard)
{
    return (bits[(size_t)node * table->words + shard / 64] >> shard % 64 & 1) != 0;
}

static inline void plan_bit_set(const struct plan_table *table, uint64_t *bits, unsigned node,
                                unsigned shard)
{
    bits[(size_t)node * table->words + shard / 64] |= UINT64_C(1) << shard % 64;
}

/* The next shard that the node holds from `shard` on; table->shards when none. */
unsigned plan_next_held(const struct plan_table *table, unsigned node, unsigned shard);

/* May the node stand in this slot, whoever stands there now? */
bool plan_may(const struct plan_table *table, unsigned shard, unsigned slot, unsigned node);

/* What the shard costs with the node in this slot; with NODE_NONE as it is. */
unsigned plan_cost_with(const struct plan_table *table, unsigned shard, unsigned slot, unsigned node);

/* Put the node (or NODE_NONE) there in place of whoever is. */
void plan_put(struct plan_table *table, unsigned shard, unsigned slot, unsigned node);

unsigned plan_slot_of(const struct plan_table *table, unsigned shard, unsigned node); /* it has to be there */

/* The least that a table with these quotas may cost: a host or colo with more than `shards` has some twice. */
uint64_t plan_cost_min(const struct plan_table *table);

#endif
