/* test_config.c: one table of options, read from everywhere and printed in every form. */
#include "proto/base/config.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct settings {
    char *config;
    char *listen;
    char *data;
    char *join;
    uint64_t weight;
    uint64_t body_max;
    uint64_t grace;
    bool insecure;
    bool sync;
    bool check;
};

#define AT(member) offsetof(struct settings, member)
static const struct config_option options[] = {
    { NULL, "config", 'c', CONFIG_TEXT, AT(config), NULL, "TEST_CONFIG", "FILE", "Read settings." },
    { NULL, "check-config", 0, CONFIG_BOOL, AT(check), NULL, NULL, NULL, "Check them and stop." },
    { "node", "listen", 'l', CONFIG_TEXT, AT(listen), "127.0.0.1:8410", "TEST_LISTEN", "HOST:PORT",
      "Where to listen." },
    { "node", "data", 0, CONFIG_TEXT, AT(data), NULL, NULL, "DIR", "Where the data lies." },
    { "http", "body-max", 0, CONFIG_SIZE, AT(body_max), "16MiB", "TEST_BODY_MAX", "SIZE",
      "The largest body." },
    { "node", "join", 0, CONFIG_LIST, AT(join), "http://seed:1", "TEST_JOIN", "URL",
      "Nodes of the cluster." },
    { "node", "weight", 'w', CONFIG_COUNT, AT(weight), "100", NULL, "NUMBER", "Its share." },
    { "node", "grace", 0, CONFIG_DURATION, AT(grace), "10", NULL, "TIME", "Before it purges." },
    { "node", "insecure", 'i', CONFIG_BOOL, AT(insecure), NULL, NULL, NULL, "Without tokens." },
    { "node", "sync", 0, CONFIG_BOOL, AT(sync), "yes", NULL, NULL, "Compare with the others." },
    { .name = NULL },
};
static const struct config_program program = {
    .name = "storaged",
    .synopsis = "storaged --data DIR [options]",
    .about = "Stores GRIB messages. It serves them too.\n\n.hidden \\fI at the start",
    .epilog = "Examples:\n  storaged --data /srv\n\nExit codes: 0.",
    .options = options,
};

static char folder[] = "/tmp/test_config.XXXXXX";
static char file_path[64];

static struct settings settings;
static struct error err;
static enum config_asked asked;
static int rest;

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(file_path, sizeof file_path, "%s/node.conf", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file_path);
    return rmdir(folder);
}

static int reset(void **state)
{
    (void)state;
    unsetenv("TEST_CONFIG");
    unsetenv("TEST_LISTEN");
    unsetenv("TEST_BODY_MAX");
    unsetenv("TEST_JOIN");
    settings = (struct settings){ 0 };
    error_init(&err);
    return 0;
}

static int release(void **state)
{
    (void)state;
    config_free(&program, &settings);
    return 0;
}

