/* cluster_change.h: a cluster map and a wish -> the next map. Pure: nothing is asked, nothing is told (ARCHITECTURE.md, section 18).
 *
 * The next map has the epoch that follows. Every era that is planned anew is planned from what it was, with the least moves
 * (cluster_plan.h). Data is not looked at here: what a change moves, and whether there is room, is its caller's to find out. */
#ifndef PROTO_CLUSTER_CHANGE_H
#define PROTO_CLUSTER_CHANGE_H

#include "proto/cluster_plan.h"

enum cluster_action {
    CLUSTER_ADD,
    CLUSTER_RETIRE,
    CLUSTER_EVACUATE,
    CLUSTER_KEEP, /* it was to go, or is out: in again */
    CLUSTER_REPLACE,
    CLUSTER_RENAME,
    CLUSTER_REMOVE, /* owns nothing: leaves the map */
    CLUSTER_LOST,   /* will not come back: out, its shards elsewhere */
    CLUSTER_REBALANCE,
    CLUSTER_PAUSE,
    CLUSTER_RESUME,
};

struct cluster_wish {
    enum cluster_action action;
    const char *node; /* id of the node it is about; ADD, REBALANCE, PAUSE, RESUME: not used */
    const struct map_node *with; /* ADD, REPLACE: the node that comes; its state is not looked at */
    const char *url;             /* RENAME */
    bool all_eras;               /* ADD: into every era; else into one that begins at `from` */
    bool alive;                  /* REPLACE: the old one can still be read from */
    bool fewer;                  /* shards may be left with fewer owners, though never with none */
    bool has_data; /* any run is known at all: else ADD and RETIRE leave one era, of what is to come */
    int64_t from; /* ADD, RETIRE, KEEP (of a retiring node) with has_data: behind every base_time held, seconds since 1970 */
    int64_t oldest; /* with has_data: the oldest base_time held (INT64_MIN: not known); eras that end before it are left out */
};

/* Who takes shards. An era that is planned anew is planned for who has part in it: its owners, and, where that would leave
 * fewer copies or more of them on one host than before, all nodes that are *in*. An era to come, and each era of a REBALANCE,
 * is for all nodes that are *in*. So nobody who came in from a later era on is given what was there before him. */

/* *next: one reference, the caller's. change: summed over all eras; NULL: not wanted.
 * NOT_FOUND: no such node; EXISTS: id or URL is in the map already; PRECONDITION: it would leave a shard with fewer owners than it
 * has, owns something still (REMOVE), or is what it is to become already; BAD_VALUE. err says which. */
enum status cluster_change(const struct cluster_map *map, const struct cluster_wish *wish,
                           struct cluster_map **next, struct plan_change *change, struct error *err);

const char *cluster_action_name(enum cluster_action action); /* "evacuate" */
bool cluster_action_parse(const char *name, enum cluster_action *action);

#endif
