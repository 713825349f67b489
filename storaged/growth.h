/* growth.h: how fast what is used on a disk grows, and when it will be full. Pure: times are monotonic, given by the caller.
 *
 * A sample a minute is kept, of the last hour; the rate is what is used now minus what was used at the oldest sample, over the time
 * between them. So what was written minus what was freed counts, whoever did it, and a purge makes the rate negative. */
#ifndef STORAGED_GROWTH_H
#define STORAGED_GROWTH_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GROWTH_SAMPLES = 61,
    GROWTH_STEP_MS = 60000,     /* between two samples that are kept */
    GROWTH_BASE_MS = 60000,     /* there is no rate before it has been looked at for so long */
    GROWTH_WINDOW_MS = 3600000, /* what is older is no base any more */
};

struct growth_sample {
    uint64_t at_ms, used;
};

/* Zeroed: nothing is known. */
struct growth {
    struct growth_sample samples[GROWTH_SAMPLES]; /* a ring, `first` the oldest */
    unsigned first, count;
    struct growth_sample now;
};

void growth_add(struct growth *growth, uint64_t now_ms, uint64_t used);

/* False: no base yet. */
bool growth_rate(const struct growth *growth, double *bytes_per_second);

/* Until `room` bytes are gone at that rate. False: no base yet, or it does not grow. */
bool growth_full_in(const struct growth *growth, uint64_t room, double *seconds);

#endif