static void write_bytes(const void *data, size_t size)
{
    FILE *file = fopen(file_path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_file(const char *text)
{
    write_bytes(text, strlen(text));
}

/* Loads from the arguments up to a NULL; whatever was loaded before is given back. */
static enum status load(const char *const *arguments)
{
    char *argv[32] = { (char[]){ "storaged" } };
    int argc = 1;

    for (; *arguments != NULL; arguments++)
        argv[argc++] = (char *)(uintptr_t)*arguments;
    config_free(&program, &settings);
    settings = (struct settings){ 0 };
    error_init(&err);
    return config_load(&program, argc, argv, &settings, &rest, &asked, &err);
}
#define LOAD(...) load((const char *const[]){ __VA_ARGS__, NULL })

/* Loads a file that holds text. */
static enum status load_file(const char *text)
{
    write_file(text);
    return LOAD("--config", file_path);
}

static void assert_told(enum status status, enum status expected, const char *text)
{
    assert_int_equal(status, expected);
    if (strstr(err.text, text) == NULL)
        fail_msg("no '%s' in '%s'", text, err.text);
    assert_null(settings.listen); /* an error leaves nothing behind */
    assert_null(settings.join);
}

/* In the file, whose name and line come first. */
static void assert_told_at(const char *file, enum status expected, unsigned line, const char *text)
{
    char place[100];

    assert_told(load_file(file), expected, text);
    snprintf(place, sizeof place, "%s:%u: ", file_path, line);
    if (strstr(err.text, place) == NULL)
        fail_msg("no '%s' in '%s'", place, err.text);
}

static void without_a_word_there_are_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(LOAD(NULL), STATUS_OK);
    assert_int_equal(asked, CONFIG_RUN);
    assert_string_equal(settings.listen, "127.0.0.1:8410");
    assert_string_equal(settings.join, "http://seed:1");
    assert_null(settings.data);
    assert_int_equal(settings.weight, 100);
    assert_int_equal(settings.body_max, 16 << 20);
    assert_int_equal(settings.grace, 10000);
    assert_false(settings.insecure);
    assert_true(settings.sync);
    assert_int_equal(rest, 1);
}

static void a_file_is_read(void **state)
{
    (void)state;
    assert_int_equal(load_file("# a comment\n"
                               "[node]\n"
                               "listen = 0.0.0.0:80 ; for all\n"
                               "  data=/srv/with = sign\n"
                               "join = http://a:1,http://b:1\n"
                               "join: http://c:1\r\n"
                               "weight = 7\n"
                               "grace = 15min\n"
                               "insecure = yes\n"
                               "sync = false\n"
                               "\n"
                               "[http]\n"
                               "body-max = 5GiB"),
                     STATUS_OK);
    assert_string_equal(settings.config, file_path);
    assert_string_equal(settings.listen, "0.0.0.0:80");
    assert_string_equal(settings.data, "/srv/with = sign");
    assert_string_equal(settings.join, "http://a:1,http://b:1,http://c:1");
    assert_int_equal(settings.weight, 7);
    assert_int_equal(settings.grace, 15 * 60 * 1000);
    assert_true(settings.insecure);
    assert_false(settings.sync);
    assert_int_equal(settings.body_max, UINT64_C(5) << 30);
}

static void flags_come_before_environment_before_file_before_default(void **state)
{
    (void)state;
    write_file("[node]\nlisten = file\njoin = file1,file2\n[http]\nbody-max = 1K\n");
    assert_int_equal(LOAD("--config", file_path), STATUS_OK);
    assert_string_equal(settings.listen, "file");
    assert_string_equal(settings.join, "file1,file2");
    setenv("TEST_LISTEN", "env", 1);
    setenv("TEST_BODY_MAX", "2K", 1);
    setenv("TEST_JOIN", "env1,env2", 1);
    assert_int_equal(LOAD("-c", file_path), STATUS_OK);
    assert_string_equal(settings.listen, "env");
    assert_string_equal(settings.join, "env1,env2");
    assert_int_equal(settings.body_max, 2048);
    assert_int_equal(LOAD("--listen=flag", "--config", file_path, "--join", "flag1",
                          "--body-max=3K", "--join=flag2"),
                     STATUS_OK);
    assert_string_equal(settings.listen, "flag");
    assert_string_equal(settings.join, "flag1,flag2");
    assert_int_equal(settings.body_max, 3072);
}

static void the_environment_may_name_the_file(void **state)
{
    (void)state;
    write_file("[node]\nlisten = file\n");
    setenv("TEST_CONFIG", file_path, 1);
    assert_int_equal(LOAD(NULL), STATUS_OK);
    assert_string_equal(settings.listen, "file");
    setenv("TEST_LISTEN", "", 1); /* empty is as good as unset */
    assert_int_equal(LOAD(NULL), STATUS_OK);
    assert_string_equal(settings.listen, "file");
}

static void flags_have_every_usual_form(void **state)
{
    (void)state;
    assert_int_equal(LOAD("-l", "a:1", "-w7", "--insecure", "--no-sync", "--data=", "--check-config"),
                     STATUS_OK);
    assert_string_equal(settings.listen, "a:1");
    assert_string_equal(settings.data, "");
    assert_int_equal(settings.weight, 7);
    assert_true(settings.insecure);
    assert_false(settings.sync);
    assert_true(settings.check);
    assert_int_equal(LOAD("-iw8", "--sync=no", "--insecure=false", "--listen", "x", "--listen", "y"),
                     STATUS_OK);
    assert_int_equal(settings.weight, 8);
    assert_false(settings.insecure);
    assert_false(settings.sync);
    assert_string_equal(settings.listen, "y"); /* the last one counts */
}

static void what_is_no_flag_is_left_over(void **state)
{
    char *argv[] = { (char[]){ "x" },   (char[]){ "one" }, (char[]){ "-w1" },
                     (char[]){ "two" }, (char[]){ "--" },  (char[]){ "-w2" } };

    (void)state;
    assert_int_equal(config_load(&program, 6, argv, &settings, &rest, &asked, &err), STATUS_OK);
    assert_int_equal(settings.weight, 1);
    assert_int_equal(rest, 3);
    assert_string_equal(argv[3], "one");
    assert_string_equal(argv[4], "two");
    assert_string_equal(argv[5], "-w2");
}

static void help_and_version_need_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(LOAD("--help", "--config", "/nowhere"), STATUS_OK);
    assert_int_equal(asked, CONFIG_HELP);
    assert_int_equal(LOAD("-h"), STATUS_OK);
    assert_int_equal(asked, CONFIG_HELP);
    assert_int_equal(LOAD("--man"), STATUS_OK);
    assert_int_equal(asked, CONFIG_MAN);
    assert_int_equal(LOAD("--weight", "1", "--version", "--help"), STATUS_OK);
    assert_int_equal(asked, CONFIG_VERSION);
}

