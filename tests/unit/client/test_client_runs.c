/* test_client_runs.c: runs as the indexer tells them, and which of them rotation retires. */
#include "client/runs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>

static enum status parse(const char *text, struct gs_run *run)
{
    json_t *json = json_loads(text, 0, NULL);
    struct error err;

    assert_non_null(json);
    enum status status = run_from_json(json, run, &err);
    json_decref(json);
    return status;
}

static void a_run_is_read_with_its_base_time_made_compact(void **state)
{
    struct gs_run run;

    (void)state;
    assert_int_equal(
        parse("{\"source\":\"hres\",\"base_time\":\"2013-04-08T00:00:00Z\",\"incarnation\":2,\"version\":5,"
              "\"state\":\"ready\",\"messages\":10,\"fields\":12,\"bytes\":1000,\"quarantined\":1,"
              "\"fingerprint\":\"10-ab\",\"ready_at\":\"2026-01-01T00:00:00Z\"}",
              &run),
        STATUS_OK);
    assert_string_equal(run.source, "hres");
    assert_string_equal(run.base_time, "20130408T0000Z");
    assert_string_equal(run.state, "ready");
    assert_int_equal(run.incarnation, 2);
    assert_int_equal(run.fields, 12);
    assert_int_equal(run.quarantined, 1);
    assert_string_equal(run.fingerprint, "10-ab");
}

static void a_run_that_lacks_what_matters_is_refused(void **state)
{
    static const char *const cases[] = {
        "{}",
        "{\"source\":\"hres\",\"state\":\"ready\"}",
        "{\"source\":\"hres\",\"base_time\":\"yesterday\",\"state\":\"ready\"}",
        "{\"source\":\"hres\",\"base_time\":\"20130408T0000Z\",\"state\":\"a state that nobody knows of\"}",
        "{\"source\":\"hres\",\"base_time\":\"20130408T0000Z\",\"state\":\"ready\",\"messages\":-1}",
    };
    struct gs_run run;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(parse(cases[i], &run), STATUS_MALFORMED);
}

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static enum status check(const char *text, size_t count, struct digest *left, size_t *left_count)
{
    json_t *json = json_loads(text, 0, NULL);
    struct error err;

    assert_non_null(json);
    enum status status = run_check_read(json, count, left, left_count, &err);
    json_decref(json);
    return status;
}

static void what_is_missing_or_has_too_few_copies_is_left(void **state)
{
    struct digest left[2];
    size_t count;

    (void)state;
    assert_int_equal(check("{\"missing\":[],\"under_replicated\":[],\"quarantined\":[\"" A "\"]}",
                           2, left, &count),
                     STATUS_OK);
    assert_int_equal(count, 0);
    assert_int_equal(check("{\"missing\":[\"" A "\"],\"under_replicated\":[\"" B "\"]}", 2, left, &count),
                     STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(left[1].bytes[0], 0xbb);
}

static void an_answer_that_does_not_say_it_is_no_yes(void **state)
{
    static const char *const cases[] = {
        "{}",
        "{\"missing\":[]}",
        "{\"under_replicated\":[]}",
        "{\"missing\":0,\"under_replicated\":0}",
        "{\"missing\":[\"" A "\",\"" B "\",\"" A "\"],\"under_replicated\":[]}",
        "{\"missing\":[\"a\"],\"under_replicated\":[]}",
    };
    struct digest left[2];
    size_t count;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_not_equal(check(cases[i], 2, left, &count), STATUS_OK);
}

/* Runs at successive days; a letter each: r ready, f filling, t retired, p purged. Pushed days are upper-case or, for days
 * that the index does not list, '+'. Expected: x where it is retired. */
static const struct {
    const char *runs;
    unsigned keep;
    const char *retired;
} retention_cases[] = {
    { "rrrr", 2, "xx--" }, { "rrrr", 9, "----" }, { "rrrr", 1, "xxx-" },
    { "rrfr", 2, "x---" }, /* a filling run does not count as one that stays, and newer than the second newest ready it stays */
    { "frrr", 2, "xx--" }, /* an old one that never became ready goes too */
    { "tprr", 1, "--x-" }, /* retired and purged ones are left alone */
    { "rrrR", 2, "xx--" }, /* pushed just now, counts as ready */
    { "rrrF", 2, "xx--" }, { "rrr+", 2, "xx-" }, /* not listed yet */
    { "Rrrr", 2, "-x--" },                       /* an old run pushed again stays */
    { "RRRR", 1, "----" }, { "", 2, "" },
};

static void rotation_retires_what_is_past_retention_and_never_what_it_pushed(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(retention_cases); i++) {
        const char *runs = retention_cases[i].runs;
        struct gs_run items[8] = { 0 };
        struct run_list list = { .items = items };
        int64_t pushed[8];
        size_t pushed_count = 0;
        bool retire[8];

        for (size_t day = 0; runs[day] != '\0'; day++) {
            char letter = runs[day];

            if (letter == '+' || letter < 'a')
                pushed[pushed_count++] = 1365379200 + 86400 * (int64_t)day;
            if (letter == '+')
                continue;
            letter = (char)(letter | 0x20);
            snprintf(items[list.count].source, GS_SOURCE_SIZE, "hres");
            base_time_print(1365379200 + 86400 * (int64_t)day, items[list.count].base_time);
            snprintf(items[list.count].state, sizeof items[0].state, "%s",
                     letter == 'r'   ? "ready"
                     : letter == 'f' ? "filling"
                     : letter == 't' ? "retired"
                                     : "purged");
            list.count++;
        }
        runs_past_retention(&list, retention_cases[i].keep, pushed, pushed_count, retire);
        for (size_t day = 0; day < list.count; day++) {
            if (retire[day] != (retention_cases[i].retired[day] == 'x'))
                fail_msg("case %zu (%s, keep %u): run %zu", i, runs, retention_cases[i].keep, day);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_read_with_its_base_time_made_compact),
        cmocka_unit_test(a_run_that_lacks_what_matters_is_refused),
        cmocka_unit_test(what_is_missing_or_has_too_few_copies_is_left),
        cmocka_unit_test(an_answer_that_does_not_say_it_is_no_yes),
        cmocka_unit_test(rotation_retires_what_is_past_retention_and_never_what_it_pushed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
