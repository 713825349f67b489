/* grib_octets.h: the octets of a head that decide what a field is called, kept to name it anew. Pure.
 *
 * Names depend on the release of ecCodes and its tables. What they are made of is small: edition 2, discipline, sections 1,
 * 2 and 4; edition 1, section 1. A document keeps these, so that another release can name a field without its message. Not kept are
 * dates, which the document has, so that fields that differ in dates alone keep the same octets; coordinates of levels behind a template
 * (thousands of octets that name nothing); what depends on the values. FORMATS.md section 9. */
#ifndef INDEXER_GRIB_OCTETS_H
#define INDEXER_GRIB_OCTETS_H

#include "proto/base/buf.h"
#include "proto/grib_head.h"

#include <stdbool.h>

enum { GRIB_OCTETS_SIZE_MAX = 1024 };

/* Writes them and returns how many there are; 0: more than GRIB_OCTETS_SIZE_MAX, nothing is kept of such a head. */
size_t grib_octets_keep(const struct grib_head *head, uint8_t octets[GRIB_OCTETS_SIZE_MAX]);

/* Appends a head that has the kept octets: of this reference time, its interval (where it has one) ending at `end`. Its grid and its
 * packing are made up, and nothing they say is to be believed. MALFORMED: these octets were not kept by grib_octets_keep(). */
enum status grib_octets_to_head(const uint8_t *octets, size_t size, int64_t base_time, int64_t end,
                                struct buf *head, struct error *err);

#endif
