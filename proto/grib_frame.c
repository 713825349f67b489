/* grib_frame.c: find where one GRIB message begins and ends in a stream of bytes.
 *
 * Three stages, each over when it has its bytes: the head (8 octets, 16 for edition 2 or a walk), in edition 1 with bit 23
 * the walk, then the body up to the size that these gave.
 *
 * The walk. ECMWF's writers put messages of 16 MiB and more into edition 1, whose length has 24 bits, by counting in units of
 * 120 octets and keeping the remainder in section 4's length, where no plain message has less than 120. A plain message of 8 MiB
 * or more has the same bit set; only section 4 tells them apart (ecCodes 2.50 writes and reads both). */
#include "proto/grib_frame.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>

enum {
    MAGIC_SIZE = 4,
    TRAILER_SIZE = 4,
    EDITION1_HEAD_SIZE = 8,
    EDITION1_SECTION1_MIN = 28,
    EDITION1_SECTION4_MIN = 11,
    EDITION1_SIZE_MIN = 8 + EDITION1_SECTION1_MIN + EDITION1_SECTION4_MIN + TRAILER_SIZE,
    EDITION2_SIZE_MIN = 16 + 21 + TRAILER_SIZE,
    EXTENDED_BIT = 1 << 23,
    EXTENDED_UNIT = 120,
    HAS_SECTION2 = 0x80,
    HAS_SECTION3 = 0x40,
};

void grib_frame_init(struct grib_frame *frame)
{
    *frame = (struct grib_frame){ .size = 0 };
}

static enum status frame_set_size(struct grib_frame *frame, uint64_t size, uint64_t size_min,
                                  struct error *err)
{
    if (size < size_min)
        return error_set(err, STATUS_BAD_GRIB,
                         "a length of %" PRIu64 " bytes is too short for its sections", size);
    if (size > GRIB_MESSAGE_SIZE_MAX)
        return error_set(err, STATUS_TOO_LARGE, "a message of %" PRIu64 " bytes, more than %d",
                         size, GRIB_MESSAGE_SIZE_MAX);
    frame->size = size;
    frame->walk = 0;
    return STATUS_OK;
}

/* How much of the head there has to be before anything more can be said. */
static unsigned frame_head_size(const struct grib_frame *frame)
{
    if (frame->seen < EDITION1_HEAD_SIZE)
        return EDITION1_HEAD_SIZE;
    bool plain = frame->edition == 1 && (get_u24(frame->head + 4) & EXTENDED_BIT) == 0;
    return plain ? EDITION1_HEAD_SIZE : GRIB_HEAD_SIZE;
}

/* The first 8 octets are there. */
static enum status frame_on_edition(struct grib_frame *frame, struct error *err)
{
    uint32_t length = get_u24(frame->head + 4);
    unsigned edition = frame->head[7];

    if (edition != 1 && edition != 2)
        return error_set(err, STATUS_BAD_GRIB, "edition %u is not supported (1 and 2 are)", edition);
    frame->edition = (uint8_t)edition;
    if (edition == 1 && (length & EXTENDED_BIT) == 0)
        return frame_set_size(frame, length, EDITION1_SIZE_MIN, err);
    return STATUS_OK;
}

/* The section at frame->section is so long; which one comes next? */
static void frame_next_section(struct grib_frame *frame, uint32_t length)
{
    uint8_t flags = frame->head[15];

    frame->section += length;
    do {
        frame->walk++;
    } while ((frame->walk == 2 && (flags & HAS_SECTION2) == 0) ||
             (frame->walk == 3 && (flags & HAS_SECTION3) == 0));
}

/* All 16 octets of the head are there: edition 2's length, or, in a walk, section 1's length and flags. */
static enum status frame_on_head(struct grib_frame *frame, struct error *err)
{
    if (frame->edition == 2)
        return frame_set_size(frame, get_u64(frame->head + 8), EDITION2_SIZE_MIN, err);

