/* test_release_plan.c: what storaged/peers/release_plan.h finds that is not the node's. */
#include "storaged/peers/release_plan.h"
#include "tests/lib/store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES = 30, SIZE = 200, RUNS = 3 };

/* Two nodes; shards 0 and 1 lie on n1, 2 and 3 on n2; from hour 2 on n2 has all. */
static struct cluster_map *make_map(void)
{
    static const char text[] =
        "{\"cluster\": \"0123456789abcdef0123456789abcdef\", \"epoch\": 1, \"shards\": 4, \"replicas\": 1,"
        " \"min_replicas\": 1, \"indexers\": [], \"nodes\": ["
        "{\"id\": \"n1\", \"url\": \"http://a\", \"host\": \"a\", \"colo\": \"a\", \"weight\": 1, \"state\": \"in\"},"
        "{\"id\": \"n2\", \"url\": \"http://b\", \"host\": \"b\", \"colo\": \"a\", \"weight\": 1, \"state\": \"in\"}],"
        " \"eras\": [{\"from\": null, \"owners\": [[\"n1\"], [\"n1\"], [\"n2\"], [\"n2\"]]},"
        " {\"from\": \"2013-04-08T02:00:00Z\", \"owners\": [[\"n2\"], [\"n2\"], [\"n2\"], [\"n2\"]]}]}";
    struct error err;
    struct cluster_map *map = map_parse(text, sizeof text - 1, &err);

    assert_non_null(map);
    return map;
}

static void fill(struct store_fixture *fixture)
{
    for (int hours = 0; hours < RUNS; hours++) {
        struct run_key run = fixture_run(hours);

        for (uint64_t i = 0; i < MESSAGES; i++)
            assert_int_equal(fixture_put(fixture, &run, 100 * (uint64_t)hours + i, SIZE, NULL), STATUS_OK);
    }
}

/* Does the plan name the file? */
static bool has(const struct release_plan *plan, const struct run_key *run,
                const struct store_file_info *file)
{
    for (size_t r = 0; r < plan->runs_count; r++)
        for (size_t i = 0; i < plan->runs[r].count; i++) {
            const struct release_plan_file *planned = &plan->files[plan->runs[r].first + i];

            if (run_key_compare(&plan->runs[r].run, run) == 0 && planned->birth == file->birth)
                return planned->shard == file->shard && planned->size == file->size;
        }
    return false;
}

static void check(struct store_fixture *fixture, const struct release_plan *plan,
                  bool (*is_ours)(int hours, unsigned shard))
{
    uint64_t files = 0, bytes = 0;

    for (int hours = 0; hours < RUNS; hours++) {
        struct run_key run = fixture_run(hours);
        struct store_run_info info;

        assert_int_equal(store_run_get(fixture->store, &run, &info), STATUS_OK);
        for (unsigned i = 0; i < info.files_count; i++) {
            bool is_planned = has(plan, &run, &info.files[i]);

            assert_int_equal(is_planned, !is_ours(hours, info.files[i].shard));
            files += is_planned;
            bytes += is_planned ? info.files[i].size : 0;
        }
        store_run_info_fini(&info);
    }
    assert_int_equal(plan->files_total, files);
    assert_int_equal(plan->bytes_total, bytes);
    assert_int_equal(plan->files_count, files);
    for (size_t r = 1; r < plan->runs_count; r++)
        assert_true(plan->runs[r - 1].run.base_time > plan->runs[r].run.base_time);
}

static bool ours(int hours, unsigned shard)
{
    return hours < 2 && shard < 2;
}

static bool nothing_is_ours(int hours, unsigned shard)
{
    (void)hours;
    (void)shard;
    return false;
}

static void what_the_map_gives_to_others_is_planned_newest_first(void **state)
{
    struct store_fixture *fixture = *state;
    struct cluster_map *map = make_map();
    struct release_plan plan;

    fill(fixture);
    release_plan_make(&plan, fixture->store, map, 0, 0);
    check(fixture, &plan, ours);
    assert_int_equal(plan.runs_count, RUNS);
    release_plan_free(&plan);
    release_plan_make(&plan, fixture->store, map, NODE_NONE, 0);
    check(fixture, &plan, nothing_is_ours);
    release_plan_free(&plan);
    release_plan_free(&plan);
    map_unref(map);
}

static void what_was_written_to_lately_is_counted_and_left_for_later(void **state)
{
    struct store_fixture *fixture = *state;
    struct cluster_map *map = make_map();
    struct release_plan plan;

    fill(fixture);
    release_plan_make(&plan, fixture->store, map, 0, 3600);
    assert_int_equal(plan.files_count, 0);
    assert_int_equal(plan.runs_count, 0);
    assert_true(plan.files_total > 0);
    release_plan_free(&plan);
    fixture_close(fixture); /* files of another process take no messages */
    fixture_open(fixture);
    release_plan_make(&plan, fixture->store, map, 0, 3600);
    check(fixture, &plan, ours);
    release_plan_free(&plan);
    map_unref(map);
}

static void a_run_on_its_way_out_is_passed_over(void **state)
{
    struct store_fixture *fixture = *state;
    struct cluster_map *map = make_map();
    struct run_key newest = fixture_run(RUNS - 1);
    struct release_plan plan;

    fill(fixture);
    assert_int_equal(fixture_tell(fixture, &newest, 1, 1, RUN_RETIRED), STATUS_OK);
    release_plan_make(&plan, fixture->store, map, 0, 0);
    assert_int_equal(plan.runs_count, RUNS - 1);
    for (size_t r = 0; r < plan.runs_count; r++)
        assert_int_not_equal(run_key_compare(&plan.runs[r].run, &newest), 0);
    release_plan_free(&plan);
    map_unref(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_map_gives_to_others_is_planned_newest_first,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_was_written_to_lately_is_counted_and_left_for_later,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_run_on_its_way_out_is_passed_over, fixture_setup_open,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
