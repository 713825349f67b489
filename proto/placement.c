/* placement.c: digest and base_time -> shard -> owners, then handoffs: a look-up in the map. */
#include "proto/placement.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

const struct map_era *placement_era(const struct cluster_map *map, int64_t base_time)
{
    unsigned low = 0, high = map->eras_count;

    assert(map->eras_count > 0 && map->eras[0].first);
    /* era low has begun at base_time, era high has not */
    while (high - low > 1) {
        unsigned middle = low + (high - low) / 2;
        if (map->eras[middle].from <= base_time)
            low = middle;
        else
            high = middle;
    }
    return &map->eras[low];
}

const uint16_t *placement_owners(const struct cluster_map *map, int64_t base_time, unsigned shard,
                                 unsigned *count)
{
    assert(shard < map->shards);
    const uint16_t *owners = placement_era(map, base_time)->owners + (size_t)shard * map->replicas;

    for (*count = 0; *count < map->replicas && owners[*count] != NODE_NONE;)
        (*count)++;
    return owners;
}

bool placement_owns(const struct cluster_map *map, int64_t base_time, unsigned shard, unsigned node)
{
    unsigned count;
    const uint16_t *owners = placement_owners(map, base_time, shard, &count);

    for (unsigned i = 0; i < count; i++) {
        if (owners[i] == node)
            return true;
    }
    return false;
}

uint64_t placement_handoff_score(const char *node_id, const struct run_key *run, unsigned shard)
{
    uint8_t bytes[NODE_ID_SIZE_MAX + 1 + SOURCE_SIZE_MAX + 1 + 8 + 2];
    size_t node_size = strlen(node_id) + 1, source_size = strlen(run->source) + 1;
    uint8_t *at = bytes;

    assert(node_size <= NODE_ID_SIZE_MAX + 1 && source_size <= SOURCE_SIZE_MAX + 1);
    memcpy(at, node_id, node_size);
    at += node_size;
    memcpy(at, run->source, source_size);
    at += source_size;
    put_u64(at, (uint64_t)run->base_time);
    put_u16(at + 8, (uint16_t)shard);
    return XXH3_64bits(bytes, (size_t)(at + 10 - bytes));
}

struct handoff {
    uint64_t score;
    const char *id;
    uint16_t node;
};

static int handoff_compare(const void *left, const void *right)
{
    const struct handoff *a = left, *b = right;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return strcmp(a->id, b->id);
}

unsigned placement_handoffs(const struct cluster_map *map, const struct run_key *run,
                            unsigned shard, uint16_t *order)
{
    struct handoff handoffs[MAP_NODES_MAX];
    unsigned count = 0;

    assert(map->nodes_count <= MAP_NODES_MAX);
    for (unsigned node = 0; node < map->nodes_count; node++) {
        const struct map_node *candidate = &map->nodes[node];
        if (candidate->state == NODE_OUT || placement_owns(map, run->base_time, shard, node))
            continue;
        handoffs[count++] = (struct handoff){
            .score = placement_handoff_score(candidate->id, run, shard),
            .id = candidate->id,
            .node = (uint16_t)node,
        };
    }
    qsort(handoffs, count, sizeof handoffs[0], handoff_compare);
    for (unsigned i = 0; i < count; i++)
        order[i] = handoffs[i].node;
    return count;
}
