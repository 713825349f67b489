/* release_plan.h: which data files the map does not give to this node: what there is to give up, in the order that is best
 * for readers. Looks at the store's tables only: no disk.
 *
 * Newest base_time first: what is asked for most is read from its owners soon, and the oldest run expires before long. A file of this
 * process that was written to lately is left for later: sealing it would only make the shard's next message open another. */
#ifndef STORAGED_PEERS_RELEASE_PLAN_H
#define STORAGED_PEERS_RELEASE_PLAN_H

#include "proto/cluster_map.h"
#include "storaged/store/store.h"

enum { RELEASE_PLAN_FILES_MAX = 65536 }; /* of more the rest is found by the next plan */

struct release_plan_file {
    unsigned shard;
    uint64_t birth, size, count;
};

struct release_plan_run {
    struct run_key run;
    size_t first, count; /* of its files */
};

struct release_plan {
    uint64_t files_total, bytes_total; /* all that are not this node's, those that are left for later too */
    struct release_plan_run *runs; /* owned; newest base_time first */
    size_t runs_count;
    struct release_plan_file *files; /* owned */
    size_t files_count;
};

/* self: in map->nodes, NODE_NONE: it owns nothing. Files of this process written to within settle_s seconds are counted and not
 * planned. Runs that are retired or purged go as a whole, and are passed over. */
void release_plan_make(struct release_plan *plan, struct store *store,
                       const struct cluster_map *map, unsigned self, uint64_t settle_s);
void release_plan_free(struct release_plan *plan); /* safe on zeroes, and twice */

#endif
