/* token_bucket.c: a generic cell rate algorithm on one atomic. */
#include "proto/http/token_bucket.h"

#include <stddef.h>

#define BUCKET_SIZE_NS (TOKEN_BUCKET_S * UINT64_C(1000000000))
#define BUCKET_AHEAD_MAX_NS (UINT64_MAX / 4) /* 146 years: no sum below wraps */

/* What amount is worth in time; rounded up, so that nothing is free. */
static uint64_t bucket_cost_ns(uint64_t rate, uint64_t amount)
{
    uint64_t whole = amount / rate, rest = amount % rate;

    if (whole >= BUCKET_AHEAD_MAX_NS / 1000000000)
        return BUCKET_AHEAD_MAX_NS;
    if (rest > UINT64_MAX / 1000000000)
        return whole * 1000000000 + rest / (rate / 1000000000) + 1;
    uint64_t rest_ns = rest * 1000000000;
    return whole * 1000000000 + rest_ns / rate + (rest_ns % rate > 0);
}

static uint64_t bucket_wait_ms(uint64_t ahead_ns)
{
    return (ahead_ns - BUCKET_SIZE_NS + 999999) / 1000000;
}

bool token_bucket_take(struct token_bucket *bucket, uint64_t rate, uint64_t now_us, uint64_t *wait_ms)
{
    uint64_t now_ns = now_us * 1000, cost_ns = bucket_cost_ns(rate, 1);
    uint64_t full_ns = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);
    uint64_t then_ns;

    do {
        then_ns = (full_ns > now_ns ? full_ns : now_ns) + cost_ns;
        if (then_ns - now_ns > BUCKET_SIZE_NS) {
            *wait_ms = bucket_wait_ms(then_ns - now_ns);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_ns, &full_ns, then_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool token_bucket_has(struct token_bucket *bucket, uint64_t now_us, uint64_t *wait_ms)
{
    uint64_t now_ns = now_us * 1000;
    uint64_t full_ns = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);

    if (full_ns < now_ns + BUCKET_SIZE_NS)
        return true;
    *wait_ms = bucket_wait_ms(full_ns - now_ns) + 1;
    return false;
}

void token_bucket_charge(struct token_bucket *bucket, uint64_t rate, uint64_t amount, uint64_t now_us)
{
    uint64_t now_ns = now_us * 1000, cost_ns = bucket_cost_ns(rate, amount);
    uint64_t full_ns = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);
    uint64_t then_ns;

    do {
        then_ns = full_ns > now_ns ? full_ns : now_ns;
        then_ns = then_ns - now_ns > BUCKET_AHEAD_MAX_NS ? then_ns : then_ns + cost_ns;
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_ns, &full_ns, then_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
}
