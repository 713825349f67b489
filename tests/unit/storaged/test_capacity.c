/* test_capacity.c: how fast a disk fills, when it will be full, and from where on it counts as high. */
#include "storaged/capacity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

enum { MINUTE = 60000 };

static void there_is_no_rate_before_there_is_a_base(void **state)
{
    struct growth growth = { .count = 0 };
    double rate, seconds;

    (void)state;
    assert_false(growth_rate(&growth, &rate));
    growth_add(&growth, 5000, 100);
    assert_false(growth_rate(&growth, &rate));
    growth_add(&growth, 5000 + GROWTH_BASE_MS - 1, 1000);
    assert_false(growth_rate(&growth, &rate));
    assert_false(growth_full_in(&growth, 1000, &seconds));
    growth_add(&growth, 5000 + GROWTH_BASE_MS, 700);
    assert_true(growth_rate(&growth, &rate));
    assert_true(fabs(rate - 10) < 1e-9);
    assert_true(growth_full_in(&growth, 1000, &seconds));
    assert_true(fabs(seconds - 100) < 1e-9);
}

static void what_was_freed_counts_and_a_disk_that_empties_is_never_full(void **state)
{
    struct growth growth = { .count = 0 };
    double rate, seconds;

    (void)state;
    growth_add(&growth, 0, 10000);
    growth_add(&growth, MINUTE, 16000);
    growth_add(&growth, MINUTE + 1, 10000);
    assert_true(growth_rate(&growth, &rate));
    assert_true(rate == 0);
    assert_false(growth_full_in(&growth, 5, &seconds));
    growth_add(&growth, 2 * MINUTE, 4000);
    assert_true(growth_rate(&growth, &rate));
    assert_true(fabs(rate + 50) < 1e-9);
    assert_false(growth_full_in(&growth, 5, &seconds));
}

/* Ten hours without growth, then two of 60 bytes a minute, asked each second: an hour later the first ten have no say. */
static void only_the_last_hour_counts(void **state)
{
    struct growth growth = { .count = 0 };
    uint64_t used = 1000;
    double rate;

    (void)state;
    for (uint64_t second = 0; second < 12 * 3600; second++) {
        used += second >= 10 * 3600;
        growth_add(&growth, second * 1000, used);
        assert_true(growth.count <= GROWTH_SAMPLES);
        if (second == 11 * 3600 - 1801) { /* half an hour of each */
            assert_true(growth_rate(&growth, &rate));
            assert_true(fabs(rate - 0.5) < 0.02);
        }
    }
    assert_true(growth_rate(&growth, &rate));
    assert_true(fabs(rate - 1) < 1e-9);
}

static void a_clock_that_stood_still_for_long_leaves_the_newest_as_base(void **state)
{
    struct growth growth = { .count = 0 };
    double rate;

    (void)state;
    growth_add(&growth, 0, 100);
    growth_add(&growth, MINUTE, 200);
    growth_add(&growth, 100 * (uint64_t)MINUTE, 5000); /* the disk hung */
    assert_int_equal(growth.count, 1);
    assert_false(growth_rate(&growth, &rate));
}

/* --- marks --- */

static struct store_stats disk(uint64_t size, uint64_t free, uint64_t reserve)
{
    return (struct store_stats){ .disk_size = size, .disk_free = free, .disk_reserved = reserve };
}

