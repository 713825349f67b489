/* fuzz_cluster_map.c: a cluster map of any bytes. What parses has to print and parse again alike, and placement has to
 * hold on it. */
#include "proto/placement.h"
#include "tests/fuzz/fuzz.h"

enum { PRINTED_MAX = 16 << 20 };

static void place(const struct cluster_map *map)
{
    const struct run_key run = { "hres", 1365379200 };
    uint16_t order[MAP_NODES_MAX];

    for (unsigned shard = 0; shard < map->shards; shard += 1 + map->shards / 8) {
        unsigned count;
        const uint16_t *owners = placement_owners(map, run.base_time, shard, &count);
        MUST(count >= 1 && count <= map->replicas);
        for (unsigned i = 0; i < count; i++)
            MUST(owners[i] < map->nodes_count && placement_owns(map, run.base_time, shard, owners[i]));
        unsigned handoffs = placement_handoffs(map, &run, shard, order);
        MUST(handoffs + count <= map->nodes_count + count);
        for (unsigned i = 0; i < handoffs; i++)
            MUST(!placement_owns(map, run.base_time, shard, order[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf first, second;
    struct error err;
    struct cluster_map *map = map_parse(data, size, &err);

    if (map == NULL) {
        MUST(err.status == STATUS_BAD_VALUE && err.text[0] != '\0');
        return 0;
    }
    place(map);
    buf_init(&first, PRINTED_MAX);
    buf_init(&second, PRINTED_MAX);
    map_print(map, &first);
    map_unref(map);
    map = map_parse(first.data, first.size, &err);
    MUST(map != NULL);
    map_print(map, &second);
    map_unref(map);
    MUST(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
