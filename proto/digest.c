/* digest.c: SHA-256 of a message: streamed, printed, parsed, compared; and sums of digests (set hashes). */
#include "proto/digest.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Fetched once: a fetch by name takes longer than the digest of a small message. */
static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_sha256;

static void digest_fetch(void)
{
    digest_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

/* Without SHA-256 nothing can be named or checked: there is no way on. */
static void digest_must(int worked)
{
    if (worked != 1) {
        fputs("digest: OpenSSL gives no SHA-256\n", stderr);
        abort();
    }
}

static const EVP_MD *digest_algorithm(void)
{
    pthread_once(&digest_once, digest_fetch);
    digest_must(digest_sha256 != NULL);
    return digest_sha256;
}

struct digest_stream {
    EVP_MD_CTX *context; /* owned */
};

static void digest_stream_start(struct digest_stream *stream)
{
    digest_must(EVP_DigestInit_ex2(stream->context, digest_algorithm(), NULL));
}

struct digest_stream *digest_stream_new(void)
{
    struct digest_stream *stream = malloc(sizeof *stream);

    digest_must(stream != NULL);
    stream->context = EVP_MD_CTX_new();
    digest_must(stream->context != NULL);
    digest_stream_start(stream);
    return stream;
}

void digest_stream_free(struct digest_stream *stream)
{
    if (stream == NULL)
        return;
    EVP_MD_CTX_free(stream->context);
    free(stream);
}

void digest_stream_update(struct digest_stream *stream, const void *data, size_t size)
{
    digest_must(EVP_DigestUpdate(stream->context, data, size));
}

void digest_stream_final(struct digest_stream *stream, struct digest *digest)
{
    unsigned size = 0;

    digest_must(EVP_DigestFinal_ex(stream->context, digest->bytes, &size));
    assert(size == DIGEST_SIZE);
    digest_stream_start(stream);
}

void digest_of(const void *data, size_t size, struct digest *digest)
{
    digest_must(EVP_Digest(data, size, digest->bytes, NULL, digest_algorithm(), NULL));
}

void digest_print(const struct digest *digest, char text[DIGEST_TEXT_SIZE])
{
    hex_print(digest->bytes, DIGEST_SIZE, text);
}

bool digest_parse(struct slice text, struct digest *digest)
{
    if (text.size != DIGEST_TEXT_SIZE - 1)
        return false;
    return hex_parse((const char *)text.data, text.size, digest->bytes, DIGEST_SIZE) == 0;
}

int digest_compare(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE);
}

unsigned digest_shard(const struct digest *digest, unsigned shards)
{
    assert(shards >= 1 && shards <= 16384 && (shards & (shards - 1)) == 0);
    return (unsigned)((uint32_t)get_u16(digest->bytes) * shards >> 16);
}

/* Sums are taken in four limbs of 64 bits, the least first. */
static void digest_add(struct digest *sum, const struct digest *digest)
{
    uint64_t carry = 0;

    for (int at = DIGEST_SIZE - 8; at >= 0; at -= 8) {
        uint64_t old = get_u64(sum->bytes + at);
        uint64_t new = old + carry;
        carry = new < old;
        new += get_u64(digest->bytes + at);
        carry += new < get_u64(digest->bytes + at);
        put_u64(sum->bytes + at, new);
    }
}

static void digest_subtract(struct digest *sum, const struct digest *digest)
{
    uint64_t borrow = 0;

    for (int at = DIGEST_SIZE - 8; at >= 0; at -= 8) {
        uint64_t old = get_u64(sum->bytes + at);
        uint64_t less = get_u64(digest->bytes + at);
        put_u64(sum->bytes + at, old - less - borrow);
        borrow = old < less || (old == less && borrow != 0);
    }
}

void digest_set_add(struct digest_set *set, const struct digest *digest)
{
    set->count++;
    digest_add(&set->sum, digest);
}

void digest_set_remove(struct digest_set *set, const struct digest *digest)
{
    assert(set->count > 0);
    set->count--;
    digest_subtract(&set->sum, digest);
}

void digest_set_subtract(struct digest_set *set, const struct digest_set *other)
{
    assert(set->count >= other->count);
    set->count -= other->count;
    digest_subtract(&set->sum, &other->sum);
}

void digest_set_merge(struct digest_set *set, const struct digest_set *other)
{
    set->count += other->count;
    digest_add(&set->sum, &other->sum);
}

void digest_set_print(const struct digest_set *set, char text[FINGERPRINT_TEXT_SIZE])
{
    int size = snprintf(text, FINGERPRINT_TEXT_SIZE, "%" PRIu64 "-", set->count);

    digest_print(&set->sum, text + size);
}
