/* test_stamps.c: one stamp counts up, a list goes first. */
#include "storaged/stamps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void one_stamp_counts_up(void **state)
{
    struct stamps stamps;

    (void)state;
    assert_int_equal(stamps_parse(slice_text("1700000000000000"), &stamps, NULL), STATUS_OK);
    assert_int_equal(stamps_get(&stamps, 0), 1700000000000000);
    assert_int_equal(stamps_get(&stamps, 41), 1700000000000041);
    stamps_fini(&stamps);
}

static void a_list_goes_first_and_its_last_counts_up(void **state)
{
    static const uint64_t expected[] = { 7, 5, 900, 901, 902 };
    struct stamps stamps;

    (void)state;
    assert_int_equal(stamps_parse(slice_text("7, 5,900"), &stamps, NULL), STATUS_OK);
    assert_int_equal(stamps.count, 3);
    for (unsigned i = 0; i < ARRAY_COUNT(expected); i++)
        assert_int_equal(stamps_get(&stamps, i), expected[i]);
    stamps_fini(&stamps);
}

static void no_header_is_no_stamp(void **state)
{
    struct stamps stamps;

    (void)state;
    assert_int_equal(stamps_parse((struct slice){ 0 }, &stamps, NULL), STATUS_OK);
    assert_int_equal(stamps.count, 0);
}

static void what_is_no_stamp_is_refused(void **state)
{
    static const char *const bad[] = {
        "", "0", "-1", "1,", ",1", "1,,2", "1 2", "0x", "1.5", "now", "9223372036854775808", "1;2"
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct stamps stamps;
        struct error err;

        error_init(&err);
        assert_int_equal(stamps_parse(slice_text(bad[i]), &stamps, &err), STATUS_BAD_VALUE);
        assert_null(stamps.values);
        assert_true(err.text[0] != '\0');
    }
}

static void too_many_are_refused(void **state)
{
    char text[2 * (STAMPS_MAX + 1)];
    struct stamps stamps;

    (void)state;
    for (unsigned i = 0; i < STAMPS_MAX + 1; i++) {
        text[2 * (size_t)i] = '1';
        text[2 * (size_t)i + 1] = ',';
    }
    assert_int_equal(stamps_parse(slice_of(text, sizeof text - 1), &stamps, NULL), STATUS_BAD_VALUE);
    assert_int_equal(stamps_parse(slice_of(text, sizeof text - 3), &stamps, NULL), STATUS_OK);
    assert_int_equal(stamps.count, STAMPS_MAX);
    stamps_fini(&stamps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_stamp_counts_up),
        cmocka_unit_test(a_list_goes_first_and_its_last_counts_up),
        cmocka_unit_test(no_header_is_no_stamp),
        cmocka_unit_test(what_is_no_stamp_is_refused),
        cmocka_unit_test(too_many_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
