/* grib_bytes.h: messages that frame and have a date, and nothing else that is GRIB. */
#ifndef TESTS_CLIENT_GRIB_BYTES_H
#define TESTS_CLIENT_GRIB_BYTES_H

#include "proto/base/bytes.h"

/* An edition 2 message of size bytes (at least 41); what lies behind section 1 is made from number. */
static inline void grib_bytes(uint8_t *at, size_t size, unsigned year, unsigned month, unsigned day,
                              unsigned hour, unsigned number)
{
    static const uint8_t section_1[12] = { 0, 0, 0, 21, 1, 0, 98, 0, 0, 4, 0, 1 };

    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number * 7 + i);
    memcpy(at, "GRIB\0\0\0\2", 8);
    put_u64(at + 8, size);
    memcpy(at + 16, section_1, sizeof section_1);
    put_u16(at + 28, (uint16_t)year);
    at[30] = (uint8_t)month;
    at[31] = (uint8_t)day;
    at[32] = (uint8_t)hour;
    at[33] = at[34] = at[35] = at[36] = 0;
    memcpy(at + size - 4, "7777", 4);
}

#endif
