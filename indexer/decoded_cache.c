/* decoded_cache.c: what messages decoded to lately, and which are being decoded now. */
#include "indexer/decoded_cache.h"

#include <assert.h>
#include <stdlib.h>

/* What malloc keeps beside a piece, and uthash beside a member. */
enum { DECODED_PIECE_SIZE = 16, DECODED_MEMBER_SIZE = 32 };

void decoded_cache_init(struct decoded_cache *cache, size_t size_max)
{
    *cache = (struct decoded_cache){ .size_max = size_max };
    list_init(&cache->oldest_first);
}

static void decoded_free(struct decoded *decoded)
{
    for (unsigned i = 0; i < decoded->fields_count; i++)
        free(decoded->fields[i].keys);
    free(decoded->fields);
    free(decoded);
}

static void decoded_unlist(struct decoded_cache *cache, struct decoded *decoded)
{
    if (!decoded->listed)
        return;
    HASH_DEL(cache->table, decoded); /* NOLINT(clang-analyzer-core.NullDereference): it does not follow uthash's links */
    list_remove(&decoded->list);
    cache->size -= decoded->size;
    decoded->listed = false;
    decoded_release(cache, decoded);
}

void decoded_cache_fini(struct decoded_cache *cache)
{
    struct decoded *decoded, *after;

    HASH_ITER(hh, cache->table, decoded, after)
    {
        decoded_unlist(cache, decoded);
    }
}

struct decoded *decoded_find(struct decoded_cache *cache, const struct digest *digest)
{
    struct decoded *decoded;

    HASH_FIND(hh, cache->table, digest, sizeof *digest, decoded);
    if (decoded != NULL)
        decoded->references++;
    return decoded;
}

struct decoded *decoded_begin(struct decoded_cache *cache, const struct digest *digest)
{
    struct decoded *decoded = calloc(1, sizeof *decoded);

    assert(decoded != NULL);
    decoded->digest = *digest;
    decoded->pending = true;
    decoded->references = 2; /* the table's and the caller's */
    decoded->listed = true;
    list_init(&decoded->list);
    HASH_ADD(hh, cache->table, digest, sizeof decoded->digest, decoded);
    return decoded;
}

static size_t decoded_size(const struct decoded *decoded)
{
    size_t size = sizeof *decoded + DECODED_PIECE_SIZE + DECODED_MEMBER_SIZE;

    if (decoded->fields_count > 0)
        size += DECODED_PIECE_SIZE;
    for (unsigned i = 0; i < decoded->fields_count; i++)
        size += sizeof *decoded->fields + decoded->fields[i].keys_size + 1 + DECODED_PIECE_SIZE;
    return size;
}

void decoded_end(struct decoded_cache *cache, struct decoded *decoded)
{
    assert(decoded->pending && decoded->listed);
    decoded->pending = false;
    decoded->size = decoded_size(decoded);
    cache->size += decoded->size;
    list_append(&cache->oldest_first, &decoded->list);
    while (cache->size > cache->size_max && !list_empty(&cache->oldest_first))
        decoded_unlist(cache, list_first(&cache->oldest_first, struct decoded, list));
}

void decoded_abandon(struct decoded_cache *cache, struct decoded *decoded)
{
    assert(decoded->pending);
    decoded_unlist(cache, decoded);
}

void decoded_release(struct decoded_cache *cache, struct decoded *decoded)
{
    (void)cache;
    assert(decoded->references > 0);
    if (--decoded->references == 0)
        decoded_free(decoded);
}

void decoded_forget_refusal(struct decoded_cache *cache, const struct digest *digest)
{
    struct decoded *decoded = decoded_find(cache, digest);

    if (decoded == NULL)
        return;
    if (!decoded->pending && decoded->refused)
        decoded_unlist(cache, decoded);
    decoded_release(cache, decoded);
}
