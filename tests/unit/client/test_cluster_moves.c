/* test_cluster_moves.c: what moves between two maps, why that should not be done, and when it is done. */
#include "client/cluster_diff.h"
#include "tests/unit/client/survey_make.h"

/* A cluster of n0, n1, n2 with a run; what becomes of it is the test's. */
struct world {
    struct cluster_map *before, *after;
    struct survey survey;
    struct cluster_moves moves;
    struct buf why;
};

static void world_begin(struct world *world, unsigned nodes_after, unsigned members_after)
{
    *world = (struct world){ .before = made_map(3, 3, 1),
                             .after = made_map(nodes_after, members_after, 2) };
    made_survey(&world->survey, world->before, nodes_after > 3 ? nodes_after - 3 : 0);
    made_run(&world->survey, world->before, 1000);
    buf_init(&world->why, 1 << 16);
}

static void world_move(struct world *world)
{
    struct error err;

    error_init(&err);
    assert_int_equal(survey_order(&world->survey, &err), STATUS_OK);
    assert_int_equal(cluster_moves_make(world->before, world->after, &world->survey, &world->moves, &err),
                     STATUS_OK);
}

static unsigned world_reasons(struct world *world, enum cluster_action action, const char *subject)
{
    buf_clear(&world->why);
    return cluster_reasons(action, subject, world->before, world->after, &world->survey,
                           &world->moves, &world->why);
}

static void world_end(struct world *world)
{
    cluster_moves_fini(&world->moves);
    survey_fini(&world->survey);
    map_unref(world->before);
    map_unref(world->after);
    buf_fini(&world->why);
}

static void says(struct world *world, const char *text)
{
    if (strstr(buf_string(&world->why), text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", buf_string(&world->why), text);
}

/* Four nodes in a ring of four shards: n3 owns 2 and 3; n0 owned 0, 2 and 3, and keeps 0 and 3 of them. */
static void a_node_that_comes_pulls_its_share_and_others_give_up(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 4, 4);
    world_move(&world);
    const struct moves_node *nodes = world.moves.nodes;
    assert_int_equal(world.moves.count, 4);
    assert_null(nodes[3].before);
    assert_int_equal(nodes[3].in.messages, 20);
    assert_int_equal(nodes[3].in.bytes, 2000);
    assert_int_equal(nodes[3].left.bytes, 2000);
    assert_int_equal(nodes[0].out.bytes, 1000);
    assert_int_equal(nodes[1].out.bytes, 1000);
    assert_int_equal(nodes[0].held.bytes, 3000);
    assert_int_equal(nodes[0].left.bytes, 2000);
    assert_int_equal(world.moves.in.bytes, 2000);
    assert_int_equal(world.moves.out.bytes, 2000);
    assert_int_equal(world.moves.table_bytes, 2000);
    assert_int_equal(world.moves.ideal_bytes, 2000);
    assert_int_equal(nodes[3].used_peak, 3000);
    assert_int_equal(nodes[0].used_peak, 1000);
    assert_int_equal(nodes[0].used_after, 0);
    assert_true(nodes[3].seconds_known && !nodes[0].seconds_known);
    assert_true(nodes[3].seconds == 20 && world.moves.seconds == 20);
    assert_int_equal(world.moves.copies_seen, 2);
    assert_int_equal(world_reasons(&world, CLUSTER_ADD, "n3"), 0);
    world_end(&world);
}

static void what_is_there_already_is_not_pulled(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 3, 3);
    made_holding(&world.survey, 2, 1000, 0, 4, 400); /* stood in for an owner */
    world.survey.nodes[1].holdings[0].messages = 7;  /* n1's shard 0: three are missing */
    world.survey.nodes[1].holdings[0].bytes = 700;
    world_move(&world);
    assert_int_equal(world.moves.nodes[1].in.messages, 3);
    assert_int_equal(world.moves.nodes[1].in.bytes, 300);
    assert_int_equal(world.moves.nodes[2].out.bytes, 400);
    assert_int_equal(world.moves.copies_seen, 1);
    world_end(&world);
}

/* Nobody takes messages of a retired run any more, so nobody is waited for. */
static void a_retired_run_moves_nothing_and_goes_by_itself(void **state)
{
    (void)state;
    struct world world;
    struct cluster_progress progress;
    struct error err;

    world_begin(&world, 4, 4);
    made_run(&world.survey, world.before, 2000);
    world.survey.runs[1].info = (struct run_info){ 1, 2, RUN_RETIRED };
    world_move(&world);
    assert_int_equal(world.moves.in.bytes, 2000); /* of the other run alone */
    assert_int_equal(world.moves.out.bytes, 2000);
    assert_int_equal(world.moves.leaving_runs, 1);
    assert_int_equal(world.moves.leaving.messages, 2 * SURVEY_SHARDS * 10);
    assert_int_equal(world.moves.copies_seen, 2);
    assert_int_equal(world.moves.nodes[0].held.bytes, 2 * 3000);
    world.survey.runs[0].info = (struct run_info){ 1, 2, RUN_RETIRED };
    error_init(&err);
    for (size_t i = 0; i < world.survey.nodes_count; i++) {
        world.survey.nodes[i].comes = false;
        world.survey.nodes[i].epoch = world.after->epoch;
    }
    assert_int_equal(cluster_progress_read(world.after, &world.survey, &progress, &err), STATUS_OK);
    assert_true(progress.done);
    assert_int_equal(progress.leaving_runs, 2);
    world.survey.runs[0].info.state = RUN_READY; /* taken back */
    assert_int_equal(cluster_progress_read(world.after, &world.survey, &progress, &err), STATUS_OK);
    assert_false(progress.done);
    assert_int_equal(progress.pull_bytes, 2000);
    world_end(&world);
}

