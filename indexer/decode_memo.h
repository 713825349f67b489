/* decode_memo.h: what heads decoded to, for those of the next run: the same field twelve hours later has the same keys but for its
 * dates and its values' packing, which are made anew from its octets.
 *
 * A head is known by decode_memo_key.h, its text is kept in the parts of decode_memo_text.h; parts that fields have in common are kept once.
 * Bounded in bytes, least recently used leaves first. One thread: the loop's. Nothing outlives the process: a run that finds
 * it empty is decoded in full once.
 *
 * Proof while it works: the first hit of a kind, and one hit in `check_every`, is said to be a miss; the caller decodes in full, tells
 * decode_memo_learn(), and that compares. What does not agree is logged with both texts, and its kind is never remembered
 * again. The full decode is what counts. */
#ifndef INDEXER_DECODE_MEMO_H
#define INDEXER_DECODE_MEMO_H

#include "proto/base/buf.h"

#include <stdbool.h>

struct decode_memo;

/* size_max 0: remembers nothing. check_every 0: no hit but the first of a kind is checked. */
struct decode_memo *decode_memo_new(size_t size_max, uint64_t check_every);
void decode_memo_free(struct decode_memo *memo);

/* Appends the keys of the head to an empty text. False: unknown, unusual or to be checked; decode in full. */
bool decode_memo_find(struct decode_memo *memo, const uint8_t *head, size_t size, struct buf *keys);

/* A full decode of this head gave these keys (a JSON object), or refused it (keys.data NULL). */
void decode_memo_learn(struct decode_memo *memo, const uint8_t *head, size_t size, struct slice keys);

/* Forgets all that was decoded; kinds that failed stay so. When another release decodes from now on. */
void decode_memo_clear(struct decode_memo *memo);

struct decode_memo_stats {
    uint64_t hits, misses, unusual; /* of finds; unusual: misses that were not remembered when learned */
    uint64_t checks, mismatches;
    uint64_t entries, bytes;
};
void decode_memo_stats(const struct decode_memo *memo, struct decode_memo_stats *stats);

#endif