static void wrong_flags_are_named_with_what_is_right(void **state)
{
    (void)state;
    assert_told(LOAD("--lisen", "x"), STATUS_UNKNOWN_KEY, "no such flag 'lisen'; did you mean 'listen'?");
    assert_told(LOAD("--lisen=x"), STATUS_UNKNOWN_KEY, "did you mean 'listen'?");
    assert_told(LOAD("--quite-another"), STATUS_UNKNOWN_KEY, "no such flag 'quite-another'");
    assert_told(LOAD("--no-insecure"), STATUS_UNKNOWN_KEY, "no such flag 'no-insecure'");
    assert_told(LOAD("-x"), STATUS_UNKNOWN_KEY, "no such flag '-x'");
    assert_told(LOAD("--c=x"), STATUS_UNKNOWN_KEY, "'--c' may mean several flags");
    assert_told(LOAD("--listen"), STATUS_BAD_VALUE, "'--listen' needs a value");
    assert_told(LOAD("-l"), STATUS_BAD_VALUE, "'-l' needs a value");
    assert_told(LOAD("--no-sync=yes"), STATUS_BAD_VALUE, "'--no-sync=yes' takes no value");
    assert_told(LOAD("--help=x"), STATUS_BAD_VALUE, "'--help=x' takes no value");
    assert_told(LOAD("--weight=-1"), STATUS_BAD_VALUE, "--weight: '-1' is not right here; give a plain");
    assert_told(LOAD("-wx"), STATUS_BAD_VALUE, "-w: 'x' is not right here; give a plain number");
    assert_told(LOAD("--insecure=maybe"), STATUS_BAD_VALUE, "--insecure: 'maybe'");
    assert_told(LOAD("--listen=a\nb"), STATUS_BAD_VALUE, "--listen: holds a control character");
    setenv("TEST_BODY_MAX", "5 apples", 1);
    assert_told(LOAD(NULL), STATUS_BAD_VALUE, "environment variable TEST_BODY_MAX: '5 apples'");
}

static void a_wrong_file_is_named_with_its_line(void **state)
{
    (void)state;
    assert_told_at("[node]\n\nlisten = x\nlissten = y\n", STATUS_UNKNOWN_KEY, 4,
                   "no such key 'lissten'; did you mean 'listen'?");
    assert_told_at("[nodes]\nlisten = x\n", STATUS_UNKNOWN_KEY, 2,
                   "no such section 'nodes'; did you mean 'node'?");
    assert_told_at("listen = x\n", STATUS_UNKNOWN_KEY, 1, "stands before any [section]");
    assert_told_at("[node]\nconfig = x\n", STATUS_UNKNOWN_KEY, 2, "no such key 'config'");
    assert_told_at("[node]\n# x\nweight = x\nwieght = 1\n", STATUS_BAD_VALUE, 3,
                   "'x' is not right here; give a plain number");
    assert_told_at("[http]\nbody-max = 1MB\n", STATUS_BAD_VALUE, 2, "give a size");
    assert_told_at("[node]\ngrace = 1y\n", STATUS_BAD_VALUE, 2, "give a duration");
    assert_told_at("[node]\nlisten = x\nlisten = y\n", STATUS_BAD_VALUE, 3, "given on line 2 already");
    assert_told_at("[node]\nlisten\n", STATUS_BAD_VALUE, 2, "neither [section] nor key = value");
    assert_told_at("[node\nlisten = x\n", STATUS_BAD_VALUE, 1, "neither [section] nor key = value");
    assert_told_at("[node]\nlisten = x\n  weight = y\n", STATUS_BAD_VALUE, 3, "'y' is not right here");
    assert_told(LOAD("--config=/nowhere/x.conf"), STATUS_NOT_FOUND,
                "/nowhere/x.conf: No such file or directory");
    assert_told(LOAD("--config", folder), STATUS_IO, "Is a directory");
}

