/* test_cli.c: what the command prints, and what it takes from its command line. */
#include "client/cli/cmd_get.h"
#include "client/cli/cmd_query.h"
#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/run_name.h"
#include "client/cli/table.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>

static const struct table_column columns[] = { { "name", false }, { "size", true }, { "last", false } };

static void fill(struct table *table)
{
    table_init(table, columns, ARRAY_COUNT(columns));
    table_cell(table, "a");
    table_cellf(table, "%d", 1000);
    table_cell(table, "x");
    table_cell(table, "l\xc3\xa4nger");
    table_cell(table, NULL);
    table_cell(table, "y\tz\033[0m");
}

static void people_get_columns_programs_get_tabs(void **state)
{
    struct table table;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    fill(&table);
    table_print(&table, true, true, &buf);
    assert_string_equal(buf_string(&buf), "name    size  last\n"
                                          "a       1000  x\n"
                                          "l\xc3\xa4nger     -  y?z?[0m\n");
    table_fini(&table);
    buf_clear(&buf);
    fill(&table);
    table_print(&table, false, true, &buf);
    assert_string_equal(buf_string(&buf), "a\t1000\tx\nl\xc3\xa4nger\t\ty?z?[0m\n");
    table_fini(&table);
    buf_fini(&buf);
}

static void rows_that_were_printed_are_gone(void **state)
{
    struct table table;
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    fill(&table);
    table_print(&table, false, false, &buf);
    buf_clear(&buf);
    assert_int_equal(table.rows, 0);
    table_print(&table, false, false, &buf);
    assert_string_equal(buf_string(&buf), "");
    table_fini(&table);
    buf_fini(&buf);
}

static void sizes_and_times_are_short(void **state)
{
    static const struct {
        uint64_t size;
        const char *text;
    } sizes[] = {
        { 0, "0 B" },
        { 999, "999 B" },
        { 1000, "1.0 kB" },
        { 999960, "1.0 MB" },
        { 250000000000, "250.0 GB" },
        { UINT64_MAX, "18.4 EB" },
    };
    static const struct {
        uint64_t ms;
        const char *text;
    } times[] = {
        { 0, "0.0 s" }, { 850, "0.8 s" }, { 59900, "59.9 s" }, { 125000, "2:05" }, { 3723000, "1:02:03" }
    };
    char text[CLI_SIZE_TEXT];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        assert_string_equal(text_of_size(sizes[i].size, text), sizes[i].text);
    for (size_t i = 0; i < ARRAY_COUNT(times); i++)
        assert_string_equal(text_of_ms(times[i].ms, text), times[i].text);
}

static void progress_fits_into_its_line(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    progress_print(500, 1000, 1000, "3 messages", 200, &buf);
    assert_string_equal(
        buf_string(&buf),
        "[############............]  50 %  500 B of 1.0 kB  500 B/s  1.0 s left  3 messages");
    buf_clear(&buf);
    progress_print(500, 1000, 1000, "3 messages", 40, &buf);
    assert_int_equal(buf.size, 40);
    buf_clear(&buf);
    progress_print(2000, 1000, 0, "", 200, &buf); /* a file that grew */
    assert_non_null(strstr(buf_string(&buf), "100 %"));
    buf_clear(&buf);
    progress_print(2000, 0, 1000, "to a.grib", 200, &buf); /* no end is known */
    assert_string_equal(buf_string(&buf), "2.0 kB  2.0 kB/s  to a.grib");
    buf_fini(&buf);
}

static void ranges_are_offset_and_length(void **state)
{
    const char *rest = "0-4711,100-1";
    uint64_t offset, length;

    (void)state;
    assert_true(range_parse(&rest, &offset, &length));
    assert_int_equal(offset, 0);
    assert_int_equal(length, 4711);
    assert_true(range_parse(&rest, &offset, &length));
    assert_int_equal(offset, 100);
    assert_int_equal(length, 1);
    assert_string_equal(rest, "");
}

static void malformed_ranges_are_refused(void **state)
{
    static const char *const cases[] = { "",    "5",   "-5",   "5-",   "5-0",
                                         "a-1", "1-b", "1--2", " 1-2", "99999999999999999999-1" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *rest = cases[i];
        uint64_t offset, length;

        assert_false(range_parse(&rest, &offset, &length));
    }
}

static void expect_is_any_all_or_a_number(void **state)
{
    static const char *const bad[] = { "", "-1", "al", "1x", "4294967296" };
    uint64_t count;
    bool any, all;

    (void)state;
    assert_true(expect_parse("any", &any, &all, &count) && any && !all);
    assert_true(expect_parse("all", &any, &all, &count) && all && !any);
    assert_true(expect_parse("12", &any, &all, &count) && !any && !all);
    assert_int_equal(count, 12);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(expect_parse(bad[i], &any, &all, &count));
}

