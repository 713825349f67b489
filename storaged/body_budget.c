/* body_budget.c: counts what is reserved, and hands what comes back to those who wait. */
#include "storaged/body_budget.h"

#include "storaged/node_metrics.h"

#include <assert.h>

enum { REPLICA_SHARE = 4 }; /* one part in so many is kept for /replica */

void body_budget_init(struct body_budget *budget, uint64_t size)
{
    *budget = (struct body_budget){ .size = size };
    for (unsigned i = 0; i < BODY_CLASSES; i++)
        list_init(&budget->waiting[i]);
}

uint64_t body_budget_max(const struct body_budget *budget, enum body_class class)
{
    uint64_t kept = budget->size / REPLICA_SHARE;

    return class == BODY_REPLICA ? kept : budget->size - kept;
}

uint64_t body_budget_used(const struct body_budget *budget)
{
    return budget->used[BODY_INGEST] + budget->used[BODY_REPLICA];
}

static bool body_budget_fits(const struct body_budget *budget, enum body_class class, uint64_t size)
{
    if (size > budget->size - body_budget_used(budget))
        return false;
    if (class == BODY_REPLICA)
        return true;
    uint64_t most = body_budget_max(budget, BODY_INGEST);
    return budget->used[BODY_INGEST] <= most && size <= most - budget->used[BODY_INGEST];
}

bool body_budget_take(struct body_budget *budget, enum body_class class, uint64_t size)
{
    if (!list_empty(&budget->waiting[class]) || !body_budget_fits(budget, class, size))
        return false;
    budget->used[class] += size;
    metric_add(&metric_body_memory, (int64_t)size);
    return true;
}

/* The first who waits for this class, if there is room for it now. Replicas first: they wait for no other node. */
static struct body_wait *body_budget_next(struct body_budget *budget)
{
    static const enum body_class order[] = { BODY_REPLICA, BODY_INGEST };

    for (unsigned i = 0; i < ARRAY_COUNT(order); i++) {
        struct list *waiting = &budget->waiting[order[i]];
        if (list_empty(waiting))
            continue;
        struct body_wait *wait = list_first(waiting, struct body_wait, list);
        if (body_budget_fits(budget, order[i], wait->size))
            return wait;
    }
    return NULL;
}

/* Who is served may give it back at once, or leave for another: the next is served from here, not from within it, or the
 * stack would grow with the line. */
static void body_budget_serve(struct body_budget *budget)
{
    struct body_wait *wait;

    if (budget->serving)
        return;
    budget->serving = true;
    while ((wait = body_budget_next(budget)) != NULL) {
        list_remove(&wait->list);
        budget->used[wait->class] += wait->size;
        metric_add(&metric_body_memory, (int64_t)wait->size);
        wait->on_room(wait);
    }
    budget->serving = false;
}

void body_budget_give(struct body_budget *budget, enum body_class class, uint64_t size)
{
    assert(size <= budget->used[class]);
    budget->used[class] -= size;
    metric_add(&metric_body_memory, -(int64_t)size);
    body_budget_serve(budget);
}

void body_budget_wait(struct body_budget *budget, struct body_wait *wait)
{
    assert(wait->size <= body_budget_max(budget, wait->class));
    metric_add(&metric_body_waits, 1);
    list_append(&budget->waiting[wait->class], &wait->list);
}

void body_budget_leave(struct body_budget *budget, struct body_wait *wait)
{
    list_remove(&wait->list);
    body_budget_serve(budget); /* it may have been all that held up those behind it */
}
