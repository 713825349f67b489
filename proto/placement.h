/* placement.h: digest and base_time -> shard -> owners, then handoffs. A look-up in the map, the same for nodes, clients
 * and the indexer. Pure. */
#ifndef PROTO_PLACEMENT_H
#define PROTO_PLACEMENT_H

#include "proto/cluster_map.h"
#include "proto/digest.h"

const struct map_era *placement_era(const struct cluster_map *map, int64_t base_time);

/* The owners of a shard: *count (at most replicas) indexes into map->nodes, borrowed from the map. */
const uint16_t *placement_owners(const struct cluster_map *map, int64_t base_time, unsigned shard,
                                 unsigned *count);
bool placement_owns(const struct cluster_map *map, int64_t base_time, unsigned shard, unsigned node);

/* Who stands in, best first: the nodes that are neither owners nor out, in the order of FORMATS.md section 7.
 * order holds map->nodes_count; returns how many. */
unsigned placement_handoffs(const struct cluster_map *map, const struct run_key *run,
                            unsigned shard, uint16_t *order);
uint64_t placement_handoff_score(const char *node_id, const struct run_key *run, unsigned shard);

#endif
