/* grib2_plain_grid.h: an edition 2 head with a plain grid in the place of its own. Pure.
 *
 * A release of ecCodes that does not know the template of a grid (HEALPix, 3.150, before 2.31) stops reading there, in front of
 * the product: parameter, level, step and member. Which field it is does not depend on its grid, so such a head is read with a
 * grid that every release knows, and nothing that it says of the grid is believed. */
#ifndef INDEXER_GRIB2_PLAIN_GRID_H
#define INDEXER_GRIB2_PLAIN_GRID_H

#include "proto/grib_head.h"

/* Number of the grid definition template, octets 13-14 of section 3 (WMO code table 3.1). false: section 3 is too short. */
bool grib2_grid_template(const struct grib_head *head, unsigned *number);

/* Number of data points, octets 7-10 of section 3. */
bool grib2_grid_points(const struct grib_head *head, uint64_t *points);

/* Appends sections 0 to 2 as they are, a section 3 of template 3.0 with one point, and the rest as it is. */
void grib2_plain_grid(const struct grib_head *head, struct buf *plain);

#endif
