/* grib_bytes.h: the bones of GRIB messages: sections of given lengths, filled with a pattern. */
#ifndef TESTS_GRIB_BYTES_H
#define TESTS_GRIB_BYTES_H

#include "proto/base/buf.h"

enum { GRIB2_TOTAL_AT = 8, GRIB1_LENGTH_AT = 4 };

/* size bytes that differ from section to section and from byte to byte, none of them an ASCII letter. */
static inline void grib_fill(struct buf *buf, unsigned section, size_t size)
{
    uint8_t *room = buf_reserve(buf, size);

    for (size_t i = 0; i < size; i++)
        room[i] = (uint8_t)(0x80 | (section * 31 + i * 7));
    buf->size += size;
}

static inline void grib2_begin(struct buf *buf, uint8_t discipline)
{
    const uint8_t head[16] = { 'G', 'R', 'I', 'B', 0xff, 0xff, discipline, 2 };

    buf_append(buf, head, sizeof head);
}

static inline void grib2_section(struct buf *buf, uint8_t number, uint32_t size)
{
    size_t at = buf->size;

    buf_u32(buf, size);
    buf_append(buf, &number, 1);
    grib_fill(buf, number, size - 5);
    if (number == 1) {
        const uint8_t date[7] = { 2013 >> 8, 2013 & 255, 4, 8, 12, 0, 0 };
        memcpy(buf->data + at + 12, date, sizeof date);
    }
}

/* The message that begins at `start` ends here. */
static inline void grib2_end(struct buf *buf, size_t start)
{
    buf_text(buf, "7777");
    put_u64(buf->data + start + GRIB2_TOTAL_AT, buf->size - start);
}

/* One field of `values` bytes in section 7. */
static inline void grib2_message(struct buf *buf, uint32_t values)
{
    static const uint32_t sizes[8] = { 0, 21, 0, 72, 34, 21, 6, 0 };
    size_t start = buf->size;

    grib2_begin(buf, 0);
    for (uint8_t number = 1; number <= 6; number++) {
        if (sizes[number] > 0)
            grib2_section(buf, number, sizes[number]);
    }
    grib2_section(buf, 7, values);
    grib2_end(buf, start);
}

/* Edition 1 with sections of these lengths (0: not there). `length` and `said4` are what sections 0 and 4 say; the
 * message is as long as `size`. */
static inline void grib1_message(struct buf *buf, const uint32_t sections[4], uint32_t length,
                                 uint32_t said4, size_t size)
{
    size_t start = buf->size;
    uint8_t head[8] = {
        'G', 'R', 'I', 'B', (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, 1
    };

    buf_append(buf, head, sizeof head);
    for (unsigned number = 1; number <= 4; number++) {
        uint32_t said = number == 4 ? said4 : sections[number - 1];
        size_t at = buf->size;
        if (number < 4 && said == 0)
            continue;
        grib_fill(buf, number, number == 4 ? size - (buf->size - start) - 4 : said);
        put_u16(buf->data + at, (uint16_t)(said >> 8));
        buf->data[at + 2] = (uint8_t)said;
        if (number == 1) {
            const uint8_t date[5] = { 13, 4, 8, 12, 0 };
            buf->data[at + 7] = (uint8_t)((sections[1] > 0 ? 0x80 : 0) | (sections[2] > 0 ? 0x40 : 0));
            memcpy(buf->data + at + 12, date, sizeof date);
            buf->data[at + 24] = 21;
        }
    }
    buf_text(buf, "7777");
}

/* A small one: sections 1, 2 and 4. */
static inline void grib1_small(struct buf *buf)
{
    const uint32_t sections[4] = { 52, 32, 0, 40 };

    grib1_message(buf, sections, 8 + 52 + 32 + 40 + 4, 40, 8 + 52 + 32 + 40 + 4);
}

#endif
