/* load_histogram.h: latencies counted in buckets that are within 1 % of what fell into them.
 *
 * 128 buckets a power of two: below 128 ns each value has its own. Nothing is sampled and nothing allocated, so a
 * quantile is over every request of the window. */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 7,
    HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_BITS_MAX = 40, /* 2^40 ns is 18 minutes; what took longer counts as that */
    HISTOGRAM_BUCKETS = (HISTOGRAM_BITS_MAX - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB,
};

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t ns);

/* The value that a share (0 to 1) of what was added does not exceed, at most 1 % too high; 0 when nothing was. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);

#endif