static void the_first_mistake_of_a_file_is_told(void **state)
{
    (void)state;
    assert_told_at("[node]\nnonsense\nweight = x\n", STATUS_BAD_VALUE, 2, "neither");
    assert_told_at("[node]\nweight = x\nnonsense\n", STATUS_BAD_VALUE, 2, "'x'");
}

static void long_lines_are_read_whole_or_refused(void **state)
{
    static char text[8192];
    static const char start[] = "[node]\ndata = ";

    (void)state;
    for (size_t size = 4070; size < 4110; size++) {
        snprintf(text, sizeof text, "%s%0*d\nweight = 3\n", start, (int)size, 7);
        size_t line = size + strlen("data = ");

        if (line > 4094) {
            assert_told_at(text, STATUS_BAD_VALUE, 2, "longer than 4094 bytes");
            continue;
        }
        assert_int_equal(load_file(text), STATUS_OK);
        assert_int_equal(strlen(settings.data), size);
        assert_int_equal(settings.weight, 3);
    }
}

static void a_zero_byte_is_refused(void **state)
{
    static const char text[] = "[node]\nlisten = a\0b\nweight = 3\n";

    (void)state;
    write_bytes(text, sizeof text - 1);
    assert_told(LOAD("--config", file_path), STATUS_BAD_VALUE, "node.conf:2: ");
}

static void what_is_printed_as_a_file_reads_back_the_same(void **state)
{
    struct buf first, second;

    (void)state;
    buf_init(&first, 10000);
    buf_init(&second, 10000);
    assert_int_equal(LOAD("--listen=:1", "--join=a", "--join=b", "--body-max=1536K", "--grace=90s",
                          "--no-sync", "--insecure"),
                     STATUS_OK);
    config_print_settings(&program, &settings, &first);
    assert_string_equal(buf_string(&first), "[node]\n"
                                            "listen = :1\n"
                                            "# data =\n"
                                            "join = a,b\n"
                                            "weight = 100\n"
                                            "grace = 90s\n"
                                            "insecure = yes\n"
                                            "sync = no\n"
                                            "\n"
                                            "[http]\n"
                                            "body-max = 1536KiB\n");
    assert_int_equal(load_file(buf_string(&first)), STATUS_OK);
    config_print_settings(&program, &settings, &second);
    assert_string_equal(buf_string(&second), buf_string(&first));
    buf_fini(&first);
    buf_fini(&second);
}

static void sizes_and_durations_have_units(void **state)
{
    static const struct {
        const char *text;
        int64_t size; /* -1: refused */
        int64_t ms;
    } cases[] = {
        { "0", 0, 0 },
        { "4096", 4096, 4096000 },
        { "64KiB", 65536, -1 },
        { "64K", 65536, -1 },
        { "16MiB", 16 << 20, -1 },
        { "5GiB", INT64_C(5) << 30, -1 },
        { "1TiB", INT64_C(1) << 40, -1 },
        { "1T", INT64_C(1) << 40, -1 },
        { "7B", 7, -1 },
        { "1MB", -1, -1 },
        { "1kib", -1, -1 },
        { "500ms", -1, 500 },
        { "10s", -1, 10000 },
        { "15min", -1, 900000 },
        { "12h", -1, 43200000 },
        { "400d", -1, INT64_C(34560000000) },
        { "1m", -1, -1 },
        { "1.5h", -1, -1 },
        { "-1", -1, -1 },
        { " 1", -1, -1 },
        { "1 ", -1, -1 },
        { "", -1, -1 },
        { "KiB", -1, -1 },
        { "18446744073709551615TiB", -1, -1 },
        { "99999999999999999999", -1, -1 },
        { "16777216T", -1, -1 },
        { "18446744073709551615d", -1, -1 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t value = 1;

        assert_int_equal(config_parse_size(cases[i].text, &value), cases[i].size < 0 ? -1 : 0);
        assert_int_equal(value, cases[i].size < 0 ? 1 : cases[i].size);
        value = 1;
        assert_int_equal(config_parse_duration(cases[i].text, &value), cases[i].ms < 0 ? -1 : 0);
        assert_int_equal(value, cases[i].ms < 0 ? 1 : cases[i].ms);
    }
}

static void the_nearest_name_is_near(void **state)
{
    static const char *const names[] = { "param", "step", "levelist", "levtype", "base_time", NULL };
    static const char *const none[] = { NULL };

    (void)state;
    assert_string_equal(config_nearest("parm", names), "param");
    assert_string_equal(config_nearest("steps", names), "step");
    assert_string_equal(config_nearest("levellist", names), "levelist");
    assert_string_equal(config_nearest("basetime", names), "base_time");
    assert_null(config_nearest("lvetpye", names)); /* 4 away */
    assert_null(config_nearest("x", names));
    assert_null(config_nearest("", names));
    assert_null(config_nearest("quite_another", names));
    assert_null(config_nearest("param", none));
}

static void help_shows_every_option_within_80_columns(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10000);
    config_print_help(&program, &buf);
    const char *help = buf_string(&buf);
    assert_non_null(strstr(help, "Usage: storaged --data DIR [options]\n\nStores GRIB messages."));
    assert_non_null(strstr(help, "  -l, --listen HOST:PORT    Where to listen. (default: "
                                 "127.0.0.1:8410;\n"
                                 "                            environment: TEST_LISTEN)\n"));
    assert_non_null(strstr(help, "      --[no-]sync           Compare with the others. (default: yes)\n"));
    assert_non_null(strstr(help, "      --check-config        Check them and stop.\n"));
    assert_non_null(strstr(help, "  -h, --help                Print this and stop.\n"));
    assert_non_null(strstr(help, "\nExamples:\n  storaged --data /srv\n"));
    for (unsigned i = 0; options[i].name != NULL; i++) {
        assert_non_null(strstr(help, options[i].name));
    }
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    buf_fini(&buf);
}

