/* test_decoded_cache.c: what decoded lately is found, what leaves is freed when nobody holds it, and the sum of sizes is true. */
#include "indexer/decoded_cache.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct digest numbered(unsigned number)
{
    struct digest digest = { .bytes = { 0 } };

    put_u32(digest.bytes, number);
    return digest;
}

static struct decoded *begin(struct decoded_cache *cache, unsigned number)
{
    struct digest digest = numbered(number);
    return decoded_begin(cache, &digest);
}

static struct decoded *find(struct decoded_cache *cache, unsigned number)
{
    struct digest digest = numbered(number);
    return decoded_find(cache, &digest);
}

/* Decoded, with one field whose keys have so many bytes. */
static void end(struct decoded_cache *cache, struct decoded *decoded, size_t keys_size)
{
    decoded->fields = calloc(1, sizeof *decoded->fields);
    assert_non_null(decoded->fields);
    decoded->fields[0].keys = calloc(1, keys_size + 1);
    assert_non_null(decoded->fields[0].keys);
    decoded->fields[0].keys_size = keys_size;
    decoded->fields_count = 1;
    decoded_end(cache, decoded);
}

static void add(struct decoded_cache *cache, unsigned number, size_t keys_size)
{
    struct decoded *decoded = begin(cache, number);

    end(cache, decoded, keys_size);
    decoded_release(cache, decoded);
}

static bool has(struct decoded_cache *cache, unsigned number)
{
    struct decoded *found = find(cache, number);

    if (found != NULL)
        decoded_release(cache, found);
    return found != NULL;
}

static void a_pending_entry_is_found_by_others_until_it_is_given_back(void **state)
{
    (void)state;
    struct decoded_cache cache;

    decoded_cache_init(&cache, 1 << 20);
    struct decoded *ours = begin(&cache, 1), *theirs = find(&cache, 1);
    assert_ptr_equal(ours, theirs);
    assert_true(theirs->pending);
    decoded_abandon(&cache, ours);
    decoded_release(&cache, ours);
    assert_false(has(&cache, 1));
    assert_true(theirs->pending && !theirs->listed); /* still theirs to look at */
    decoded_release(&cache, theirs);

    ours = begin(&cache, 1);
    end(&cache, ours, 100);
    decoded_release(&cache, ours);
    assert_true(has(&cache, 1));
    decoded_cache_fini(&cache);
}

static void the_oldest_leave_beyond_the_limit_and_one_that_is_held_stays_readable(void **state)
{
    (void)state;
    struct decoded_cache cache;

    decoded_cache_init(&cache, 10 * 2048);
    add(&cache, 0, 1000);
    struct decoded *held = find(&cache, 0);
    for (unsigned i = 1; i < 100; i++) {
        add(&cache, i, 1000);
        assert_true(cache.size <= cache.size_max);
    }
    assert_false(has(&cache, 0));
    assert_false(held->listed);
    assert_int_equal(held->fields[0].keys_size, 1000);
    assert_true(has(&cache, 99));
    decoded_release(&cache, held);
    decoded_cache_fini(&cache);
    assert_int_equal(cache.size, 0);
}

static void one_that_is_larger_than_the_cache_is_not_kept(void **state)
{
    (void)state;
    struct decoded_cache cache;

    decoded_cache_init(&cache, 1000);
    struct decoded *large = begin(&cache, 1);
    end(&cache, large, 5000);
    assert_false(large->pending);
    assert_false(has(&cache, 1));
    assert_int_equal(large->fields_count, 1);
    decoded_release(&cache, large);
    assert_int_equal(cache.size, 0);
    decoded_cache_fini(&cache);
}

static void pending_entries_do_not_leave(void **state)
{
    (void)state;
    struct decoded_cache cache;

    decoded_cache_init(&cache, 4096);
    struct decoded *pending = begin(&cache, 0);
    for (unsigned i = 1; i < 50; i++)
        add(&cache, i, 1000);
    assert_true(has(&cache, 0));
    end(&cache, pending, 10);
    decoded_release(&cache, pending);
    assert_true(has(&cache, 0));
    decoded_cache_fini(&cache);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* The limit is on memory, not on a guess: what malloc says it gave is within an eighth of what the cache counts. */
static void the_size_is_what_malloc_gave(void **state)
{
    (void)state;
    struct decoded_cache cache;
    size_t before = mallinfo2().uordblks;

    decoded_cache_init(&cache, 64 << 20);
    for (unsigned i = 0; i < 20000; i++)
        add(&cache, i, 900 + i % 300);
    size_t given = mallinfo2().uordblks - before;
    assert_true(given > cache.size / 8 * 7 && given < cache.size / 8 * 9);
    decoded_cache_fini(&cache);
}
#endif

static void forget(struct decoded_cache *cache, unsigned number)
{
    struct digest digest = numbered(number);
    decoded_forget_refusal(cache, &digest);
}

static void a_refusal_is_forgotten_and_nothing_else(void **state)
{
    struct decoded_cache cache;

    (void)state;
    decoded_cache_init(&cache, 1 << 20);
    add(&cache, 1, 100);
    struct decoded *pending = begin(&cache, 2), *refused = begin(&cache, 3);
    refused->refused = true;
    decoded_end(&cache, refused);
    for (unsigned number = 0; number < 4; number++)
        forget(&cache, number);
    assert_true(has(&cache, 1) && has(&cache, 2));
    assert_false(has(&cache, 3));
    assert_true(refused->refused); /* who holds it reads on */
    decoded_release(&cache, refused);
    end(&cache, pending, 1);
    decoded_release(&cache, pending);
    decoded_cache_fini(&cache);
    assert_int_equal(cache.size, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pending_entry_is_found_by_others_until_it_is_given_back),
        cmocka_unit_test(the_oldest_leave_beyond_the_limit_and_one_that_is_held_stays_readable),
        cmocka_unit_test(one_that_is_larger_than_the_cache_is_not_kept),
        cmocka_unit_test(pending_entries_do_not_leave),
        cmocka_unit_test(a_refusal_is_forgotten_and_nothing_else),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(the_size_is_what_malloc_gave),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
