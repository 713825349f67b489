/* test_release_judge.c: for indexer/release_judge.c and release_request.c: what nodes and index say, and what follows from it. */
#include "indexer/release_judge.h"
#include "proto/cluster_map_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* n1 and n2 own all; n3 asks. Shard 0 has digests that begin with 00. */
static const char map_text[] =
    "{\"cluster\":\"00112233445566778899aabbccddeeff\",\"epoch\":3,\"shards\":2,\"replicas\":%u,\"min_replicas\":1,"
    "\"indexers\":[],\"nodes\":["
    "{\"id\":\"n1\",\"url\":\"http://a:1\",\"host\":\"a\",\"colo\":\"a\",\"weight\":1,\"state\":\"in\"},"
    "{\"id\":\"n2\",\"url\":\"http://b:1\",\"host\":\"b\",\"colo\":\"a\",\"weight\":1,\"state\":\"in\"},"
    "{\"id\":\"n3\",\"url\":\"http://c:1\",\"host\":\"c\",\"colo\":\"a\",\"weight\":1,\"state\":\"in\"}],"
    "\"eras\":[{\"from\":null,\"owners\":[[\"n1\",\"n2\"],[\"n1\",\"n2\"]]}]}";

#define D1 "0011111111111111111111111111111111111111111111111111111111111111"
#define D2 "0022222222222222222222222222222222222222222222222222222222222222"
#define D3 "0033333333333333333333333333333333333333333333333333333333333333"

static const char question_text[] = "{\"node\":\"n3\",\"source\":\"s\",\"base_time\":\"20261101T0000Z\",\"incarnation\":1,"
                                    "\"journal\":\"00000000000000aa\",\"records\":5,"
                                    "\"files\":[{\"shard\":0,\"birth\":\"0000000000000003\",\"digests\":[\"" D1
                                    "\",\"" D2 "\",\"" D1 "\"]}]}";

struct fixture {
    struct release_request request;
    struct release_judge judge;
};

static struct cluster_map *map_of(unsigned replicas)
{
    char text[2048];
    struct error err;
    int size = snprintf(text, sizeof text, map_text, replicas);

    struct cluster_map *map = map_parse(text, (size_t)size, &err);
    if (map == NULL)
        fail_msg("%s", err.text);
    return map;
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct error err;

