/* load_histogram.c: latencies counted in buckets that are within 1 % of what fell into them. */
#include "load_histogram.h"

#include <assert.h>
#include <stddef.h>

/* A value with its top bit at `bits` keeps the HISTOGRAM_SUB_BITS bits below it. */
static size_t histogram_index(uint64_t ns)
{
    if (ns < HISTOGRAM_SUB)
        return (size_t)ns;
    unsigned bits = 63U - (unsigned)__builtin_clzll(ns);
    if (bits >= HISTOGRAM_BITS_MAX)
        return HISTOGRAM_BUCKETS - 1;
    unsigned shift = bits - HISTOGRAM_SUB_BITS;
    return (size_t)(shift + 1) * HISTOGRAM_SUB + (size_t)((ns >> shift) - HISTOGRAM_SUB);
}

/* The largest value of a bucket. */
static uint64_t histogram_value(size_t index)
{
    if (index < HISTOGRAM_SUB)
        return index;
    unsigned shift = (unsigned)(index / HISTOGRAM_SUB) - 1;
    return ((uint64_t)(HISTOGRAM_SUB + index % HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->bucket[histogram_index(ns)]++;
    histogram->count++;
    if (ns > histogram->max)
        histogram->max = ns;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t seen = 0;

    assert(share >= 0 && share <= 1);
    if (histogram->count == 0)
        return 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen > 0 && (double)seen >= share * (double)histogram->count)
            return histogram_value(i) < histogram->max ? histogram_value(i) : histogram->max;
    }
    return histogram->max;
}