static void marks_are_shares_of_the_disk_and_never_in_the_reserve(void **state)
{
    static const struct {
        uint64_t size, free, reserve, high, low;
    } cases[] = {
        { 1000, 500, 50, 900, 850 },
        { 1000, 500, 200, 800, 800 },
        { 1000, 2000, 1, 900, 850 },
        { 100, 5, 200, 0, 0 },
        { 0, 0, 5, 0, 0 },
        { UINT64_MAX, UINT64_MAX, 0, UINT64_MAX / 100 * 90 + 13, UINT64_MAX / 100 * 85 + 12 },
    };
    struct capacity capacity;

    (void)state;
    capacity_init(&capacity, 90, 85);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_stats stats = disk(cases[i].size, cases[i].free, cases[i].reserve);
        struct capacity_now now;
        capacity_look(&capacity, &stats, &now);
        assert_int_equal(now.high_water, cases[i].high);
        assert_int_equal(now.low_water, cases[i].low);
        assert_true(now.used <= now.total && now.used + now.free == now.total);
        assert_false(now.has_growth || now.has_full);
    }
    capacity_fini(&capacity);
}

static void it_is_high_from_the_high_mark_until_it_is_below_the_low_one(void **state)
{
    static const struct {
        uint64_t used;
        bool is_high;
    } steps[] = { { 899, false }, { 900, true },  { 870, true },
                  { 850, true },  { 849, false }, { 899, false } };
    struct capacity capacity;
    char text[200];

    (void)state;
    capacity_init(&capacity, 90, 85);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct store_stats stats = disk(1000, 1000 - steps[i].used, 50);
        struct capacity_now now;
        capacity_seen(&capacity, i, &stats);
        capacity_look(&capacity, &stats, &now);
        assert_int_equal(now.is_high, steps[i].is_high);
        capacity_describe(&now, text, sizeof text);
        assert_int_equal(text[0] != '\0', steps[i].is_high);
    }
    capacity_fini(&capacity);
}

static void how_long_it_lasts_ends_at_the_reserve(void **state)
{
    struct store_stats before = disk(100000, 50000, 10000), after = disk(100000, 44000, 10000);
    struct store_stats unknown = disk(0, 0, 10000);
    struct capacity capacity;
    struct capacity_now now;

    (void)state;
    capacity_init(&capacity, 90, 85);
    capacity_seen(&capacity, 1, &unknown); /* a disk that could not be asked is no base */
    capacity_seen(&capacity, 1000, &before);
    capacity_seen(&capacity, 61000, &after);
    capacity_look(&capacity, &after, &now);
    assert_true(now.has_growth && fabs(now.growth - 100) < 1e-9);
    assert_true(now.has_full && fabs(now.full_seconds - 340) < 1e-9);
    capacity_fini(&capacity);
}

static void metrics_of_what_is_not_known_are_left_out(void **state)
{
    struct capacity_now now = { .total = 1000, .high_water = 900, .low_water = 850 };
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 16);
    capacity_print_metrics(&buf, &now);
    assert_non_null(strstr(buf_string(&buf), "\ngribstore_disk_high_water_bytes 900\n"));
    assert_non_null(strstr(buf_string(&buf), "\ngribstore_disk_low_water_bytes 850\n"));
    assert_null(strstr(buf_string(&buf), "growth"));
    assert_null(strstr(buf_string(&buf), "full_seconds"));
    now.has_growth = now.has_full = true;
    now.growth = 2.5;
    now.full_seconds = 40;
    capacity_print_metrics(&buf, &now);
    assert_non_null(strstr(buf_string(&buf), "\ngribstore_disk_growth_bytes_per_second 2.5\n"));
    assert_non_null(strstr(buf_string(&buf), "\ngribstore_disk_full_seconds 40\n"));
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_no_rate_before_there_is_a_base),
        cmocka_unit_test(what_was_freed_counts_and_a_disk_that_empties_is_never_full),
        cmocka_unit_test(only_the_last_hour_counts),
        cmocka_unit_test(a_clock_that_stood_still_for_long_leaves_the_newest_as_base),
        cmocka_unit_test(marks_are_shares_of_the_disk_and_never_in_the_reserve),
        cmocka_unit_test(it_is_high_from_the_high_mark_until_it_is_below_the_low_one),
        cmocka_unit_test(how_long_it_lasts_ends_at_the_reserve),
        cmocka_unit_test(metrics_of_what_is_not_known_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
