/* test_buf.c: a buffer that grows, up to its limit and no further. */
#include "proto/base/buf.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static void what_is_appended_stands_in_order(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    assert_string_equal(buf_string(&buf), "");
    buf_text(&buf, "ab");
    buf_append(&buf, "cdX", 2);
    buf_format(&buf, "%d-%s", 42, "e");
    buf_decimal(&buf, UINT64_MAX);
    assert_string_equal(buf_string(&buf), "abcd42-e18446744073709551615");
    buf_clear(&buf);
    buf_u16(&buf, 0x4142);
    buf_u32(&buf, 0x43444546);
    buf_u64(&buf, UINT64_C(0x4748494a4b4c4d4e));
    assert_string_equal(buf_string(&buf), "ABCDEFGHIJKLMN");
    assert_int_equal(buf_status(&buf), STATUS_OK);
    buf_fini(&buf);
    buf_fini(&buf);
}

static void it_takes_its_limit_and_not_one_byte_more(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 200; limit++) {
        struct buf buf;

        buf_init(&buf, limit);
        for (size_t i = 0; i < limit; i++)
            buf_text(&buf, "x");
        assert_int_equal(buf_status(&buf), STATUS_OK);
        assert_int_equal(buf.size, limit);
        assert_int_equal(strlen(buf_string(&buf)), limit);
        buf_text(&buf, "y");
        assert_int_equal(buf_status(&buf), STATUS_TOO_LARGE);
        buf_fini(&buf);
    }
}

static void a_failure_sticks_until_it_is_cleared(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 4);
    buf_text(&buf, "12345");
    buf_text(&buf, "1");
    assert_int_equal(buf_status(&buf), STATUS_TOO_LARGE);
    assert_int_equal(buf.size, 0);
    assert_null(buf_reserve(&buf, 1));
    assert_string_equal(buf_string(&buf), "");
    buf_clear(&buf);
    buf_text(&buf, "1234");
    assert_string_equal(buf_string(&buf), "1234");
    buf_fini(&buf);
}

static void sizes_near_the_end_of_memory_do_not_wrap(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_text(&buf, "abc");
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_int_equal(buf_status(&buf), STATUS_TOO_LARGE);
    buf_fini(&buf);
}

static void formats_of_every_length_arrive_whole(void **state)
{
    (void)state;
    for (int width = 1; width < 600; width++) {
        struct buf buf;

        buf_init(&buf, 600);
        buf_format(&buf, "%*d", width, 7);
        assert_int_equal(buf.size, width);
        assert_int_equal(buf.data[width - 1], '7');
        buf_fini(&buf);
    }
}

static void consumed_bytes_are_gone_and_the_rest_moves_down(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    buf_consume(&buf, 0);
    buf_text(&buf, "headtail");
    buf_consume(&buf, 4);
    assert_string_equal(buf_string(&buf), "tail");
    buf_consume(&buf, 4);
    assert_int_equal(buf.size, 0);
    buf_fini(&buf);
}

static void taken_memory_belongs_to_the_taker(void **state)
{
    struct buf buf;
    size_t size = 9;

    (void)state;
    buf_init(&buf, 4);
    assert_null(buf_take(&buf, &size));
    assert_int_equal(size, 0);
    buf_text(&buf, "abcd");
    uint8_t *data = buf_take(&buf, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(data, "abcd", 4);
    free(data);
    assert_int_equal(buf.size, 0);
    buf_text(&buf, "ab");
    buf_text(&buf, "too much");
    assert_null(buf_take(&buf, &size));
    assert_int_equal(size, 0);
    assert_int_equal(buf_status(&buf), STATUS_TOO_LARGE);
    buf_fini(&buf);
}

static void assert_double_text(double value, const char *text)
{
    struct buf buf;

    buf_init(&buf, 100);
    buf_double(&buf, value);
    assert_string_equal(buf_string(&buf), text);
    buf_fini(&buf);
}

static void doubles_are_as_short_as_can_be(void **state)
{
    (void)state;
    assert_double_text(0, "0");
    assert_double_text(-0.0, "0");
    assert_double_text(-3, "-3");
    assert_double_text(0.1, "0.1");
    assert_double_text(1.0 / 3, "0.3333333333333333");
    assert_double_text(0.1 + 0.2, "0.30000000000000004");
    assert_double_text(999999999999999, "999999999999999");
    assert_double_text(1e15, "1e+15");
    assert_double_text(1e300, "1e+300");
    assert_double_text(-2.5e-8, "-2.5e-08");
}

static void random_doubles_read_back_as_themselves(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 100);
    for (unsigned i = 0; i < 20000;) {
        double value;

        random_bytes(&value, sizeof value);
        if (!isfinite(value))
            continue;
        i++;
        buf_clear(&buf);
        buf_double(&buf, value);
        if (strtod(buf_string(&buf), NULL) != value)
            fail_msg("%a became %s", value, buf_string(&buf));
    }
    buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_appended_stands_in_order),
        cmocka_unit_test(it_takes_its_limit_and_not_one_byte_more),
        cmocka_unit_test(a_failure_sticks_until_it_is_cleared),
        cmocka_unit_test(sizes_near_the_end_of_memory_do_not_wrap),
        cmocka_unit_test(formats_of_every_length_arrive_whole),
        cmocka_unit_test(consumed_bytes_are_gone_and_the_rest_moves_down),
        cmocka_unit_test(taken_memory_belongs_to_the_taker),
        cmocka_unit_test(doubles_are_as_short_as_can_be),
        cmocka_unit_test(random_doubles_read_back_as_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