/* n0 to n2 become n0 and n1: who did not list is taken to hold what it owns. */
static void who_does_not_say_what_it_holds_is_named(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 3, 2);
    world.after->nodes[2].state = NODE_EVACUATING;
    free(world.survey.nodes[1].holdings);
    world.survey.nodes[1].holdings = NULL;
    world.survey.nodes[1].holdings_count = 0;
    world.survey.nodes[1].listed = false;
    error_set(&world.survey.nodes[1].listed_err, STATUS_TIMEOUT, "too slow");
    world_move(&world);
    assert_int_equal(world.moves.nodes[1].in.bytes, 1000); /* shard 2, which is new to it; not what it owned before */
    assert_int_equal(world_reasons(&world, CLUSTER_EVACUATE, "n2"), 1u << REASON_NOT_REACHABLE);
    says(&world, "not-reachable: n1 (http://n1:1) does not say what it holds: too slow.");
    assert_int_equal(world_reasons(&world, CLUSTER_RENAME, "n1"), 0); /* moves nothing */
    world_end(&world);
}

static void a_node_is_not_filled_past_its_mark(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 4, 4);
    world.survey.nodes[3].disk.used = 3001;
    world.survey.nodes[0].disk.used = 9999; /* is, already, and gets nothing */
    world_move(&world);
    assert_true(world.moves.nodes[3].past_high_water);
    assert_false(world.moves.nodes[0].past_high_water);
    assert_int_equal(world_reasons(&world, CLUSTER_ADD, "n3"), 1u << REASON_HIGH_WATER);
    says(&world, "high-water: n3 would have 50.0 % of its disk in use, its mark is at 50.0 %");
    world_end(&world);
}

static void copies_that_share_a_host_are_counted(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 3, 3);
    snprintf(world.after->nodes[1].host, sizeof world.after->nodes[1].host, "h0");
    world_move(&world);
    assert_int_equal(world.moves.same_host_before, 0);
    assert_int_equal(world.moves.same_host_after, 2); /* shards 0 and 3 */
    assert_int_equal(world.moves.shards_fewer, 0);
    world_end(&world);
}

static void fewer_copies_are_named(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 3, 1);
    world_move(&world);
    assert_int_equal(world.moves.copies_before, 2);
    assert_int_equal(world.moves.copies_after, 1);
    assert_int_equal(world_reasons(&world, CLUSTER_EVACUATE, "n1"), 1u << REASON_FEWER_COPIES);
    says(&world, "fewer-copies: 4 shards would have fewer copies than now (at least 1, now 2)");
    world_end(&world);
}

/* What only the lost node is seen to hold whole. */
static void what_would_be_lost_is_named(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 3, 2);
    world.after->nodes[2].state = NODE_OUT;
    made_holding(&world.survey, 2, 2000, 3, 5, 500);
    world_move(&world);
    assert_int_equal(world.moves.orphans.messages, 5);
    assert_string_equal(world.moves.orphan, "s/19700101T003320Z 3");
    assert_true(world_reasons(&world, CLUSTER_LOST, "n2") & 1u << REASON_FEWER_COPIES);
    says(&world, "5 messages (the first in s/19700101T003320Z 3)");
    world_end(&world);
}

static void only_the_empty_come_and_leave(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 4, 4);
    made_holding(&world.survey, 3, 1000, 0, 1, 100);
    world_move(&world);
    assert_int_equal(world.moves.nodes[3].in.messages, 20); /* what it brings is not this cluster's */
    assert_int_equal(world_reasons(&world, CLUSTER_ADD, "n3"), 1u << REASON_HAS_DATA);
    says(&world, "n3 holds 1 messages already");
    world.survey.nodes[3].holdings_count = world.survey.nodes[3].messages = 0;
    world.survey.nodes[3].other_cluster = true;
    assert_int_equal(world_reasons(&world, CLUSTER_ADD, "n3"), 1u << REASON_NOT_REACHABLE);
    says(&world, "n3 (http://n3:1) belongs to another cluster by now");
    world.survey.nodes[3].other_cluster = false;
    world.survey.nodes[3].reachable = false;
    assert_int_equal(world_reasons(&world, CLUSTER_ADD, "n3"), 1u << REASON_NOT_REACHABLE);
    world_end(&world);
    world_begin(&world, 3, 3);
    world_move(&world);
    assert_int_equal(world_reasons(&world, CLUSTER_REMOVE, "n2"), 1u << REASON_HAS_DATA);
    world.survey.nodes[2].holdings_count = 0;
    world.survey.nodes[2].grace_files = 4;
    assert_int_equal(world_reasons(&world, CLUSTER_REMOVE, "n2"), 1u << REASON_HAS_DATA);
    says(&world, "serves 4 files that it gave up");
    world.survey.nodes[2].grace_files = 0;
    assert_int_equal(world_reasons(&world, CLUSTER_REMOVE, "n2"), 0);
    world_end(&world);
}

