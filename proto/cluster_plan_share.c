/* cluster_plan_share.c: how many shards each node is to hold, by weight.
 *
 * Water is poured into the groups in proportion to their weights until one is full; the rest is shared by those that are not,
 * and so on. All in whole numbers: a share is weight * amount / total, with one amount and total for all that are not full.
 *
 * What is not whole is rounded from the top down: first the colos, then in each its groups, then in each the members. So with
 * three copies and three colos of one weight each colo gets exactly all shards, and no two copies have to meet there. */
#include "proto/cluster_plan_share.h"

#include "proto/base/bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

/* A colo or a group. */
struct share_vessel {
    uint64_t weight; /* of a colo: without that of its full groups */
    uint32_t has;
    uint32_t quota;
    uint16_t colo; /* of a group */
    bool full;
};

/* One that may be rounded up. */
struct share_claim {
    uint64_t rest; /* of the division */
    bool has_more;
    uint32_t *quota;
    unsigned order;
};

struct share {
    struct plan_member *members;         /* borrowed */
    unsigned count;                      /* of members, and so at most of groups and of colos */
    struct share_vessel *groups, *colos; /* owned, in one piece */
    struct share_claim *claims;          /* owned */
    unsigned claims_count;
    uint64_t amount, total; /* of what is not full */
};

static int share_compare(const void *left, const void *right)
{
    const struct share_claim *a = left, *b = right;

    if (a->has_more != b->has_more)
        return a->has_more ? -1 : 1;
    if (a->rest != b->rest)
        return a->rest > b->rest ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* The whole part of weight * amount / total into *quota; a rest becomes a claim. Returns the whole part. */
static uint32_t share_divide(struct share *share, uint64_t weight, uint64_t amount, uint64_t total,
                             uint32_t has, uint32_t *quota)
{
    uint64_t rest = weight * amount % total;

    *quota = (uint32_t)(weight * amount / total);
    if (rest > 0) {
        share->claims[share->claims_count] = (struct share_claim){
            .rest = rest, .has_more = has > *quota, .quota = quota, .order = share->claims_count
        };
        share->claims_count++;
    }
    return *quota;
}

/* So many of the claims are rounded up; all are settled then. */
static void share_round_up(struct share *share, uint64_t left)
{
    assert(left <= share->claims_count);
    qsort(share->claims, share->claims_count, sizeof share->claims[0], share_compare);
    for (uint64_t i = 0; i < left; i++)
        (*share->claims[i].quota)++;
    share->claims_count = 0;
}

/* Weighs groups, fills them, and weighs the colos of the others. */
static void share_fill(struct share *share, uint32_t shards)
{
    bool again = true;

    for (unsigned i = share->count; i-- > 0;) {
        const struct plan_member *member = &share->members[i];
        struct share_vessel *group = &share->groups[member->group];
        group->weight += member->weight;
        group->has += member->has;
        group->colo = member->colo; /* in the end, its first member's */
        share->total += member->weight;
    }
    while (again) {
        again = false;
        for (unsigned i = 0; i < share->count; i++) {
            struct share_vessel *group = &share->groups[i];
            if (group->full || group->weight * share->amount <= share->total * shards)
                continue;
            group->full = again = true;
            group->quota = shards;
            share->amount -= shards;
            share->total -= group->weight;
        }
    }
    assert(share->total > 0);
    for (unsigned i = 0; i < share->count; i++) {
        if (share->groups[i].full)
            continue;
        share->colos[share->groups[i].colo].weight += share->groups[i].weight;
        share->colos[share->groups[i].colo].has += share->groups[i].has;
    }
}

static void share_colos(struct share *share)
{
    uint64_t left = share->amount;

    for (unsigned i = 0; i < share->count; i++) {
        struct share_vessel *colo = &share->colos[i];
        left -= share_divide(share, colo->weight, share->amount, share->total, colo->has, &colo->quota);
    }
    share_round_up(share, left);
}

/* In one colo, the groups that are not full. */
static void share_groups(struct share *share, unsigned colo)
{
    uint64_t left = share->colos[colo].quota;

    for (unsigned i = 0; i < share->count; i++) {
        struct share_vessel *group = &share->groups[i];
        if (!group->full && group->colo == colo)
            left -= share_divide(share, group->weight, share->amount, share->total, group->has,
                                 &group->quota);
    }
    share_round_up(share, left);
}

/* In one group: if it is full, all shards by weight, else the share that its members have of the whole. */
static void share_members(struct share *share, unsigned number)
{
    const struct share_vessel *group = &share->groups[number];
    uint64_t left = group->quota;

    for (unsigned i = 0; i < share->count; i++) {
        struct plan_member *member = &share->members[i];
        if (member->group != number)
            continue;
        left -= share_divide(share, member->weight, group->full ? group->quota : share->amount,
                             group->full ? group->weight : share->total, member->has, &member->quota);
    }
    share_round_up(share, left);
}

enum status plan_share(struct plan_member *members, unsigned count, uint32_t shards, uint32_t copies)
{
    struct share share = { .members = members, .count = count, .amount = (uint64_t)shards * copies };

    share.groups = calloc(2 * (size_t)count, sizeof share.groups[0]);
    share.claims = calloc(count, sizeof share.claims[0]);
    enum status status = share.groups != NULL && share.claims != NULL ? STATUS_OK : STATUS_NO_MEMORY;
    if (status == STATUS_OK) {
        share.colos = share.groups + count;
        share_fill(&share, shards);
        share_colos(&share);
        for (unsigned i = 0; i < count; i++)
            share_groups(&share, i);
        for (unsigned i = 0; i < count; i++) {
            if (share.groups[i].weight > 0)
                share_members(&share, i);
        }
    }
    free(share.groups);
    free(share.claims);
    return status;
}
