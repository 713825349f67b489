/* cluster.h: nodes that are each a cluster of their own become one cluster. */
#ifndef CLIENT_CLUSTER_H
#define CLIENT_CLUSTER_H

#include "client/session.h"

struct cluster_init_options {
    unsigned replicas;     /* 0: 2, or 1 for one node */
    unsigned min_replicas; /* 0: min(2, replicas) */
    unsigned shards;       /* 0: the nodes' */
    uint64_t wait_ms;      /* until every node has the map */
};

/* What a node said before. */
struct cluster_member {
    const char *url;               /* by which it was asked */
    const struct cluster_map *map; /* its map */
    bool has_data;
};

/* The map of the cluster to be. At most one node may hold data, whose cluster id and shards it then is. The highest map of
 * the nodes, when they are in it already: *exists. Refused: PRECONDITION, OTHER_CLUSTER, EXISTS, with the nodes named.
 * Pure, but for a random cluster id where no node brings one. */
struct cluster_map *cluster_init_map(const struct cluster_member *members, unsigned count,
                                     const struct cluster_init_options *options, bool *exists,
                                     struct error *err);

/* Asks the nodes, makes the map, tells the indexer (or the nodes, when no indexer answers), waits until all have it. *map is
 * the caller's. *told_indexer: who keeps the map from now on. */
enum status cluster_init_nodes(struct gs_session *session, const char *const *urls, unsigned count,
                               const struct cluster_init_options *options, struct cluster_map **map,
                               bool *exists, bool *told_indexer, struct error *err);

#endif
