/* grib_packing.h: how the values of a field are packed and where they lie, from the octets of its head. Pure.
 *
 * All keys that depend on the values, and on nothing else, are made here: fields whose heads differ in their dates and values alone have
 * the same other keys. Sections of a head: FORMATS.md section 2; WMO FM 92 GRIB, templates 5.0 to 5.61 and 5.200, edition 1 section 4. */
#ifndef INDEXER_GRIB_PACKING_H
#define INDEXER_GRIB_PACKING_H

#include "proto/base/json_write.h"
#include "proto/grib_head.h"

#include <stdbool.h>

/* value = (referenceValue + X * 2^binaryScaleFactor) / 10^decimalScaleFactor. What a template lacks is not there. */
struct grib_packing {
    bool has_bits, has_reference, has_scales;
    unsigned bits_per_value;
    double reference_value; /* finite; edition 1: from IBM's format */
    int binary_scale, decimal_scale;
};

/* Nothing of a template that is not known, or of a section that is too short. */
void grib_packing_read(const struct grib_head *head, struct grib_packing *packing);

/* Members of an open object: bitsPerValue, referenceValue, binaryScaleFactor, decimalScaleFactor; those that are there. */
void grib_packing_put(const struct grib_head *head, struct json_writer *json);

/* Where the data section (edition 2: 7, edition 1: 4) lies in the message, of which head is the only field (a
 * head does not tell that, so the caller does: in a message of several it is not known where). False: the head does not say. */
bool grib_packing_place(const struct grib_head *head, uint64_t *offset, uint64_t *length);

/* The names of all keys that are made of this: those of grib_packing_put(), data_offset, data_length. Ended by NULL. */
extern const char *const grib_packing_keys[];

#endif
