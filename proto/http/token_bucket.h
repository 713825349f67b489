/* token_bucket.h: so much a second, with ten seconds' worth at once. Pure but for the atomic; from any thread.
 *
 * One number is kept: when the bucket will be full again. What is taken moves it ahead; more than ten seconds ahead there is
 * nothing left. Time is monotonic, in microseconds, and given by the caller. */
#ifndef PROTO_HTTP_TOKEN_BUCKET_H
#define PROTO_HTTP_TOKEN_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { TOKEN_BUCKET_S = 10 };

struct token_bucket {
    _Atomic uint64_t full_ns; /* 0: full */
};

/* Takes one. False: there is none, and *wait_ms says when there is. rate: a second, not 0. */
bool token_bucket_take(struct token_bucket *bucket, uint64_t rate, uint64_t now_us, uint64_t *wait_ms);

/* Is anything left? Nothing is taken. */
bool token_bucket_has(struct token_bucket *bucket, uint64_t now_us, uint64_t *wait_ms);

/* Takes amount, whether it is there or not: what was used already. */
void token_bucket_charge(struct token_bucket *bucket, uint64_t rate, uint64_t amount, uint64_t now_us);

#endif
