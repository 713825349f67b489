/* cluster_map.h: epoch, shards, replicas, the nodes with host, colo and weight, and the eras of owners. FORMATS.md section 7.
 *
 * A map is immutable once it is shared: it is counted (map_ref/map_unref, thread-safe), and a newer one takes its place. */
#ifndef PROTO_CLUSTER_MAP_H
#define PROTO_CLUSTER_MAP_H

#include "proto/base/buf.h"
#include "proto/run.h"

#include <stdatomic.h>

enum {
    MAP_NODES_MAX = 1000,
    MAP_ERAS_MAX = 1000,
    MAP_SHARDS_MAX = 16384,
    MAP_REPLICAS_MAX = 8,
    MAP_SHARDS_DEFAULT = 32,
    MAP_INDEXERS_MAX = 16,
    MAP_WEIGHT_MAX = 1000000,
    MAP_JSON_SIZE_MAX = 64 << 20,
    NODE_ID_SIZE_MAX = 64,
    URL_SIZE_MAX = 255,
    CLUSTER_ID_SIZE = 32,
    NODE_NONE = 0xffff, /* no node, in an owner table */
};

enum node_state { NODE_IN, NODE_RETIRING, NODE_EVACUATING, NODE_OUT };

struct map_node {
    char id[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1]; /* "http://127.0.0.1:8410", without a slash at the end */
    char host[NODE_ID_SIZE_MAX + 1];
    char colo[NODE_ID_SIZE_MAX + 1];
    uint32_t weight;
    enum node_state state;
};

struct map_era {
    bool first;   /* from the beginning of time; from is not used */
    int64_t from; /* base_time, seconds since 1970 */
    uint16_t *owners; /* owned: shards * replicas indexes into nodes; NODE_NONE behind the last of a shard with fewer */
};

struct cluster_map {
    _Atomic unsigned references;
    char cluster[CLUSTER_ID_SIZE + 1];
    uint64_t epoch;
    unsigned shards, replicas, min_replicas;
    bool paused; /* nothing is pulled, nothing given up (ARCHITECTURE.md, section 18) */
    unsigned indexers_count, nodes_count, eras_count;
    char indexers[MAP_INDEXERS_MAX][URL_SIZE_MAX + 1];
    struct map_node *nodes; /* owned */
    struct map_era *eras;   /* owned; ascending */
};

/* A map with one reference, or NULL and err: BAD_VALUE names the member; unknown nodes in an era are named. */
struct cluster_map *map_parse(const void *json, size_t size, struct error *err);
void map_print(const struct cluster_map *map, struct buf *buf); /* JSON */

/* The map of a cluster of one: epoch 0, one replica, one era. url may be "". NULL when memory runs out, as map_copy(). */
struct cluster_map *map_single(const char *cluster, unsigned shards, const char *id,
                               const char *url, const char *host, const char *colo, uint32_t weight);
struct cluster_map *map_copy(const struct cluster_map *map); /* deep, one reference: to be changed before it is shared */
struct cluster_map *map_ref(struct cluster_map *map);
void map_unref(struct cluster_map *map); /* NULL is fine */

const struct map_node *map_find(const struct cluster_map *map, const char *id); /* NULL when not there */
unsigned map_index(const struct cluster_map *map, const char *id); /* NODE_NONE when not there */
bool node_id_valid(const char *id);
bool node_url_valid(const char *url); /* http:// or https://, host, optional port, no path */
const char *node_state_name(enum node_state state);
bool node_state_parse(const char *name, enum node_state *state);
void cluster_id_make(char id[CLUSTER_ID_SIZE + 1]); /* random */

#endif
