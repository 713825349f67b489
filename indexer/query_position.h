/* query_position.h: numbers, steps, moments, dates and times of day, as texts that are positions on a line. Pure, but for what
 * "today" is. All return false for a text that is none. */
#ifndef INDEXER_QUERY_POSITION_H
#define INDEXER_QUERY_POSITION_H

#include "proto/base/bytes.h"

#include <stdbool.h>

bool position_of_number(struct slice text, double *number); /* finite; no "inf", no hexadecimal */
/* Hours, or parts with units: "24", "1.5", "90m", "1h30m", "30s". In seconds. */
bool position_of_step(struct slice text, double *seconds);
bool position_of_moment(struct slice text, double *seconds); /* 20130408T0000Z, RFC 3339; since 1970 */
/* A moment, RFC 3339 with a fraction of a second too, or the microseconds themselves (13 digits at least). Since 1970, not 0. */
bool position_of_instant(struct slice text, uint64_t *microseconds);
/* YYYYMMDD, YYYY-MM-DD, YYYY-DDD; 0, -1, -2 and so on count from today. Days since 1970. */
bool position_of_date(struct slice text, double *days);
/* "6", "06", "600", "0600", "06:00", "06:00:00", in minutes. MARS knows no seconds. */
bool position_of_daytime(struct slice text, double *minutes);

#endif
