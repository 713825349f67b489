/* test_cluster.c: which maps a node takes, and what it then is, also after a restart. */
#include "storaged/cluster.h"

#include "proto/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define OURS "00000000000000000000000000000001"
#define THEIRS "00000000000000000000000000000002"

static char dir[64];
static struct cluster cluster;
static bool has_data;
static unsigned shards_asked, wanted, taken_in;
static enum status shards_answer, taken_in_answer;

static bool fake_has_data(struct cluster *which)
{
    (void)which;
    return has_data;
}

static enum status fake_on_shards(struct cluster *which, unsigned shards, struct error *err)
{
    (void)which;
    shards_asked = shards;
    return shards_answer == STATUS_OK ? STATUS_OK : error_set(err, shards_answer, "not now");
}

/* Before the map is kept: a crash behind that must find the node waiting. */
static enum status fake_on_taken_in(struct cluster *which, struct error *err)
{
    struct cluster_map *kept;

    assert_int_equal(cluster_map_load(dir, &kept, NULL), STATUS_OK);
    assert_null(kept);
    assert_int_equal(which->view->map->epoch, 0);
    taken_in++;
    return taken_in_answer == STATUS_OK ? STATUS_OK : error_set(err, taken_in_answer, "not now");
}

static void fake_on_wanted(struct cluster *which)
{
    (void)which;
    wanted++;
}

static int setup(void **state)
{
    struct node_json self = { .cluster = OURS, .id = "n1", .url = "http://a:1", .host = "h", .colo = "c" };

    (void)state;
    log_setup(LOG_ERROR, LOG_LOGFMT);
    snprintf(dir, sizeof dir, "/tmp/test_cluster.XXXXXX");
    assert_non_null(mkdtemp(dir));
    has_data = false;
    shards_asked = wanted = taken_in = 0;
    shards_answer = taken_in_answer = STATUS_OK;
    struct cluster_map *map = map_single(OURS, 32, "n1", "http://a:1", "h", "c", 100);
    assert_int_equal(cluster_init(&cluster, dir, &self, map, NULL), STATUS_OK);
    cluster.has_data = fake_has_data;
    cluster.on_shards = fake_on_shards;
    cluster.on_taken_in = fake_on_taken_in;
    cluster.on_wanted = fake_on_wanted;
    return 0;
}

static void remove_file(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    unlink(path);
}

static int teardown(void **state)
{
    (void)state;
    cluster_fini(&cluster);
    remove_file("cluster-map.json");
    remove_file("node.json");
    return rmdir(dir);
}

/* A map of n1 and n2. */
static struct cluster_map *make_map(const char *id, uint64_t epoch, unsigned shards, const char *url)
{
    struct cluster_map *map = map_single(id, shards, "n1", url, "h", "c", 100);

    assert_non_null(map);
    map->epoch = epoch;
    return map;
}

static enum status install(struct cluster_map *map)
{
    struct error err;

    error_init(&err);
    enum status status = cluster_install(&cluster, map, &err);
    map_unref(map);
    return status;
}

static uint64_t epoch_in_use(void)
{
    struct cluster_view *view = cluster_view(&cluster);
    uint64_t epoch = view->map->epoch;

    cluster_view_release(view);
    return epoch;
}

