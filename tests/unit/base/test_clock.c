/* test_clock.c: the clocks, their replacement, and times as text. */
#include "proto/base/clock.h"

#include "proto/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t fake_wall_us(void)
{
    return 1365379200000000;
}

static uint64_t fake_monotonic_us(void)
{
    return 1999;
}

static void a_test_has_its_own_time(void **state)
{
    (void)state;
    clock_replace(fake_wall_us, fake_monotonic_us);
    assert_int_equal(clock_wall_us(), 1365379200000000);
    assert_int_equal(clock_monotonic_us(), 1999);
    assert_int_equal(clock_monotonic_ms(), 1);
    clock_replace(NULL, NULL);
    assert_true(clock_wall_us() > 1700000000000000);
}

static void monotonic_time_does_not_go_back(void **state)
{
    uint64_t last = clock_monotonic_us();

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = clock_monotonic_us();

        assert_true(now >= last);
        last = now;
    }
}

static void times_print_as_rfc3339(void **state)
{
    static const struct {
        int64_t time_us;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01T00:00:00Z" },
        { 1365379200000000, "2013-04-08T00:00:00Z" },
        { 1365379200000001, "2013-04-08T00:00:00.000001Z" },
        { 1365379200500000, "2013-04-08T00:00:00.500000Z" },
        { 951827696789000, "2000-02-29T12:34:56.789000Z" },
        { -1, "1969-12-31T23:59:59.999999Z" },
        { -1000000, "1969-12-31T23:59:59Z" },
        { -62135596800000000, "0001-01-01T00:00:00Z" },
        { 253402300799000000, "9999-12-31T23:59:59Z" },
        { INT64_MAX, "294247-01-10T04:00:54.775807Z" },
        { INT64_MIN, "-290308-12-21T19:59:05.224192Z" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[CLOCK_TEXT_SIZE];

        clock_print_rfc3339(cases[i].time_us, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_test_has_its_own_time),
        cmocka_unit_test(monotonic_time_does_not_go_back),
        cmocka_unit_test(times_print_as_rfc3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
