/* digest.h: SHA-256 of a message: streamed, printed, parsed, compared; and sums of digests (set hashes). */
#ifndef PROTO_DIGEST_H
#define PROTO_DIGEST_H

#include "proto/base/bytes.h"

#include <stdbool.h>

enum { DIGEST_SIZE = 32, DIGEST_TEXT_SIZE = 65 };

struct digest {
    uint8_t bytes[DIGEST_SIZE];
};

/* A digest under way: OpenSSL's EVP context behind it, reusable. new/free; update any number of times; final gives the
 * digest and makes it ready for the next message. Out of memory aborts in new (NULL is never returned). */
struct digest_stream;
struct digest_stream *digest_stream_new(void);
void digest_stream_free(struct digest_stream *stream);
void digest_stream_update(struct digest_stream *stream, const void *data, size_t size);
void digest_stream_final(struct digest_stream *stream, struct digest *digest);

void digest_of(const void *data, size_t size, struct digest *digest);
void digest_print(const struct digest *digest, char text[DIGEST_TEXT_SIZE]);
bool digest_parse(struct slice text, struct digest *digest); /* exactly 64 lower-case hex digits */
int digest_compare(const struct digest *a, const struct digest *b);

/* The first bits of the digest as a shard number; shards is a power of two up to 16,384. */
unsigned digest_shard(const struct digest *digest, unsigned shards);

/* Count and sum modulo 2^256 (FORMATS.md section 8). */
struct digest_set {
    uint64_t count;
    struct digest sum;
};
enum { FINGERPRINT_TEXT_SIZE = 88 };
void digest_set_add(struct digest_set *set, const struct digest *digest);
void digest_set_remove(struct digest_set *set, const struct digest *digest);
void digest_set_subtract(struct digest_set *set, const struct digest_set *other); /* of digests that are in set */
void digest_set_merge(struct digest_set *set, const struct digest_set *other);
void digest_set_print(const struct digest_set *set, char text[FINGERPRINT_TEXT_SIZE]); /* COUNT-64HEX */

#endif
