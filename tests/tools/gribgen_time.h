/* gribgen_time.h: dates as GRIB writes them, to seconds since 1970 and back (proleptic Gregorian, UTC).
 *
 * Our own arithmetic instead of the C library's: it is called for every stamped message, and it knows no time zone. */
#ifndef GRIBGEN_TIME_H
#define GRIBGEN_TIME_H

#include <stdbool.h>
#include <stdint.h>

struct gen_time {
    int year, month, day, hour, minute, second;
};

enum { GEN_TIME_TEXT_SIZE = 40 };

/* Seconds since 1970 of a date; the fields are trusted to be in range. */
int64_t gen_time_seconds(const struct gen_time *time);

/* The date of that many seconds since 1970. */
struct gen_time gen_time_split(int64_t seconds);

/* Read 20261120T0000Z or 20261120T000030Z, years 1 to 9999; false for anything else. */
bool gen_time_parse(const char *text, int64_t *seconds);

/* Write it the same way, seconds only where they are not 0. Returns text. */
const char *gen_time_print(int64_t seconds, char text[GEN_TIME_TEXT_SIZE]);

#endif
