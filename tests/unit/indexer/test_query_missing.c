/* test_query_missing.c: what was asked for and not found, as few requests. */
#include "indexer/query.h"
#include "indexer/query_missing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add(struct query_request *request, const char *pair)
{
    const char *equals = strchr(pair, '=');
    struct error err;

    if (query_add(request, slice_of(pair, (size_t)(equals - pair)), slice_text(equals + 1), &err) != STATUS_OK)
        fail_msg("%s: %s", pair, err.text);
}

static void on_request(void *data, const char *request, bool more)
{
    struct buf *buf = data;

    (void)more;
    buf_format(buf, "%s%s", buf->size > 0 ? "; " : "", request);
}

static struct catalog_value text_value(const char *text)
{
    return (struct catalog_value){ .kind = CATALOG_TEXT, .text = slice_text(text) };
}

static struct catalog_value number_value(double number)
{
    return (struct catalog_value){ .kind = CATALOG_NUMBER, .number = number };
}

static struct catalog_value no_value(void)
{
    return (struct catalog_value){ .kind = CATALOG_NONE };
}

static char *print(struct missing *missing)
{
    static char text[1 << 16];
    struct buf buf;

    buf_init(&buf, sizeof text - 1);
    missing_print(missing, on_request, &buf);
    snprintf(text, sizeof text, "%s", buf_string(&buf));
    buf_fini(&buf);
    return text;
}

static void what_is_left_is_printed_as_few_requests(void **state)
{
    struct query_request request;

    (void)state;
    query_init(&request);
    add(&request, "param=t/z");
    add(&request, "step=0/to/24/by/6");
    add(&request, "levelist=500/850");
    struct missing *missing = missing_new(&request.query);
    assert_non_null(missing);
    assert_int_equal(missing_count(missing), 20);
    assert_string_equal(print(missing), "param=t/z,step=0/to/24/by/6,levelist=500/850");
    /* All of t, and z up to 12 at 500. */
    for (int step = 0; step <= 24; step += 6) {
        for (int level = 500; level <= 850; level += 350) {
            struct catalog_value values[] = { text_value("t"), number_value(step * 3600.0),
                                              number_value(level) };
            missing_tick(missing, values);
            values[0] = text_value("z");
            if (step <= 12 && level == 500)
                missing_tick(missing, values);
        }
    }
    assert_int_equal(missing_count(missing), 7);
    assert_string_equal(print(missing),
                        "param=z,step=0/6/12,levelist=850; param=z,step=18/24,levelist=500/850");
    missing_free(missing);
    query_fini(&request);
}

static void names_ids_and_intervals_are_alternatives(void **state)
{
    struct query_request request;
    const char *const *keys;

    (void)state;
    query_init(&request);
    add(&request, "param=2t/167/129");
    add(&request, "step=90m/0-24");
    struct missing *missing = missing_new(&request.query);
    assert_non_null(missing);
    assert_int_equal(missing_keys(missing, &keys), 4);
    assert_string_equal(keys[0], "param");
    assert_string_equal(keys[1], "paramId");
    struct catalog_value values[] = { text_value("2t"), number_value(167), number_value(5400),
                                      text_value("90m") };
    missing_tick(missing, values); /* ticks 2t and 167 */
    assert_string_equal(print(missing), "param=2t/167,step=0-24; param=129,step=90m/0-24");
    missing_free(missing);
    query_fini(&request);
}

/* 11.2 asks for paramId 2011, and for id 11 of table 2: whichever there is, the place is filled. */
static void two_spellings_of_a_value_are_one_place(void **state)
{
    struct query_request request;

    (void)state;
    query_init(&request);
    add(&request, "param=t/167.128/11.2/33.2/34.2");
    struct missing *missing = missing_new(&request.query);
    assert_non_null(missing);
    assert_int_equal(missing_count(missing), 5);
    assert_string_equal(print(missing), "param=t/167.128/11.2/33.2/34.2");
    struct catalog_value of_edition_2[] = { text_value("2t"), number_value(167), no_value() };
    missing_tick(missing, of_edition_2);
    struct catalog_value of_a_table[] = { text_value("t"), number_value(130), text_value("11.2") };
    missing_tick(missing, of_a_table);
    struct catalog_value by_number[] = { text_value("x"), number_value(2034), no_value() };
    missing_tick(missing, by_number);
    assert_int_equal(missing_count(missing), 1);
    assert_string_equal(print(missing), "param=33.2");
    missing_free(missing);
    query_fini(&request);
}

