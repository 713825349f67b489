/* test_client_json_objects.c: long answers cut into objects, wherever they are cut; and what is read of them. */
#include "client/check_survey.h"
#include "client/json_objects.h"
#include "client/locations.h"
#include "proto/base/json_read.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>

struct seen {
    unsigned count, sum, fail_at;
};

static enum status take(void *user, const json_t *object, struct error *err)
{
    struct seen *seen = user;

    seen->sum += (unsigned)json_integer_value(json_object_get(object, "n"));
    return ++seen->count == seen->fail_at ? error_set(err, STATUS_CANCELLED, "enough") : STATUS_OK;
}

/* Fed in two pieces; what it ends with. */
static enum status read_cut(const char *text, size_t cut, struct seen *seen)
{
    struct json_objects objects;
    struct error err;

    *seen = (struct seen){ .fail_at = seen->fail_at };
    json_objects_init(&objects, take, seen);
    enum status status = json_objects_feed(&objects, slice_of(text, cut), &err);
    if (status == STATUS_OK)
        status = json_objects_feed(&objects, slice_of(text + cut, strlen(text) - cut), &err);
    if (status == STATUS_OK)
        status = json_objects_end(&objects, &err);
    json_objects_fini(&objects);
    return status;
}

static void objects_come_whole_wherever_the_answer_is_cut(void **state)
{
    static const struct {
        const char *text;
        unsigned count, sum;
    } cases[] = {
        { "", 0, 0 },
        { "[]", 0, 0 },
        { "{\"n\":1}\n{\"n\":2}\n", 2, 3 },
        { " [ {\"n\":1} ,\n{\"n\":2, \"a\":[{},[]]}, {\"s\":\"}{][\\\"\\\\\", \"n\":4} ] \n", 3, 7 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            struct seen seen = { 0 };
            assert_int_equal(read_cut(cases[i].text, cut, &seen), STATUS_OK);
            assert_int_equal(seen.count, cases[i].count);
            assert_int_equal(seen.sum, cases[i].sum);
        }
}

static void what_is_no_row_of_objects_is_malformed(void **state)
{
    static const char *const cases[] = {
        "1",     "[1]",       "{}x",       "{",      "[{}",
        "[{}}",  "{]",        "[{}]{}",    "[{}],",  "{},{}",
        "{}[",   "[[{}]]",    "{\"a\":}",  "\"{}\"", "[{}] {\"n\":1}",
        "[,{}]", "{\"n\":1,", "{\"a\":\"", "[{}]]",  "null"
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (size_t cut = 0; cut <= strlen(cases[i]); cut++) {
            struct seen seen = { 0 };
            assert_int_equal(read_cut(cases[i], cut, &seen), STATUS_MALFORMED);
        }
}

static void who_has_enough_ends_the_reading(void **state)
{
    struct seen seen = { .fail_at = 2 };

    (void)state;
    assert_int_equal(read_cut("{\"n\":1}{\"n\":2}{\"n\":4}", 3, &seen), STATUS_CANCELLED);
    assert_int_equal(seen.sum, 3);
}

static void an_object_without_end_is_too_large(void **state)
{
    struct json_objects objects;
    struct seen seen = { 0 };
    char piece[1 << 16];
    struct error err;
    enum status status = STATUS_OK;
    size_t fed = 0;

    (void)state;
    memset(piece, 'a', sizeof piece);
    json_objects_init(&objects, take, &seen);
    assert_int_equal(json_objects_feed(&objects, slice_text("{\"a\":\""), &err), STATUS_OK);
    for (; status == STATUS_OK; fed += sizeof piece)
        status = json_objects_feed(&objects, slice_of(piece, sizeof piece), &err);
    assert_int_equal(status, STATUS_TOO_LARGE);
    assert_true(fed <= JSON_OBJECT_SIZE_MAX + 2 * sizeof piece);
    json_objects_fini(&objects);
}

/* --- what is read of objects --- */

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define FILE_NAME "0017-6f3a92c1d0e4b7a5.grib"

static enum status read_location(const char *text, struct location *location, bool *end, uint64_t *count)
{
    static json_t *json; /* what location borrows from */
    struct error err;

    json_decref(json);
    assert_int_equal(json_parse(text, strlen(text), &json, &err), STATUS_OK);
    enum status status = location_read(json, location, end, count, &err);
    if (status != STATUS_OK) {
        json_decref(json);
        json = NULL;
    }
    return status;
}

static void a_line_is_a_place_or_the_end(void **state)
{
    struct location location;
    uint64_t count;
    bool end;

    (void)state;
    assert_int_equal(read_location("{\"digest\":\"" DIGEST
                                   "\",\"length\":7,\"stored_at\":9,\"node\":\"n1\",\"file\":\"" FILE_NAME
                                   "\",\"offset\":5,\"as\":\"older\"}",
                                   &location, &end, &count),
                     STATUS_OK);
    assert_false(end);
    assert_int_equal(location.length, 7);
    assert_int_equal(location.stored_at_us, 9);
    assert_int_equal(location.shard, 17);
    assert_int_equal(location.birth, 0x6f3a92c1d0e4b7a5);
    assert_int_equal(location.as, LOCATION_OLDER);
    assert_string_equal(location.node, "n1");
    assert_int_equal(read_location("{\"end\":true,\"locations\":3}", &location, &end, &count), STATUS_OK);
    assert_true(end);
    assert_int_equal(count, 3);
    assert_int_equal(read_location("{\"end\":true}", &location, &end, &count), STATUS_MALFORMED);
}

static void a_line_that_is_no_place_is_malformed(void **state)
{
    static const char *const cases[] = {
        "{}",
        "{\"digest\":\"0\",\"length\":7,\"stored_at\":9,\"node\":\"n1\",\"file\":\"" FILE_NAME
        "\",\"offset\":5,\"as\":\"field\"}",
        "{\"digest\":\"" DIGEST "\",\"length\":-7,\"stored_at\":9,\"node\":\"n1\",\"file\":\"" FILE_NAME
        "\",\"offset\":5,\"as\":\"field\"}",
        "{\"digest\":\"" DIGEST "\",\"length\":7,\"node\":\"n1\",\"file\":\"" FILE_NAME
        "\",\"offset\":5,\"as\":\"field\"}",
        "{\"digest\":\"" DIGEST "\",\"length\":7,\"stored_at\":9,\"node\":\"../n\",\"file\":\"" FILE_NAME
        "\",\"offset\":5,\"as\":\"field\"}",
        "{\"digest\":\"" DIGEST
        "\",\"length\":7,\"stored_at\":9,\"node\":\"n1\",\"file\":\"../../x.grib\",\"offset\":5,\"as\":\"field\"}",
        "{\"digest\":\"" DIGEST "\",\"length\":7,\"stored_at\":9,\"node\":\"n1\",\"file\":\"" FILE_NAME
        "\",\"offset\":\"5\",\"as\":\"field\"}",
        "{\"digest\":\"" DIGEST
        "\",\"length\":7,\"stored_at\":9,\"node\":\"n1\",\"file\":\"" FILE_NAME "\",\"offset\":5}",
    };
    struct location location;
    uint64_t count;
    bool end;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_int_equal(read_location(cases[i], &location, &end, &count), STATUS_MALFORMED);
    assert_int_equal(read_location("{\"end\":true,\"locations\":0}", &location, &end, &count), STATUS_OK);
}

static enum status read_member(const char *text, struct check_copy *copy)
{
    json_t *json = NULL;
    struct error err;

    assert_int_equal(json_parse(text, strlen(text), &json, &err), STATUS_OK);
    enum status status = check_read_member(json, copy, &err);
    json_decref(json);
    return status;
}

static void a_member_of_a_shard_has_a_place(void **state)
{
    struct check_copy copy = { 0 };

    (void)state;
    assert_int_equal(read_member("{\"digest\":\"" DIGEST
                                 "\",\"stored_at\":1,\"birth\":\"6f3a92c1d0e4b7a5\",\"offset\":4,\"length\":8}",
                                 &copy),
                     STATUS_OK);
    assert_int_equal(copy.birth, 0x6f3a92c1d0e4b7a5);
    assert_int_equal(copy.offset, 4);
    assert_int_equal(copy.length, 8);
    assert_int_equal(read_member("{\"digest\":\"" DIGEST
                                 "\",\"birth\":\"6f3a92c1d0e4b7ag\",\"offset\":4,\"length\":8}",
                                 &copy),
                     STATUS_MALFORMED);
    assert_int_equal(read_member("{\"digest\":\"" DIGEST
                                 "\",\"birth\":\"6f3a92c1d0e4b7a\",\"offset\":4,\"length\":8}",
                                 &copy),
                     STATUS_MALFORMED);
    assert_int_equal(
        read_member("{\"digest\":\"x\",\"birth\":\"6f3a92c1d0e4b7a5\",\"offset\":4,\"length\":8}", &copy),
        STATUS_MALFORMED);
}

static enum status read_runs(const char *text, struct check_survey_node *node)
{
    json_t *json = NULL;
    struct error err;

    assert_int_equal(json_parse(text, strlen(text), &json, &err), STATUS_OK);
    enum status status = check_survey_read_runs(json, &node->runs, &node->runs_count, &err);
    json_decref(json);
    return status;
}

#define RUN_OF(source)                                                                             \
    "{\"source\":\"" source                                                                        \
    "\",\"base_time\":\"20130408T0000Z\",\"incarnation\":2,\"version\":3,\"state\":\"ready\",\"records\":5}"

static void only_a_full_listing_is_a_nodes_runs(void **state)
{
    struct check_survey_node node = { 0 };
    struct run_key run = { .source = "b" };

    (void)state;
    assert_int_equal(read_runs("{\"full\":true,\"runs\":[" RUN_OF("b") "," RUN_OF("a") "]}", &node),
                     STATUS_OK);
    assert_int_equal(node.runs_count, 2);
    assert_int_equal(base_time_parse(slice_text("20130408T0000Z"), &run.base_time, NULL), STATUS_OK);
    const struct check_survey_run *found = check_survey_find(&node, &run);
    assert_non_null(found);
    assert_int_equal(found->info.state, RUN_READY);
    assert_int_equal(found->records, 5);
    run.base_time++;
    assert_null(check_survey_find(&node, &run));
    free(node.runs);
    assert_int_equal(read_runs("{\"full\":false,\"runs\":[]}", &node), STATUS_MALFORMED);
    free(node.runs);
    assert_int_equal(read_runs("{\"runs\":[]}", &node), STATUS_MALFORMED);
    free(node.runs);
    assert_int_equal(read_runs("{\"full\":true,\"runs\":[{\"source\":\"b\"}]}", &node), STATUS_MALFORMED);
    free(node.runs);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_come_whole_wherever_the_answer_is_cut),
        cmocka_unit_test(what_is_no_row_of_objects_is_malformed),
        cmocka_unit_test(who_has_enough_ends_the_reading),
        cmocka_unit_test(an_object_without_end_is_too_large),
        cmocka_unit_test(a_line_is_a_place_or_the_end),
        cmocka_unit_test(a_line_that_is_no_place_is_malformed),
        cmocka_unit_test(a_member_of_a_shard_has_a_place),
        cmocka_unit_test(only_a_full_listing_is_a_nodes_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
