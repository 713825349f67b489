/* test_client_nodes.c: whom a session talks to next. */
#include "client/nodes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void nodes_of(struct nodes *nodes, const char *text)
{
    struct error err;

    assert_int_equal(nodes_from_text(nodes, text, &err), STATUS_OK);
}

static void a_list_of_urls_is_taken_apart(void **state)
{
    struct nodes nodes;

    (void)state;
    nodes_of(&nodes, "http://a:1, http://b:2/,https://c");
    assert_int_equal(nodes.count, 3);
    assert_string_equal(nodes.items[0].url, "http://a:1");
    assert_string_equal(nodes.items[1].url, "http://b:2");
    assert_string_equal(nodes.items[2].url, "https://c");
    nodes_fini(&nodes);
}

static void what_is_no_url_is_named(void **state)
{
    static const char *const cases[] = { "", ",", "ftp://a", "http://a:1/path", "127.0.0.1:8410" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct nodes nodes;
        struct error err;

        assert_int_equal(nodes_from_text(&nodes, cases[i], &err), STATUS_BAD_VALUE);
        assert_non_null(strstr(err.text, "http://HOST:PORT"));
        nodes_fini(&nodes);
    }
}

static void equals_take_turns_and_the_least_busy_comes_first(void **state)
{
    struct nodes nodes;

    (void)state;
    nodes_of(&nodes, "http://a,http://b,http://c");
    struct node *first = nodes_pick(&nodes, 0), *second = nodes_pick(&nodes, 0),
                *third = nodes_pick(&nodes, 0);
    assert_ptr_not_equal(first, second);
    assert_ptr_not_equal(second, third);
    assert_ptr_not_equal(first, third);
    nodes.items[0].under_way = nodes.items[2].under_way = 1;
    for (int i = 0; i < 5; i++)
        assert_ptr_equal(nodes_pick(&nodes, 0), &nodes.items[1]);
    nodes_fini(&nodes);
}

static void who_failed_is_left_alone_longer_each_time(void **state)
{
    struct nodes nodes;
    uint64_t waited = 0;

    (void)state;
    nodes_of(&nodes, "http://a");
    struct node *node = &nodes.items[0];
    for (int i = 0; i < 20; i++) {
        node_failed(node, 1000);
        uint64_t wait = nodes_next_ms(&nodes, 1000) - 1000;
        assert_true(wait >= waited);
        assert_in_range(wait, NODES_BACKOFF_MIN_MS, NODES_BACKOFF_MAX_MS);
        assert_null(nodes_pick(&nodes, 1000 + wait - 1));
        assert_ptr_equal(nodes_pick(&nodes, 1000 + wait), node);
        waited = wait;
    }
    assert_int_equal(waited, NODES_BACKOFF_MAX_MS);
    node_answered(node);
    assert_ptr_equal(nodes_pick(&nodes, 0), node);
    assert_int_equal(nodes_next_ms(&nodes, 5), 5);
    nodes_fini(&nodes);
}

static void a_map_replaces_the_list_and_keeps_what_is_known(void **state)
{
    struct nodes nodes;
    struct error err;

    (void)state;
    nodes_of(&nodes, "http://a");
    node_failed(&nodes.items[0], 1000);
    struct cluster_map *map = map_single("0123456789abcdef0123456789abcdef", 32, "n1", "", "h", "c", 100);
    assert_int_equal(nodes_from_map(&nodes, map, "http://a", &err), STATUS_OK);
    assert_int_equal(nodes.count, 1);
    assert_string_equal(nodes.items[0].url, "http://a");
    assert_string_equal(nodes.items[0].id, "n1");
    assert_int_equal(nodes.items[0].failures, 1);
    map_unref(map);
    nodes_fini(&nodes);
}

static void a_node_that_stalled_is_away_longer_than_one_that_failed_until_it_answers(void **state)
{
    struct node node = { .failures = 0 };

    (void)state;
    node_failed(&node, 1000);
    assert_true(node_is_away(&node, 1000 + NODES_BACKOFF_MIN_MS - 1));
    assert_false(node_is_away(&node, 1000 + NODES_BACKOFF_MIN_MS));
    node_stalled(&node, 2000);
    assert_true(node.down_until_ms < 2000 + NODES_STALLED_MS); /* who has no other one tries it again soon */
    assert_true(node_is_away(&node, 2000 + NODES_STALLED_MS - 1));
    assert_false(node_is_away(&node, 2000 + NODES_STALLED_MS));
    node_answered(&node);
    assert_false(node_is_away(&node, 2001));
}

static void who_stalled_is_picked_only_where_nobody_else_is_up(void **state)
{
    struct node items[2] = { { .under_way = 0 }, { .under_way = 5 } };
    struct nodes nodes = { .items = items, .count = 2 };
    uint64_t later = 1000 + NODES_BACKOFF_MAX_MS;

    (void)state;
    node_stalled(&items[0], 1000);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(nodes_pick(&nodes, later), &items[1]);
    items[1].down_until_ms = later + 1;
    assert_ptr_equal(nodes_pick(&nodes, later), &items[0]);
    items[1].down_until_ms = 0;
    assert_ptr_equal(nodes_pick(&nodes, 1000 + NODES_STALLED_MS), &items[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_of_urls_is_taken_apart),
        cmocka_unit_test(what_is_no_url_is_named),
        cmocka_unit_test(equals_take_turns_and_the_least_busy_comes_first),
        cmocka_unit_test(who_failed_is_left_alone_longer_each_time),
        cmocka_unit_test(a_map_replaces_the_list_and_keeps_what_is_known),
        cmocka_unit_test(who_stalled_is_picked_only_where_nobody_else_is_up),
        cmocka_unit_test(a_node_that_stalled_is_away_longer_than_one_that_failed_until_it_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
