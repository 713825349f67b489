/* renamed.h: a node that was down when it was renamed is started by its new name: the others have the map that says so. */
#ifndef STORAGED_RENAMED_H
#define STORAGED_RENAMED_H

#include "proto/cluster_map.h"
#include "proto/security.h"

enum { RENAMED_TIMEOUT_MS = 3000, RENAMED_ASKED_MAX = 32 };

/* Asks the indexers and the other nodes of the map that the node has, one after the other, for one that calls node id by url:
 * of the same cluster and shards, and newer. *newer: the caller's. NOT_FOUND: nobody gave one. [blocking] */
enum status renamed_ask(const struct security *security, const struct cluster_map *map, const char *id,
                        const char *url, struct cluster_map **newer, struct error *err);

/* May `theirs` take the place of `ours`, and calls it the node by url? Pure. */
bool renamed_fits(const struct cluster_map *ours, const struct cluster_map *theirs, const char *id,
                  const char *url);

#endif
