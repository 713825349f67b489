/* test_client_cluster.c: one map of nodes that were alone, or a refusal that names them. */
#include "client/cluster.h"
#include "proto/placement.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>

#define CLUSTER_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CLUSTER_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

enum { NODES = 3 };

struct trio {
    struct cluster_map *maps[NODES];
    struct cluster_member members[NODES];
    struct cluster_init_options options;
};

static int trio_open(void **state)
{
    static const char *const ids[NODES] = { "n1", "n2", "n3" };
    static const char *const urls[NODES] = { "http://a:1", "http://b:1", "http://c:1" };
    static const char *const clusters[NODES] = { CLUSTER_A, CLUSTER_B,
                                                 "cccccccccccccccccccccccccccccccc" };
    static struct trio trio;

    trio = (struct trio){ 0 };
    for (unsigned i = 0; i < NODES; i++) {
        trio.maps[i] = map_single(clusters[i], 32, ids[i], i == 2 ? "" : urls[i], ids[i], "colo", 100);
        assert_non_null(trio.maps[i]);
        trio.members[i] = (struct cluster_member){ .url = urls[i], .map = trio.maps[i] };
    }
    *state = &trio;
    return 0;
}

static int trio_close(void **state)
{
    struct trio *trio = *state;

    for (unsigned i = 0; i < NODES; i++)
        map_unref(trio->maps[i]);
    return 0;
}

static struct cluster_map *make(struct trio *trio, bool *exists, struct error *err)
{
    error_init(err);
    return cluster_init_map(trio->members, NODES, &trio->options, exists, err);
}

static void lone_nodes_become_a_cluster_of_two_copies(void **state)
{
    struct trio *trio = *state;
    struct error err;
    bool exists;
    struct cluster_map *map = make(trio, &exists, &err);

    assert_non_null(map);
    assert_false(exists);
    assert_int_equal(map->epoch, 1);
    assert_int_equal(map->nodes_count, 3);
    assert_int_equal(map->shards, 32);
    assert_int_equal(map->replicas, 2);
    assert_int_equal(map->min_replicas, 2);
    assert_string_equal(map->nodes[2].url, "http://c:1");
    for (unsigned shard = 0; shard < map->shards; shard++) {
        unsigned count;
        const uint16_t *owners = placement_owners(map, 0, shard, &count);

        assert_int_equal(count, 2);
        assert_int_not_equal(owners[0], owners[1]);
    }
    map_unref(map);
}

static void the_node_with_data_gives_cluster_and_shards(void **state)
{
    struct trio *trio = *state;
    struct error err;
    bool exists;

    trio->members[1].has_data = true;
    struct cluster_map *map = make(trio, &exists, &err);
    assert_non_null(map);
    assert_string_equal(map->cluster, CLUSTER_B);
    map_unref(map);
    trio->options.shards = 64;
    assert_null(make(trio, &exists, &err));
    assert_int_equal(err.status, STATUS_PRECONDITION);
}

static void two_nodes_with_data_are_refused(void **state)
{
    struct trio *trio = *state;
    struct error err;
    bool exists;

    trio->members[0].has_data = trio->members[2].has_data = true;
    assert_null(make(trio, &exists, &err));
    assert_int_equal(err.status, STATUS_PRECONDITION);
    assert_non_null(strstr(err.text, "http://a:1"));
    assert_non_null(strstr(err.text, "http://c:1"));
}

static void numbers_that_do_not_fit_are_refused(void **state)
{
    static const struct cluster_init_options cases[] = {
        { .replicas = 4 },
        { .replicas = 2, .min_replicas = 3 },
        { .shards = 33 },
        { .shards = 32768 },
    };
    struct trio *trio = *state;
    struct error err;
    bool exists;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        trio->options = cases[i];
        assert_null(make(trio, &exists, &err));
        assert_int_equal(err.status, STATUS_BAD_VALUE);
    }
}

static void the_same_node_twice_is_refused(void **state)
{
    struct trio *trio = *state;
    struct error err;
    bool exists;

    trio->members[2] = trio->members[0];
    assert_null(make(trio, &exists, &err));
    assert_int_equal(err.status, STATUS_PRECONDITION);
}

static void doing_it_again_changes_nothing(void **state)
{
    struct trio *trio = *state;
    struct error err;
    bool exists;
    struct cluster_map *map = make(trio, &exists, &err);

    for (unsigned i = 0; i < NODES; i++)
        trio->members[i].map = map;
    struct cluster_map *again = make(trio, &exists, &err);
    assert_non_null(again);
    assert_true(exists);
    assert_int_equal(again->epoch, map->epoch);
    assert_string_equal(again->cluster, map->cluster);
    /* one that was left out by a crash in between is known to the map, and waits for it */
    trio->members[2].map = trio->maps[2];
    map_unref(again);
    again = make(trio, &exists, &err);
    assert_non_null(again);
    assert_true(exists);
    map_unref(again);
    map_unref(map);
}

static void another_clusters_node_is_refused(void **state)
{
    struct trio *trio = *state;
    struct error err;
    bool exists;

    trio->maps[0]->epoch = 3;
    trio->maps[1]->epoch = 2;
    assert_null(make(trio, &exists, &err));
    assert_int_equal(err.status, STATUS_OTHER_CLUSTER);
    trio->maps[1]->epoch = 0;
    assert_null(make(trio, &exists, &err));
    assert_int_equal(err.status, STATUS_EXISTS);
    assert_non_null(strstr(err.text, "http://b:1"));
}

#define TRIO(test) cmocka_unit_test_setup_teardown(test, trio_open, trio_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TRIO(lone_nodes_become_a_cluster_of_two_copies),
        TRIO(the_node_with_data_gives_cluster_and_shards),
        TRIO(two_nodes_with_data_are_refused),
        TRIO(numbers_that_do_not_fit_are_refused),
        TRIO(the_same_node_twice_is_refused),
        TRIO(doing_it_again_changes_nothing),
        TRIO(another_clusters_node_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
