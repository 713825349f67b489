/* test_client_put_answer.c: what nodes answer, held against what was meant. */
#include "client/put_answer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>

enum { COUNT = 4 };

/* Messages whose digests are 64 times one hex digit. */
static void messages_of(struct put_message *messages, const char *digits)
{
    for (size_t i = 0; digits[i] != '\0'; i++) {
        char text[DIGEST_TEXT_SIZE] = "";

        memset(text, digits[i], DIGEST_TEXT_SIZE - 1);
        messages[i] = (struct put_message){ .size = 100 };
        assert_true(digest_parse(slice_text(text), &messages[i].digest));
    }
}

/* "@a" becomes the digest of a's. */
static struct buf answer_of(const char *format)
{
    struct buf buf;

    buf_init(&buf, 64 << 10);
    for (; *format != '\0'; format++) {
        if (*format == '@') {
            format++;
            for (int i = 0; i < 64; i++)
                buf_append(&buf, format, 1);
        } else {
            buf_append(&buf, format, 1);
        }
    }
    return buf;
}

static enum status have(const char *format, struct put_message *messages, size_t count)
{
    struct buf answer = answer_of(format);
    struct error err;
    enum status status = put_answer_have(&answer, messages, count, &err);

    buf_fini(&answer);
    return status;
}

static void missing_ones_are_marked(void **state)
{
    struct put_message messages[COUNT];

    (void)state;
    messages_of(messages, "cabd");
    assert_int_equal(have("{\"missing\":[\"@a\",\"@d\"]}", messages, COUNT), STATUS_OK);
    assert_false(messages[0].missing);
    assert_true(messages[1].missing);
    assert_false(messages[2].missing);
    assert_true(messages[3].missing);
}

static void a_message_that_is_there_twice_is_sent_once(void **state)
{
    struct put_message messages[COUNT];

    (void)state;
    messages_of(messages, "abab");
    assert_int_equal(have("{\"missing\":[\"@b\",\"@b\"]}", messages, COUNT), STATUS_OK);
    assert_false(messages[0].missing);
    assert_true(messages[1].missing);
    assert_false(messages[2].missing);
    assert_false(messages[3].missing);
}

static void answers_that_make_no_sense_are_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "[]",
        "{}",
        "{\"missing\":3}",
        "{\"missing\":[3]}",
        "{\"missing\":[\"@e\"]}",
        "{\"missing\":[\"aa\"]}",
    };
    struct put_message messages[COUNT];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        messages_of(messages, "abcd");
        assert_int_equal(have(cases[i], messages, COUNT), STATUS_MALFORMED);
    }
}

static enum status check(const char *format, const char *picked, struct put_line *lines)
{
    struct put_message messages[COUNT];
    struct buf answer = answer_of(format);
    uint32_t picks[COUNT];
    size_t count = 0;
    struct error err;

    messages_of(messages, "abcd");
    for (; picked[count] != '\0'; count++)
        picks[count] = (uint32_t)(picked[count] - 'a');
    enum status status = put_answer_lines(&answer, messages, picks, count, lines, &err);
    buf_fini(&answer);
    return status;
}

static void a_put_is_read_message_by_message(void **state)
{
    struct put_line lines[COUNT];

    (void)state;
    assert_int_equal(check("{\"messages\":[{\"digest\":\"@c\",\"new\":true,\"copies\":3,\"stored_at\":77,\"incarnation\":2},"
                           "{\"digest\":\"@a\",\"new\":false}]}",
                           "ca", lines),
                     STATUS_OK);
    assert_true(lines[0].is_new);
    assert_int_equal(lines[0].copies, 3);
    assert_int_equal(lines[0].stored_at_us, 77);
    assert_int_equal(lines[0].incarnation, 2);
    assert_false(lines[1].is_new);
    assert_int_equal(lines[1].copies, 1);
    assert_int_equal(lines[1].stored_at_us, 0);
    assert_int_equal(lines[1].incarnation, 0);
}

static void a_node_that_read_other_bytes_is_noticed(void **state)
{
    static const struct {
        const char *answer;
        enum status status;
    } cases[] = {
        { "{\"messages\":[{\"digest\":\"@b\",\"new\":true}]}", STATUS_CORRUPT },
        { "{\"messages\":[]}", STATUS_MALFORMED },
        { "{\"messages\":[{\"digest\":\"@a\"},{\"digest\":\"@b\"}]}", STATUS_MALFORMED },
        { "{\"messages\":[{\"new\":true}]}", STATUS_MALFORMED },
        { "{\"messages\":[{\"digest\":\"@a\",\"copies\":300}]}", STATUS_MALFORMED },
        { "{\"messages\":[{\"digest\":\"@a\",\"stored_at\":-1}]}", STATUS_MALFORMED },
        { "{\"messages\":[{\"digest\":\"@a\",\"incarnation\":\"1\"}]}", STATUS_MALFORMED },
        { "{\"messages\":[4]}", STATUS_MALFORMED },
        { "{}", STATUS_MALFORMED },
        { "no JSON", STATUS_MALFORMED },
    };
    struct put_line lines[COUNT];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(check(cases[i].answer, "a", lines), cases[i].status);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_ones_are_marked),
        cmocka_unit_test(a_message_that_is_there_twice_is_sent_once),
        cmocka_unit_test(answers_that_make_no_sense_are_refused),
        cmocka_unit_test(a_put_is_read_message_by_message),
        cmocka_unit_test(a_node_that_read_other_bytes_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
