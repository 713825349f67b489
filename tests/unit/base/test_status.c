/* test_status.c: the table of statuses, and errors that gather their story. */
#include "proto/base/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void every_status_has_a_name_a_code_a_title_and_an_http_status(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        enum status status = (enum status)i;
        size_t size = strlen(status_code(status));

        assert_true(strlen(status_name(status)) > 0);
        assert_int_equal(strspn(status_code(status), "abcdefghijklmnopqrstuvwxyz-"), size);
        assert_true(strlen(status_title(status)) > 0);
        assert_true(status_title(status)[strlen(status_title(status)) - 1] != '.');
        assert_in_range(status_http(status), 200, 599);
        assert_int_equal(status_http(status) < 400, i < STATUS_BAD_REQUEST);
    }
    assert_string_equal(status_name(STATUS_BAD_GRIB), "BAD_GRIB");
    assert_string_equal(status_code(STATUS_BAD_GRIB), "bad-grib");
    assert_int_equal(status_http(STATUS_BAD_GRIB), 422);
}

static void a_code_leads_back_to_a_failure_with_that_code(void **state)
{
    (void)state;
    for (unsigned i = STATUS_BAD_REQUEST; i < STATUS_COUNT; i++) {
        enum status back = status_from_code(status_code((enum status)i));

        assert_string_equal(status_code(back), status_code((enum status)i));
        assert_true(back <= i || back == STATUS_INTERNAL);
    }
    assert_int_equal(status_from_code("internal"), STATUS_INTERNAL);
    assert_int_equal(status_from_code("no-such-code"), STATUS_INTERNAL);
    assert_int_equal(status_from_code(""), STATUS_INTERNAL);
}

static void no_code_of_the_other_side_turns_a_failure_into_success(void **state)
{
    (void)state;
    assert_int_equal(status_from_code("ok"), STATUS_INTERNAL);
    assert_int_equal(status_from_code("more"), STATUS_INTERNAL);
}

static void errno_becomes_a_status(void **state)
{
    (void)state;
    assert_int_equal(status_from_errno(ENOSPC), STATUS_FULL);
    assert_int_equal(status_from_errno(EDQUOT), STATUS_FULL);
    assert_int_equal(status_from_errno(ENOMEM), STATUS_NO_MEMORY);
    assert_int_equal(status_from_errno(ENOENT), STATUS_NOT_FOUND);
    assert_int_equal(status_from_errno(EEXIST), STATUS_EXISTS);
    assert_int_equal(status_from_errno(EMFILE), STATUS_OVERLOADED);
    assert_int_equal(status_from_errno(ENFILE), STATUS_OVERLOADED);
    assert_int_equal(status_from_errno(EIO), STATUS_IO);
    assert_int_equal(status_from_errno(0), STATUS_IO);
}

static void each_layer_puts_its_text_in_front(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    assert_int_equal(error_set(&err, STATUS_CORRUPT, "bad magic %d", 7), STATUS_CORRUPT);
    error_at(&err, 64);
    assert_int_equal(error_wrap(&err, "journal"), STATUS_CORRUPT);
    assert_int_equal(error_wrap(&err, "run %s", "hres/20130408T0000Z"), STATUS_CORRUPT);
    assert_string_equal(err.text, "run hres/20130408T0000Z: journal: bad magic 7");
    assert_true(err.has_offset);
    assert_int_equal(err.offset, 64);
}

static void a_new_error_forgets_the_place_of_the_old(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    error_set(&err, STATUS_BAD_GRIB, "first");
    error_at(&err, 9);
    error_set(&err, STATUS_IO, "second");
    assert_false(err.has_offset);
    assert_string_equal(err.text, "second");
}

static void arguments_may_point_into_the_error(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    error_set(&err, STATUS_IO, "inner");
    error_set(&err, STATUS_BAD_VALUE, "outer of %s", err.text);
    assert_string_equal(err.text, "outer of inner");
    error_wrap(&err, "<%s>", err.text);
    assert_string_equal(err.text, "<outer of inner>: outer of inner");
}

static void errno_is_told_in_words(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    assert_int_equal(error_set_errno(&err, ENOENT, "open %s", "x"), STATUS_NOT_FOUND);
    assert_string_equal(err.text, "open x: No such file or directory");
}

static void a_long_text_is_cut_with_dots(void **state)
{
    char text[2 * ERROR_TEXT_SIZE];
    struct error err;

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t size = ERROR_TEXT_SIZE - 4; size <= ERROR_TEXT_SIZE + 4; size++) {
        error_init(&err);
        error_set(&err, STATUS_IO, "%.*s", (int)size, text);
        bool cut = size >= ERROR_TEXT_SIZE;
        assert_int_equal(strlen(err.text), cut ? ERROR_TEXT_SIZE - 1 : size);
        assert_int_equal(strcmp(err.text + strlen(err.text) - 3, "...") == 0, cut);
    }
    error_set(&err, STATUS_IO, "%s", "short");
    error_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.text), ERROR_TEXT_SIZE - 1);
    assert_string_equal(err.text + ERROR_TEXT_SIZE - 4, "...");
}

static void without_an_error_the_status_still_comes_up(void **state)
{
    (void)state;
    error_init(NULL);
    error_at(NULL, 1);
    assert_int_equal(error_set(NULL, STATUS_CORRUPT, "bad magic"), STATUS_CORRUPT);
    assert_int_equal(error_wrap(NULL, "journal"), STATUS_CORRUPT);
    assert_int_equal(error_set_errno(NULL, ENOSPC, "write"), STATUS_FULL);
    assert_int_equal(error_wrap(NULL, "journal"), STATUS_FULL);
}

static void wrapping_what_nobody_set_is_a_failure_all_the_same(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    assert_int_equal(error_wrap(&err, "journal"), STATUS_INTERNAL);
    assert_string_equal(err.text, "journal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_a_code_a_title_and_an_http_status),
        cmocka_unit_test(a_code_leads_back_to_a_failure_with_that_code),
        cmocka_unit_test(no_code_of_the_other_side_turns_a_failure_into_success),
        cmocka_unit_test(errno_becomes_a_status),
        cmocka_unit_test(each_layer_puts_its_text_in_front),
        cmocka_unit_test(a_new_error_forgets_the_place_of_the_old),
        cmocka_unit_test(arguments_may_point_into_the_error),
        cmocka_unit_test(errno_is_told_in_words),
        cmocka_unit_test(a_long_text_is_cut_with_dots),
        cmocka_unit_test(without_an_error_the_status_still_comes_up),
        cmocka_unit_test(wrapping_what_nobody_set_is_a_failure_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