static void on_name(void *data, const char *key, const char *value)
{
    struct buf *buf = data;

    buf_format(buf, "%s=%s ", key, value);
}

static void names_that_match_nothing_are_told(void **state)
{
    struct query_request request;
    struct buf buf;

    (void)state;
    query_init(&request);
    add(&request, "param=2tt/t/z");
    add(&request, "levelist=500/850");
    struct missing *missing = missing_new(&request.query);
    struct catalog_value values[] = { text_value("t"), number_value(500) };
    missing_tick(missing, values);
    values[0] = text_value("z");
    missing_tick(missing, values);
    buf_init(&buf, 1000);
    missing_names(missing, on_name, &buf);
    assert_string_equal(buf_string(&buf), "param=2tt "); /* z is there, though not at 850 */
    buf_fini(&buf);
    missing_free(missing);
    query_fini(&request);
}

static void a_value_that_is_given_twice_is_one(void **state)
{
    struct query_request request;

    (void)state;
    query_init(&request);
    add(&request, "levelist=1/5/1/3/5/2");
    struct missing *missing = missing_new(&request.query);
    assert_string_equal(print(missing), "levelist=1/5/3/2");
    missing_free(missing);
    query_fini(&request);
}

static void a_grid_too_large_is_not_looked_at_and_a_long_list_ends(void **state)
{
    struct query_request request;

    (void)state;
    query_init(&request);
    add(&request, "levelist=1/to/1000");
    add(&request, "number=1/to/1000");
    assert_null(missing_new(&request.query));
    query_fini(&request);

    query_init(&request);
    add(&request, "levelist=1/to/300");
    add(&request, "number=1/to/300");
    struct missing *missing = missing_new(&request.query);
    assert_non_null(missing);
    for (int i = 1; i <= 300; i++) { /* the diagonal: no two rows miss the same */
        struct catalog_value values[] = { number_value(i), number_value(i) };
        missing_tick(missing, values);
    }
    char *text = print(missing);
    assert_string_equal(text + strlen(text) - 5, "; ...");
    missing_free(missing);
    query_fini(&request);
}

/* Numbers at no one distance, so that each is printed: a key's list, and more of them than a line takes. */
static void a_list_too_long_for_one_request_is_told_in_several(void **state)
{
    enum { COUNT = 1200 };
    struct query_request request;
    struct buf list;
    unsigned found = 0;

    (void)state;
    buf_init(&list, 1 << 16);
    buf_text(&list, "number=0");
    for (int i = 1; i < COUNT; i++)
        buf_format(&list, "/%d", i * i);
    query_init(&request);
    add(&request, "levelist=500/850");
    add(&request, buf_string(&list));
    struct missing *missing = missing_new(&request.query);
    assert_int_equal(missing_count(missing), 2 * COUNT);
    char *text = print(missing);
    assert_null(strstr(text, "..."));
    for (char *at = text, *rest; (at = strtok_r(at, ";", &rest)) != NULL; at = NULL) {
        while (*at == ' ')
            at++;
        assert_int_equal(strncmp(at, "levelist=500/850,number=", 24), 0);
        at += 24;
        assert_in_range(strlen(at), 1, 1220);
        for (char *value = at, *more; (value = strtok_r(value, "/", &more)) != NULL; value = NULL)
            assert_int_equal(atoi(value), found * found), found++;
    }
    assert_int_equal(found, COUNT);
    missing_free(missing);
    query_fini(&request);
    buf_fini(&list);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_printed_as_few_requests),
        cmocka_unit_test(names_ids_and_intervals_are_alternatives),
        cmocka_unit_test(two_spellings_of_a_value_are_one_place),
        cmocka_unit_test(names_that_match_nothing_are_told),
        cmocka_unit_test(a_value_that_is_given_twice_is_one),
        cmocka_unit_test(a_grid_too_large_is_not_looked_at_and_a_long_list_ends),
        cmocka_unit_test(a_list_too_long_for_one_request_is_told_in_several),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