static void the_manual_page_has_every_option_and_no_stray_request(void **state)
{
    static const char *const requests[] = { ".TH ", ".SH ", ".TP", ".PP", ".nf", ".fi" };
    struct buf buf;

    (void)state;
    buf_init(&buf, 20000);
    config_print_man(&program, &buf);
    const char *man = buf_string(&buf);
    assert_non_null(strstr(man, ".SH NAME\nstoraged \\- Stores GRIB messages\n"));
    assert_non_null(strstr(man, "\\&.hidden \\efI at the start\n"));
    assert_non_null(strstr(man, ".TP\n\\fB\\-l\\fR, \\fB\\-\\-listen\\fR \\fIHOST:PORT\\fR\n"
                                "Where to listen.\nDefault: 127.0.0.1:8410.\n"
                                "Environment: \\fBTEST_LISTEN\\fR.\n"
                                "In the file: \\fBlisten\\fR under [node].\n"));
    assert_non_null(strstr(man, "\\fB\\-\\-[no\\-]sync\\fR\n"));
    assert_non_null(strstr(man, ".nf\n  storaged \\-\\-data /srv\n.fi\n.PP\n"));
    for (const char *line = man; *line != '\0'; line += strcspn(line, "\n") + 1) {
        bool known = line[0] != '.' && line[0] != '\'';

        for (unsigned i = 0; i < ARRAY_COUNT(requests); i++)
            known = known || strncmp(line, requests[i], strlen(requests[i])) == 0;
        assert_true(known);
    }
    buf_fini(&buf);
}

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, reset, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(without_a_word_there_are_the_defaults),
        CONFIG_TEST(a_file_is_read),
        CONFIG_TEST(flags_come_before_environment_before_file_before_default),
        CONFIG_TEST(the_environment_may_name_the_file),
        CONFIG_TEST(flags_have_every_usual_form),
        CONFIG_TEST(what_is_no_flag_is_left_over),
        CONFIG_TEST(help_and_version_need_nothing_else),
        CONFIG_TEST(wrong_flags_are_named_with_what_is_right),
        CONFIG_TEST(a_wrong_file_is_named_with_its_line),
        CONFIG_TEST(the_first_mistake_of_a_file_is_told),
        CONFIG_TEST(long_lines_are_read_whole_or_refused),
        CONFIG_TEST(a_zero_byte_is_refused),
        CONFIG_TEST(what_is_printed_as_a_file_reads_back_the_same),
        CONFIG_TEST(sizes_and_durations_have_units),
        CONFIG_TEST(the_nearest_name_is_near),
        CONFIG_TEST(help_shows_every_option_within_80_columns),
        CONFIG_TEST(the_manual_page_has_every_option_and_no_stray_request),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
