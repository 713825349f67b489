/* grib_step.h: when a field is valid, in exact seconds after its reference time, from the octets of its head. Pure.
 *
 * ecCodes' own `step` rounds and drops units (90 for 90 minutes), so what is sorted and compared comes from here. WMO FM 92
 * GRIB: edition 2, section 4, code table 4.4; edition 1, section 1, code tables 4 and 5. Months, years and what is made of
 * them are counted in the calendar from the reference time on (31 January + 1 month = the last of February). */
#ifndef INDEXER_GRIB_STEP_H
#define INDEXER_GRIB_STEP_H

#include "proto/base/json_write.h"
#include "proto/grib_head.h"

#include <stdbool.h>

struct grib_step {
    int64_t start; /* seconds after the reference time; may be negative */
    int64_t end;   /* of the interval; = start where the field is valid at one moment */
};

/* False when the head does not say: a template without a forecast time, a missing value, a unit or time range indicator that
 * the tables lack, a moment outside of years 1 to 9999. Where intervals lie in each other (edition 2), the outermost one in which
 * the forecast time grows counts, as in ecCodes; without one, the stated end of the overall interval. */
bool grib_step_read(const struct grib_head *head, int64_t base_time, struct grib_step *step);

/* As ecCodes' stepRange where both are whole hours: "24", "0-24"; otherwise in the largest unit that fits, which is said:
 * "90m", "0m-90m", "30s". Returns that unit: "h", "m", "s". */
enum { GRIB_STEP_TEXT_SIZE = 48 };
const char *grib_step_print(const struct grib_step *step, char text[GRIB_STEP_TEXT_SIZE]);

/* Members of an open object: step and endStep (hours), step_seconds, startStep (hours), stepUnits (of stepRange's text), stepRange,
 * valid_time, validityDate, validityTime (the end's); none when grib_step_read() says false. */
void grib_step_put(const struct grib_head *head, int64_t base_time, struct json_writer *json);

/* Which octets say only when: their places in section 4 (edition 2) or section 1 (edition 1), the reference time aside.
 * Returns how many there are. */
enum { GRIB_STEP_PLACES_MAX = 2 };
struct grib_step_place {
    size_t offset, size;
};
unsigned grib_step_places(const struct grib_head *head,
                          struct grib_step_place places[GRIB_STEP_PLACES_MAX]);

#endif
