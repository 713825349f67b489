/* cluster_diff.h: what differs between two cluster maps, as lines for people. Pure. */
#ifndef CLIENT_CLUSTER_DIFF_H
#define CLIENT_CLUSTER_DIFF_H

#include "proto/cluster_map.h"

enum { CLUSTER_DIFF_MAX = 64 << 10 };

/* One line a difference, each ended by a newline: epoch, settings, nodes, eras. Nothing when they are the same. */
void cluster_diff_print(const struct cluster_map *before, const struct cluster_map *now, struct buf *buf);

bool cluster_maps_equal(const struct cluster_map *a, const struct cluster_map *b);

#endif
