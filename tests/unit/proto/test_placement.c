/* test_placement.c: for proto/placement.c. The handoff vectors are for other implementations to check themselves. */
#include "proto/placement.h"

#include "tests/unit/proto/cmocka_all.h"

#include <stdio.h>

static const struct run_key hres = { "hres", 1365379200 };      /* 20130408T0000Z */
static const struct run_key gfs = { "gfs-0p25", -62135596800 }; /* 00010101T0000Z */

/* XXH3 (64 bits, seed 0) of: node id, 0x00, source, 0x00, base_time in 8 octets, shard in 2, big endian. */
static const struct {
    const char *node;
    const struct run_key *run;
    unsigned shard;
    uint64_t score;
} vectors[] = {
    { "n1", &hres, 0, 0x5dec0db1953ab70e },
    { "n2", &hres, 0, 0x3cffa03496cdcccd },
    { "n3", &hres, 0, 0x7816f07ff85371ba },
    { "n1", &hres, 1, 0x93d6b26974da5289 },
    { "n1", &hres, 16383, 0x4b269a0ccf26f64f },
    { "n1", &gfs, 0, 0x6244d378fb5aead7 },
    { "storage-7.colo-b", &gfs, 31, 0x3aef8eda6e981ff7 },
};

static void scores_are_those_written_out_here(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        uint64_t score = placement_handoff_score(vectors[i].node, vectors[i].run, vectors[i].shard);
        if (score != vectors[i].score)
            fail_msg("%zu: %016llx", i, (unsigned long long)score);
    }
}

/* A map of five nodes, n5 out, with eras from ever, 1000 and 2000 on. */
static struct cluster_map *make_map(void)
{
    static const char text[] =
        "{\"cluster\":\"0123456789abcdef0123456789abcdef\",\"epoch\":1,\"shards\":2,\"replicas\":2,"
        "\"min_replicas\":1,\"indexers\":[],\"nodes\":["
        "{\"id\":\"n1\",\"url\":\"http://a:1\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"},"
        "{\"id\":\"n2\",\"url\":\"http://a:2\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"retiring\"},"
        "{\"id\":\"n3\",\"url\":\"http://a:3\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"evacuating\"},"
        "{\"id\":\"n4\",\"url\":\"http://a:4\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"in\"},"
        "{\"id\":\"n5\",\"url\":\"http://a:5\",\"host\":\"\",\"colo\":\"\",\"weight\":1,\"state\":\"out\"}],"
        "\"eras\":[{\"from\":null,\"owners\":[[\"n1\"],[\"n2\",\"n1\"]]},"
        "{\"from\":\"19700101T001640Z\",\"owners\":[[\"n3\",\"n4\"],[\"n4\"]]},"
        "{\"from\":\"19700101T003320Z\",\"owners\":[[\"n1\",\"n2\"],[\"n3\",\"n5\"]]}]}";
    struct error err;
    struct cluster_map *map = map_parse(text, sizeof text - 1, &err);

    if (map == NULL)
        fail_msg("%s", err.text);
    return map;
}

static void the_era_is_the_last_that_has_begun(void **state)
{
    (void)state;
    static const struct {
        int64_t base_time;
        unsigned era;
    } cases[] = { { -62135596800, 0 }, { 999, 0 },  { 1000, 1 },        { 1001, 1 },
                  { 1999, 1 },         { 2000, 2 }, { 253402300799, 2 } };
    struct cluster_map *map = make_map();

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_ptr_equal(placement_era(map, cases[i].base_time), &map->eras[cases[i].era]);
    map_unref(map);
}

static void every_era_of_many_is_found(void **state)
{
    (void)state;
    struct map_era eras[20] = { { .first = true } };
    struct cluster_map map = { .eras = eras };

    for (unsigned i = 1; i < 20; i++)
        eras[i].from = 10 * (int64_t)i;
    for (map.eras_count = 1; map.eras_count <= 20; map.eras_count++) {
        for (int64_t base_time = -5; base_time < 220; base_time++) {
            int64_t era = base_time < 10 ? 0 : base_time / 10;
            if (era >= map.eras_count)
                era = map.eras_count - 1;
            assert_ptr_equal(placement_era(&map, base_time), &eras[era]);
        }
    }
}