    if (release_request_parse(slice_text(question_text), &fixture.request, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    release_judge_init(&fixture.judge, &fixture.request);
    struct cluster_map *map = map_of(2);
    release_judge_map(&fixture.judge, map);
    map_unref(map);
    release_judge_share_out(&fixture.judge);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    release_judge_fini(&fixture->judge);
    release_request_fini(&fixture->request);
    return 0;
}

static struct release_owner *owner(struct fixture *fixture, unsigned node)
{
    for (size_t i = 0; i < fixture->judge.owners_count; i++)
        if (fixture->judge.owners[i].node == node)
            return &fixture->judge.owners[i];
    fail_msg("node %u was to be asked", node);
    return NULL;
}

/* The owner has both, in its file of this birth. */
#define KNOWN(digest, url)                                                                         \
    "{\"digest\":\"" digest "\",\"stored_at\":1,\"url\":\"" url "\",\"offset\":0,\"length\":9}"
#define AT(host, birth) "http://" host ":1/data/s/20261101T0000Z/0000-000000000000000" birth ".grib"

static enum status answer(struct fixture *fixture, unsigned node, const char *text)
{
    struct error err;
    struct buf body;

    buf_init(&body, 4096);
    size_t asked = release_owner_question(&fixture->judge, owner(fixture, node), &body);
    assert_int_equal(asked, 2); /* the one that the file names twice is asked for once */
    buf_fini(&body);
    return release_owner_answer(&fixture->judge, owner(fixture, node), asked, slice_text(text), &err);
}

static void all_have_it(struct fixture *fixture)
{
    assert_int_equal(
        answer(fixture, 0,
               "{\"missing\":[],\"known\":[" KNOWN(D1, AT("a", "1")) "," KNOWN(D2, AT("a", "1")) "]}"),
        STATUS_OK);
    assert_int_equal(
        answer(fixture, 1,
               "{\"missing\":[],\"known\":[" KNOWN(D1, AT("b", "2")) "," KNOWN(D2, AT("b", "5")) "]}"),
        STATUS_OK);
    release_judge_copies(&fixture->judge);
}

static void name(struct fixture *fixture, const char *digest, const char *first, const char *second)
{
    struct digest parsed;
    struct release_named_place places[2] = { { &parsed, "n1", first }, { &parsed, "n2", second } };

    assert_true(digest_parse(slice_text(digest), &parsed));
    release_judge_document(&fixture->judge, places, 2);
}

#define F(birth) "0000-000000000000000" birth ".grib"

static enum release_code verdict(const struct fixture *fixture)
{
    return fixture->judge.verdicts[0].code;
}

static void what_all_have_and_the_index_names_is_granted(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(fixture->judge.owners_count, 2);
    all_have_it(fixture);
    name(fixture, D1, F("1"), F("2"));
    name(fixture, D2, F("1"), F("5"));
    release_judge_index(&fixture->judge);
    assert_int_equal(verdict(fixture), RELEASE_GRANTED);
}

static void a_place_in_another_file_than_the_owner_says_names_nothing(void **state)
{
    struct fixture *fixture = *state;

    all_have_it(fixture);
    name(fixture, D1, F("1"), F("2"));
    name(fixture, D2, F("1"), F("2")); /* where it was bad; it lies in 5 by now */
    release_judge_index(&fixture->judge);
    assert_int_equal(verdict(fixture), RELEASE_NOT_INDEXED);
}

static void each_field_of_a_message_has_to_name_all_owners(void **state)
{
    struct fixture *fixture = *state;

    all_have_it(fixture);
    name(fixture, D1, F("1"), F("2"));
    name(fixture, D2, F("1"), F("5"));
    name(fixture, D2, F("1"), F("7")); /* the second field of the message */
    release_judge_index(&fixture->judge);
    assert_int_equal(verdict(fixture), RELEASE_NOT_INDEXED);
}

static void what_no_document_names_is_not_indexed(void **state)
{
    struct fixture *fixture = *state;

    all_have_it(fixture);
    name(fixture, D1, F("1"), F("2"));
    release_judge_index(&fixture->judge);
    assert_int_equal(verdict(fixture), RELEASE_NOT_INDEXED);
}

static void a_message_of_the_file_that_was_not_listed_refuses_it(void **state)
{
    struct fixture *fixture = *state;
    struct digest parsed;
    struct release_named_place place = { &parsed, "n3", F("3") };

    all_have_it(fixture);
    assert_true(digest_parse(slice_text(D3), &parsed));
    place.node = "n1"; /* of others that name is nothing */
    release_judge_document(&fixture->judge, &place, 1);
    assert_int_equal(verdict(fixture), RELEASE_GRANTED);
    place.node = "n3";
    release_judge_document(&fixture->judge, &place, 1);
    assert_int_equal(verdict(fixture), RELEASE_INCOMPLETE);
}

static void fewer_owners_than_the_map_wants_copies_are_too_few(void **state)
{
    struct fixture *fixture = *state;
    struct cluster_map *map = map_of(2);

    map->eras[0].owners[1] = NODE_NONE; /* of shard 0 */
    release_judge_map(&fixture->judge, map);
    map_unref(map);
    assert_int_equal(verdict(fixture), RELEASE_TOO_FEW_COPIES);
    assert_non_null(strstr(fixture->judge.verdicts[0].why, "1 owners"));
}

static void answers_that_are_none_confirm_nothing(void **state)
{
    static const char *const answers[] = {
        "",
        "{}",
        "{\"known\":7}",
        "{\"known\":[7]}",
        "{\"known\":[{\"digest\":\"00\",\"url\":\"\"}]}",
        "{\"known\":[" KNOWN(D3, AT("a", "1")) "]}",                             /* not asked for */
        "{\"known\":[" KNOWN(D1, AT("a", "1")) "," KNOWN(D1, AT("a", "1")) "]}", /* twice */
        "{\"known\":[" KNOWN(D1, "http://a:1/data/s/20261101T0600Z/0000-0000000000000001.grib") "]}",
        "{\"known\":[" KNOWN(D1, "http://a:1/data/s/20261101T0000Z/0001-0000000000000001.grib") "]}",
        "{\"known\":[" KNOWN(D1, "0000-0000000000000001.grib") "]}",
    };

    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        struct fixture *fixture = *state;
        if (answer(fixture, 0, answers[i]) != STATUS_BAD_VALUE)
            fail_msg("taken: %s", answers[i]);
        teardown(state);
        setup(state);
    }
}

static void only_a_file_that_nobody_gives_up_is_a_copy(void **state)
{
    struct fixture *fixture = *state;
    struct error err;

    all_have_it(fixture);
    struct release_owner *second = owner(fixture, 1);
    assert_int_equal(second->births_count, 2);
    assert_int_equal(release_owner_state(second, 0, slice_text("{\"state\":\"none\"}"), &err), STATUS_OK);
    for (const char *const *text =
             (const char *const[]){ "{\"state\":\"asked\"}", "{\"state\":\"dropped\"}",
                                    "{\"state\":\"gone\"}", "{\"state\":\"\"}", "{}", "", NULL };
         *text != NULL; text++)
        assert_int_not_equal(release_owner_state(second, 1, slice_text(*text), &err), STATUS_OK);
}

static void the_first_condition_that_does_not_hold_is_the_answer(void **state)
{
    struct fixture *fixture = *state;
    struct catalog_cursor cursor = { .rev = 1, .journal_id = 0xaa, .record = 4 };

    release_judge_cursor(&fixture->judge, &cursor);
    assert_int_equal(verdict(fixture), RELEASE_BEHIND);
    release_refuse_all(&fixture->judge, RELEASE_PAUSED, "later");
    assert_int_equal(verdict(fixture), RELEASE_BEHIND);
    assert_string_equal(fixture->judge.verdicts[0].why, "the index has read 4 of the 5 records");
    assert_false(release_judge_any(&fixture->judge));
}

static void holders_are_read_as_they_are_written(void **state)
{
    char holder[RELEASE_HOLDER_SIZE], node[NODE_ID_SIZE_MAX + 1];
    uint64_t birth;

    (void)state;
    release_holder_print("n1", 0x6f3a92c1d0e4b7a5, holder);
    assert_string_equal(holder, "n1 6f3a92c1d0e4b7a5");
    assert_true(release_holder_parse(holder, node, &birth));
    assert_string_equal(node, "n1");
    assert_true(birth == 0x6f3a92c1d0e4b7a5);
    for (const char *const *text =
             (const char *const[]){ "", "n1", " 6f3a92c1d0e4b7a5", "n1 6f3a",
                                    "n1 6f3a92c1d0e4b7a5 ", "n1 0000000000000000", NULL };
         *text != NULL; text++)
        assert_false(release_holder_parse(*text, node, &birth));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest cases[] = {
        CASE(what_all_have_and_the_index_names_is_granted),
        CASE(a_place_in_another_file_than_the_owner_says_names_nothing),
        CASE(each_field_of_a_message_has_to_name_all_owners),
        CASE(what_no_document_names_is_not_indexed),
        CASE(a_message_of_the_file_that_was_not_listed_refuses_it),
        CASE(fewer_owners_than_the_map_wants_copies_are_too_few),
        CASE(answers_that_are_none_confirm_nothing),
        CASE(only_a_file_that_nobody_gives_up_is_a_copy),
        CASE(the_first_condition_that_does_not_hold_is_the_answer),
        cmocka_unit_test(holders_are_read_as_they_are_written),
    };
#undef CASE

    return cmocka_run_group_tests(cases, NULL, NULL);
}