static void runs_are_named_by_source_and_base_time(void **state)
{
    struct run_name name;

    (void)state;
    run_name_split("hres/20130408T0000Z", &name);
    assert_string_equal(name.source, "hres");
    assert_string_equal(name.base_time, "20130408T0000Z");
    run_name_split("hres", &name);
    assert_string_equal(name.source, "hres");
    assert_string_equal(name.base_time, "");
}

static const struct command *find(const char *first, const char *second, size_t *used)
{
    char one[32], two[32];
    char *words[] = { one, two };

    snprintf(one, sizeof one, "%s", first);
    snprintf(two, sizeof two, "%s", second != NULL ? second : "");
    return command_find(words, second != NULL ? 2 : 1, used);
}

static void commands_are_one_or_two_words(void **state)
{
    const struct command *command;
    size_t used;

    (void)state;
    command = find("put", "a.grib", &used);
    assert_string_equal(command->name, "put");
    assert_int_equal(used, 1);
    command = find("cluster", "init", &used);
    assert_string_equal(command->name, "cluster init");
    assert_int_equal(used, 2);
    assert_null(find("cluster", NULL, &used));
    assert_null(find("cluster", "x", &used));
    assert_null(find("pu", NULL, &used));
    assert_string_equal(command_nearest("qurey"), "query");
}

static void every_command_teaches_with_examples_that_name_it(void **state)
{
    (void)state;
    for (size_t i = 0; commands[i] != NULL; i++) {
        char call[64];
        struct buf buf;
        size_t used;

        buf_init(&buf, 64 << 10);
        command_print_help(commands[i], &buf);
        const char *help = buf_string(&buf);
        snprintf(call, sizeof call, "gribstore %s", commands[i]->name);
        assert_non_null(strstr(help, "Usage: gribstore"));
        const char *examples = strstr(help, "Examples:");
        assert_non_null(examples);
        assert_non_null(strstr(examples, call));
        assert_true(examples < strstr(help, "Options:"));
        assert_non_null(strstr(help, "--json"));
        assert_true(strlen(commands[i]->summary) < 70);
        const char *space = strchr(commands[i]->name, ' ');
        char first[32];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(commands[i]->name, " "), commands[i]->name);
        assert_ptr_equal(find(first, space != NULL ? space + 1 : NULL, &used), commands[i]);
        buf_fini(&buf);
    }
}

/* "--json" in help is "\\-\\-json" in roff. */
static void assert_in_manual(const char *flag, size_t size, const char *manual)
{
    struct buf roff;

    buf_init(&roff, 256);
    buf_text(&roff, "\\fB");
    for (size_t i = 0; i < size; i++)
        buf_format(&roff, "%s%c", flag[i] == '-' ? "\\" : "", flag[i]);
    buf_text(&roff, "\\fR");
    if (strstr(manual, buf_string(&roff)) == NULL)
        fail_msg("%.*s is in --help and not in --man", (int)size, flag);
    buf_fini(&roff);
}

static void every_commands_manual_has_every_flag_of_its_help(void **state)
{
    (void)state;
    for (size_t i = 0; commands[i] != NULL; i++) {
        struct buf help, manual;
        unsigned flags = 0;

        buf_init(&help, 64 << 10);
        buf_init(&manual, 64 << 10);
        command_print_help(commands[i], &help);
        command_print_man(commands[i], &manual);
        assert_memory_equal(buf_string(&manual), ".TH \"gribstore\\-", 16);
        const char *at = strstr(buf_string(&help), "\nOptions:\n");
        assert_non_null(at);
        while ((at = strchr(at, '\n')) != NULL) {
            at++;
            if (strspn(at, " ") == 2) /* "  -s, --source NAME" */
                at += strcspn(at, ",\n") + 2;
            else if (strspn(at, " ") == 6) /* what a flag means stands further to the right */
                at += 6;
            if (strncmp(at, "--", 2) == 0) {
                assert_in_manual(at, 2 + strcspn(at + 2, " \n="), buf_string(&manual));
                flags++;
            }
        }
        assert_true(flags > 10); /* those of every command, and --help */
        buf_fini(&help);
        buf_fini(&manual);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(people_get_columns_programs_get_tabs),
        cmocka_unit_test(rows_that_were_printed_are_gone),
        cmocka_unit_test(sizes_and_times_are_short),
        cmocka_unit_test(progress_fits_into_its_line),
        cmocka_unit_test(ranges_are_offset_and_length),
        cmocka_unit_test(malformed_ranges_are_refused),
        cmocka_unit_test(expect_is_any_all_or_a_number),
        cmocka_unit_test(runs_are_named_by_source_and_base_time),
        cmocka_unit_test(commands_are_one_or_two_words),
        cmocka_unit_test(every_command_teaches_with_examples_that_name_it),
        cmocka_unit_test(every_commands_manual_has_every_flag_of_its_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
