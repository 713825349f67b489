/* grib1_whole.c: sections 0 to 2 as they are, but for the length and the bitmap's flag; then section 4. */
#include "indexer/grib1_whole.h"

enum {
    SECTION_0_SIZE = 8,
    SECTION_1_FLAGS = 7,
    HAS_BITMAP = 0x40,
    SECTION_4_HEAD_SIZE = 11,
    SECTION_4_FLAGS = 3,
    SECTION_4_BITS = 10,
    SPHERICAL = 0x80,
    COMPLEX = 0x40,
    SECTION_4_SIZE = SECTION_4_HEAD_SIZE + 117, /* headers of every packing, and even */
    LENGTH_MAX = 0x7fffff,                      /* beyond, the length means something else */
};

static void put_u24(uint8_t *at, size_t value)
{
    at[0] = (uint8_t)(value >> 16);
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)value;
}

enum status grib1_whole(const struct grib_head *head, struct buf *message, bool *packing_known,
                        struct error *err)
{
    size_t front = head->section[0].size + head->section[1].size + head->section[2].size;
    size_t size = front + SECTION_4_SIZE + 4;

    if (head->edition != 1 || head->section[0].size != SECTION_0_SIZE ||
        head->section[1].size <= SECTION_1_FLAGS || head->section[4].size < SECTION_4_HEAD_SIZE ||
        size > LENGTH_MAX)
        return error_set(err, STATUS_MALFORMED, "a head of %zu octets can't be completed", size);
    uint8_t *at = buf_reserve(message, size);
    if (at == NULL)
        return error_set(err, buf_status(message), "a completed head");
    message->size += size;

    uint8_t *section_1 = at + SECTION_0_SIZE, *section_4 = at + front;
    memset(at, 0, size);
    memcpy(at, head->section[0].data, SECTION_0_SIZE);
    memcpy(section_1, head->section[1].data, head->section[1].size);
    if (head->section[2].size > 0)
        memcpy(section_1 + head->section[1].size, head->section[2].data, head->section[2].size);
    memcpy(section_4, head->section[4].data, SECTION_4_HEAD_SIZE);
    memcpy(section_4 + SECTION_4_SIZE, "7777", 4);
    put_u24(at + 4, size);
    put_u24(section_4, SECTION_4_SIZE);
    section_1[SECTION_1_FLAGS] &= (uint8_t)~HAS_BITMAP;
    /* With bits per value ecCodes would count the points of a Gaussian grid by the size of section 4. */
    section_4[SECTION_4_BITS] = 0;

    *packing_known = (section_4[SECTION_4_FLAGS] & (SPHERICAL | COMPLEX)) != COMPLEX;
    if (!*packing_known)
        section_4[SECTION_4_FLAGS] &= 0x0f;
    return STATUS_OK;
}
