/* grib_frame.h: find where one GRIB message begins and ends in a stream of bytes.
 *
 * A message is "GRIB", its own length, the sections, then "7777". Edition 2 keeps the length in octets 9-16, edition 1
 * in octets 5-7; when the top bit of those is set the frame walks sections 1 to 4 first, and the length may turn out
 * plain all the same (FORMATS.md section 1). What the fields mean is the indexer's business. A frame owns no memory and
 * never allocates. Pure. */
#ifndef PROTO_GRIB_FRAME_H
#define PROTO_GRIB_FRAME_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

enum { GRIB_HEAD_SIZE = 16, GRIB_MESSAGE_SIZE_MAX = 1 << 30 };

struct grib_frame {
    uint64_t size;                /* whole message in bytes; 0 until it is known */
    uint64_t seen;                /* bytes fed so far */
    uint8_t edition;              /* 1 or 2; 0 until octet 8 */
    uint8_t head[GRIB_HEAD_SIZE]; /* gathered over chunk borders */
    uint8_t tail[4];              /* the last bytes seen, to be "7777" */
    uint8_t walk;                 /* edition 1 with bit 23: which section's length is gathered */
    uint8_t length[3];            /* that length so far */
    uint64_t section;             /* where that section begins */
};

void grib_frame_init(struct grib_frame *frame);

/* Take bytes from chunk and set *used to how many belong to this message.
 *   STATUS_MORE       the message goes on in the next chunk (*used == size)
 *   STATUS_OK         it ends at chunk[*used - 1]
 *   STATUS_BAD_GRIB   no "GRIB", an unknown edition, an impossible length, or no "7777" where the length says
 *   STATUS_TOO_LARGE  the head promises more than GRIB_MESSAGE_SIZE_MAX
 * err (may be NULL) says which. After an error the frame is spent: grib_frame_init() before the next byte. */
enum status grib_frame_feed(struct grib_frame *frame, const uint8_t *chunk, size_t size,
                            size_t *used, struct error *err);

#endif
