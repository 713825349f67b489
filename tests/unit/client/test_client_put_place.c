/* test_client_put_place.c: which messages travel together, and with which stamps. */
#include "client/put_place.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

enum { COUNT = 6 };

/* Four shards on a ring of three nodes, two copies each; shard 3 has none. A second era from 1000 on has all on n3, then n1. */
static const char map_text[] =
    "{\"cluster\":\"00112233445566778899aabbccddeeff\",\"epoch\":3,\"shards\":4,\"replicas\":2,\"min_replicas\":1,"
    "\"indexers\":[],\"nodes\":["
    "{\"id\":\"n1\",\"url\":\"http://a:1\",\"host\":\"a\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"},"
    "{\"id\":\"n2\",\"url\":\"http://b:1\",\"host\":\"b\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"},"
    "{\"id\":\"n3\",\"url\":\"http://c:1\",\"host\":\"c\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"}],"
    "\"eras\":[{\"from\":null,\"owners\":[[\"n1\",\"n2\"],[\"n2\",\"n3\"],[\"n3\",\"n1\"],[\"n1\"]]},"
    "{\"from\":\"1970-01-01T00:16:40Z\",\"owners\":[[\"n3\",\"n1\"],[\"n3\",\"n1\"],[\"n3\",\"n1\"],[\"n3\",\"n1\"]]}]}";

static struct cluster_map *map;

static int setup(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    map = map_parse(map_text, sizeof map_text - 1, &err);
    return map != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    map_unref(map);
    return 0;
}

static struct put_message message(unsigned shard, int64_t base_time, uint64_t size)
{
    struct put_message made = { .base_time = base_time, .size = size, .missing = true };

    made.digest.bytes[0] = (uint8_t)(shard << 6);
    return made;
}

static void owners_are_those_of_the_era_of_the_run(void **state)
{
    struct put_message early = message(1, 999, 10), late = message(1, 1000, 10),
                       lonely = message(3, 0, 10);

    (void)state;
    assert_int_equal(put_place_owner(map, &early, 0), 1);
    assert_int_equal(put_place_owner(map, &early, 1), 2);
    assert_int_equal(put_place_owner(map, &early, 2), PUT_PLACE_NONE);
    assert_int_equal(put_place_owner(map, &late, 0), 2);
    assert_int_equal(put_place_owners(map, &lonely), 1);
    assert_int_equal(put_place_owner(map, &lonely, 1), PUT_PLACE_NONE);
}

static void bodies_hold_one_owners_messages_of_one_run_in_the_inputs_order(void **state)
{
    struct put_message messages[COUNT] = { message(2, 0, 10),    message(0, 0, 10),
                                           message(3, 0, 10),    message(2, 0, 10),
                                           message(0, 1000, 10), message(0, 0, 10) };
    static const struct {
        unsigned rank;
        uint32_t order[COUNT];
        size_t bodies[COUNT];
    } cases[] = {
        { 0, { 1, 2, 5, 0, 3, 4 }, { 3, 2, 1 } },
        { 1, { 0, 3, 1, 5, 2, 4 }, { 2, 2, 1, 1 } }, /* n1, n2, nobody; then the other run */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint32_t picks[COUNT] = { 5, 4, 3, 2, 1, 0 };
        struct error err;
        size_t at = 0;
        assert_int_equal(put_place_sort(map, messages, picks, COUNT, cases[i].rank, &err), STATUS_OK);
        assert_memory_equal(picks, cases[i].order, sizeof picks);
        for (size_t body = 0; at < COUNT; body++) {
            uint64_t size;
            size_t taken = put_place_body(map, messages, picks + at, COUNT - at, cases[i].rank, 100,
                                          1000, &size);
            assert_int_equal(taken, cases[i].bodies[body]);
            assert_int_equal(size, 10 * taken);
            at += taken;
        }
    }
}

static void a_body_ends_at_its_limits_and_a_large_message_goes_alone(void **state)
{
    struct put_message messages[COUNT] = { message(0, 0, 50),         message(0, 0, 40),
                                           message(1, 0, 20),         message(0, 0, 90),
                                           message(0, 0, UINT64_MAX), message(0, 0, 1) };
    static const uint32_t picks[COUNT] = { 0, 1, 2, 3, 4, 5 };
    uint64_t size;

    (void)state;
    assert_int_equal(put_place_body(NULL, messages, picks, COUNT, 0, 10, 110, &size), 3); /* any node: owners mixed */
    assert_int_equal(size, 110);
    assert_int_equal(put_place_body(NULL, messages, picks, COUNT, 0, 2, 110, &size), 2);
    assert_int_equal(put_place_body(NULL, messages, picks, COUNT, 0, 10, 89, &size), 1);
    assert_int_equal(put_place_body(map, messages, picks, COUNT, 0, 10, 1000, &size), 2);
    assert_int_equal(put_place_body(NULL, messages, picks + 3, 3, 0, 10, UINT64_MAX, &size), 1);
    assert_int_equal(put_place_body(NULL, messages, picks + 4, 2, 0, 10, 100, &size), 1);
    assert_int_equal(size, UINT64_MAX);
}

static void copies_are_of_one_incarnation_and_not_too_many(void **state)
{
    static struct put_message messages[PUT_STAMPS_MAX + 10];
    static uint32_t picks[PUT_STAMPS_MAX + 10];
    uint64_t size;

    (void)state;
    for (uint32_t i = 0; i < ARRAY_COUNT(picks); i++) {
        messages[i] = message(0, 0, 1);
        messages[i].incarnation = 1;
        picks[i] = i;
    }
    assert_int_equal(put_place_body(map, messages, picks, ARRAY_COUNT(picks), 0, 4096, 1000000, &size),
                     ARRAY_COUNT(picks));
    assert_int_equal(put_place_body(map, messages, picks, ARRAY_COUNT(picks), 1, 4096, 1000000, &size),
                     PUT_STAMPS_MAX);
    messages[7].incarnation = 2;
    assert_int_equal(put_place_body(map, messages, picks, ARRAY_COUNT(picks), 1, 4096, 1000000, &size), 7);
    assert_int_equal(put_place_body(map, messages, picks, ARRAY_COUNT(picks), 0, 4096, 1000000, &size),
                     ARRAY_COUNT(picks));
}

static void stamps_that_count_up_to_the_end_are_left_out(void **state)
{
    static const struct {
        uint64_t stamps[4];
        const char *text;
    } cases[] = {
        { { 5, 6, 7, 8 }, "5" },
        { { 5, 6, 9, 10 }, "5,6,9" },
        { { 5, 7, 8, 8 }, "5,7,8,8" },
        { { 9, 8, 7, 8 }, "9,8,7" },
    };
    static const uint32_t picks[4] = { 2, 0, 3, 1 };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct put_message messages[4];
        struct buf buf;
        for (size_t j = 0; j < 4; j++)
            messages[picks[j]] = (struct put_message){ .stored_at_us = cases[i].stamps[j] };
        buf_init(&buf, 100);
        put_place_stamps(messages, picks, 4, &buf);
        assert_string_equal(buf_string(&buf), cases[i].text);
        buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_are_those_of_the_era_of_the_run),
        cmocka_unit_test(bodies_hold_one_owners_messages_of_one_run_in_the_inputs_order),
        cmocka_unit_test(a_body_ends_at_its_limits_and_a_large_message_goes_alone),
        cmocka_unit_test(copies_are_of_one_incarnation_and_not_too_many),
        cmocka_unit_test(stamps_that_count_up_to_the_end_are_left_out),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
