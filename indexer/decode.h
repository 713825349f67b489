/* decode.h: a head -> the keys of its field. ecCodes, and nothing else knows it: linked into gribstore-decoder only.
 *
 * Keys follow the ecCodes `mars` and `parameter` namespaces, with the names of contracts' Fields; FORMATS.md section 9 has
 * the table of all of them. Not in here is what one head does not tell: data_offset and data_length, of which the upsert knows that a message
 * has one field only.
 *
 * A key that a field lacks is absent: absent is not 0. Absent as well, though the whole message has them: packingType
 * and bitsPerValue of second-order packing in edition 1 (grib1_whole.h), numberOfDataPoints of reduced Gaussian grids
 * with empty rows (ecCodes 2.28 aborts on them). A parameter that the release does not know is as in ecCodes:
 * param, name and units "unknown", paramId 0. */
#ifndef INDEXER_DECODE_H
#define INDEXER_DECODE_H

#include "proto/base/buf.h"

/* Parses definitions by decoding samples: tens of milliseconds, once, before the first head. */
enum status decode_warm_up(struct error *err);

/* keys: a JSON object is appended. MALFORMED: ecCodes refused, err says why. It may as well crash or hang: that is why a
 * child runs it. */
enum status decode_head(const uint8_t *head, size_t size, struct buf *keys, struct error *err);

const char *decode_release(void); /* "2.28.0" */

/* What of our own decides whether a head decodes, beside ecCodes: counted up when decode_head() takes heads that it refused before, and
 * messages in quarantine are tried again. */
enum { DECODE_FORM = 1 };

#endif
