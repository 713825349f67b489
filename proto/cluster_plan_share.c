/* cluster_plan_share.c: how many shards each node is to hold, by weight.
 *
 * Water is poured into the groups in proportion to their weights until one is full; the rest is shared by those that are not,
 * and so on. All in whole numbers: a share is weight * amount / total, with one amount and total for all that are not full. */
#include "proto/cluster_plan_share.h"

#include "proto/base/bytes.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct share_group {
    uint64_t weight;
    uint32_t has;
    uint32_t quota;
    bool full;
};

/* One that may be rounded up. */
struct share_claim {
    uint64_t rest; /* of the division */
    bool has_more;
    uint32_t *quota;
    unsigned order;
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

/* The whole part of weight * amount / total into *quota; a rest becomes a claim. */
static void share_divide(struct share_claim *claims, unsigned *count, uint64_t weight,
                         uint64_t amount, uint64_t total, uint32_t has, uint32_t *quota)
{
    *quota = (uint32_t)(weight * amount / total);
    uint64_t rest = weight * amount % total;
    if (rest == 0)
        return;
    claims[*count] = (struct share_claim){
        .rest = rest, .has_more = has > *quota, .quota = quota, .order = *count
    };
    (*count)++;
}

static void share_round_up(struct share_claim *claims, unsigned count, uint64_t left)
{
    assert(left <= count);
    qsort(claims, count, sizeof claims[0], share_compare);
    for (uint64_t i = 0; i < left; i++)
        (*claims[i].quota)++;
}

/* Fills groups; what is left: *amount for the *total weight of those that are not full. */
static void share_fill(struct share_group *groups, unsigned count, uint32_t shards,
                       uint64_t *amount, uint64_t *total)
{
    bool again = true;

    while (again) {
        again = false;
        for (unsigned i = 0; i < count; i++) {
            if (groups[i].full || groups[i].weight * *amount <= *total * shards)
                continue;
            groups[i].full = again = true;
            groups[i].quota = shards;
            *amount -= shards;
            *total -= groups[i].weight;
        }
    }
    assert(*total > 0);
}

static void share_groups(struct share_group *groups, unsigned count, struct share_claim *claims,
                         uint64_t amount, uint64_t total)
{
    unsigned claims_count = 0;
    uint64_t left = amount;

    for (unsigned i = 0; i < count; i++) {
        if (groups[i].full || groups[i].weight == 0)
            continue;
        share_divide(claims, &claims_count, groups[i].weight, amount, total, groups[i].has,
                     &groups[i].quota);
        left -= groups[i].quota;
    }
    share_round_up(claims, claims_count, left);
}

/* Within a group: of a full one all shards by weight, else the share that its members have of the whole. */
static void share_members(struct plan_member *members, unsigned count, unsigned group,
                          const struct share_group *of, struct share_claim *claims, uint64_t amount,
                          uint64_t total)
{
    unsigned claims_count = 0;
    uint64_t left = of->quota;

    for (unsigned i = 0; i < count; i++) {
        if (members[i].group != group || members[i].weight == 0)
            continue;
        share_divide(claims, &claims_count, members[i].weight, of->full ? of->quota : amount,
                     of->full ? of->weight : total, members[i].has, &members[i].quota);
        left -= members[i].quota;
    }
    share_round_up(claims, claims_count, left);
}

enum status plan_share(struct plan_member *members, unsigned count, unsigned groups,
                       uint32_t shards, uint32_t copies)
{
    struct share_group *of = calloc(groups, sizeof of[0]);
    struct share_claim *claims = calloc(count, sizeof claims[0]);
    uint64_t amount = (uint64_t)shards * copies, total = 0;
    enum status status = STATUS_NO_MEMORY;

    if (of == NULL || claims == NULL)
        goto done;
    for (unsigned i = 0; i < count; i++) {
        members[i].quota = 0;
        if (members[i].weight == 0)
            continue;
        of[members[i].group].weight += members[i].weight;
        of[members[i].group].has += members[i].has;
        total += members[i].weight;
    }
    share_fill(of, groups, shards, &amount, &total);
    share_groups(of, groups, claims, amount, total);
    for (unsigned group = 0; group < groups; group++)
        share_members(members, count, group, &of[group], claims, amount, total);
    status = STATUS_OK;
done:
    free(of);
    free(claims);
    return status;
}