    uint32_t length = get_u24(frame->head + 8);
    if (length < EDITION1_SECTION1_MIN)
        return error_set(err, STATUS_BAD_GRIB, "section 1 of %" PRIu32 " octets", length);
    frame->section = EDITION1_HEAD_SIZE;
    frame->walk = 1;
    frame_next_section(frame, length);
    return STATUS_OK;
}

static enum status frame_take_head(struct grib_frame *frame, uint8_t byte, struct error *err)
{
    frame->head[frame->seen++] = byte;
    if (frame->seen <= MAGIC_SIZE && byte != (uint8_t) "GRIB"[frame->seen - 1])
        return error_set(err, STATUS_BAD_GRIB, "it does not begin with GRIB");
    if (frame->seen == EDITION1_HEAD_SIZE)
        return frame_on_edition(frame, err);
    if (frame->seen == GRIB_HEAD_SIZE)
        return frame_on_head(frame, err);
    return STATUS_OK;
}

/* The length of the section that was waited for is there. */
static enum status frame_on_section(struct grib_frame *frame, struct error *err)
{
    uint32_t length = get_u24(frame->length);
    uint64_t total = get_u24(frame->head + 4);

    if (frame->walk < 4) {
        if (length < sizeof frame->length)
            return error_set(err, STATUS_BAD_GRIB, "section %u of %" PRIu32 " octets", frame->walk,
                             length);
        frame_next_section(frame, length);
        return STATUS_OK;
    }
    if (length < EXTENDED_UNIT) {
        total = (total & (EXTENDED_BIT - 1)) * EXTENDED_UNIT + TRAILER_SIZE;
        total -= length < total ? length : total;
    }
    return frame_set_size(frame, total, frame->section + EDITION1_SECTION4_MIN + TRAILER_SIZE, err);
}

/* In a walk: pass over what lies before the section's length, then gather that. */
static enum status frame_take_walk(struct grib_frame *frame, const uint8_t *chunk, size_t size,
                                   size_t *took, struct error *err)
{
    if (frame->seen < frame->section) {
        uint64_t gap = frame->section - frame->seen;
        *took = gap < size ? (size_t)gap : size;
        frame->seen += *took;
        return STATUS_OK;
    }
    *took = 1;
    frame->length[frame->seen - frame->section] = chunk[0];
    frame->seen++;
    if (frame->seen == frame->section + sizeof frame->length)
        return frame_on_section(frame, err);
    return STATUS_OK;
}

/* The size is known: take up to the end, and keep the last four bytes. */
static size_t frame_take_body(struct grib_frame *frame, const uint8_t *chunk, size_t size)
{
    uint64_t left = frame->size - frame->seen;
    uint64_t trailer = frame->size - TRAILER_SIZE;
    size_t took = left < size ? (size_t)left : size;

    assert(frame->seen < frame->size);
    frame->seen += took;
    for (uint64_t at = frame->seen - took > trailer ? frame->seen - took : trailer; at < frame->seen; at++)
        frame->tail[at - trailer] = chunk[took - (frame->seen - at)];
    return took;
}

enum status grib_frame_feed(struct grib_frame *frame, const uint8_t *chunk, size_t size,
                            size_t *used, struct error *err)
{
    enum status status = STATUS_OK;

    assert(frame->size == 0 || frame->seen < frame->size);
    for (*used = 0; *used < size && status == STATUS_OK;) {
        size_t took = 1;
        if (frame->size > 0)
            took = frame_take_body(frame, chunk + *used, size - *used);
        else if (frame->seen < frame_head_size(frame))
            status = frame_take_head(frame, chunk[*used], err);
        else
            status = frame_take_walk(frame, chunk + *used, size - *used, &took, err);
        *used += took;

        if (frame->size == 0 || frame->seen < frame->size)
            continue;
        if (memcmp(frame->tail, "7777", TRAILER_SIZE) == 0)
            return STATUS_OK;
        return error_set(err, STATUS_BAD_GRIB, "no 7777 at the end of its %" PRIu64 " bytes",
                         frame->size);
    }
    return status == STATUS_OK ? STATUS_MORE : status;
}
