/* damage_ranges.h: which bytes of a data file belong to bad messages: sorted, none touching another, a bounded number.
 *
 * A file with more ranges than DAMAGE_RANGES_MAX is damaged as a whole: its good messages are served from other nodes. */
#ifndef STORAGED_STORE_DAMAGE_RANGES_H
#define STORAGED_STORE_DAMAGE_RANGES_H

#include <stdbool.h>
#include <stdint.h>

enum { DAMAGE_RANGES_MAX = 65536 };

struct damage_range {
    uint64_t offset, end;
};

/* All zero: none. */
struct damage_ranges {
    struct damage_range *ranges; /* owned */
    unsigned count, capacity;
    bool whole;
};

void damage_ranges_fini(struct damage_ranges *ranges);

/* True: with this one there are too many, and everything is damaged from now on. */
bool damage_ranges_add(struct damage_ranges *ranges, uint64_t offset, uint64_t length);
bool damage_ranges_touch(const struct damage_ranges *ranges, uint64_t offset, uint64_t length);

#endif
