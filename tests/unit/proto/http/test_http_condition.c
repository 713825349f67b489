/* test_http_condition.c: the If- headers by RFC 9110 section 13, and dates in their three forms. */
#include "proto/base/clock.h"
#include "proto/http/http_condition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define THEN "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"
enum { THEN_S = 784111777 };

static void dates_of_all_three_forms_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t time;
    } cases[] = {
        { "Sun, 06 Nov 1994 08:49:37 GMT", THEN_S },
        { "Sunday, 06-Nov-94 08:49:37 GMT", THEN_S },
        { "Sun Nov  6 08:49:37 1994", THEN_S },
        { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "Thu Jan 01 00:00:00 1970", 0 },
        { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
        { "Sat, 29 Feb 2020 00:00:00 GMT", 1582934400 },
        { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228799 },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t time = 42;

        if (!http_date_parse(slice_text(cases[i].text), &time))
            fail_msg("%s", cases[i].text);
        assert_int_equal(time, cases[i].time);
    }
}

static void what_is_no_date_is_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "0",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 30 Feb 2020 00:00:00 GMT",
        "Sun, 29 Feb 2021 00:00:00 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "2013-04-08T00:00:00Z",
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t time;

        if (http_date_parse(slice_text(cases[i]), &time))
            fail_msg("%s", cases[i]);
    }
    int64_t time;
    assert_false(http_date_parse(slice_of(NULL, 0), &time));
}

static uint64_t in_2026(void)
{
    return 1767225600u * (uint64_t)1000000;
}

/* RFC 9110 section 5.6.7: more than 50 years ahead means the past. */
static void two_digits_of_a_year_mean_the_nearest(void **state)
{
    int64_t time;
    (void)state;

    clock_replace(in_2026, NULL);
    assert_true(http_date_parse(slice_text("Wednesday, 01-Jan-76 00:00:00 GMT"), &time));
    assert_int_equal(time, 3345062400); /* 2076 */
    assert_true(http_date_parse(slice_text("Saturday, 01-Jan-77 00:00:00 GMT"), &time));
    assert_int_equal(time, 220924800); /* 1977 */
    clock_replace(NULL, NULL);
}

static void a_printed_date_reads_back(void **state)
{
    static const int64_t times[] = { THEN_S, 0, -1, 1582934400, 253402300799 };
    char text[HTTP_DATE_SIZE];
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
        int64_t time;

        http_date_print(times[i], text);
        assert_true(http_date_parse(slice_text(text), &time));
        assert_int_equal(time, times[i]);
    }
    http_date_print(THEN_S, text);
    assert_string_equal(text, THEN);
}

static struct slice header(const char *text)
{
    return text != NULL ? slice_text(text) : slice_of(NULL, 0);
}

/* Against ETag "b-1", changed at THEN. */
static void conditions_decide_in_their_order(void **state)
{
    static const struct {
        const char *if_match, *if_unmodified, *if_none_match, *if_modified, *if_range;
        enum http_condition result;
    } cases[] = {
        { NULL, NULL, NULL, NULL, NULL, HTTP_CONDITION_GO },
        /* section 13.1.1: If-Match, strong */
        { "\"b-1\"", NULL, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { "*", NULL, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { "\"a\", \"b-1\"", NULL, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { "\"a,\", \"b-1\"", NULL, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { ",\"a\",,\"b-1\",", NULL, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { "\"b-2\"", NULL, NULL, NULL, NULL, HTTP_CONDITION_FAILED },
        { "W/\"b-1\"", NULL, NULL, NULL, NULL, HTTP_CONDITION_FAILED },
        { "b-1", NULL, NULL, NULL, NULL, HTTP_CONDITION_FAILED },
        { "", NULL, NULL, NULL, NULL, HTTP_CONDITION_FAILED },
        { "\"b-1", NULL, NULL, NULL, NULL, HTTP_CONDITION_FAILED },
        /* section 13.1.4: If-Unmodified-Since, only without If-Match */
        { NULL, THEN, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { NULL, AFTER, NULL, NULL, NULL, HTTP_CONDITION_GO },
        { NULL, BEFORE, NULL, NULL, NULL, HTTP_CONDITION_FAILED },
        { NULL, "yesterday", NULL, NULL, NULL, HTTP_CONDITION_GO },
        { "\"b-1\"", BEFORE, NULL, NULL, NULL, HTTP_CONDITION_GO },
        /* section 13.1.2: If-None-Match, weak */
        { NULL, NULL, "\"b-1\"", NULL, NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, "W/\"b-1\"", NULL, NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, "*", NULL, NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, "\"a\",W/\"c\" , \"b-1\"", NULL, NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, "\"b-2\"", NULL, NULL, HTTP_CONDITION_GO },
        { NULL, NULL, "b-1", NULL, NULL, HTTP_CONDITION_GO },
        /* section 13.1.3: If-Modified-Since, only without If-None-Match */
        { NULL, NULL, NULL, THEN, NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, NULL, AFTER, NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, NULL, BEFORE, NULL, HTTP_CONDITION_GO },
        { NULL, NULL, NULL, "Sunday, 06-Nov-94 08:49:37 GMT", NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, NULL, "Sun Nov  6 08:49:37 1994", NULL, HTTP_CONDITION_NOT_CHANGED },
        { NULL, NULL, NULL, "tomorrow", NULL, HTTP_CONDITION_GO },
        { NULL, NULL, "\"b-2\"", THEN, NULL, HTTP_CONDITION_GO },
        /* section 13.1.5: If-Range, strong, or exactly that date */
        { NULL, NULL, NULL, NULL, "\"b-1\"", HTTP_CONDITION_GO },
        { NULL, NULL, NULL, NULL, "\"b-2\"", HTTP_CONDITION_WHOLE },
        { NULL, NULL, NULL, NULL, "W/\"b-1\"", HTTP_CONDITION_WHOLE },
        { NULL, NULL, NULL, NULL, THEN, HTTP_CONDITION_GO },
        { NULL, NULL, NULL, NULL, BEFORE, HTTP_CONDITION_WHOLE },
        { NULL, NULL, NULL, NULL, AFTER, HTTP_CONDITION_WHOLE },
        { NULL, NULL, NULL, NULL, "Wed, 01 Jan 2020 00:00:00 GMT", HTTP_CONDITION_WHOLE },
        { NULL, NULL, NULL, NULL, "*", HTTP_CONDITION_WHOLE },
        { NULL, NULL, NULL, NULL, "", HTTP_CONDITION_WHOLE },
        /* section 13.2.2: precedence */
        { "\"b-2\"", NULL, "\"b-1\"", NULL, "\"b-1\"", HTTP_CONDITION_FAILED },
        { "\"b-1\"", NULL, "\"b-1\"", NULL, "\"b-2\"", HTTP_CONDITION_NOT_CHANGED },
        { "\"b-1\"", NULL, "\"b-2\"", NULL, "\"b-2\"", HTTP_CONDITION_WHOLE },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_conditions conditions = {
            .if_match = header(cases[i].if_match),
            .if_none_match = header(cases[i].if_none_match),
            .if_modified_since = header(cases[i].if_modified),
            .if_unmodified_since = header(cases[i].if_unmodified),
            .if_range = header(cases[i].if_range),
        };
        enum http_condition result = http_condition_check(&conditions, "\"b-1\"", THEN_S);

        if (result != cases[i].result)
            fail_msg("case %zu: %d", i, (int)result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_of_all_three_forms_are_read),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(two_digits_of_a_year_mean_the_nearest),
        cmocka_unit_test(a_printed_date_reads_back),
        cmocka_unit_test(conditions_decide_in_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
