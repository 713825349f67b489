/* lost_nodes.h: a node that nobody has heard for `out-after` is counted out, so that its shards are made whole elsewhere. Off by default.
 *
 * Every node is asked how full it is, again and again: any answer is a sign of life. One that was *in* and has been silent for all of the time is looked
 * into: two others are asked whether they hear it, and all others what they hold; then the map without it is put by compare and set
 * (CLUSTER_LOST, cluster_change.h). Never: more than one node per out-after, over all indexers and restarts (a lease in the database says so); while more
 * than a third of the nodes are silent; where fewer than min_replicas nodes, or fewer owners of a shard, would be left; where another would be filled
 * past its high-water mark. What keeps a node in is said in /v1/status and the log.
 *
 * A node that is out stays out, whatever it says, until an admin adds it. Time in which this process did not run (SIGSTOP, a machine that slept) is no
 * node's silence. */
#ifndef INDEXER_LOST_NODES_H
#define INDEXER_LOST_NODES_H

#include "indexer/indexer.h"
#include "proto/base/json_write.h"

enum { OUT_AFTER_MS_MIN = 1000, OUT_AFTER_MS_MAX = 86400000 };

enum status lost_nodes_start(struct indexer *indexer, struct error *err); /* nothing where out-after is 0 */
void lost_nodes_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

/* {"seconds", "silent": [{"node", "seconds"}], "kept": TEXT or null, "marked_out": [{"node", "at"}]}; seconds 0: by hand only. */
void lost_nodes_print(const struct indexer *indexer, struct json_writer *json);

#endif
