/* gribgen_raw.c: the octets of a GRIB message: where it ends, its sections, its fields. */
#include "gribgen_raw.h"

#include <string.h>

/* Section 1, octet 8 of edition 1: which of the optional sections are there. */
enum { FLAG_GRID = 0x80, FLAG_BITMAP = 0x40, EDITION1_PLAIN_MAX = 0x7fffff };

/* The smallest sections that the rest of gribgen reads fixed octets from. Edition 2, by section number. */
static const uint32_t smallest2[RAW_SECTIONS] = { 0, 21, 5, 15, 9, 11, 6, 5, 0 };
static const uint32_t smallest1[] = { 0, 28, 6, 6, 11 };

/* In most files the next one begins right where the last one ended, and there is nothing to search. */
size_t raw_find(const uint8_t *bytes, size_t size, size_t offset)
{
    if (offset + 4 <= size && memcmp(bytes + offset, "GRIB", 4) == 0)
        return offset;
    const uint8_t *at = offset < size ? memmem(bytes + offset, size - offset, "GRIB", 4) : NULL;
    return at != NULL ? (size_t)(at - bytes) : size;
}

static size_t raw_size(const uint8_t *bytes, size_t size, int edition)
{
    if (edition == 1)
        return raw_get(bytes + 4, 3);
    if (size < RAW_INDICATOR2_SIZE || raw_get(bytes + 8, 4) != 0)
        return 0; /* over 4 GiB */
    return raw_get(bytes + 12, 4);
}

/* The section at *offset, whose length stands in its first octets, and step over it. */
static bool raw_take(struct raw_message *message, struct raw_section *section, size_t *offset,
                     int octets, uint32_t smallest, struct gen_error *err)
{
    size_t left = message->size - RAW_TRAILER_SIZE - *offset;
    uint32_t size = left > (size_t)octets ? raw_get(message->bytes + *offset, octets) : 0;

    if (size < smallest || size > left)
        return gen_fail(err, "a section at %zu has a length of %u, with %zu bytes left", *offset,
                        size, left);
    *section = (struct raw_section){ .offset = (uint32_t)*offset, .size = size };
    *offset += size;
    return true;
}

static bool raw_parse1(struct raw_message *message, struct gen_error *err)
{
    struct raw_field *field = &message->field[0];
    size_t offset = RAW_INDICATOR1_SIZE;

    field->section[0] = (struct raw_section){ .offset = 0, .size = RAW_INDICATOR1_SIZE };
    if (!raw_take(message, &field->section[1], &offset, 3, smallest1[1], err))
        return false;
    int flags = message->bytes[field->section[1].offset + 7];
    if ((flags & FLAG_GRID) && !raw_take(message, &field->section[2], &offset, 3, smallest1[2], err))
        return false;
    if ((flags & FLAG_BITMAP) && !raw_take(message, &field->section[3], &offset, 3, smallest1[3], err))
        return false;
    if (!raw_take(message, &field->section[4], &offset, 3, smallest1[4], err))
        return false;
    message->fields_count = 1;
    if (offset != message->size - RAW_TRAILER_SIZE)
        return gen_fail(err, "the sections end at %zu and the message at %zu", offset, message->size);
    return true;
}

/* Sections 2 to 7, 3 to 7 or 4 to 7 come again for each further field; what does not come again goes on in effect. */
static bool raw_order_holds(int before, int number)
{
    if (before == 7)
        return number >= 2 && number <= 4;
    return number == before + 1 || (before == 1 && number == 3);
}

static bool raw_parse2(struct raw_message *message, struct gen_error *err)
{
    struct raw_field now = { .section[0] = { .offset = 0, .size = RAW_INDICATOR2_SIZE } };
    size_t offset = RAW_INDICATOR2_SIZE, end = message->size - RAW_TRAILER_SIZE;
    int before = 0;

    while (offset < end) {
        int number = end - offset > 4 ? message->bytes[offset + 4] : 0;

        if (!raw_order_holds(before, number))
            return gen_fail(err, "section %d comes after section %d", number, before);
        if (!raw_take(message, &now.section[number], &offset, 4, smallest2[number], err))
            return false;
        if (number == 7 && message->fields_count == RAW_FIELDS_MAX)
            return gen_fail(err, "more than %d fields in one message", RAW_FIELDS_MAX);
        if (number == 7)
            message->field[message->fields_count++] = now;
        before = number;
    }
    return before == 7 ? true : gen_fail(err, "the last section is %d and not 7", before);
}

bool raw_parse(struct raw_message *message, const uint8_t *bytes, size_t size, struct gen_error *err)
{
    message->bytes = bytes;
    message->fields_count = 0;
    if (size < RAW_INDICATOR1_SIZE + RAW_TRAILER_SIZE || memcmp(bytes, "GRIB", 4) != 0)
        return gen_fail(err, "no GRIB message begins here");
    message->edition = bytes[7];
    if (message->edition != 1 && message->edition != 2)
        return gen_fail(err, "edition %d is neither 1 nor 2", message->edition);
    message->size = raw_size(bytes, size, message->edition);
    if (message->edition == 1 && message->size > EDITION1_PLAIN_MAX)
        return gen_fail(err, "an edition 1 message of 8 MiB or more");
    if (message->size > size || message->size < RAW_INDICATOR2_SIZE + RAW_TRAILER_SIZE ||
        memcmp(bytes + message->size - RAW_TRAILER_SIZE, "7777", RAW_TRAILER_SIZE) != 0)
        return gen_fail(err, "no 7777 where the length, %zu, says", message->size);
    memset(message->field, 0, sizeof message->field[0]);
    return message->edition == 1 ? raw_parse1(message, err) : raw_parse2(message, err);
}
