/* survey_make.h: maps and surveys by hand, for tests of what follows from them. */
#ifndef TESTS_CLIENT_SURVEY_MAKE_H
#define TESTS_CLIENT_SURVEY_MAKE_H

#include "client/cluster_edit.h"
#include "proto/cluster_map_make.h"
#include "tests/unit/proto/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

enum { SURVEY_SHARDS = 4 };

static inline struct map_node made_node(unsigned number)
{
    struct map_node node = { .weight = 100, .state = NODE_IN };

    snprintf(node.id, sizeof node.id, "n%u", number);
    snprintf(node.url, sizeof node.url, "http://n%u:1", number);
    snprintf(node.host, sizeof node.host, "h%u", number);
    return node;
}

/* Nodes n0, n1, ... of which n0 to n<members - 1> own shards: shard s lies on s and s + 1 of their ring. */
static inline struct cluster_map *made_map(unsigned nodes, unsigned members, uint64_t epoch)
{
    struct cluster_map *map = map_new(nodes, 1);

    assert_non_null(map);
    map_text_copy(map->cluster, sizeof map->cluster, "0123456789abcdef0123456789abcdef");
    map->epoch = epoch;
    map->shards = SURVEY_SHARDS;
    map->replicas = 2;
    map->min_replicas = 1;
    for (; map->nodes_count < nodes; map->nodes_count++)
        map->nodes[map->nodes_count] = made_node(map->nodes_count);
    map->eras[0] = (struct map_era){ .first = true, .owners = map_owners_new(map) };
    map->eras_count = 1;
    for (unsigned shard = 0; shard < SURVEY_SHARDS; shard++) {
        map->eras[0].owners[2 * shard] = (uint16_t)(shard % members);
        if (members > 1)
            map->eras[0].owners[2 * shard + 1] = (uint16_t)((shard + 1) % members);
    }
    return map;
}

/* All nodes of the map answer, and hold nothing. */
static inline void made_survey(struct survey *survey, const struct cluster_map *map, unsigned more)
{
    *survey = (struct survey){ .nodes = calloc(map->nodes_count + more + 1, sizeof survey->nodes[0]) };
    assert_non_null(survey->nodes);
    for (; survey->nodes_count < map->nodes_count + more; survey->nodes_count++) {
        struct survey_node *node = &survey->nodes[survey->nodes_count];
        struct map_node of = made_node((unsigned)survey->nodes_count);
        snprintf(node->id, sizeof node->id, "%s", of.id);
        snprintf(node->url, sizeof node->url, "%s", of.url);
        node->reachable = node->ready = node->listed = node->sync_known = node->settled = true;
        node->comes = survey->nodes_count >= map->nodes_count;
        node->epoch = map->epoch;
        node->sync_rate = 100;
        node->disk = (struct survey_disk){
            .known = true, .total = 10000, .free = 9000, .used = 1000, .high_water = 5000
        };
    }
}

static inline void made_holding(struct survey *survey, unsigned node, int64_t base_time,
                                unsigned shard, uint64_t messages, uint64_t bytes)
{
    struct survey_node *of = &survey->nodes[node];
    struct run_key key = { .source = "s", .base_time = base_time };
    uint32_t run;

    assert_int_equal(survey_add_run(survey, &key, &run, NULL), STATUS_OK);
    of->holdings = realloc(of->holdings, (of->holdings_count + 1) * sizeof of->holdings[0]);
    assert_non_null(of->holdings);
    of->holdings[of->holdings_count++] = (struct survey_holding){
        .run = run, .shard = shard, .messages = messages, .bytes = bytes
    };
}

/* Each owner holds each shard of a run whole: 10 messages of 100 bytes. */
static inline void made_run(struct survey *survey, const struct cluster_map *map, int64_t base_time)
{
    for (unsigned shard = 0; shard < SURVEY_SHARDS; shard++) {
        for (unsigned i = 0; i < 2; i++)
            made_holding(survey, map->eras[0].owners[2 * shard + i], base_time, shard, 10, 1000);
    }
}

#endif
