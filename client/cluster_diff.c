/* cluster_diff.c: what differs between two cluster maps. */
#include "client/cluster_diff.h"

#include <inttypes.h>
#include <stdio.h>

static void diff_number(struct buf *buf, const char *name, uint64_t before, uint64_t now)
{
    if (before != now)
        buf_format(buf, "%s: %" PRIu64 " -> %" PRIu64 "\n", name, before, now);
}

static void diff_node(struct buf *buf, const struct map_node *before, const struct map_node *now)
{
    if (strcmp(before->url, now->url) != 0)
        buf_format(buf, "node %s: %s -> %s\n", now->id, before->url, now->url);
    if (before->state != now->state)
        buf_format(buf, "node %s: %s -> %s\n", now->id, node_state_name(before->state),
                   node_state_name(now->state));
    if (before->weight != now->weight)
        buf_format(buf, "node %s: weight %" PRIu32 " -> %" PRIu32 "\n", now->id, before->weight,
                   now->weight);
    if (strcmp(before->host, now->host) != 0 || strcmp(before->colo, now->colo) != 0)
        buf_format(buf, "node %s: host %s, colo %s -> host %s, colo %s\n", now->id, before->host,
                   before->colo, now->host, now->colo);
}

static void diff_nodes(struct buf *buf, const struct cluster_map *before, const struct cluster_map *now)
{
    for (unsigned i = 0; i < now->nodes_count; i++) {
        const struct map_node *was = map_find(before, now->nodes[i].id);
        if (was != NULL)
            diff_node(buf, was, &now->nodes[i]);
        else
            buf_format(buf, "node %s: new, %s (%s)\n", now->nodes[i].id, now->nodes[i].url,
                       node_state_name(now->nodes[i].state));
    }
    for (unsigned i = 0; i < before->nodes_count; i++) {
        if (map_find(now, before->nodes[i].id) == NULL)
            buf_format(buf, "node %s: gone\n", before->nodes[i].id);
    }
}

static void diff_indexers(struct buf *buf, const struct cluster_map *before, const struct cluster_map *now)
{
    bool same = before->indexers_count == now->indexers_count;

    for (unsigned i = 0; i < now->indexers_count && same; i++)
        same = strcmp(before->indexers[i], now->indexers[i]) == 0;
    if (!same)
        buf_text(buf, "indexers: others\n");
}

static const struct map_era *era_from(const struct cluster_map *map, const struct map_era *like)
{
    for (unsigned i = 0; i < map->eras_count; i++) {
        if (map->eras[i].first == like->first && (like->first || map->eras[i].from == like->from))
            return &map->eras[i];
    }
    return NULL;
}

static bool owned_by(const struct cluster_map *map, const uint16_t *of, const char *id)
{
    for (unsigned i = 0; i < map->replicas && of[i] != NODE_NONE; i++) {
        if (strcmp(map->nodes[of[i]].id, id) == 0)
            return true;
    }
    return false;
}

/* Pairs of shard and node that the one has and the other has not. */
static unsigned era_comes(const struct cluster_map *of, const struct map_era *era,
                          const struct cluster_map *against, const struct map_era *other)
{
    unsigned count = 0;

    for (unsigned shard = 0; shard < of->shards; shard++) {
        const uint16_t *owners = era->owners + (size_t)shard * of->replicas;
        for (unsigned i = 0; i < of->replicas && owners[i] != NODE_NONE; i++)
            count += !owned_by(against, other->owners + (size_t)shard * against->replicas,
                               of->nodes[owners[i]].id);
    }
    return count;
}

static void era_name(const struct map_era *era, char *text)
{
    if (era->first)
        snprintf(text, BASE_TIME_TEXT_SIZE, "the beginning");
    else
        base_time_print(era->from, text);
}

static void diff_eras(struct buf *buf, const struct cluster_map *before, const struct cluster_map *now)
{
    char from[BASE_TIME_TEXT_SIZE];

    for (unsigned i = 0; i < now->eras_count; i++) {
        const struct map_era *was = era_from(before, &now->eras[i]);
        era_name(&now->eras[i], from);
        if (was == NULL) {
            buf_format(buf, "era from %s: new\n", from);
            continue;
        }
        unsigned comes = era_comes(now, &now->eras[i], before, was),
                 goes = era_comes(before, was, now, &now->eras[i]);
        if (comes > 0 || goes > 0)
            buf_format(buf, "era from %s: %u copies of shards lie elsewhere\n", from,
                       comes > goes ? comes : goes);
    }
    for (unsigned i = 0; i < before->eras_count; i++) {
        era_name(&before->eras[i], from);
        if (era_from(now, &before->eras[i]) == NULL)
            buf_format(buf, "era from %s: gone\n", from);
    }
}

void cluster_diff_print(const struct cluster_map *before, const struct cluster_map *now, struct buf *buf)
{
    if (strcmp(before->cluster, now->cluster) != 0) {
        buf_format(buf, "cluster: %s -> %s\n", before->cluster, now->cluster);
        return;
    }
    diff_number(buf, "epoch", before->epoch, now->epoch);
    diff_number(buf, "shards", before->shards, now->shards);
    diff_number(buf, "replicas", before->replicas, now->replicas);
    diff_number(buf, "min_replicas", before->min_replicas, now->min_replicas);
    if (before->paused != now->paused)
        buf_format(buf, "paused: %s -> %s\n", before->paused ? "yes" : "no", now->paused ? "yes" : "no");
    diff_indexers(buf, before, now);
    diff_nodes(buf, before, now);
    if (before->shards == now->shards)
        diff_eras(buf, before, now);
}

bool cluster_maps_equal(const struct cluster_map *a, const struct cluster_map *b)
{
    struct buf left, right;

    buf_init(&left, MAP_JSON_SIZE_MAX);
    buf_init(&right, MAP_JSON_SIZE_MAX);
    map_print(a, &left);
    map_print(b, &right);
    bool equal = buf_status(&left) == STATUS_OK && buf_status(&right) == STATUS_OK &&
                 left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
    buf_fini(&left);
    buf_fini(&right);
    return equal;
}
