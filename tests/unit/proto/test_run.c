/* test_run.c: for proto/run.c. */
#include "proto/run.h"

#include "tests/unit/proto/cmocka_all.h"

static void sources_are_short_lower_case_names(void **state)
{
    (void)state;
    static const char *const good[] = { "hres", "a", "0", "gfs-0p25", "a._-z", "9lives" };
    static const char *const bad[] = { "",    "HRES", "-a",       ".a",  "_a",
                                       "a/b", "a b",  "\xc3\xa4", "a\n", ".." };
    char longest[SOURCE_SIZE_MAX + 2];

    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_true(source_valid(slice_text(good[i])));
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(source_valid(slice_text(bad[i])));
    memset(longest, 'x', sizeof longest);
    assert_true(source_valid(slice_of(longest, SOURCE_SIZE_MAX)));
    assert_false(source_valid(slice_of(longest, SOURCE_SIZE_MAX + 1)));
    assert_false(source_valid(slice_of("a\0b", 3)));
}

static void base_times_are_read_in_both_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t base_time;
    } cases[] = {
        { "19700101T0000Z", 0 },
        { "20130408T0000Z", 1365379200 },
        { "20130408T000030Z", 1365379230 },
        { "20130408T000000Z", 1365379200 },
        { "2013-04-08T00:00:30Z", 1365379230 },
        { "20000229T2359Z", 951868740 },
        { "00010101T0000Z", -62135596800 },
        { "9999-12-31T23:59:59Z", 253402300799 },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t base_time = 1;
        assert_int_equal(base_time_parse(slice_text(cases[i].text), &base_time, NULL), STATUS_OK);
        assert_int_equal(base_time, cases[i].base_time);
    }
}

static void what_is_no_base_time_is_refused_with_its_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2013",
        "20130408",
        "20130408T0000",
        "20130408T0000z",
        "20130408t0000Z",
        "20130408T000Z",
        "2013-04-08T00:00Z",
        "2013-04-08 00:00:00Z",
        "2013-04-08T00:00:00+00:00",
        "2013-04-08T00:00:00",
        "20130431T0000Z",
        "20130229T0000Z",
        "19000229T0000Z",
        "20131301T0000Z",
        "20130400T0000Z",
        "20130408T2400Z",
        "20130408T0060Z",
        "20130408T000060Z",
        "00000101T0000Z",
        "+2013408T0000Z",
        "20130408T0000Z ",
        "2013040 T0000Z",
    };

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct error err;
        int64_t base_time;
        error_init(&err);
        assert_int_equal(base_time_parse(slice_text(bad[i]), &base_time, &err), STATUS_BAD_VALUE);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

static void every_day_of_ten_thousand_years_comes_back(void **state)
{
    (void)state;
    int64_t expected = -62135596800;

    for (int year = 1; year <= 9999; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 1; day <= 31; day++) {
                int y, m, d, h, i, s;
                int64_t base_time;
                if (!base_time_from_calendar(year, month, day, 23, 59, 58, &base_time)) {
                    assert_true(day >= 29);
                    continue;
                }
                if (base_time != expected + 86398)
                    fail_msg("%d-%d-%d is %lld", year, month, day, (long long)base_time);
                expected += 86400;
                base_time_to_calendar(base_time, &y, &m, &d, &h, &i, &s);
                if (y != year || m != month || d != day || h != 23 || i != 59 || s != 58)
                    fail_msg("%d-%d-%d comes back as %d-%d-%d", year, month, day, y, m, d);
            }
        }
    }
    assert_int_equal(expected, 253402300800);
}

static void seconds_are_printed_when_they_are_not_zero(void **state)
{
    (void)state;
    char text[BASE_TIME_TEXT_SIZE];

    base_time_print(1365379200, text);
    assert_string_equal(text, "20130408T0000Z");
    base_time_print(1365379230, text);
    assert_string_equal(text, "20130408T000030Z");
    base_time_print(-62135596800, text);
    assert_string_equal(text, "00010101T0000Z");
    base_time_print_rfc3339(1365379200, text);
    assert_string_equal(text, "2013-04-08T00:00:00Z");
    assert_true(base_time_valid(253402300799));
    assert_false(base_time_valid(253402300800));
    assert_false(base_time_valid(-62135596801));
}