static void owners_are_looked_up_and_counted(void **state)
{
    (void)state;
    struct cluster_map *map = make_map();
    unsigned count;

    const uint16_t *owners = placement_owners(map, 0, 0, &count);
    assert_int_equal(count, 1);
    assert_int_equal(owners[0], 0);
    owners = placement_owners(map, 0, 1, &count);
    assert_int_equal(count, 2);
    assert_int_equal(owners[0], 1);
    assert_int_equal(owners[1], 0);
    owners = placement_owners(map, 1500, 1, &count);
    assert_int_equal(count, 1);
    assert_int_equal(owners[0], 3);
    assert_true(placement_owns(map, 0, 1, 0));
    assert_false(placement_owns(map, 0, 0, 1));
    assert_false(placement_owns(map, 0, 0, NODE_NONE)); /* what fills the table owns nothing */
    map_unref(map);
}

static void who_stands_in_is_neither_owner_nor_out(void **state)
{
    (void)state;
    struct cluster_map *map = make_map();
    uint16_t order[5];

    /* Of era 0, shard 0 belongs to n1; by the scores above n2 or n3 comes first, whichever is greater. */
    assert_int_equal(placement_handoffs(map, &gfs, 0, order), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_in_range(order[i], 1, 3);
        uint64_t score = placement_handoff_score(map->nodes[order[i]].id, &gfs, 0);
        if (i > 0)
            assert_true(placement_handoff_score(map->nodes[order[i - 1]].id, &gfs, 0) > score);
    }
    /* n5 is out, though it owns: in the last era shard 1 has n1, n2 and n4 to stand in. */
    assert_int_equal(placement_handoffs(map, &hres, 1, order), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_true(order[i] == 0 || order[i] == 1 || order[i] == 3);
    map_unref(map);
}

static void the_order_is_the_one_written_out_here(void **state)
{
    (void)state;
    static const uint16_t expected[][3] = { { 1, 3, 2 }, { 3, 1, 0 } };
    struct cluster_map *map = make_map();
    uint16_t order[5];

    assert_int_equal(placement_handoffs(map, &gfs, 0, order), 3);
    assert_memory_equal(order, expected[0], sizeof expected[0]);
    assert_int_equal(placement_handoffs(map, &hres, 1, order), 3);
    assert_memory_equal(order, expected[1], sizeof expected[1]);
    map_unref(map);
}

/* A node's failure has to fall on all others, not on one: each comes first about equally often. */
static void work_of_a_dead_node_spreads_over_all_others(void **state)
{
    (void)state;
    struct map_node nodes[11];
    uint16_t owners[1024] = { 0 }, order[11];
    struct map_era era = { .first = true, .owners = owners };
    struct cluster_map map = {
        .shards = 1024, .replicas = 1, .nodes = nodes, .nodes_count = 11, .eras = &era, .eras_count = 1
    };
    unsigned first[11] = { 0 };

    memset(nodes, 0, sizeof nodes);
    for (unsigned i = 0; i < 11; i++)
        snprintf(nodes[i].id, sizeof nodes[i].id, "n%u", i);
    for (unsigned shard = 0; shard < 1024; shard++) {
        assert_int_equal(placement_handoffs(&map, &hres, shard, order), 10);
        first[order[0]]++;
    }
    assert_int_equal(first[0], 0);
    for (unsigned i = 1; i < 11; i++)
        assert_in_range(first[i], 70, 140); /* 102 each, and no more than chance would have it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_written_out_here),
        cmocka_unit_test(the_era_is_the_last_that_has_begun),
        cmocka_unit_test(every_era_of_many_is_found),
        cmocka_unit_test(owners_are_looked_up_and_counted),
        cmocka_unit_test(who_stands_in_is_neither_owner_nor_out),
        cmocka_unit_test(the_order_is_the_one_written_out_here),
        cmocka_unit_test(work_of_a_dead_node_spreads_over_all_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
