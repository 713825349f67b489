/* decoded_cache.h: what messages decoded to lately, and which are being decoded now; bounded in bytes.
 *
 * The copies of a message lie on several nodes, and each node's journal names it: it is decoded once. An entry is PENDING while one batch
 * decodes it; others wait for it. Loop only, but for reading what a
 * decoded entry that is held says. Entries are counted: one that is held is not freed, though it may leave the table. */
#ifndef INDEXER_DECODED_CACHE_H
#define INDEXER_DECODED_CACHE_H

#include "proto/base/list.h"
#include "proto/digest.h"
#include "proto/grib_head.h"

#include <uthash.h>

struct decoded_field {
    uint8_t identity[GRIB_IDENTITY_SIZE];
    char *keys; /* owned: a JSON object as compact text, a tenth of what the parsed one takes */
    size_t keys_size;
};

struct decoded {
    struct digest digest;
    bool pending;
    bool refused; /* reason says why; no fields */
    char reason[256];
    unsigned fields_count;
    struct decoded_field *fields; /* owned; sub = index + 1 */
    unsigned references;
    size_t size;
    bool listed; /* in the table */
    struct list list;
    UT_hash_handle hh;
};

struct decoded_cache {
    struct decoded *table;
    struct list oldest_first; /* those that are not pending */
    size_t size, size_max;
};

void decoded_cache_init(struct decoded_cache *cache, size_t size_max);
void decoded_cache_fini(struct decoded_cache *cache);

/* The entry with one more reference, or NULL. */
struct decoded *decoded_find(struct decoded_cache *cache, const struct digest *digest);
/* A new pending entry with one reference. The digest must not be in the table. */
struct decoded *decoded_begin(struct decoded_cache *cache, const struct digest *digest);
/* It is decoded (fields or reason are set): kept for others, the oldest beyond the limit leave. */
void decoded_end(struct decoded_cache *cache, struct decoded *decoded);
/* It could not be tried: leaves the table, so that the next one tries. */
void decoded_abandon(struct decoded_cache *cache, struct decoded *decoded);
void decoded_release(struct decoded_cache *cache, struct decoded *decoded);
/* That the message was refused, if that is what is known of it: it decodes after all. */
void decoded_forget_refusal(struct decoded_cache *cache, const struct digest *digest);

#endif
