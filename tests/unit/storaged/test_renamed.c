/* test_renamed.c: whose map a node believes that was down when it was renamed. */
#include "storaged/renamed.h"

#include "tests/unit/proto/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#define CLUSTER "0123456789abcdef0123456789abcdef"
#define OTHER "ffffffffffffffffffffffffffffffff"

static struct cluster_map *map_of(const char *cluster, unsigned shards, const char *id,
                                  const char *url, uint64_t epoch)
{
    struct cluster_map *map = map_single(cluster, shards, id, url, "h", "c", 1);

    assert_non_null(map);
    map->epoch = epoch;
    return map;
}

static void only_a_newer_map_of_the_same_cluster_gives_the_new_name(void **state)
{
    static const struct {
        const char *cluster, *id, *url;
        unsigned shards;
        uint64_t epoch;
        bool fits;
    } cases[] = {
        { CLUSTER, "n1", "http://new:1", 32, 6, true },
        { CLUSTER, "n1", "http://new:1", 32, 5, false }, /* not newer */
        { CLUSTER, "n1", "http://new:1", 64, 6, false },
        { CLUSTER, "n1", "http://old:1", 32, 6, false },
        { CLUSTER, "n2", "http://new:1", 32, 6, false }, /* somebody else has that name */
        { OTHER, "n1", "http://new:1", 32, 6, false },
    };
    struct cluster_map *ours = map_of(CLUSTER, 32, "n1", "http://old:1", 5);

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct cluster_map *theirs = map_of(cases[i].cluster, cases[i].shards, cases[i].id,
                                            cases[i].url, cases[i].epoch);
        assert_int_equal(renamed_fits(ours, theirs, "n1", "http://new:1"), cases[i].fits);
        map_unref(theirs);
    }
    map_unref(ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_newer_map_of_the_same_cluster_gives_the_new_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
