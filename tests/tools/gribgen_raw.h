/* gribgen_raw.h: the octets of a GRIB message: where it ends, its sections, its fields, big-endian numbers.
 *
 * Written apart from the project's own framing, so that a test that compares the two compares something. It knows plain
 * lengths only: edition 1 messages of 8 MiB and more, whose length octets mean something else, are refused. Nothing is
 * allocated; all pointers go into the caller's bytes. */
#ifndef GRIBGEN_RAW_H
#define GRIBGEN_RAW_H

#include "gribgen_error.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RAW_FIELDS_MAX = 256, /* in one message */
    RAW_SECTIONS = 9,
    RAW_INDICATOR1_SIZE = 8,
    RAW_INDICATOR2_SIZE = 16,
    RAW_TRAILER_SIZE = 4,
};

struct raw_section {
    uint32_t offset; /* from the message's first byte */
    uint32_t size;   /* 0: the field has no such section */
};

/* One field: the sections in effect for it. Section 0 is the indicator. In edition 1: 1, 2, 3 (bit map), 4 (data). */
struct raw_field {
    struct raw_section section[RAW_SECTIONS];
};

struct raw_message {
    const uint8_t *bytes;
    size_t size;
    int edition;
    size_t fields_count;
    struct raw_field field[RAW_FIELDS_MAX];
};

static inline uint32_t raw_get(const uint8_t *at, int octets)
{
    uint32_t number = 0;

    for (int i = 0; i < octets; i++)
        number = number << 8 | at[i];
    return number;
}

static inline void raw_put(uint8_t *at, int octets, uint64_t number)
{
    for (int i = octets - 1; i >= 0; i--, number >>= 8)
        at[i] = (uint8_t)number;
}

/* Where does the next message begin in bytes, from offset on? size when there is none. */
size_t raw_find(const uint8_t *bytes, size_t size, size_t offset);

/* Take the message that begins at bytes apart. Fails on wrong lengths, an edition other than 1 and 2, a missing "7777", a
 * section out of place, a message without a field. */
bool raw_parse(struct raw_message *message, const uint8_t *bytes, size_t size, struct gen_error *err);

#endif
