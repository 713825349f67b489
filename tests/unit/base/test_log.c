/* test_log.c: an event is one line, whatever is in it. */
#include "proto/base/log.h"

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int log_pipe[2];
static int log_stderr;
static char log_got[2 * LOG_LINE_SIZE];

static uint64_t fake_wall_us(void)
{
    return 1365379200000042;
}

/* Standard error is a pipe while a test runs. */
static int setup(void **state)
{
    (void)state;
    if (pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    log_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    clock_replace(fake_wall_us, NULL);
    unsetenv("JOURNAL_STREAM");
    return dup2(log_pipe[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    clock_replace(NULL, NULL);
    log_setup(LOG_INFO, LOG_LOGFMT);
    dup2(log_stderr, STDERR_FILENO);
    close(log_stderr);
    close(log_pipe[0]);
    close(log_pipe[1]);
    return 0;
}

/* What has been written since the last call. */
static const char *written(void)
{
    ssize_t size = read(log_pipe[0], log_got, sizeof log_got - 1);

    log_got[size > 0 ? size : 0] = '\0';
    return log_got;
}

static void an_event_is_a_line_of_fields(void **state)
{
    struct log_line line;

    (void)state;
    log_setup(LOG_INFO, LOG_LOGFMT);
    log_begin(&line, LOG_WARN, "peer.down");
    log_str(&line, "node", "n2");
    log_u64(&line, "tries", UINT64_MAX);
    log_fmt(&line, "error", "%s: refused", "connect");
    log_str(&line, "empty", "");
    log_str(&line, "none", NULL);
    log_end(&line);
    assert_string_equal(written(), "time=2013-04-08T00:00:00.000042Z level=warn event=peer.down node=n2 "
                                   "tries=18446744073709551615 error=\"connect: refused\" "
                                   "empty=\"\" none=null\n");
}

static void the_same_in_json(void **state)
{
    struct log_line line;

    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    log_begin(&line, LOG_ERROR, "disk.full");
    log_str(&line, "path", "/a \"b\"\n");
    log_u64(&line, "free", 7);
    log_str(&line, "none", NULL);
    log_end(&line);
    assert_string_equal(written(), "{\"time\":\"2013-04-08T00:00:00.000042Z\",\"level\":\"error\","
                                   "\"event\":\"disk.full\",\"path\":\"/a \\\"b\\\"\\n\",\"free\":7,"
                                   "\"none\":null}\n");
}

static void less_than_the_level_asked_for_is_not_written(void **state)
{
    (void)state;
    log_setup(LOG_WARN, LOG_LOGFMT);
    assert_false(log_wants(LOG_INFO));
    assert_true(log_wants(LOG_WARN));
    log_msg(LOG_INFO, "quiet", "x");
    assert_string_equal(written(), "");
    log_msg(LOG_ERROR, "loud", "%d things", 3);
    assert_non_null(strstr(written(), "level=error event=loud msg=\"3 things\"\n"));
    log_setup(LOG_DEBUG, LOG_LOGFMT);
    assert_true(log_wants(LOG_DEBUG));
}

static void values_are_quoted_where_they_must_be(void **state)
{
    static const struct {
        const char *value;
        const char *text;
    } cases[] = {
        { "plain-1.5:/x", "v=plain-1.5:/x\n" },
        { "a b", "v=\"a b\"\n" },
        { "a=b", "v=\"a=b\"\n" },
        { "a\"b", "v=\"a\\\"b\"\n" },
        { "a\\b", "v=\"a\\\\b\"\n" },
        { "a\nlevel=error event=forged", "v=\"a\\nlevel=error event=forged\"\n" },
        { "\r\t\x1b[2J\x7f", "v=\"\\r\\t\\u001b[2J\\u007f\"\n" },
        { "\xc2\x85\xc2\x9b", "v=\"\\u0085\\u009b\"\n" },
        { "Z\xc3\xbcrich", "v=Z\xc3\xbcrich\n" },
        { "\xc2\xa0", "v=\xc2\xa0\n" },
        { "x\xff", "v=\"x\xef\xbf\xbd\"\n" },
        { "\xe2\x80", "v=\"\xef\xbf\xbd\xef\xbf\xbd\"\n" },
    };

    (void)state;
    log_setup(LOG_INFO, LOG_LOGFMT);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct log_line line;

        log_begin(&line, LOG_INFO, "e");
        log_str(&line, "v", cases[i].value);
        log_end(&line);
        assert_string_equal(strstr(written(), "event=e") + strlen("event=e "), cases[i].text);
    }
}

static void a_key_cannot_break_the_line(void **state)
{
    struct log_line line;

    (void)state;
    log_setup(LOG_INFO, LOG_LOGFMT);
    log_begin(&line, LOG_INFO, "e");
    log_str(&line, "a b=\n\"", "v");
    log_end(&line);
    assert_non_null(strstr(written(), " a_b___=v\n"));
}

/* Exactly one newline, at the end; and in JSON, an object. */
static void assert_one_line(const char *text, enum log_form form)
{
    size_t size = strlen(text);

    assert_true(size > 0 && size <= LOG_LINE_SIZE);
    assert_ptr_equal(strchr(text, '\n'), text + size - 1);
    if (form == LOG_JSON) {
        struct error err;
        json_t *value;

        if (json_parse(text, size, &value, &err) != STATUS_OK)
            fail_msg("%s: %s", err.text, text);
        json_decref(value);
    }
}

static void a_line_too_long_is_cut_and_still_one_line(void **state)
{
    static const char *const fillers[] = { "x", "\n", "\"", "\xc3\xbc", "\xff", "\x01" };
    char value[2 * LOG_LINE_SIZE];

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(fillers); i++) {
        enum log_form form = i % 2 == 0 ? LOG_LOGFMT : LOG_JSON;
        struct log_line line;
        size_t size = strlen(fillers[i / 2]);

        for (size_t at = 0; at + size < sizeof value; at += size)
            memcpy(value + at, fillers[i / 2], size + 1);
        log_setup(LOG_INFO, form);
        for (unsigned lead = 0; lead < 12; lead++) {
            log_begin(&line, LOG_INFO, "e");
            log_fmt(&line, "lead", "%.*s", (int)lead, "aaaaaaaaaaaa");
            log_str(&line, "v", value);
            log_str(&line, "w", value);
            log_u64(&line, "n", UINT64_MAX);
            log_end(&line);
            assert_one_line(written(), form);
            assert_non_null(strstr(log_got, "..."));
        }
    }
}

static void many_small_fields_never_pass_the_end(void **state)
{
    (void)state;
    for (unsigned form = LOG_LOGFMT; form <= LOG_JSON; form++) {
        struct log_line line;

        log_setup(LOG_INFO, (enum log_form)form);
        log_begin(&line, LOG_INFO, "e");
        for (unsigned i = 0; i < LOG_LINE_SIZE; i++) {
            char key[12];

            snprintf(key, sizeof key, "k%u", i);
            log_u64(&line, key, UINT64_MAX);
            log_str(&line, key + 1, i % 2 == 0 ? "\n\n" : NULL);
        }
        log_end(&line);
        const char *text = written();
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
        assert_true(strlen(text) > LOG_LINE_SIZE - 100 && strlen(text) <= LOG_LINE_SIZE);
    }
}

static void random_bytes_stay_one_line_of_json(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    for (unsigned i = 0; i < 2000; i++) {
        struct log_line line;
        char value[200];

        random_bytes(value, sizeof value - 1);
        value[sizeof value - 1] = '\0';
        log_begin(&line, LOG_INFO, value + 190);
        log_str(&line, "v", value);
        log_end(&line);
        assert_one_line(written(), LOG_JSON);
    }
}

static void the_journal_gives_the_time_itself(void **state)
{
    struct stat stat;
    char stream[64];

    (void)state;
    assert_int_equal(fstat(STDERR_FILENO, &stat), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)stat.st_dev, (uintmax_t)stat.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_setup(LOG_INFO, LOG_LOGFMT);
    log_msg(LOG_INFO, "e", "m");
    assert_string_equal(written(), "level=info event=e msg=m\n");
    log_setup(LOG_INFO, LOG_JSON);
    log_msg(LOG_INFO, "e", "m");
    assert_string_equal(written(), "{\"level\":\"info\",\"event\":\"e\",\"msg\":\"m\"}\n");
}

static void a_journal_inherited_but_not_written_to_does_not(void **state)
{
    static const char *const streams[] = { "1:1", "", "x", "1" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(streams); i++) {
        setenv("JOURNAL_STREAM", streams[i], 1);
        log_setup(LOG_INFO, LOG_LOGFMT);
        log_msg(LOG_INFO, "e", "m");
        assert_int_equal(strncmp(written(), "time=2013-", 10), 0);
    }
}

static void levels_have_names(void **state)
{
    enum log_level level;

    (void)state;
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("Debug", &level), -1);
    assert_int_equal(log_level_parse("", &level), -1);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(an_event_is_a_line_of_fields),
        LOG_TEST(the_same_in_json),
        LOG_TEST(less_than_the_level_asked_for_is_not_written),
        LOG_TEST(values_are_quoted_where_they_must_be),
        LOG_TEST(a_key_cannot_break_the_line),
        LOG_TEST(a_line_too_long_is_cut_and_still_one_line),
        LOG_TEST(many_small_fields_never_pass_the_end),
        LOG_TEST(random_bytes_stay_one_line_of_json),
        LOG_TEST(the_journal_gives_the_time_itself),
        LOG_TEST(a_journal_inherited_but_not_written_to_does_not),
        LOG_TEST(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
