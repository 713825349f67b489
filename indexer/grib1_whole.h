/* grib1_whole.h: an edition 1 head made into a whole message again, without its values. Pure.
 *
 * ecCodes reads an edition 1 message that is cut behind its headers only up to section 2: what it knows of the grid and of
 * packing it learns from section 4. So the head gets an empty section 4 and an end: no bitmap, lengths that fit, values of no
 * bits. Grid points in second-order packing need octets of section 4 that a head has not got: they are declared simple, and
 * the caller is told. */
#ifndef INDEXER_GRIB1_WHOLE_H
#define INDEXER_GRIB1_WHOLE_H

#include "proto/grib_head.h"

#include <stdbool.h>

/* Appends the message. *packing_known: its packingType is that of the original, and octet 11 of the head's section 4 is how
 * many bits a value has (in the message there are 0). MALFORMED: the
 * head has not got the octets of section 4, or is too long for an edition 1 message. */
enum status grib1_whole(const struct grib_head *head, struct buf *message, bool *packing_known,
                        struct error *err);

#endif
