/* decode_memo_text.h: the keys of a field as text, taken apart into what stays and what its octets say, and put together again. Pure.
 *
 *     {"param":"2t",...,"packingType":"grid_simple", [packing] ,"level":2,... [date] , [time] ,... [step] , [octets] ,"eccodes":"2.28.0"}
 *
 * Five groups of members are made anew from the octets of a head, as the decoder made them: date, time, step (step, step_seconds, stepRange,
 * valid_time), octets (indexer/grib_octets.h) and packing (indexer/grib_packing.h). All others stay, and only names in a table are let
 * stay: one that nobody has
 * thought of might depend on a date. */
#ifndef INDEXER_DECODE_MEMO_TEXT_H
#define INDEXER_DECODE_MEMO_TEXT_H

#include "proto/base/buf.h"
#include "proto/grib_head.h"

#include <stdbool.h>

enum { MEMO_GROUPS = 5, MEMO_SEGMENTS = MEMO_GROUPS + 1 };

/* Members that a head says by itself, each group as text without braces; empty: it has none of them. */
struct memo_groups {
    struct slice group[MEMO_GROUPS]; /* into buf */
    struct buf buf;
};
void memo_groups_init(struct memo_groups *groups);
void memo_groups_fini(struct memo_groups *groups);
void memo_groups_make(struct memo_groups *groups, const struct grib_head *head, int64_t base_time);

/* Segment, group, segment, group ..., segment. Segments are members without braces and outer commas; they may be empty. */
struct memo_parts {
    struct slice segment[MEMO_SEGMENTS]; /* into the text that was taken apart */
    uint8_t group[MEMO_GROUPS];          /* which one follows the segment */
    unsigned groups_count;
};

/* False: the text is no compact object of plain members, says of a group something else than the octets do, or has a member
 * that is not known to depend on nothing but what is in decode_memo_key(). */
bool memo_parts_take(struct slice text, const struct memo_groups *groups, struct memo_parts *parts);

/* Appends the object. False: this head has not got the same groups, so its text is another. */
bool memo_parts_join(const struct memo_parts *parts, const struct memo_groups *groups, struct buf *text);

#endif
