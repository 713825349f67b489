/* clock.h: time, replaceable in tests.
 *
 * Wall time decides only stamps and what people read; every deadline and interval is monotonic. */
#ifndef PROTO_BASE_CLOCK_H
#define PROTO_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_wall_us(void);      /* microseconds since 1970-01-01T00:00:00Z (CLOCK_REALTIME) */
uint64_t clock_monotonic_us(void); /* microseconds since some start (CLOCK_MONOTONIC) */
uint64_t clock_monotonic_ms(void);

/* A test's clock: both functions replaced, until called with NULLs. Not while threads run. */
void clock_replace(uint64_t (*wall_us)(void), uint64_t (*monotonic_us)(void));

/* RFC 3339 in UTC: "2013-04-08T00:00:00Z"; a fraction has six digits and is left out when 0.
 * text holds 32. */
enum { CLOCK_TEXT_SIZE = 32 };
void clock_print_rfc3339(int64_t time_us, char text[CLOCK_TEXT_SIZE]);

#endif
