/* lost_judge.h: is a node lost, and may the others take what it had? Pure: who hears nodes and asks them is lost_nodes.c. */
#ifndef INDEXER_LOST_JUDGE_H
#define INDEXER_LOST_JUDGE_H

#include "proto/cluster_map.h"

enum { LOST_WHY_SIZE = 256 };

/* A node as it was heard, by its number in the map. */
struct lost_node {
    bool answers; /* the last time that it was asked */
    uint64_t silent_ms; /* since it answered last, or since it was asked first; only while it was asked all the time */
    bool has_capacity;
    uint64_t used, high_water; /* bytes of its disk, as it said last */
};

/* The node that is to be counted out: *in*, silent for so long, the longest of all. NODE_NONE: nobody is, or (why says it) nobody may be: more
 * than a third of the nodes don't answer, or too few would be left. */
unsigned lost_candidate(const struct cluster_map *map, const struct lost_node *nodes,
                        uint64_t out_after_ms, char why[LOST_WHY_SIZE]);

/* What a node holds of a shard of a run. */
struct lost_holding {
    struct run_key run;
    unsigned shard;
    uint16_t node; /* in the map */
    uint64_t bytes;
};

/* Whether no node is filled past its high-water mark by what the next map gives it and it has not. Holdings are sorted. Nodes keep
 * their numbers from map to next. */
bool lost_fits(const struct cluster_map *next, const struct lost_node *nodes,
               struct lost_holding *holdings, size_t count, char why[LOST_WHY_SIZE]);

#endif
