/* test_replica_answer.c: a peer's answer marks those that it names, in order, and nothing else. */
#include "storaged/peers/replica_answer.h"

#include "storaged/peers/copies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define A "1111111111111111111111111111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222222222222222222222222222"
#define FILE_URL "http://n2/data/hres/20130408T0000Z/0017-6f3a92c1d0e4b7a5.grib"
#define LINE(digest, new, offset)                                                                     \
    "{\"digest\":\"" digest "\",\"new\":" new ",\"stored_at\":50,\"locations\":[{\"url\":\"" FILE_URL \
                                              "\",\"offset\":" offset ",\"length\":9}]}"

static struct digest digests[2];
static struct copy copies[3]; /* A, B, A */
static struct list members;

static int setup(void **state)
{
    (void)state;
    list_init(&members);
    assert_true(digest_parse(slice_text(A), &digests[0]));
    assert_true(digest_parse(slice_text(B), &digests[1]));
    for (unsigned i = 0; i < ARRAY_COUNT(copies); i++) {
        copies[i] = (struct copy){ .digest = &digests[i % 2], .stored_at_us = i == 1 ? 70 : 7 };
        list_append(&members, &copies[i].list);
    }
    return 0;
}

static enum status match(const char *answer, bool asked)
{
    return replica_answer_match(slice_text(answer), asked, &members, NULL);
}

static void all_lines_are_taken_in_order(void **state)
{
    (void)state;
    assert_int_equal(match("{\"messages\":[" LINE(A, "true", "3") "," LINE(
                               B, "false", "4") "," LINE(A, "false", "3") "]}",
                           false),
                     STATUS_OK);
    for (unsigned i = 0; i < ARRAY_COUNT(copies); i++) {
        assert_true(copies[i].done);
        assert_int_equal(copies[i].is_new, i == 0);
        assert_true(copies[i].has_place);
        assert_int_equal(copies[i].shard, 17);
        assert_true(copies[i].birth == 0x6f3a92c1d0e4b7a5);
        assert_int_equal(copies[i].offset, i == 1 ? 4 : 3);
        assert_int_equal(copies[i].stored_at_us, 50); /* what the peer says, be it more or less than was sent */
    }
}

static void a_failure_lists_what_was_stored_before_it(void **state)
{
    (void)state;
    assert_int_equal(match("{\"code\":\"full\",\"messages\":[" LINE(A, "true", "3") "]}", false),
                     STATUS_OK);
    assert_true(copies[0].done);
    assert_false(copies[1].done);
    assert_false(copies[2].done);
}

static void a_gap_is_left_open(void **state)
{
    (void)state;
    assert_int_equal(match("{\"messages\":[" LINE(B, "true", "3") "," LINE(A, "true", "12") "]}", false),
                     STATUS_OK);
    assert_false(copies[0].done);
    assert_true(copies[1].done);
    assert_true(copies[2].done);
}

static void a_strangers_line_is_passed_over(void **state)
{
    (void)state;
    assert_int_equal(
        match("{\"messages\":[" LINE("3333333333333333333333333333333333333333333333333333333333333333",
                                     "true", "0") "," LINE(A, "true", "9") "]}",
              false),
        STATUS_OK);
    assert_true(copies[0].done);
    assert_false(copies[1].done);
}

static void a_url_of_another_form_still_counts(void **state)
{
    (void)state;
    assert_int_equal(match("{\"messages\":[{\"digest\":\"" A
                           "\",\"new\":true,\"locations\":[{\"url\":\"x/y\",\"offset\":1}]}]}",
                           false),
                     STATUS_OK);
    assert_true(copies[0].done);
    assert_false(copies[0].has_place);
    assert_int_equal(copies[0].stored_at_us, 7);
}

static void known_ones_of_a_question_have_their_place(void **state)
{
    (void)state;
    assert_int_equal(match("{\"missing\":[\"" B "\"],\"known\":[{\"digest\":\"" A
                           "\",\"stored_at\":60,\"url\":\"" FILE_URL "\",\"offset\":11,\"length\":2}]}",
                           true),
                     STATUS_OK);
    assert_true(copies[0].done);
    assert_false(copies[0].is_new);
    assert_int_equal(copies[0].offset, 11);
    assert_false(copies[1].done);
}

static void what_is_no_answer_is_refused(void **state)
{
    static const char *const bad[] = { "",
                                       "[]",
                                       "{}",
                                       "{\"messages\":{}}",
                                       "{\"messages\":[{}]}",
                                       "{\"messages\":[{\"digest\":\"12\"}]}",
                                       "{\"messages\":[{\"digest\":\"" A "\",\"stored_at\":-1}]}",
                                       "{\"messages\":[{\"digest\":\"" A
                                       "\",\"locations\":[{\"url\":1}]}]}" };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        setup(state);
        assert_int_equal(match(bad[i], false), STATUS_BAD_VALUE);
        assert_false(copies[0].done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_lines_are_taken_in_order, setup),
        cmocka_unit_test_setup(a_failure_lists_what_was_stored_before_it, setup),
        cmocka_unit_test_setup(a_gap_is_left_open, setup),
        cmocka_unit_test_setup(a_strangers_line_is_passed_over, setup),
        cmocka_unit_test_setup(a_url_of_another_form_still_counts, setup),
        cmocka_unit_test_setup(known_ones_of_a_question_have_their_place, setup),
        cmocka_unit_test_setup(what_is_no_answer_is_refused, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