static void a_higher_epoch_is_taken_and_kept(void **state)
{
    struct cluster_map *kept;

    (void)state;
    assert_int_equal(install(make_map(OURS, 3, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(epoch_in_use(), 3);
    assert_int_equal(cluster_map_load(dir, &kept, NULL), STATUS_OK);
    assert_int_equal(kept->epoch, 3);
    map_unref(kept);
}

static void a_lower_or_other_equal_epoch_is_not(void **state)
{
    (void)state;
    assert_int_equal(install(make_map(OURS, 3, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(install(make_map(OURS, 2, 32, "http://a:1")), STATUS_STALE_EPOCH);
    assert_int_equal(install(make_map(OURS, 3, 32, "http://a:2")), STATUS_STALE_EPOCH);
    assert_int_equal(install(make_map(OURS, 0, 32, "http://a:1")), STATUS_STALE_EPOCH);
    assert_int_equal(install(make_map(OURS, 3, 32, "http://a:1")), STATUS_OK); /* the same again */
    assert_int_equal(epoch_in_use(), 3);
}

static void an_empty_node_goes_into_any_cluster(void **state)
{
    struct node_json self;

    (void)state;
    assert_int_equal(install(make_map(THEIRS, 1, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(node_json_load(dir, &self, NULL), STATUS_OK);
    assert_string_equal(self.cluster, THEIRS);
    assert_int_equal(install(make_map(OURS, 9, 32, "http://a:1")), STATUS_OTHER_CLUSTER); /* it has one now */
}

static void a_node_that_is_taken_in_is_told_so_before_the_map_is_kept(void **state)
{
    struct cluster_map *kept;

    (void)state;
    taken_in_answer = STATUS_OVERLOADED;
    assert_int_equal(install(make_map(THEIRS, 1, 32, "http://a:1")), STATUS_OVERLOADED);
    assert_int_equal(cluster_map_load(dir, &kept, NULL), STATUS_OK);
    assert_null(kept);
    assert_int_equal(epoch_in_use(), 0);
    taken_in_answer = STATUS_OK;
    assert_int_equal(install(make_map(THEIRS, 1, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(taken_in, 2);
    assert_int_equal(wanted, 2); /* somebody has to look */
    assert_int_equal(install(make_map(THEIRS, 2, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(taken_in, 2);
}

static void the_node_that_a_cluster_begins_with_knows_all_that_there_is(void **state)
{
    (void)state;
    assert_int_equal(install(make_map(OURS, 1, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(taken_in, 0);
}

static void a_node_with_data_goes_only_into_what_could_be_its_own(void **state)
{
    (void)state;
    has_data = true;
    assert_int_equal(install(make_map(THEIRS, 1, 32, "http://a:1")), STATUS_OTHER_CLUSTER);
    assert_int_equal(install(make_map(OURS, 1, 64, "http://a:1")), STATUS_BAD_VALUE);
    assert_int_equal(shards_asked, 0);
    assert_int_equal(install(make_map(OURS, 1, 32, "http://a:1")), STATUS_OK);
}

static void other_shards_are_kept_for_a_new_beginning(void **state)
{
    struct cluster_map *kept;

    (void)state;
    shards_answer = STATUS_OVERLOADED;
    assert_int_equal(install(make_map(THEIRS, 1, 64, "http://a:1")), STATUS_OVERLOADED);
    assert_int_equal(cluster_map_load(dir, &kept, NULL), STATUS_OK);
    assert_null(kept);
    shards_answer = STATUS_OK;
    assert_int_equal(install(make_map(THEIRS, 1, 64, "http://a:1")), STATUS_OK);
    assert_int_equal(shards_asked, 64);
    assert_int_equal(epoch_in_use(), 0); /* not before the node begins anew */
    assert_int_equal(cluster_map_load(dir, &kept, NULL), STATUS_OK);
    assert_int_equal(kept->shards, 64);
    map_unref(kept);
}

static void shards_of_a_cluster_never_change(void **state)
{
    (void)state;
    assert_int_equal(install(make_map(OURS, 1, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(install(make_map(OURS, 2, 64, "http://a:1")), STATUS_BAD_VALUE);
}

static void the_maps_url_becomes_the_nodes(void **state)
{
    struct node_json self;

    (void)state;
    assert_int_equal(install(make_map(OURS, 1, 32, "http://b:2")), STATUS_OK);
    assert_int_equal(node_json_load(dir, &self, NULL), STATUS_OK);
    assert_string_equal(self.url, "http://b:2");
    struct cluster_view *view = cluster_view(&cluster);
    assert_string_equal(view->url, "http://b:2");
    cluster_view_release(view);
}

static void a_map_without_this_node_is_taken(void **state)
{
    struct cluster_map *map = map_single(OURS, 32, "n2", "http://b:1", "h", "c", 100);

    (void)state;
    map->epoch = 1;
    assert_int_equal(install(map), STATUS_OK);
    struct cluster_view *view = cluster_view(&cluster);
    assert_int_equal(view->self, NODE_NONE);
    assert_non_null(view->peers[0]);
    assert_string_equal(view->url, "http://a:1");
    cluster_view_release(view);
}

static void a_view_lives_as_long_as_its_holder(void **state)
{
    (void)state;
    struct cluster_view *old = cluster_view(&cluster);
    assert_int_equal(install(make_map(OURS, 1, 32, "http://a:1")), STATUS_OK);
    assert_int_equal(old->map->epoch, 0);
    cluster_view_release(old);
}

static void a_higher_epoch_heard_of_is_asked_for_once(void **state)
{
    (void)state;
    cluster_heard(&cluster, 0);
    assert_int_equal(wanted, 0);
    cluster_heard(&cluster, 2);
    cluster_heard(&cluster, 2);
    cluster_heard(&cluster, 1);
    assert_int_equal(wanted, 1);
    assert_int_equal(install(make_map(OURS, 5, 32, "http://a:1")), STATUS_OK);
    cluster_heard(&cluster, 5);
    assert_int_equal(wanted, 1);
    cluster_heard(&cluster, 6);
    assert_int_equal(wanted, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_higher_epoch_is_taken_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(a_lower_or_other_equal_epoch_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_node_goes_into_any_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_that_is_taken_in_is_told_so_before_the_map_is_kept,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_node_that_a_cluster_begins_with_knows_all_that_there_is,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_with_data_goes_only_into_what_could_be_its_own,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(other_shards_are_kept_for_a_new_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(shards_of_a_cluster_never_change, setup, teardown),
        cmocka_unit_test_setup_teardown(the_maps_url_becomes_the_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_map_without_this_node_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_view_lives_as_long_as_its_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(a_higher_epoch_heard_of_is_asked_for_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
