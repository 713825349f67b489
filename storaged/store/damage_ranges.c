/* damage_ranges.c: a sorted array, searched by halves. */
#include "storaged/store/damage_ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { DAMAGE_RANGES_FIRST = 8 };

void damage_ranges_fini(struct damage_ranges *ranges)
{
    free(ranges->ranges);
    *ranges = (struct damage_ranges){ 0 };
}

/* The first range that ends at offset or behind. */
static unsigned damage_ranges_index(const struct damage_ranges *ranges, uint64_t offset)
{
    unsigned low = 0, high = ranges->count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (ranges->ranges[middle].end < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void damage_ranges_insert(struct damage_ranges *ranges, unsigned at, struct damage_range range)
{
    if (ranges->count == ranges->capacity) {
        ranges->capacity = ranges->capacity == 0 ? DAMAGE_RANGES_FIRST : 2 * ranges->capacity;
        ranges->ranges = realloc(ranges->ranges, ranges->capacity * sizeof *ranges->ranges);
        assert(ranges->ranges != NULL);
    }
    memmove(ranges->ranges + at + 1, ranges->ranges + at, (ranges->count - at) * sizeof range);
    ranges->ranges[at] = range;
    ranges->count++;
}

/* Ranges from at on that [at] has grown into become part of it. */
static void damage_ranges_join(struct damage_ranges *ranges, unsigned at)
{
    struct damage_range *range = &ranges->ranges[at];
    unsigned next = at + 1;

    while (next < ranges->count && ranges->ranges[next].offset <= range->end) {
        if (ranges->ranges[next].end > range->end)
            range->end = ranges->ranges[next].end;
        next++;
    }
    memmove(ranges->ranges + at + 1, ranges->ranges + next, (ranges->count - next) * sizeof *range);
    ranges->count -= next - (at + 1);
}

bool damage_ranges_add(struct damage_ranges *ranges, uint64_t offset, uint64_t length)
{
    struct damage_range range = { .offset = offset, .end = offset + length };
    unsigned at = damage_ranges_index(ranges, offset);

    if (ranges->whole || length == 0)
        return false;
    if (at == ranges->count || ranges->ranges[at].offset > range.end) {
        if (ranges->count == DAMAGE_RANGES_MAX) {
            damage_ranges_fini(ranges);
            ranges->whole = true;
            return true;
        }
        damage_ranges_insert(ranges, at, range);
        return false;
    }
    if (ranges->ranges[at].offset > offset)
        ranges->ranges[at].offset = offset;
    if (ranges->ranges[at].end < range.end)
        ranges->ranges[at].end = range.end;
    damage_ranges_join(ranges, at);
    return false;
}

bool damage_ranges_touch(const struct damage_ranges *ranges, uint64_t offset, uint64_t length)
{
    if (length == 0)
        return false;
    if (ranges->whole)
        return true;
    unsigned at = damage_ranges_index(ranges, offset + 1); /* the first that ends behind offset */
    return at < ranges->count && ranges->ranges[at].offset < offset + length;
}
