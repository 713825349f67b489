/* cluster_plan.h: a table of owners with the least moves: every node within one shard of its weight's share, copies on
 * different hosts always (while there are enough hosts), and on different colos for as many shards as balance allows. Pure
 * and deterministic: the same input gives the same table everywhere.
 *
 * A host holds a shard once, so the share of its nodes together is at most all shards; what it can't take goes to the others
 * by weight. With fewer hosts than replicas that holds for each node alone, and copies share hosts as seldom as can be; with fewer
 * nodes than replicas a shard has fewer owners. A node without a host is a host of its own. Spreading over colos goes before the number
 * of moves, and is searched for, not proven. 1,000 nodes and 16,384 shards take seconds at most. */
#ifndef PROTO_CLUSTER_PLAN_H
#define PROTO_CLUSTER_PLAN_H

#include "proto/cluster_map.h"

struct plan_change {
    uint64_t moved;     /* (shard, node) pairs in the new table that the old one has not */
    uint64_t same_host; /* shards with two copies on one host */
    uint64_t same_colo; /* shards with two copies in one colo */
};

/* owners (shards * replicas, written) from the old table (NULL: none; NODE_NONE entries are free). Nodes with
 * take[node] false get nothing. BAD_VALUE when no node may be taken. */
enum status plan_owners(const struct cluster_map *map, const uint16_t *old, const bool *take,
                        uint16_t *owners, struct plan_change *change, struct error *err);

#endif
