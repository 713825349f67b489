/* test_lost_judge.c: for indexer/lost_judge.c: when a silent node is lost, and whether the others have room. */
#include "indexer/lost_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 6 };

/* A ring of nodes, all in; shard s lies on nodes s and s + 1. */
static struct cluster_map *ring(unsigned nodes, unsigned min_replicas)
{
    char text[4096];
    struct error err;
    int size = snprintf(text, sizeof text,
                        "{\"cluster\":\"00112233445566778899aabbccddeeff\",\"epoch\":3,\"shards\":2,\"replicas\":2,"
                        "\"min_replicas\":%u,\"indexers\":[],\"nodes\":[",
                        min_replicas);

    for (unsigned i = 0; i < nodes; i++)
        size += snprintf(
            text + size, sizeof text - (size_t)size,
            "%s{\"id\":\"n%u\",\"url\":\"http://n%u:1\",\"host\":\"h%u\",\"colo\":\"a\",\"weight\":1,\"state\":\"in\"}",
            i == 0 ? "" : ",", i, i, i);
    size += snprintf(text + size, sizeof text - (size_t)size,
                     "],\"eras\":[{\"from\":null,\"owners\":[[\"n0\",\"n1\"],[\"n1\",\"n2\"]]}]}");
    struct cluster_map *map = map_parse(text, (size_t)size, &err);
    if (map == NULL)
        fail_msg("%s", err.text);
    return map;
}

static void all_answer(struct lost_node nodes[NODES])
{
    for (unsigned i = 0; i < NODES; i++)
        nodes[i] = (struct lost_node){ .answers = true, .has_capacity = true, .used = 100, .high_water = 1000 };
}

static void silent(struct lost_node *node, uint64_t ms)
{
    node->answers = false;
    node->silent_ms = ms;
}

static void who_is_silent_the_longest_is_lost_after_that_time(void **state)
{
    struct cluster_map *map = ring(NODES, 1);
    struct lost_node nodes[NODES];
    char why[LOST_WHY_SIZE];

    (void)state;
    all_answer(nodes);
    assert_int_equal(lost_candidate(map, nodes, 1000, why), NODE_NONE);
    assert_string_equal(why, "");
    silent(&nodes[2], 999);
    assert_int_equal(lost_candidate(map, nodes, 1000, why), NODE_NONE);
    nodes[2].silent_ms = 1000;
    assert_int_equal(lost_candidate(map, nodes, 1000, why), 2);
    silent(&nodes[5], 1001);
    assert_int_equal(lost_candidate(map, nodes, 1000, why), 5);
    map_unref(map);
}

static void only_a_node_that_is_in_is_lost(void **state)
{
    struct cluster_map *map = ring(NODES, 1);
    struct lost_node nodes[NODES];
    char why[LOST_WHY_SIZE];

    (void)state;
    all_answer(nodes);
    silent(&nodes[2], 5000);
    for (enum node_state other = NODE_RETIRING; other <= NODE_OUT; other++) {
        map->nodes[2].state = other;
        assert_int_equal(lost_candidate(map, nodes, 1000, why), NODE_NONE);
    }
    map_unref(map);
}

static void nobody_is_lost_while_more_than_a_third_is_silent(void **state)
{
    struct cluster_map *map = ring(NODES, 1);
    struct lost_node nodes[NODES];
    char why[LOST_WHY_SIZE];

    (void)state;
    all_answer(nodes);
    silent(&nodes[0], 5000);
    silent(&nodes[1], 10); /* a moment ago: it counts as well */
    assert_int_equal(lost_candidate(map, nodes, 1000, why), 0);
    silent(&nodes[2], 10);
    assert_int_equal(lost_candidate(map, nodes, 1000, why), NODE_NONE);
    assert_non_null(strstr(why, "3 of 6"));
    map->nodes[1].state = map->nodes[2].state = NODE_OUT; /* neither counts: one of four */
    assert_int_equal(lost_candidate(map, nodes, 1000, why), 0);
    map_unref(map);
}

static void nobody_is_lost_where_too_few_would_be_left(void **state)
{
    struct cluster_map *map = ring(3, 2);
    struct lost_node nodes[NODES];
    char why[LOST_WHY_SIZE];

    (void)state;
    all_answer(nodes);
    silent(&nodes[0], 5000);
    assert_int_equal(lost_candidate(map, nodes, 1000, why), 0);
    map->nodes[1].state = NODE_EVACUATING; /* it is on its way out itself */
    assert_int_equal(lost_candidate(map, nodes, 1000, why), NODE_NONE);
    assert_non_null(strstr(why, "min_replicas"));
    map_unref(map);
}

static struct lost_holding holding(unsigned shard, uint16_t node, uint64_t bytes)
{
    struct lost_holding made = { .run = { .base_time = 0 }, .shard = shard, .node = node, .bytes = bytes };

    snprintf(made.run.source, sizeof made.run.source, "s");
    return made;
}

static void room_is_needed_for_what_is_not_there_yet(void **state)
{
    struct cluster_map *map = ring(NODES, 1);
    struct lost_node nodes[NODES];
    char why[LOST_WHY_SIZE];

    (void)state;
    all_answer(nodes);
    /* Shard 0 belongs to n0 and n1: n4 holds all of it, n1 a part. */
    struct lost_holding holdings[] = { holding(0, 1, 300), holding(0, 4, 900), holding(1, 1, 5),
                                       holding(1, 2, 5) };
    nodes[0].high_water = 1000;
    assert_true(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    assert_string_equal(why, "");
    nodes[0].high_water = 999;
    assert_false(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    assert_non_null(strstr(why, "n0 would be filled"));
    nodes[0].high_water = 50; /* past it already */
    assert_false(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    nodes[0].high_water = 1000;
    nodes[1].high_water = 700; /* 100 used and 600 to come */
    assert_true(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    nodes[1].high_water = 699;
    assert_false(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    nodes[1].has_capacity = false;
    assert_false(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    assert_non_null(strstr(why, "does not say"));
    map_unref(map);
}

static void files_of_one_shard_on_one_node_count_together(void **state)
{
    struct cluster_map *map = ring(NODES, 1);
    struct lost_node nodes[NODES];
    char why[LOST_WHY_SIZE];

    (void)state;
    all_answer(nodes);
    nodes[0].high_water = 100 + 50;
    /* n1 has 400 in two files, n0 350 in two. */
    struct lost_holding holdings[] = { holding(0, 1, 200), holding(0, 0, 150), holding(0, 1, 200),
                                       holding(0, 0, 200) };
    assert_true(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    nodes[0].high_water--;
    assert_false(lost_fits(map, nodes, holdings, ARRAY_COUNT(holdings), why));
    assert_true(lost_fits(map, nodes, NULL, 0, why));
    map_unref(map);
}

int main(void)
{
    static const struct CMUnitTest cases[] = {
        cmocka_unit_test(who_is_silent_the_longest_is_lost_after_that_time),
        cmocka_unit_test(only_a_node_that_is_in_is_lost),
        cmocka_unit_test(nobody_is_lost_while_more_than_a_third_is_silent),
        cmocka_unit_test(nobody_is_lost_where_too_few_would_be_left),
        cmocka_unit_test(room_is_needed_for_what_is_not_there_yet),
        cmocka_unit_test(files_of_one_shard_on_one_node_count_together),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
