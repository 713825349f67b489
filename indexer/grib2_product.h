/* grib2_product.h: what a product definition template of edition 2 says of its field beside parameter, level, time and member. Pure.
 *
 * Which product of an ensemble it is (mean, spread, probability, percentile, cluster), which constituent, size, wave length, spectral
 * band, tile or post-processing: fields that differ in these alone are different fields, and nothing in the mars namespace says so outside
 * of ECMWF's own streams. Names are ecCodes'; WMO FM 92 GRIB, templates 4.2 to 4.91. Octets that are all ones say nothing. */
#ifndef INDEXER_GRIB2_PRODUCT_H
#define INDEXER_GRIB2_PRODUCT_H

#include "proto/base/json_write.h"
#include "proto/grib_head.h"

#include <stdbool.h>

/* Members of an open object: those that the template has; none of edition 1. */
void grib2_product_put(const struct grib_head *head, struct json_writer *json);

/* Whether it is the name of one of them. */
bool grib2_product_has_key(struct slice name);

/* The names one by one, some more than once, for who tests tables against this one; NULL past the last. */
const char *grib2_product_key(size_t i);

#endif