static void reasons_have_names(void **state)
{
    (void)state;
    enum cluster_reason reason;

    for (unsigned i = 0; i < REASONS_COUNT; i++) {
        assert_true(cluster_reason_parse(cluster_reason_name((enum cluster_reason)i), &reason));
        assert_int_equal(reason, i);
    }
    assert_false(cluster_reason_parse("because", &reason));
}

/* ---- when it is done ---- */

static struct cluster_progress progress_of(const struct cluster_map *map, const struct survey *survey)
{
    struct cluster_progress progress = { .done = false };
    struct error err;

    error_init(&err);
    assert_int_equal(cluster_progress_read(map, survey, &progress, &err), STATUS_OK);
    return progress;
}

static void it_is_done_when_all_is_where_it_belongs_and_everybody_knows_the_map(void **state)
{
    (void)state;
    struct world world;

    world_begin(&world, 3, 3);
    world_move(&world);
    assert_true(progress_of(world.before, &world.survey).done);
    world.survey.nodes[0].epoch = 0;
    assert_int_equal(progress_of(world.before, &world.survey).behind, 1);
    assert_false(progress_of(world.before, &world.survey).done);
    world.survey.nodes[0].epoch = 9;
    assert_true(progress_of(world.before, &world.survey).newer);
    world.survey.nodes[0].epoch = 1;
    world.survey.nodes[1].reachable = false;
    assert_int_equal(progress_of(world.before, &world.survey).silent, 1);
    assert_false(progress_of(world.before, &world.survey).done);
    world.before->nodes[1].state = NODE_OUT; /* nobody waits for it */
    assert_true(progress_of(world.before, &world.survey).done);
    world.survey.nodes[0].give_up_files = 1;
    assert_int_equal(progress_of(world.before, &world.survey).unsettled, 1);
    world.survey.nodes[0].holdings[0].messages--;
    world.survey.nodes[0].holdings[0].bytes -= 100;
    struct cluster_progress progress = progress_of(world.before, &world.survey);
    assert_false(progress.done);
    assert_int_equal(progress.pull_bytes, 100);
    world_end(&world);
}

/* ---- what differs ---- */

static void differences_are_told_a_line_each(void **state)
{
    (void)state;
    struct cluster_map *before = made_map(3, 3, 4), *now = made_map(4, 4, 6);
    struct buf text;

    buf_init(&text, CLUSTER_DIFF_MAX);
    cluster_diff_print(before, before, &text);
    assert_int_equal(text.size, 0);
    assert_true(cluster_maps_equal(before, before));
    assert_false(cluster_maps_equal(before, now));
    now->paused = true;
    now->nodes[1].state = NODE_RETIRING;
    now->nodes[2].weight = 7;
    snprintf(now->nodes[0].url, sizeof now->nodes[0].url, "http://else:1");
    cluster_diff_print(before, now, &text);
    assert_string_equal(buf_string(&text), "epoch: 4 -> 6\n"
                                           "paused: no -> yes\n"
                                           "node n0: http://n0:1 -> http://else:1\n"
                                           "node n1: in -> retiring\n"
                                           "node n2: weight 100 -> 7\n"
                                           "node n3: new, http://n3:1 (in)\n"
                                           "era from the beginning: 2 copies of shards lie elsewhere\n");
    buf_clear(&text);
    cluster_diff_print(now, before, &text);
    assert_non_null(strstr(buf_string(&text), "node n3: gone\n"));
    buf_clear(&text);
    now->cluster[0] = 'f';
    cluster_diff_print(before, now, &text);
    assert_int_equal(strncmp(buf_string(&text), "cluster: ", 9), 0);
    buf_fini(&text);
    map_unref(before);
    map_unref(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_comes_pulls_its_share_and_others_give_up),
        cmocka_unit_test(what_is_there_already_is_not_pulled),
        cmocka_unit_test(a_retired_run_moves_nothing_and_goes_by_itself),
        cmocka_unit_test(who_does_not_say_what_it_holds_is_named),
        cmocka_unit_test(a_node_is_not_filled_past_its_mark),
        cmocka_unit_test(copies_that_share_a_host_are_counted),
        cmocka_unit_test(fewer_copies_are_named),
        cmocka_unit_test(what_would_be_lost_is_named),
        cmocka_unit_test(only_the_empty_come_and_leave),
        cmocka_unit_test(reasons_have_names),
        cmocka_unit_test(it_is_done_when_all_is_where_it_belongs_and_everybody_knows_the_map),
        cmocka_unit_test(differences_are_told_a_line_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
