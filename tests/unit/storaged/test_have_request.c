/* test_have_request.c: questions are read strictly, and an answer clears what it does not name. */
#include "storaged/have_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define A "1111111111111111111111111111111111111111111111111111111111111111"
#define B "2222222222222222222222222222222222222222222222222222222222222222"
#define C "3333333333333333333333333333333333333333333333333333333333333333"

static const char question[] = "{\"source\":\"hres\",\"base_time\":\"2013-04-08T00:00:00Z\",\"digests\":[\"" A
                               "\",\"" B "\",\"" A "\",\"" C "\"]}";

static void read_question(struct have_request *request)
{
    struct error err;

    error_init(&err);
    assert_int_equal(have_request_parse(slice_text(question), request, &err), STATUS_OK);
}

static void a_question_is_read(void **state)
{
    struct have_request request;

    (void)state;
    read_question(&request);
    assert_string_equal(request.run.source, "hres");
    assert_int_equal(request.run.base_time, 1365379200);
    assert_int_equal(request.count, 4);
    assert_int_equal(request.digests[1].bytes[5], 0x22);
    assert_true(request.missing[3]);
    assert_false(request.places);
    have_request_fini(&request);
}

static void what_is_no_question_is_named(void **state)
{
    static const struct {
        const char *text, *named;
    } bad[] = {
        { "", "" },
        { "[]", "" },
        { "{\"base_time\":\"20130408T0000Z\",\"digests\":[]}", "source" },
        { "{\"source\":\"UP\",\"base_time\":\"20130408T0000Z\",\"digests\":[]}", "" },
        { "{\"source\":\"a\",\"base_time\":\"yesterday\",\"digests\":[]}", "" },
        { "{\"source\":\"a\",\"base_time\":\"20130408T0000Z\"}", "digests" },
        { "{\"source\":\"a\",\"base_time\":\"20130408T0000Z\",\"digests\":[\"" A "\",7]}", "digests[1]" },
        { "{\"source\":\"a\",\"base_time\":\"20130408T0000Z\",\"digests\":[\"11\"]}", "digests[0]" },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        struct have_request request;
        struct error err;

        error_init(&err);
        assert_int_equal(have_request_parse(slice_text(bad[i].text), &request, &err), STATUS_BAD_VALUE);
        assert_non_null(strstr(err.text, bad[i].named));
    }
}

static void a_printed_part_reads_back(void **state)
{
    static const bool mask[] = { false, true, false, true };
    struct have_request request, part;
    struct buf body;

    (void)state;
    read_question(&request);
    buf_init(&body, 4096);
    have_request_print(&request, mask, &body);
    assert_int_equal(have_request_parse(slice_of(body.data, body.size), &part, NULL), STATUS_OK);
    assert_int_equal(run_key_compare(&part.run, &request.run), 0);
    assert_int_equal(part.count, 2);
    assert_int_equal(digest_compare(&part.digests[0], &request.digests[1]), 0);
    assert_int_equal(digest_compare(&part.digests[1], &request.digests[3]), 0);
    have_request_fini(&part);
    have_request_fini(&request);
    buf_fini(&body);
}

static void an_answer_leaves_what_it_names(void **state)
{
    static const struct {
        const char *text;
        bool mask[4];
    } cases[] = {
        { "{\"missing\":[]}", { false, false, false, false } },
        { "{\"missing\":[\"" B "\"]}", { false, true, false, false } },
        { "{\"missing\":[\"" A "\",\"" A "\"]}", { true, false, true, false } },
        { "{\"missing\":[\"" A "\",\"" B "\",\"" A "\",\"" C "\"]}", { true, true, true, true } },
    };
    struct have_request request;

    (void)state;
    read_question(&request);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        bool mask[4] = { true, true, true, true };

        assert_int_equal(have_answer_read(slice_text(cases[i].text), &request, mask, NULL), STATUS_OK);
        assert_memory_equal(mask, cases[i].mask, sizeof mask);
    }
    have_request_fini(&request);
}

static void an_answer_to_another_question_changes_nothing(void **state)
{
    static const char *const bad[] = { "", "{}", "{\"missing\":[1]}",
                                       "{\"missing\":[\"" C "\",\"" B "\"]}",
                                       "{\"missing\":[\"" A "\",\"" A "\",\"" A "\"]}" };
    struct have_request request;

    (void)state;
    read_question(&request);
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        bool mask[4] = { true, true, true, true };

        assert_int_equal(have_answer_read(slice_text(bad[i]), &request, mask, NULL), STATUS_BAD_VALUE);
        for (unsigned k = 0; k < 4; k++)
            assert_true(mask[k]);
    }
    have_request_fini(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_read),
        cmocka_unit_test(what_is_no_question_is_named),
        cmocka_unit_test(a_printed_part_reads_back),
        cmocka_unit_test(an_answer_leaves_what_it_names),
        cmocka_unit_test(an_answer_to_another_question_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
