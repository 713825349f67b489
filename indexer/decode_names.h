/* decode_names.h: what a field's parameter is called, remembered.
 *
 * ecCodes looks for a name among thousands of conditions, anew for each of the four: two thirds of the time of a head. The
 * conditions ask for octets of sections 0 to 4, but for none of those that say when or which member. So fields that differ in these
 * alone have the same names; what was found for one is kept for the next. Known by SHA-256 of the octets: hostile heads
 * can't meet. One thread. */
#ifndef INDEXER_DECODE_NAMES_H
#define INDEXER_DECODE_NAMES_H

#include "proto/digest.h"
#include "proto/grib_head.h"

enum { DECODE_NAME_SIZE = 256 };

struct decode_names {
    char param[DECODE_NAME_SIZE], name[DECODE_NAME_SIZE], units[DECODE_NAME_SIZE]; /* "": absent */
    long param_id;
    bool has_param_id;
};

/* What decides the names of a field. */
void decode_names_key(const struct grib_head *head, struct digest *key);

/* NULL: not known. The answer holds until the next keep. */
const struct decode_names *decode_names_find(const struct digest *key);
void decode_names_keep(const struct digest *key, const struct decode_names *names); /* copied */

#endif
