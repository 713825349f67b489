/* cluster.h: the cluster map as this node sees it: kept on disk, swapped while requests run.
 *
 * A view is a map with what belongs to it: who of its nodes is this one, and a peer for each other. It is counted and
 * never changed: a request takes one and keeps it to its end. A newer map is on disk (cluster-map.json, and node.json
 * where that changes) before anybody sees it. Thread-safe. */
#ifndef STORAGED_CLUSTER_H
#define STORAGED_CLUSTER_H

#include "storaged/node_json.h"
#include "storaged/peers/peer.h"

enum { EPOCH_TEXT_SIZE = 21 };

struct cluster_view {
    _Atomic unsigned references;
    struct cluster_map *map;    /* owned */
    unsigned self;              /* NODE_NONE: the map does not know this node, it owns nothing */
    struct peer **peers;        /* owned: one a node of the map; NULL for this one */
    char url[URL_SIZE_MAX + 1]; /* of this node */
    char epoch_text[EPOCH_TEXT_SIZE];
};

struct cluster {
    uv_mutex_t mutex;   /* of view */
    uv_mutex_t install; /* one at a time */
    struct cluster_view *view;
    struct peers peers;
    struct node_json self;         /* under install */
    char *dir;                     /* owned */
    _Atomic uint64_t epoch;        /* of the view */
    _Atomic uint64_t epoch_wanted; /* the highest that anybody named */
    /* Another number of shards than the store was opened with: may this node, which holds nothing, begin anew with it?
     * Called under install, from any thread; OK: the map is then kept on disk but not used before the node is. */
    enum status (*on_shards)(struct cluster *cluster, unsigned shards, struct error *err);
    bool (*has_data)(struct cluster *cluster);
    /* Another cluster takes in this node, which is empty: from now on it is to take nothing before it has the runs' states.
     * Called under install, from any thread, before the map is kept. */
    enum status (*on_taken_in)(struct cluster *cluster, struct error *err);
    void (*on_wanted)(struct cluster *cluster); /* a higher epoch was heard of, or it was taken in; from any thread */
    void *user;
};

/* Reads cluster-map.json. OK with *map NULL: there is none. */
enum status cluster_map_load(const char *dir, struct cluster_map **map, struct error *err);

/* Writes it; the node does not use it yet. */
enum status cluster_map_keep(const char *dir, const struct cluster_map *map, struct error *err);

/* Takes map (the caller's reference) as the first view. */
enum status cluster_init(struct cluster *cluster, const char *dir, const struct node_json *self,
                         struct cluster_map *map, struct error *err);
void cluster_fini(struct cluster *cluster);

struct cluster_view *cluster_view(struct cluster *cluster); /* a reference */
void cluster_view_release(struct cluster_view *view);

/* A newer map (a reference is taken): rules, disk, view. [blocking]
 *   OK             it is in use, or was already
 *   STALE_EPOCH    its epoch is not higher than ours
 *   OTHER_CLUSTER  another cluster's, or this node holds data that could not be in it
 *   BAD_VALUE      another number of shards
 *   OVERLOADED     not at this moment (PUTs are under way and shards would change)
 *   IO, FULL       it could not be kept */
enum status cluster_install(struct cluster *cluster, struct cluster_map *map, struct error *err);

/* Writes the map in use (that of a cluster of one, at its first start). [blocking] */
enum status cluster_save(struct cluster *cluster, struct error *err);

/* Somebody's map has this epoch. */
void cluster_heard(struct cluster *cluster, uint64_t epoch);

#endif
