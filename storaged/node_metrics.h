/* node_metrics.h: counters of what the node does; the store and the server have their own. */
#ifndef STORAGED_NODE_METRICS_H
#define STORAGED_NODE_METRICS_H

#include "proto/base/metric.h"

extern struct metric metric_copies_kept, metric_copies_failed; /* on other nodes */
extern struct metric metric_copy_batches; /* messages of a request to another node */
extern struct metric metric_handoffs; /* messages of which a copy lies on a node that does not own it */
extern struct metric metric_body_memory;    /* reserved, of all loops */
extern struct metric metric_body_waits;     /* bodies that had to wait for memory */
extern struct metric metric_copies_damaged; /* found on the way out, here or from a peer */
extern struct metric metric_repaired, metric_missing; /* bad messages: stored anew; not yet */
extern struct metric metric_release_left, metric_released, metric_released_bytes; /* copies that are given up */
extern struct metric metric_release_refused[]; /* by enum release_code */
extern struct metric metric_synced, metric_synced_bytes,
    metric_sync_left;                    /* from other nodes: so far; of this look */
extern struct metric metric_forwarded;   /* messages passed through from another node */
extern struct metric metric_range_parts; /* of answers with ranges */

void node_metrics_register(void); /* once a process */

#endif
