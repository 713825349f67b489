/* test_survey.c: what nodes say of themselves, well and badly. */
#include "client/survey.h"

#include "tests/unit/client/fake_server.h"
#include "tests/unit/client/survey_make.h"

static struct slice text_of(const char *text)
{
    return slice_text(text);
}

static enum status read_listing(struct survey *survey, unsigned node, const char *text, struct error *err)
{
    error_init(err);
    return survey_read_listing(survey, &survey->nodes[node], SURVEY_SHARDS, text_of(text), err);
}

static void files_of_a_shard_are_one_holding(void **state)
{
    (void)state;
    struct cluster_map *map = made_map(2, 2, 1);
    struct survey survey;
    struct error err;

    made_survey(&survey, map, 0);
    assert_int_equal(read_listing(&survey, 0,
                                  "{\"seq\":\"x\",\"full\":true,\"runs\":["
                                  "{\"source\":\"b\",\"base_time\":\"2020-01-02T00:00:00Z\",\"files\":["
                                  "{\"shard\":3,\"birth\":\"x\",\"size\":100,\"count\":2},"
                                  "{\"shard\":1,\"birth\":\"x\",\"size\":10,\"count\":1},"
                                  "{\"shard\":3,\"birth\":\"y\",\"size\":50,\"count\":1}]},"
                                  "{\"source\":\"z\",\"base_time\":\"2020-01-02T00:00:00Z\",\"files\":[]}]}",
                                  &err),
                     STATUS_OK);
    assert_int_equal(read_listing(&survey, 1,
                                  "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20190102T0000Z\","
                                  "\"files\":[{\"shard\":0,\"size\":7,\"count\":1}]}]}",
                                  &err),
                     STATUS_OK);
    assert_int_equal(survey_order(&survey, &err), STATUS_OK);
    assert_int_equal(survey.runs_count, 2); /* of the third nothing is held */
    assert_string_equal(survey.runs[0].key.source, "a");
    const struct survey_node *node = &survey.nodes[0];
    assert_int_equal(node->holdings_count, 2);
    assert_int_equal(node->holdings[0].shard, 1);
    assert_int_equal(node->holdings[1].shard, 3);
    assert_int_equal(node->holdings[1].run, 1);
    assert_int_equal(node->holdings[1].messages, 3);
    assert_int_equal(node->holdings[1].bytes, 150);
    assert_int_equal(node->messages, 4);
    assert_int_equal(node->bytes, 160);
    assert_true(survey.has_data);
    assert_true(survey.oldest < survey.newest);
    assert_ptr_equal(survey_find(&survey, "n1"), &survey.nodes[1]);
    assert_null(survey_find(&survey, "n9"));
    survey_fini(&survey);
    map_unref(map);
}

static void a_runs_state_is_the_highest_that_a_holder_lists(void **state)
{
    static const char *const listed[] = { "\"incarnation\":2,\"version\":3,\"state\":\"ready\",",
                                          "\"incarnation\":2,\"version\":4,\"state\":\"retired\",", "",
                                          "\"incarnation\":1,\"version\":9,\"state\":\"purged\"," };
    char json[512];

    (void)state;
    struct cluster_map *map = made_map(4, 4, 1);
    struct survey survey;
    struct error err;

    made_survey(&survey, map, 0);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(json, sizeof json,
                 "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20190102T0000Z\",%s"
                 "\"files\":[{\"shard\":0,\"size\":7,\"count\":1}]}]}",
                 listed[i]);
        assert_int_equal(read_listing(&survey, i, json, &err), STATUS_OK);
    }
    assert_int_equal(survey.runs[0].info.incarnation, 2);
    assert_int_equal(survey.runs[0].info.version, 4);
    assert_int_equal(survey.runs[0].info.state, RUN_RETIRED);
    survey_fini(&survey);
    map_unref(map);
}

static void a_listing_that_does_not_hold_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"full\":false,\"runs\":[]}",
        "{\"full\":true}",
        "{\"full\":true,\"runs\":[{}]}",
        "{\"full\":true,\"runs\":[1]}",
        "{\"full\":true,\"runs\":[{\"source\":\"A\",\"base_time\":\"20200102T0000Z\",\"files\":[]}]}",
        "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"never\",\"files\":[]}]}",
        "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20200102T0000Z\",\"state\":\"odd\",\"files\":[]}]}",
        "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20200102T0000Z\",\"files\":[{\"shard\":4,\"size\":1,\"count\":1}]}]}",
        "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20200102T0000Z\",\"files\":[{\"shard\":0,\"size\":-1,\"count\":1}]}]}",
        ("{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20200102T0000Z\",\"files\":[{\"shard\":0,"
         "\"size\":9223372036854775807,\"count\":1}]}]}"),
        "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20200102T0000Z\",\"files\":[{\"shard\":0,\"size\":1,\"count\":5000000000}]}]}",
    };
    struct cluster_map *map = made_map(1, 1, 1);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct survey survey;
        struct error err;
        made_survey(&survey, map, 0);
        assert_int_equal(read_listing(&survey, 0, bad[i], &err), STATUS_MALFORMED);
        assert_non_null(strstr(err.text, "its listing of runs"));
        assert_false(survey.nodes[0].listed);
        assert_int_equal(survey.nodes[0].holdings_count, 0);
        survey_fini(&survey);
    }
    map_unref(map);
}

