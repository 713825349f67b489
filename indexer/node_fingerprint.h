/* node_fingerprint.h: what the nodes hold of a run, as one number: each shard's set from an owner, after all of its owners agree. Beside the
 * index's own (census.h) it says whether index and nodes hold the same. */
#ifndef INDEXER_NODE_FINGERPRINT_H
#define INDEXER_NODE_FINGERPRINT_H

#include "indexer/indexer.h"
#include "indexer/run_holdings.h"
#include "proto/digest.h"
#include "proto/run.h"

struct node_fingerprint {
    struct digest_set set;      /* the sum over the shards that are known and agreed upon */
    uint64_t shards_disagreed;  /* owners hold different sets: sync is at it, or has to be */
    uint64_t shards_unanswered; /* no owner answered */
    uint64_t nodes_unanswered;  /* owners */
    const struct run_holdings *held; /* borrowed during the call: what each node that answered holds, owner or not */
};

/* Asks every node that is not out. on_done once, later; the result is borrowed during the call. No map: NOT_READY. */
void node_fingerprint_take(struct indexer *indexer, const struct run_key *run,
                           void (*on_done)(void *data, enum status status,
                                           const struct node_fingerprint *found),
                           void *data);

#endif
