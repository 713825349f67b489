/* test_load_histogram.c: quantiles are what sorting would say, within 1 %. */
#include "load_histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

static struct histogram histogram;

static int setup(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    return 0;
}

static void assert_near(uint64_t found, uint64_t wanted)
{
    assert_true(found >= wanted);
    assert_true(found <= wanted + wanted / 100);
}

static void nothing_added_has_quantile_zero(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(histogram_quantile(&histogram, 1), 0);
}

static void one_value_is_every_quantile(void **state)
{
    (void)state;
    histogram_add(&histogram, 123456789);
    assert_int_equal(histogram_quantile(&histogram, 0), 123456789);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 123456789);
    assert_int_equal(histogram_quantile(&histogram, 1), 123456789);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t ns = 1; ns <= 100; ns++)
        histogram_add(&histogram, ns);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 50);
    assert_int_equal(histogram_quantile(&histogram, 0.99), 99);
    assert_int_equal(histogram_quantile(&histogram, 1), 100);
}

static void quantiles_of_an_even_spread_are_near(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 100000; i++)
        histogram_add(&histogram, i * 977);
    assert_near(histogram_quantile(&histogram, 0.01), 1000 * 977);
    assert_near(histogram_quantile(&histogram, 0.5), 50000 * 977);
    assert_near(histogram_quantile(&histogram, 0.99), 99000 * 977);
    assert_int_equal(histogram.max, 100000 * 977);
}

/* Around each power of two, where an index is most easily off by one: no value goes to a bucket below a smaller one's. */
static void larger_values_never_have_smaller_quantiles(void **state)
{
    (void)state;
    uint64_t before = 0;

    for (unsigned bits = 1; bits < HISTOGRAM_BITS_MAX; bits++) {
        for (int step = -1; step <= 1; step++) {
            uint64_t ns = (UINT64_C(1) << bits) + (uint64_t)(int64_t)step, found;

            memset(&histogram, 0, sizeof histogram);
            histogram_add(&histogram, ns);
            histogram_add(&histogram, UINT64_MAX); /* so that max does not cap it */
            found = histogram_quantile(&histogram, 0.5);
            assert_near(found, ns);
            assert_true(found >= before);
            before = found;
        }
    }
}

static void what_is_too_long_counts_as_the_longest(void **state)
{
    (void)state;
    histogram_add(&histogram, 10);
    histogram_add(&histogram, UINT64_C(1) << 50);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 10);
    assert_true(histogram_quantile(&histogram, 1) >= (UINT64_C(1) << HISTOGRAM_BITS_MAX) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_added_has_quantile_zero, setup),
        cmocka_unit_test_setup(one_value_is_every_quantile, setup),
        cmocka_unit_test_setup(small_values_are_exact, setup),
        cmocka_unit_test_setup(quantiles_of_an_even_spread_are_near, setup),
        cmocka_unit_test_setup(larger_values_never_have_smaller_quantiles, setup),
        cmocka_unit_test_setup(what_is_too_long_counts_as_the_longest, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
