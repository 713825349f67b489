/* test_release_words.c: what storaged/peers/release_words.h promises of questions and answers. */
#include "storaged/peers/release_words.h"

#include "proto/base/json_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FILES = 3 };

static struct store_drop_file files[FILES] = {
    { .shard = 1, .birth = 0xa1 },
    { .shard = 2, .birth = 0xb2 },
    { .shard = 31, .birth = 0xfedcba9876543210 },
};
static struct release_verdict verdicts[FILES];
static char why[64];

static enum status read_verdicts(const char *text)
{
    return release_read_verdicts(slice_text(text), files, FILES, verdicts, why, sizeof why, NULL);
}

static void a_question_names_the_digests_of_each_file(void **state)
{
    struct digest digests[3] = { { { 1 } }, { { 2 } }, { { 3 } } };
    const size_t ends[FILES] = { 2, 2, 3 };
    struct store_drop drop = {
        .journal_id = 0x1f, .incarnation = 4, .records = 77, .files = files, .count = FILES
    };
    struct buf body;
    json_t *object, *listed;
    const char *text;
    uint64_t number;

    (void)state;
    strcpy(drop.run.source, "hres");
    buf_init(&body, 1 << 20);
    release_print_question(&body, "n1", &drop, digests, ends);
    assert_int_equal(json_parse(body.data, body.size, &object, NULL), STATUS_OK);
    assert_int_equal(json_get_string(object, "node", &text, NULL), STATUS_OK);
    assert_string_equal(text, "n1");
    assert_int_equal(json_get_string(object, "base_time", &text, NULL), STATUS_OK);
    assert_string_equal(text, "19700101T0000Z");
    assert_int_equal(json_get_string(object, "journal", &text, NULL), STATUS_OK);
    assert_string_equal(text, "000000000000001f");
    assert_int_equal(json_get_u64(object, "records", 100, &number, NULL), STATUS_OK);
    assert_int_equal(number, 77);
    assert_int_equal(json_get_array(object, "files", &listed, NULL), STATUS_OK);
    assert_int_equal(json_array_size(listed), FILES);
    const size_t counts[FILES] = { 2, 0, 1 };
    for (unsigned i = 0; i < FILES; i++) {
        json_t *of;

        assert_int_equal(json_get_array(json_array_get(listed, i), "digests", &of, NULL), STATUS_OK);
        assert_int_equal(json_array_size(of), counts[i]);
    }
    assert_int_equal(json_get_string(json_array_get(listed, 2), "birth", &text, NULL), STATUS_OK);
    assert_string_equal(text, "fedcba9876543210");
    json_decref(object);
    buf_fini(&body);
}

static void each_file_has_its_verdict(void **state)
{
    (void)state;
    assert_int_equal(
        read_verdicts("{\"granted\": [\"fedcba9876543210\"], \"refused\": ["
                      "{\"birth\": \"00000000000000a1\", \"code\": \"behind\", \"why\": \"by 7\"}]}"),
        STATUS_OK);
    assert_false(verdicts[0].granted);
    assert_int_equal(verdicts[0].code, RELEASE_BEHIND);
    assert_string_equal(why, "behind: by 7");
    assert_false(verdicts[1].granted);
    assert_int_equal(verdicts[1].code, RELEASE_OTHER); /* nothing was said of it */
    assert_true(verdicts[2].granted);
}

static void what_is_granted_and_refused_is_refused(void **state)
{
    (void)state;
    assert_int_equal(read_verdicts("{\"granted\": [\"00000000000000a1\"], \"refused\": ["
                                   "{\"birth\": \"00000000000000a1\", \"code\": \"locked\"}]}"),
                     STATUS_OK);
    assert_false(verdicts[0].granted);
    assert_int_equal(verdicts[0].code, RELEASE_LOCKED);
    assert_int_equal(read_verdicts("{\"granted\": [], \"refused\": ["
                                   "{\"birth\": \"00000000000000a1\", \"code\": \"granted\"}]}"),
                     STATUS_OK);
    assert_false(verdicts[0].granted);
    assert_int_equal(verdicts[0].code, RELEASE_OTHER);
}

static void strangers_in_an_answer_count_for_nothing(void **state)
{
    static const char *const answers[] = {
        "{\"granted\": [\"00000000000000ff\"], \"refused\": []}",
        "{\"granted\": [\"a1\", 7, null, \"00000000000000A1\", \"00000000000000a1 \"], \"refused\": []}",
        "{\"granted\": [], \"refused\": [{\"birth\": \"00000000000000ff\", \"code\": \"never\"}]}",
    };

    (void)state;
    for (unsigned n = 0; n < ARRAY_COUNT(answers); n++) {
        assert_int_equal(read_verdicts(answers[n]), STATUS_OK);
        for (unsigned i = 0; i < FILES; i++) {
            assert_false(verdicts[i].granted);
            assert_int_equal(verdicts[i].code, RELEASE_OTHER);
        }
    }
}

static void half_an_answer_grants_nothing(void **state)
{
    static const char *const answers[] = {
        "",
        "null",
        "[]",
        "{\"granted\": [\"00000000000000a1\"]}",
        "{\"granted\": \"00000000000000a1\", \"refused\": []}",
        "{\"granted\": [\"00000000000000a1\"], \"refused\": [7]}",
        "{\"granted\": [\"00000000000000a1\"], \"refused\": [{\"birth\": \"00000000000000b2\"}]}",
        "{\"granted\": [\"00000000000000a1\"], \"refused\": []",
    };

    (void)state;
    for (unsigned n = 0; n < ARRAY_COUNT(answers); n++) {
        assert_int_not_equal(read_verdicts(answers[n]), STATUS_OK);
        for (unsigned i = 0; i < FILES; i++)
            assert_false(verdicts[i].granted);
    }
}

static void what_is_removed_is_told_by_name(void **state)
{
    bool removed[FILES];

    (void)state;
    assert_int_equal(release_read_removed(
                         slice_text("{\"removed\": [\"00000000000000b2\", \"00000000000000ff\", 7]}"),
                         files, FILES, removed, NULL),
                     STATUS_OK);
    assert_false(removed[0]);
    assert_true(removed[1]);
    assert_false(removed[2]);
    assert_int_not_equal(release_read_removed(slice_text("{}"), files, FILES, removed, NULL), STATUS_OK);
    assert_false(removed[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_names_the_digests_of_each_file),
        cmocka_unit_test(each_file_has_its_verdict),
        cmocka_unit_test(what_is_granted_and_refused_is_refused),
        cmocka_unit_test(strangers_in_an_answer_count_for_nothing),
        cmocka_unit_test(half_an_answer_grants_nothing),
        cmocka_unit_test(what_is_removed_is_told_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
