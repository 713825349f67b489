/* cluster_moves.h: a map before, a map after, and what nodes hold -> what moves, where to, how full that makes them. Pure.
 *
 * A shard of a run is as large as the largest copy that was seen. Who owns it after, and has less, pulls the rest; who holds it and
 * does not own it after gives it up. Of a run that is retired nothing moves: it takes no messages any more, and goes by itself. A node that did not list what it holds is taken to hold what it owns, and pulls nothing. */
#ifndef CLIENT_CLUSTER_MOVES_H
#define CLIENT_CLUSTER_MOVES_H

#include "client/survey.h"

struct moves_part {
    uint64_t messages, bytes;
};

struct moves_node {
    const struct map_node *before, *after; /* NULL: not in that map; borrowed */
    const struct survey_node *seen;        /* borrowed; NULL: was not asked */
    struct moves_part held, in, out, left; /* left: held after all that */
    unsigned shards_before, shards_after;  /* that the newest era gives it */
    bool disk_known;
    uint64_t used_peak, used_after; /* bytes; peak: all that comes is there, nothing was given up yet */
    bool past_high_water;           /* at the peak, and it takes something */
    bool seconds_known;             /* it has a rate */
    double seconds;                 /* at the rate at which it may pull: a figure, no promise */
};

struct cluster_moves {
    struct moves_node *nodes; /* owned; of the map before, then who came */
    size_t count;
    struct moves_part in, out; /* summed */
    uint64_t table_bytes;      /* of what owns newly, whether it has it already or not */
    uint64_t ideal_bytes;      /* the least that brings each node to what it owns after */
    bool seconds_known;
    double seconds;                             /* of the slowest node */
    unsigned copies_before, copies_after;       /* the fewest owners of a shard in any era */
    unsigned shards_fewer;                      /* of all eras: with fewer owners than before */
    unsigned same_host_before, same_host_after; /* shards of all eras with two copies on one host */
    bool has_data;
    unsigned leaving_runs;     /* retired, and held: they go by themselves */
    struct moves_part leaving; /* what all nodes hold of these */
    unsigned copies_seen; /* the fewest whole copies of a shard with data on nodes that are not out after */
    struct moves_part orphans;       /* what none of these holds whole */
    char orphan[RUN_TEXT_SIZE + 16]; /* the first of them: run and shard */
};

enum status cluster_moves_make(const struct cluster_map *before, const struct cluster_map *after,
                               const struct survey *survey, struct cluster_moves *moves,
                               struct error *err);
void cluster_moves_fini(struct cluster_moves *moves);

#endif
