/* cluster_plan_share.h: how many shards each node is to hold, by weight. Pure. */
#ifndef PROTO_CLUSTER_PLAN_SHARE_H
#define PROTO_CLUSTER_PLAN_SHARE_H

#include "proto/base/status.h"

/* One that takes shards. Members of a group (a host) never hold the same shard. */
struct plan_member {
    uint32_t weight; /* 0: takes nothing */
    uint16_t group; /* any number below the count of members, as is colo; a group is in its first member's colo */
    uint16_t colo;
    uint32_t has; /* shards it holds already: who has more than its share's whole part is rounded up first */
    uint32_t quota; /* written */
};

/* Shares `shards * copies` by weight. A group gets at most `shards`; what that leaves over goes to the others by weight. The
 * quotas add up, and every one is its member's exact share rounded up or down; so are the sums over a group and over a
 * colo. There have to be at least `copies` groups with a weight. OK or NO_MEMORY. */
enum status plan_share(struct plan_member *members, unsigned count, uint32_t shards, uint32_t copies);

#endif
