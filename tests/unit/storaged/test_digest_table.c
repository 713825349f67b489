/* test_digest_table.c: what storaged/store/digest_table.h promises. */
#include "storaged/store/digest_table.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void make_digest(uint32_t number, struct digest *digest)
{
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < sizeof digest->bytes; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        put_u64(digest->bytes + i, state);
    }
}

static uint32_t tag_of(const struct digest_table *table, uint32_t number)
{
    struct digest digest;

    make_digest(number, &digest);
    return digest_table_tag(table, &digest);
}

static bool has(const struct digest_table *table, uint32_t number)
{
    uint32_t records[4];
    unsigned count = digest_table_find(table, tag_of(table, number), records, 4);

    for (unsigned i = 0; i < count; i++)
        if (records[i] == number)
            return true;
    return false;
}

static void an_empty_table_has_nothing(void **state)
{
    struct digest_table table;
    uint32_t record;

    (void)state;
    digest_table_init(&table);
    assert_int_equal(digest_table_find(&table, 7, &record, 1), 0);
    assert_false(digest_table_remove(&table, 7, 1));
    assert_int_equal(digest_table_memory(&table), 0);
    digest_table_fini(&table);
}

static void what_was_put_in_is_found_at_every_size(void **state)
{
    enum { COUNT = 20000 };
    struct digest_table table;

    (void)state;
    digest_table_init(&table);
    for (uint32_t i = 1; i <= COUNT; i++) {
        digest_table_insert(&table, tag_of(&table, i), i);
        assert_true(has(&table, i));
        assert_true(has(&table, 1 + i / 2));
        assert_false(has(&table, i + 1));
    }
    for (uint32_t i = 1; i <= COUNT; i++)
        assert_true(has(&table, i));
    assert_int_equal(table.count, COUNT);
    digest_table_fini(&table);
}

static void what_was_removed_is_gone_and_the_rest_is_found(void **state)
{
    enum { COUNT = 9000 };
    struct digest_table table;

    (void)state;
    digest_table_init(&table);
    for (uint32_t i = 1; i <= COUNT; i++)
        digest_table_insert(&table, tag_of(&table, i), i);
    for (uint32_t i = 1; i <= COUNT; i += 2) {
        assert_true(digest_table_remove(&table, tag_of(&table, i), i));
        assert_false(digest_table_remove(&table, tag_of(&table, i), i));
    }
    for (uint32_t i = 1; i <= COUNT; i++)
        assert_int_equal(has(&table, i), i % 2 == 0);
    for (uint32_t i = 1; i <= COUNT; i += 2)
        digest_table_insert(&table, tag_of(&table, i), i);
    for (uint32_t i = 1; i <= COUNT; i++)
        assert_true(has(&table, i));
    digest_table_fini(&table);
}

static void digests_with_one_tag_live_side_by_side(void **state)
{
    struct digest_table table;
    uint32_t records[8];

    (void)state;
    digest_table_init(&table);
    for (uint32_t tag = 0; tag < 3000; tag++)
        for (uint32_t i = 0; i < 3; i++)
            digest_table_insert(&table, tag << 20, 1 + 3 * tag + i);
    for (uint32_t tag = 0; tag < 3000; tag++)
        assert_int_equal(digest_table_find(&table, tag << 20, records, 8) % 3, 0);
    assert_true(digest_table_remove(&table, 5 << 20, 1 + 3 * 5 + 1));
    unsigned count = digest_table_find(&table, 5 << 20, records, 8);
    for (unsigned i = 0; i < count; i++)
        assert_int_not_equal(records[i], 1 + 3 * 5 + 1);
    digest_table_fini(&table);
}

/* At every count on the way: no moment of growth needs more. Small tables are bounded by their smallest segment. */
static void a_digest_never_costs_more_than_fourteen_bytes(void **state)
{
    enum { COUNT = 1000000 };
    struct digest_table table;
    struct mallinfo2 before = mallinfo2();

    (void)state;
    digest_table_init(&table);
    for (uint32_t i = 1; i <= COUNT; i++) {
        digest_table_insert(&table, tag_of(&table, i), i);
        if (i >= 10000 && i % 997 == 0)
            assert_true(digest_table_memory(&table) <= (size_t)i * 29 / 2);
    }
    struct mallinfo2 after = mallinfo2();
    size_t heap = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    assert_true(digest_table_memory(&table) <= (size_t)COUNT * 14);
    assert_true(heap <= (size_t)COUNT * 16); /* 0 where a sanitizer's allocator stands in */
    digest_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(what_was_put_in_is_found_at_every_size),
        cmocka_unit_test(what_was_removed_is_gone_and_the_rest_is_found),
        cmocka_unit_test(digests_with_one_tag_live_side_by_side),
        cmocka_unit_test(a_digest_never_costs_more_than_fourteen_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
