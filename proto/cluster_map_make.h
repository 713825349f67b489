/* cluster_map_make.h: how a map is put together, for the files of the cluster map itself. */
#ifndef PROTO_CLUSTER_MAP_MAKE_H
#define PROTO_CLUSTER_MAP_MAKE_H

#include "proto/cluster_map.h"

/* A map with one reference and room for so many nodes and eras; the counts are 0 and go up as they are filled in, so that
 * map_unref() is right at any time. NULL when memory runs out. */
struct cluster_map *map_new(size_t nodes, size_t eras);

/* map_copy() with room for so many nodes and eras more. */
struct cluster_map *map_copy_with_room(const struct cluster_map *map, size_t nodes, size_t eras);

/* The owner table of an era, all NODE_NONE, for map->eras[].owners; NULL when memory runs out. */
uint16_t *map_owners_new(const struct cluster_map *map);

/* text has to fit into size bytes. */
void map_text_copy(char *to, size_t size, const char *text);

bool cluster_id_valid(const char *id);

#endif
