/* plan_oracle.h: what plans of owners are held against: shares poured like water in floating point, and counting. */
#ifndef TESTS_PLAN_ORACLE_H
#define TESTS_PLAN_ORACLE_H

#include "proto/cluster_map.h"

#include <math.h>

/* The same numbers in every run: splitmix64. */
static uint64_t random_state;

static inline unsigned random_below(unsigned limit)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ z >> 31) % limit);
}

static inline bool holds(const struct cluster_map *map, const uint16_t *owners, unsigned shard,
                         unsigned node)
{
    for (unsigned i = 0; i < map->replicas; i++) {
        if (owners[shard * map->replicas + i] == node)
            return true;
    }
    return false;
}

static inline unsigned count_of(const struct cluster_map *map, const uint16_t *owners, unsigned node)
{
    unsigned count = 0;

    for (unsigned shard = 0; shard < map->shards; shard++)
        count += holds(map, owners, shard, node);
    return count;
}

/* How many hosts the nodes taken are on. */
static inline unsigned hosts_taken(const struct cluster_map *map, const bool *take)
{
    unsigned hosts = 0;

    for (unsigned i = 0; i < map->nodes_count; i++) {
        bool first = take[i];
        for (unsigned k = 0; k < i && first; k++)
            first = !take[k] || strcmp(map->nodes[k].host, map->nodes[i].host) != 0;
        hosts += first;
    }
    return hosts;
}

static inline bool same_vessel(const struct cluster_map *map, unsigned a, unsigned b, bool by_host)
{
    return a == b || (by_host && strcmp(map->nodes[a].host, map->nodes[b].host) == 0);
}

/* Everybody's exact share: pour until a host (or a node) is full, share the rest among the others. */
static inline void oracle_shares(const struct cluster_map *map, const bool *take, unsigned copies,
                                 double *shares)
{
    bool by_host = hosts_taken(map, take) >= copies, full[MAP_NODES_MAX] = { false }, again = true;
    double amount = (double)map->shards * copies;

    while (again) {
        double weight = 0, left = amount;
        again = false;
        for (unsigned i = 0; i < map->nodes_count; i++) {
            if (full[i])
                left -= shares[i];
            else if (take[i])
                weight += map->nodes[i].weight;
        }
        for (unsigned i = 0; i < map->nodes_count; i++) {
            if (!full[i])
                shares[i] = take[i] ? left * map->nodes[i].weight / weight : 0;
        }
        for (unsigned i = 0; i < map->nodes_count; i++) {
            double vessel = 0;
            for (unsigned k = 0; k < map->nodes_count; k++) {
                if (take[k] && same_vessel(map, i, k, by_host))
                    vessel += shares[k];
            }
            if (!take[i] || full[i] || vessel <= map->shards * (1 + 1e-12))
                continue;
            for (unsigned k = 0; k < map->nodes_count; k++) {
                if (take[k] && same_vessel(map, i, k, by_host)) {
                    full[k] = true;
                    shares[k] *= map->shards / vessel;
                }
            }
            again = true;
            break;
        }
    }
}

/* What has to move into each node, were every other one rounded as it likes, and what lost its holder. */
static inline double oracle_moves_min(const struct cluster_map *map, const uint16_t *old,
                                      const double *shares)
{
    double gains = 0, lost = 0;

    for (unsigned i = 0; i < map->nodes_count; i++) {
        double had = count_of(map, old, i);
        gains += fmax(0, floor(shares[i] + 1e-9) - had);
        lost += fmax(0, had - ceil(shares[i] - 1e-9));
    }
    return fmax(gains, lost);
}

#endif
