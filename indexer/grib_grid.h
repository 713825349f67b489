/* grib_grid.h: which grid a field lies on, as a hash. Pure.
 *
 * Fields with the same hash have the same points in the same order. */
#ifndef INDEXER_GRIB_GRID_H
#define INDEXER_GRIB_GRID_H

#include "proto/grib_head.h"

#include <stdbool.h>

enum { GRIB_GRID_HASH_SIZE = 8 };

/* The first octets of SHA-256 over section 3 (edition 2), or over section 2 but for its first five octets and its list of vertical
 * coordinates, which are of the level and not of the grid (edition 1). False: no such section (a grid known by number only). */
bool grib_grid_hash(const struct grib_head *head, uint8_t hash[GRIB_GRID_HASH_SIZE]);

/* The names of all keys of a document that are about its grid, each list ended by NULL: whole numbers of ecCodes', real ones (those of a
 * grid that has two corners, then those of a projection), and what is made otherwise. */
extern const char *const grib_grid_whole_keys[];
extern const char *const grib_grid_real_keys[];
extern const char *const grib_grid_other_keys[];

#endif