static void what_a_node_says_of_itself_is_taken_where_it_makes_sense(void **state)
{
    (void)state;
    struct survey_node node = { .reachable = true };

    survey_read_capacity(&node, text_of("{\"total\":10,\"used\":20,\"free\":1}"));
    assert_false(node.disk.known);
    survey_read_capacity(&node, text_of("nonsense"));
    survey_read_capacity(&node, text_of("[1]"));
    assert_false(node.disk.known);
    survey_read_capacity(&node, text_of("{\"total\":100,\"used\":20,\"free\":80,\"high_water\":500}"));
    assert_true(node.disk.known);
    assert_int_equal(node.disk.high_water, 0);
    survey_read_sync(&node, text_of("{\"rate\":5}"));
    assert_false(node.sync_known); /* it looks at nobody */
    survey_read_sync(
        &node,
        text_of("{\"rate\":5,\"running\":false,\"nodes\":[{\"up\":true,\"settled\":true},{\"up\":false,\"settled\":false}]}"));
    assert_true(node.sync_known && node.settled);
    assert_int_equal(node.sync_rate, 5);
    survey_read_sync(&node, text_of("{\"running\":true,\"bytes_left\":7,\"nodes\":[]}"));
    assert_false(node.settled);
    assert_int_equal(node.pull_left, 7);
    survey_read_sync(&node, text_of("{\"nodes\":[{\"up\":true,\"settled\":false}]}"));
    assert_false(node.settled);
    survey_read_releases(
        &node,
        text_of("{\"files\":3,\"grace_files\":2,\"refused\":{\"locked\":3,\"A B\":1,\"behind\":1,\"paused\":0}}"));
    assert_true(node.releases_known);
    assert_int_equal(node.give_up_files, 3);
    assert_int_equal(node.grace_files, 2);
    assert_string_equal(node.give_up_refused, "locked 3, behind 1");
    survey_read_releases(&node, text_of("{\"files\":-3}"));
    assert_int_equal(node.give_up_files, 0);
}

/* ---- asking ---- */

static void answer(void *user, const struct fake_request *request, struct fake_reply *reply)
{
    struct cluster_map *map = user;

    if (strcmp(request->target, "/cluster/map") == 0)
        map_print(map, &reply->body);
    else if (strcmp(request->target, "/cluster/runs") == 0)
        buf_text(&reply->body, "{\"full\":true,\"runs\":[{\"source\":\"a\",\"base_time\":\"20200102T0000Z\","
                               "\"files\":[{\"shard\":0,\"size\":7,\"count\":1}]}]}");
    else if (strcmp(request->target, "/readyz") == 0)
        buf_text(&reply->body, "{}");
    else
        reply->status = 404;
}

static void every_node_is_asked_and_who_is_away_is_known_as_such(void **state)
{
    (void)state;
    struct cluster_map *map = made_map(SURVEY_AT_ONCE + 8, 2, 3), *other = made_map(1, 1, 0),
                       *told = made_map(2, 2, 3);
    struct gs_options options;
    struct gs_session *session;
    struct fake_server server;
    struct survey survey;
    struct error err;

    error_init(&err);
    fake_server_start(&server, answer, told);
    gs_options_init(&options);
    options.indexers = "http://127.0.0.1:1";
    assert_int_equal(gs_open(&options, &session, NULL), GS_OK);
    for (unsigned i = 0; i < map->nodes_count; i++)
        snprintf(map->nodes[i].url, sizeof map->nodes[i].url, "%s",
                 i % 2 == 0 ? server.url : "http://127.0.0.1:1");
    assert_int_equal(survey_run_all(session, map, &other->nodes[0], &survey, &err), STATUS_OK);
    assert_int_equal(survey.nodes_count, map->nodes_count + 1);
    assert_true(survey.nodes[map->nodes_count].comes);
    for (unsigned i = 0; i < map->nodes_count; i++) {
        const struct survey_node *node = &survey.nodes[i];
        assert_int_equal(node->reachable, i % 2 == 0);
        assert_int_equal(node->listed, i % 2 == 0);
        assert_int_equal(node->ready, i % 2 == 0);
        assert_int_equal(node->messages, i % 2 == 0);
        assert_false(node->disk.known || node->sync_known || node->releases_known);
        assert_int_equal(node->err.text[0] != '\0', i % 2 == 1);
    }
    assert_false(survey.index_known);
    survey_fini(&survey);
    gs_close(session);
    fake_server_stop(&server);
    map_unref(map);
    map_unref(other);
    map_unref(told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_a_shard_are_one_holding),
        cmocka_unit_test(a_runs_state_is_the_highest_that_a_holder_lists),
        cmocka_unit_test(a_listing_that_does_not_hold_is_none),
        cmocka_unit_test(what_a_node_says_of_itself_is_taken_where_it_makes_sense),
        cmocka_unit_test(every_node_is_asked_and_who_is_away_is_known_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
