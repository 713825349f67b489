/* grib_head.h: the sections of a message, its base_time, and the header bytes of each field without the values.
 *
 * WMO FM 92 GRIB, editions 1 and 2; FORMATS.md sections 1 to 3. Nothing here knows what a parameter is. Sections are
 * walked by their lengths, each checked against the message. Pure; owns nothing. */
#ifndef PROTO_GRIB_HEAD_H
#define PROTO_GRIB_HEAD_H

#include "proto/base/buf.h"
#include "proto/digest.h"

enum {
    GRIB_IDENTITY_SIZE = 16,
    GRIB_FIELD_HEAD_SIZE_MAX = 1 << 20,
    GRIB_FIELDS_MAX = 65535,
    GRIB_BASE_TIME_PREFIX = 64, /* so many first bytes of a message are enough for grib_base_time() (or all of it) */
};

/* The reference time of a message from its first bytes. BAD_DATE: it does not exist (the text shows it);
 * BAD_GRIB: the bytes are too short or no GRIB. */
enum status grib_base_time(const uint8_t *data, size_t size, int64_t *base_time, struct error *err);

/* Where bytes of a message come from: memory, or a file read piecewise (a head must not need the values to be read).
 * read() fills all of size bytes at offset, or fails. */
struct grib_source {
    uint64_t size; /* of the message */
    enum status (*read)(struct grib_source *source, uint64_t offset, void *data, size_t size,
                        struct error *err);
};
struct grib_memory {
    struct grib_source source;
    const uint8_t *data; /* borrowed */
};
void grib_memory_init(struct grib_memory *memory, const void *data, size_t size);

/* Append the heads of all fields of a message, in the form of POST /cluster/heads: u16 count, then u32 length and bytes
 * each. BAD_GRIB when sections do not fit each other or the message. On failure the buffer is as it was. */
enum status grib_heads(struct grib_source *source, struct buf *heads, struct error *err);

/* The sections of one head, as slices into it; absent ones have size 0. Index = section number, 0 to 6. */
struct grib_head {
    uint8_t edition;
    struct slice section[7]; /* edition 1: 0, 1, 2 and 4; edition 2: 0 to 6 */
};
enum status grib_head_parse(const uint8_t *data, size_t size, struct grib_head *head, struct error *err);

/* Which field it is, whatever its values: FORMATS.md section 3. */
void grib_head_identity(const struct grib_head *head, uint8_t identity[GRIB_IDENTITY_SIZE]);

#endif
