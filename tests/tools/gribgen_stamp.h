/* gribgen_stamp.h: many distinct messages out of a few ready ones, by writing octets, at memory speed. No ecCodes.
 *
 * A template is a complete message. Message number n is a copy of template n mod T with its base time, and with the step, member
 * and level that n stands for: members go fastest, then levels, then steps. Whatever the templates have in common, no two of
 * the messages have the same identity: templates that differ in nothing but what is written take turns with the numbers.
 *
 *   edition 1   base time; step (octets 18-21 of section 1), of ranges the start with the length as it was; the level where it
 *               is a pressure or hybrid level; octet 50, the member, in ECMWF's local definitions 1 and 30 with type pf
 *   edition 2   product definition templates 0, 1, 8 and 11: base time, step, end of the range; the level where it is one
 *               pressure or hybrid level; the member in 1 and 11; all that in each field of a multi-field message
 *
 * Steps are hours. What a template can't take (another product definition template, a range that isn't in hours, more steps than
 * its octets hold) is refused when it is opened, never while stamping.
 *
 * With values_seed the first octets of the data are turned over too, differently for every n and seed: the same identities with
 * other digests, as when a centre issues a run again. Such values are within the packing's range but mean nothing, so that is for simple
 * packing only. */
#ifndef GRIBGEN_STAMP_H
#define GRIBGEN_STAMP_H

#include "gribgen_error.h"

#include <stddef.h>
#include <stdint.h>

enum { STAMP_TEMPLATES_MAX = 1024, STAMP_LEVELS_MAX = 256, STAMP_MEMBERS_MAX = 255 };

struct stamp_options {
    int64_t base_time;               /* seconds since 1970; edition 1 takes whole minutes */
    uint64_t count;                  /* messages that will be asked for: 0 to count - 1 */
    int members;                     /* 1 to STAMP_MEMBERS_MAX: numbers 1, 2, ... */
    int levels_count;                /* 1 to STAMP_LEVELS_MAX */
    int32_t level[STAMP_LEVELS_MAX]; /* pressure levels in hPa; hybrid levels are 1, 2, ... as many */
    int32_t step_first, step_by;     /* hours */
    uint64_t steps_count;            /* 0: as many as it takes */
    bool turn_values;
    uint64_t values_seed;
};

struct stamp;

/* Options as the command line has them unless told otherwise: 50 members, 25 standard levels, steps 0, 6, 12, ... */
struct stamp_options stamp_defaults(void);

/* Take templates, one or many messages one after another, borrowed until stamp_free(). NULL with err. */
struct stamp *stamp_new(const uint8_t *templates, size_t size, const struct stamp_options *options,
                        struct gen_error *err);

/* How many bytes and fields message number n has. */
size_t stamp_size(const struct stamp *stamp, uint64_t n);
size_t stamp_fields(const struct stamp *stamp, uint64_t n);

/* Write message number n (below count) to out, which has stamp_size() bytes. Threads may share a stamp. */
void stamp_make(const struct stamp *stamp, uint64_t n, uint8_t *out);

/* NULL is fine. */
void stamp_free(struct stamp *stamp);

#endif
