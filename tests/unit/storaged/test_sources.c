/* test_sources.c: a sources file, its quotas and windows. */
#include "storaged/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct sources_table *parse(const char *text)
{
    struct sources_table *table;
    struct error err;

    error_init(&err);
    if (sources_parse(slice_text(text), &table, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.text);
    return table;
}

static void a_source_has_its_section_or_that_of_the_others(void **state)
{
    struct sources_table *table = parse(
        "# a comment\n; another\n\n[hres]\nrun-bytes = 300GiB ; here\n  run-messages=5  \n"
        "[ gfs ]\r\noldest = 2d\r\nnewest=90min\r\n[*]\nrun-messages = 7\n[bare]");
    struct source_rules rules;

    (void)state;
    assert_int_equal(sources_table_get(table, "hres", &rules, NULL), STATUS_OK);
    assert_true(rules.run_bytes == UINT64_C(300) << 30);
    assert_int_equal(rules.run_messages, 5);
    assert_false(rules.has_oldest || rules.has_newest);
    assert_int_equal(sources_table_get(table, "gfs", &rules, NULL), STATUS_OK);
    assert_int_equal(rules.run_messages, 0);
    assert_true(rules.has_oldest && rules.has_newest);
    assert_int_equal(rules.oldest_s, 172800);
    assert_int_equal(rules.newest_s, 5400);
    assert_int_equal(sources_table_get(table, "other", &rules, NULL), STATUS_OK);
    assert_int_equal(rules.run_messages, 7);
    assert_int_equal(sources_table_get(table, "bare", &rules, NULL), STATUS_OK);
    assert_int_equal(rules.run_messages, 0);
    sources_table_free(table);
}

static void an_empty_file_rules_nothing(void **state)
{
    static const struct source_rules none;
    struct sources_table *table = parse("");
    struct source_rules rules;

    (void)state;
    assert_int_equal(sources_table_get(table, "any", &rules, NULL), STATUS_OK);
    assert_memory_equal(&rules, &none, sizeof rules);
    sources_table_free(table);
    assert_int_equal(sources_get(NULL, "any", &rules, NULL), STATUS_OK);
}

static void unknown_sources_are_refused_when_so_set(void **state)
{
    struct sources_table *table = parse("[hres]\n[*]\nunknown = no\nrun-messages = 1\n");
    struct source_rules rules;
    struct error err;

    (void)state;
    error_init(&err);
    assert_int_equal(sources_table_get(table, "hres", &rules, &err), STATUS_OK);
    assert_int_equal(sources_table_get(table, "gfs", &rules, &err), STATUS_FORBIDDEN);
    assert_non_null(strstr(err.text, "gfs"));
    sources_table_free(table);
    table = parse("[*]\nunknown = yes\n");
    assert_int_equal(sources_table_get(table, "gfs", &rules, &err), STATUS_OK);
    sources_table_free(table);
}

static void what_is_wrong_is_named_by_its_line(void **state)
{
    static const struct {
        const char *line, *named;
    } cases[] = {
        { "[HRES]", "section" },
        { "[hres", "']'" },
        { "[]", "section" },
        { "[**]", "section" },
        { "[ok]", "line 1" },
        { "nonsense", "key = value" },
        { "run-bytes = 0", "run-bytes" },
        { "run-bytes = many", "run-bytes" },
        { "run-bytes =", "run-bytes" },
        { "run-messages = 0", "run-messages" },
        { "run-messages = -3", "run-messages" },
        { "oldest = yesterday", "oldest" },
        { "newest = 5y", "newest" },
        { "run-message = 5", "run-messages" },
        { "colour = red", "run-bytes" },
        { "unknown = no", "[*]" },
        { "oldest = 1h\noldest = 2h", "twice" },
        { "= 5", "run-bytes" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct sources_table *table;
        struct error err;
        char text[256];

        error_init(&err);
        snprintf(text, sizeof text, "[ok]\n%s\n", cases[i].line);
        enum status status = sources_parse(slice_text(text), &table, &err);
        if ((status != STATUS_BAD_VALUE && status != STATUS_UNKNOWN_KEY) ||
            strstr(err.text, cases[i].named) == NULL || strstr(err.text, "line ") != err.text)
            fail_msg("%s: %s", cases[i].line, err.text);
    }
    struct sources_table *table;
    assert_int_equal(sources_parse(slice_text("oldest = 1h\n"), &table, NULL), STATUS_BAD_VALUE);
    assert_int_equal(sources_parse(slice_of("[a]\0\n", 5), &table, NULL), STATUS_BAD_VALUE);
}

static void windows_lie_around_now(void **state)
{
    const struct source_rules both = {
        .has_oldest = true, .oldest_s = 3600, .has_newest = true, .newest_s = 60
    };
    const struct source_rules none = { 0 }, only_now = { .has_oldest = true, .has_newest = true };
    const int64_t now = 1000000000;
    struct error err;

    (void)state;
    error_init(&err);
    assert_int_equal(source_rules_check_date(&both, now, now, &err), STATUS_OK);
    assert_int_equal(source_rules_check_date(&both, now - 3600, now, &err), STATUS_OK);
    assert_int_equal(source_rules_check_date(&both, now - 3601, now, &err), STATUS_BAD_DATE);
    assert_non_null(strstr(err.text, "oldest is 3600 s"));
    assert_int_equal(source_rules_check_date(&both, now + 60, now, &err), STATUS_OK);
    assert_int_equal(source_rules_check_date(&both, now + 61, now, &err), STATUS_BAD_DATE);
    assert_non_null(strstr(err.text, "newest is 60 s"));
    assert_int_equal(source_rules_check_date(&none, -60000000000, now, &err), STATUS_OK);
    assert_int_equal(source_rules_check_date(&both, -60000000000, now, &err), STATUS_BAD_DATE);
    assert_int_equal(source_rules_check_date(&only_now, now, now, &err), STATUS_OK);
    assert_int_equal(source_rules_check_date(&only_now, now - 1, now, &err), STATUS_BAD_DATE);
    assert_int_equal(source_rules_check_date(&only_now, now + 1, now, &err), STATUS_BAD_DATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_its_section_or_that_of_the_others),
        cmocka_unit_test(an_empty_file_rules_nothing),
        cmocka_unit_test(unknown_sources_are_refused_when_so_set),
        cmocka_unit_test(what_is_wrong_is_named_by_its_line),
        cmocka_unit_test(windows_lie_around_now),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
