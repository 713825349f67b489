/* body_budget.h: memory for bodies under way: reserved before it is read into, waited for when there is none.
 *
 * One budget an event loop (the node's, divided by its loops), so nothing here is locked. A quarter is kept for /replica,
 * which waits for no other node: two coordinators that send each other copies can't starve one another.
 *
 * Who holds a reservation never waits for another one; it gives back what it has first. So a waiter holds nothing, and
 * what is held is always given back. */
#ifndef STORAGED_BODY_BUDGET_H
#define STORAGED_BODY_BUDGET_H

#include "proto/base/list.h"

enum body_class { BODY_INGEST, BODY_REPLICA, BODY_CLASSES };

struct body_budget {
    uint64_t size; /* in all */
    uint64_t used[BODY_CLASSES];
    struct list waiting[BODY_CLASSES];
    bool serving; /* those who wait, now */
};

/* One that waits: granted in the order of waiting, its size taken for it when on_room is called. */
struct body_wait {
    uint64_t size;
    enum body_class class;
    void (*on_room)(struct body_wait *wait);
    struct list list;
};

void body_budget_init(struct body_budget *budget, uint64_t size);

/* The largest reservation that a class can ever get; a larger body has to go elsewhere. */
uint64_t body_budget_max(const struct body_budget *budget, enum body_class class);

/* True: size is the caller's until body_budget_give(). False: not now, or others wait already. */
bool body_budget_take(struct body_budget *budget, enum body_class class, uint64_t size);
void body_budget_give(struct body_budget *budget, enum body_class class, uint64_t size);

/* on_room is called from a later body_budget_give(), never from here. The caller holds nothing. */
void body_budget_wait(struct body_budget *budget, struct body_wait *wait);
void body_budget_leave(struct body_budget *budget,
                       struct body_wait *wait); /* waits no more; harmless when it does not */
uint64_t body_budget_used(const struct body_budget *budget);

#endif
