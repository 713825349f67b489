/* map_authority.h: the cluster map: kept in the catalog, compare and set on epoch, told to nodes.
 *
 * States: searching (no map yet: the seeds are asked; ready once the reachable seeds are of one cluster, whose highest map is taken into the catalog if that
 * has none or an older one), known. A node that shows a lower epoch is told; one that shows a higher one is asked for it (an indexer with an older catalog). */
#ifndef INDEXER_MAP_AUTHORITY_H
#define INDEXER_MAP_AUTHORITY_H

#include "indexer/indexer.h"
#include "proto/cluster_map.h"

enum status map_authority_start(struct indexer *indexer, struct error *err);
void map_authority_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

/* The map now, borrowed until the next return to the loop (map_ref to keep); NULL: not known yet, why says what is waited for. */
struct cluster_map *map_authority_map(const struct indexer *indexer);
const char *map_authority_why(const struct indexer *indexer);
/* A node's answer showed this epoch (and cluster). */
void map_authority_seen(struct indexer *indexer, const char *node_url, const char *cluster,
                        uint64_t epoch);
/* A change of the indexer's own, of the map of epoch `was`: by compare and set as an admin's. on_done once, later: OK, it rules; STALE_EPOCH: there is
 * another one. */
void map_authority_put(struct indexer *indexer, struct cluster_map *map, uint64_t was,
                       void (*on_done)(void *data, enum status status, const struct error *err),
                       void *data);
/* Called by it when the map changed: tails follow its nodes. */
void tails_on_map(struct indexer *indexer, struct cluster_map *map);

void map_authority_get_route(struct http_exchange *ex); /* GET /v1/cluster/map */
void map_authority_put_route(struct http_exchange *ex); /* PUT, If-Match: epoch (no map yet: 0); 412 with the newer map */

#endif
