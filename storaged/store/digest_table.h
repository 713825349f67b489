/* digest_table.h: digest -> record number, eight bytes a slot.
 *
 * A slot holds a record number and a 32-bit tag made from the digest; whoever finds one confirms it by reading the
 * record, so two digests with one tag do no harm. Tags are seeded at random: nobody can send digests that collide.
 *
 * Slots lie in segments of at most DIGEST_SEGMENT_MAX, each chosen by the first bits of the tag (extendible hashing). A
 * segment that is 2/3 full grows by a sixth of its slots, one that is full grown splits in two: so no insertion moves more than one segment,
 * and there are never more than 14 bytes a digest, beside the directory of segments. Not thread-safe: the run's lock. */
#ifndef STORAGED_STORE_DIGEST_TABLE_H
#define STORAGED_STORE_DIGEST_TABLE_H

#include "proto/digest.h"

enum { DIGEST_SEGMENT_MAX = 4096 };

struct digest_segment;

struct digest_table {
    struct digest_segment **directory; /* owned; 2^depth entries, several may name one segment; NULL while empty */
    unsigned depth;
    uint64_t count;
    uint64_t seed;
};

void digest_table_init(struct digest_table *table); /* with a random seed */
void digest_table_fini(struct digest_table *table);

uint32_t digest_table_tag(const struct digest_table *table, const struct digest *digest);

/* record is not 0 (a journal begins with a *file* record). */
void digest_table_insert(struct digest_table *table, uint32_t tag, uint32_t record);

/* Up to max records with this tag, in records; returns how many. */
unsigned digest_table_find(const struct digest_table *table, uint32_t tag, uint32_t *records,
                           unsigned max);

bool digest_table_has(const struct digest_table *table, uint32_t tag, uint32_t record);

/* False when the pair is not there. */
bool digest_table_remove(struct digest_table *table, uint32_t tag, uint32_t record);

/* Brings the places of these tags into the processor's cache, all at once: for calls with many to look up. */
void digest_table_warm(const struct digest_table *table, const uint32_t *tags, unsigned count);

/* Bytes of heap in use. */
size_t digest_table_memory(const struct digest_table *table);

#endif