static void runs_are_named_by_source_and_base_time(void **state)
{
    (void)state;
    struct run_key run;
    char text[RUN_TEXT_SIZE];
    struct error err;

    assert_int_equal(run_key_parse(slice_text("hres"), slice_text("20130408T0000Z"), &run, NULL),
                     STATUS_OK);
    assert_string_equal(run.source, "hres");
    run_key_print(&run, text);
    assert_string_equal(text, "hres/20130408T0000Z");
    assert_int_equal(run_key_parse(slice_text("../etc"), slice_text("20130408T0000Z"), &run, &err),
                     STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "../etc"));
    assert_int_equal(run_key_parse(slice_text("hres"), slice_text("today"), &run, &err), STATUS_BAD_VALUE);
    assert_non_null(strstr(err.text, "today"));
}

/* In order. The one source that is a beginning of another's name sorts first in both orders. */
static const struct run_key ordered[] = {
    { "a", -62135596800 }, { "a", -1 },  { "a", 0 },  { "a", 1365379200 },
    { "a-b", -5 },         { "ab", -7 }, { "b", -9 },
};

static void ids_sort_as_runs_do(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ordered); i++) {
        for (size_t k = 0; k < ARRAY_COUNT(ordered); k++) {
            uint8_t a[RUN_ID_SIZE_MAX] = { 0 }, b[RUN_ID_SIZE_MAX] = { 0 };
            run_id_print(&ordered[i], a);
            run_id_print(&ordered[k], b);
            int order = (i > k) - (i < k);
            int bytes = memcmp(a, b, sizeof a);
            assert_int_equal(run_key_compare(&ordered[i], &ordered[k]), order);
            assert_int_equal((bytes > 0) - (bytes < 0), order);
        }
    }
}

static void ids_come_back_and_damaged_ones_do_not(void **state)
{
    (void)state;
    static const uint8_t epoch[] = { 'a', 0, 0x80, 0, 0, 0, 0, 0, 0, 0 };
    static const uint8_t late[] = { 'a', 0, 0xff, 0, 0, 0, 0, 0, 0, 0 }; /* can't be printed */
    uint8_t id[RUN_ID_SIZE_MAX + 3];
    struct run_key run;
    size_t used;

    assert_int_equal(run_id_print(&ordered[2], id), sizeof epoch);
    assert_memory_equal(id, epoch, sizeof epoch);
    for (size_t i = 0; i < ARRAY_COUNT(ordered); i++) {
        size_t size = run_id_print(&ordered[i], id);
        assert_true(run_id_parse(slice_of(id, size + 3), &run, &used));
        assert_int_equal(used, size);
        assert_int_equal(run_key_compare(&run, &ordered[i]), 0);
        for (size_t cut = 0; cut < size; cut++)
            assert_false(run_id_parse(slice_of(id, cut), &run, &used));
    }
    memset(id, 0xff, sizeof id);
    assert_false(run_id_parse(slice_of(id, sizeof id), &run, &used));
    assert_false(run_id_parse(slice_of(late, sizeof late), &run, &used));
}

static void states_have_names_and_versions_an_order(void **state)
{
    (void)state;
    enum run_state found;
    const struct run_info low = { .incarnation = 1, .version = 9 },
                          high = { .incarnation = 2, .version = 0 };

    for (int i = RUN_FILLING; i <= RUN_PURGED; i++) {
        assert_true(run_state_parse(run_state_name((enum run_state)i), &found));
        assert_int_equal(found, i);
    }
    assert_string_equal(run_state_name(RUN_FILLING), "filling");
    assert_false(run_state_parse("Ready", &found));
    assert_int_equal(run_info_compare(&low, &high), -1);
    assert_int_equal(run_info_compare(&high, &low), 1);
    assert_int_equal(run_info_compare(&low, &low), 0);
    assert_int_equal(run_info_compare(&(struct run_info){ .incarnation = 1, .version = 8 }, &low), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_are_short_lower_case_names),
        cmocka_unit_test(base_times_are_read_in_both_forms),
        cmocka_unit_test(what_is_no_base_time_is_refused_with_its_text),
        cmocka_unit_test(every_day_of_ten_thousand_years_comes_back),
        cmocka_unit_test(seconds_are_printed_when_they_are_not_zero),
        cmocka_unit_test(runs_are_named_by_source_and_base_time),
        cmocka_unit_test(ids_sort_as_runs_do),
        cmocka_unit_test(ids_come_back_and_damaged_ones_do_not),
        cmocka_unit_test(states_have_names_and_versions_an_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
