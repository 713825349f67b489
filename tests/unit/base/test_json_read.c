/* test_json_read.c: only strict JSON is read, and members come with their type. */
#include "proto/base/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    struct error err;
    json_t *value;

    if (json_parse(text, strlen(text), &value, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return value;
}

static void one_strict_value_is_read(void **state)
{
    static const char *const good[] = { "{}", "[]",       " [1, 2.5, \"x\", null] \n",
                                        "7",  "\"text\"", "null" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(good); i++)
        json_decref(parse(good[i]));
}

static void anything_else_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text;
        const char *place;
    } cases[] = {
        { "", "JSON: 1:0: " },
        { "{", "JSON: 1:1: " },
        { "{} {}", "JSON: 1:4: " },
        { "{\n\"a\": 1,\n\"a\": 2}", "JSON: 3:3: " },
        { "[1,]", "JSON: 1:4: " },
        { "{a: 1}", "JSON: 1:2: " },
        { "[NaN]", "JSON: 1:" },
        { "// c\n1", "JSON: 1:" },
        { "\"\xff\"", "JSON: 1:" },
        { "\"\\u0000\"", "JSON: 1:" },
        { "18446744073709551615", "JSON: 1:" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error err;
        json_t *value = (json_t *)&err;

        error_init(&err);
        assert_int_equal(json_parse(cases[i].text, strlen(cases[i].text), &value, &err), STATUS_BAD_VALUE);
        assert_null(value);
        if (strncmp(err.text, cases[i].place, strlen(cases[i].place)) != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_true(err.has_offset);
        assert_true(err.offset <= strlen(cases[i].text));
    }
}

static void depth_is_limited(void **state)
{
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH);
    struct error err;
    json_t *value;

    (void)state;
    assert_non_null(text);
    memset(text, '[', DEPTH);
    assert_int_equal(json_parse(text, DEPTH, &value, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "depth"));
    free(text);
}

static void the_text_need_not_be_terminated(void **state)
{
    struct error err;
    json_t *value;

    (void)state;
    assert_int_equal(json_parse("[1]]]]", 3, &value, &err), STATUS_OK);
    json_decref(value);
    assert_int_equal(json_parse(NULL, 0, &value, &err), STATUS_BAD_VALUE);
}

static void members_come_with_their_type(void **state)
{
    json_t *value = parse("{\"s\": \"text\", \"n\": 42, \"a\": [1]}");
    const char *text;
    uint64_t number;
    json_t *array;

    (void)state;
    assert_int_equal(json_get_string(value, "s", &text, NULL), STATUS_OK);
    assert_string_equal(text, "text");
    assert_int_equal(json_get_u64(value, "n", 42, &number, NULL), STATUS_OK);
    assert_int_equal(number, 42);
    assert_int_equal(json_get_array(value, "a", &array, NULL), STATUS_OK);
    assert_int_equal(json_array_size(array), 1);
    assert_int_equal(json_opt_string(value, "s", "none", &text, NULL), STATUS_OK);
    assert_string_equal(text, "text");
    assert_int_equal(json_opt_u64(value, "n", 100, 7, &number, NULL), STATUS_OK);
    assert_int_equal(number, 42);
    json_decref(value);
}

static void an_absent_or_null_member_is_its_default(void **state)
{
    json_t *value = parse("{\"null\": null}");
    static const char *const keys[] = { "absent", "null" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(keys); i++) {
        const char *text = "x";
        uint64_t number = 1;

        assert_int_equal(json_opt_string(value, keys[i], NULL, &text, NULL), STATUS_OK);
        assert_null(text);
        assert_int_equal(json_opt_u64(value, keys[i], 9, 7, &number, NULL), STATUS_OK);
        assert_int_equal(number, 7);
    }
    json_decref(value);
}

static void assert_bad(enum status status, const struct error *err, const char *text)
{
    assert_int_equal(status, STATUS_BAD_VALUE);
    assert_string_equal(err->text, text);
}

static void wrong_members_are_named(void **state)
{
    json_t *value = parse("{\"s\": 1, \"n\": \"x\", \"neg\": -1, \"big\": 256, \"real\": 1.0, \"a\": {}}");
    struct error err;
    const char *text;
    uint64_t number;
    json_t *array;

    (void)state;
    error_init(&err);
    assert_bad(json_get_string(value, "none", &text, &err), &err, "none: missing");
    assert_bad(json_get_string(value, "s", &text, &err), &err, "s: not a string");
    assert_bad(json_opt_string(value, "s", "", &text, &err), &err, "s: not a string");
    assert_bad(json_get_u64(value, "n", 9, &number, &err), &err, "n: not a whole number");
    assert_bad(json_get_u64(value, "real", 9, &number, &err), &err, "real: not a whole number");
    assert_bad(json_get_u64(value, "neg", 9, &number, &err), &err, "neg: less than 0");
    assert_bad(json_get_u64(value, "big", 255, &number, &err), &err, "big: more than 255");
    assert_bad(json_opt_u64(value, "big", 255, 0, &number, &err), &err, "big: more than 255");
    assert_bad(json_get_array(value, "a", &array, &err), &err, "a: not an array");
    assert_bad(json_get_array(value, "b", &array, &err), &err, "b: missing");
    json_decref(value);
}

static void what_is_no_object_has_no_members(void **state)
{
    json_t *value = parse("[1]");
    struct error err;
    const char *text;
    uint64_t number;

    (void)state;
    error_init(&err);
    assert_int_equal(json_get_string(value, "s", &text, &err), STATUS_BAD_VALUE);
    assert_int_equal(json_opt_string(value, "s", "", &text, &err), STATUS_BAD_VALUE);
    assert_int_equal(json_opt_u64(value, "s", 1, 0, &number, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "not an object"));
    json_decref(value);
}

static void a_value_is_printed_as_it_was_read(void **state)
{
    static const char text[] = "{\"a\":[1,-2,0.1,true,false,null],\"b\":{\"c\":\"\\u0001\\\"\"},\"d\":[]}";
    json_t *value = parse(text);
    struct json_writer json;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    json_init(&json, &buf);
    json_print(&json, value);
    assert_string_equal(buf_string(&buf), text);
    buf_fini(&buf);
    json_decref(value);
}

static void what_nests_too_deep_to_be_written_is_null(void **state)
{
    char text[2 * JSON_DEPTH_MAX + 3] = "", wanted[2 * JSON_DEPTH_MAX + 5] = "";
    struct json_writer json;
    struct buf buf;

    (void)state;
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    memset(wanted, '[', JSON_DEPTH_MAX);
    memcpy(wanted + JSON_DEPTH_MAX, "null", 4);
    memset(wanted + JSON_DEPTH_MAX + 4, ']', JSON_DEPTH_MAX);
    json_t *value = parse(text);
    buf_init(&buf, 1000);
    json_init(&json, &buf);
    json_print(&json, value);
    assert_string_equal(buf_string(&buf), wanted);
    buf_fini(&buf);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_strict_value_is_read),
        cmocka_unit_test(anything_else_is_refused_with_its_place),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(the_text_need_not_be_terminated),
        cmocka_unit_test(members_come_with_their_type),
        cmocka_unit_test(an_absent_or_null_member_is_its_default),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(what_is_no_object_has_no_members),
        cmocka_unit_test(a_value_is_printed_as_it_was_read),
        cmocka_unit_test(what_nests_too_deep_to_be_written_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
