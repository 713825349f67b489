/* decode_memo_key.h: which octets of a head decide what it decodes to, its dates and values aside. Pure.
 *
 * Two heads with equal keys decode to the same but for what indexer/decode_memo_text.h makes anew from their octets: date, time, step and
 * packing. Left out are the reference time, the end of the overall interval (its distance from the reference time is taken
 * instead), and what follows from the values: total length, number of values, reference value, scales, bits, sizes of groups. All else is
 * in the key as it is, so a date that nobody thought of costs a miss, never a wrong answer. Known by SHA-256: hostile
 * heads can't meet. */
#ifndef INDEXER_DECODE_MEMO_KEY_H
#define INDEXER_DECODE_MEMO_KEY_H

#include "proto/digest.h"
#include "proto/grib_head.h"

struct decode_memo_key {
    struct digest key;
    uint64_t kind; /* what differs in levels, steps and members only is of one kind */
};

/* False: the head is unusual (a template, packing or local section that is in no table here, a time with seconds), and not to
 * be remembered. The stream is reused from call to call. */
bool decode_memo_key(const struct grib_head *head, int64_t base_time, struct digest_stream *stream,
                     struct decode_memo_key *key);

#endif
