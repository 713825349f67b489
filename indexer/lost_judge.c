/* lost_judge.c: which silent node is lost, and whether the others have room for its shards. */
#include "indexer/lost_judge.h"

#include "proto/placement.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned lost_candidate(const struct cluster_map *map, const struct lost_node *nodes,
                        uint64_t out_after_ms, char why[LOST_WHY_SIZE])
{
    unsigned found = NODE_NONE, all = 0, silent = 0, left = 0;

    why[0] = '\0';
    for (unsigned i = 0; i < map->nodes_count; i++) {
        enum node_state state = map->nodes[i].state;
        all += state != NODE_OUT;
        silent += state != NODE_OUT && !nodes[i].answers;
        left += state == NODE_IN && nodes[i].answers;
        if (state == NODE_IN && !nodes[i].answers && nodes[i].silent_ms >= out_after_ms &&
            (found == NODE_NONE || nodes[i].silent_ms > nodes[found].silent_ms))
            found = i;
    }
    if (found == NODE_NONE)
        return NODE_NONE;
    if (3 * silent > all)
        snprintf(why, LOST_WHY_SIZE, "%s stays in: %u of %u nodes don't answer, more than a third",
                 map->nodes[found].id, silent, all);
    else if (left < map->min_replicas)
        snprintf(why, LOST_WHY_SIZE, "%s stays in: %u nodes would be left, fewer than min_replicas, %u",
                 map->nodes[found].id, left, map->min_replicas);
    return why[0] == '\0' ? found : NODE_NONE;
}

static int holding_compare(const void *left, const void *right)
{
    const struct lost_holding *a = left, *b = right;
    int order = run_key_compare(&a->run, &b->run);

    return order != 0 ? order : (a->shard > b->shard) - (a->shard < b->shard);
}

/* In all of its files. */
static uint64_t held_by(const struct lost_holding *holdings, size_t count, uint16_t node)
{
    uint64_t held = 0;

    for (size_t i = 0; i < count; i++)
        held += holdings[i].node == node ? holdings[i].bytes : 0;
    return held;
}

/* What the next owners of one shard of a run have to take in: as much as the fullest copy has, less what is there. */
static void fits_shard(const struct cluster_map *next, const struct lost_holding *holdings,
                       size_t count, uint64_t *more)
{
    unsigned owners_count;
    const uint16_t *owners = placement_owners(next, holdings->run.base_time, holdings->shard,
                                              &owners_count);
    uint64_t most = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t held = held_by(holdings, count, holdings[i].node);
        most = held > most ? held : most;
    }
    for (unsigned k = 0; k < owners_count; k++) {
        uint64_t held = held_by(holdings, count, owners[k]);
        more[owners[k]] += held < most ? most - held : 0;
    }
}

bool lost_fits(const struct cluster_map *next, const struct lost_node *nodes,
               struct lost_holding *holdings, size_t count, char why[LOST_WHY_SIZE])
{
    uint64_t *more = calloc(next->nodes_count + 1, sizeof *more);

    assert(more != NULL);
    why[0] = '\0';
    if (count > 0)
        qsort(holdings, count, sizeof *holdings, holding_compare);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && holding_compare(&holdings[i], &holdings[end]) == 0; end++)
            ;
        if (holdings[i].shard < next->shards)
            fits_shard(next, &holdings[i], end - i, more);
    }
    for (unsigned i = 0; why[0] == '\0' && i < next->nodes_count; i++) {
        const struct lost_node *node = &nodes[i];
        if (more[i] == 0)
            continue;
        if (!node->has_capacity)
            snprintf(why, LOST_WHY_SIZE, "%s does not say how full it is", next->nodes[i].id);
        else if (node->used > node->high_water || more[i] > node->high_water - node->used)
            snprintf(why, LOST_WHY_SIZE,
                     "%s would be filled past its high-water mark: %" PRIu64
                     " bytes more than the %" PRIu64 " used, of %" PRIu64,
                     next->nodes[i].id, more[i], node->used, node->high_water);
    }
    free(more);
    return why[0] == '\0';
}
