/* tail_settle.c: who waits until no tail is at a run any more. */
#include "indexer/tail_node.h"

#include <assert.h>
#include <stdlib.h>

/* One that waits until no reader is at its run. */
struct tail_settle {
    struct work work; /* to call back later, never from within */
    struct indexer *indexer;
    struct run_key run;
    void (*on_settled)(void *data);
    void *data;
    struct list list;
};

static bool tails_at(const struct tails *tails, const struct run_key *run)
{
    list_for_each (at, &tails->list) {
        const struct tail *tail = container_of(at, struct tail, list);
        if (tail->reading && tail->reader.run != NULL && run_key_compare(&tail->reader.run->run, run) == 0)
            return true;
    }
    return false;
}

static void settle_run(struct work *work)
{
    work->status = STATUS_OK;
}

static void settle_on_done(struct work *work)
{
    struct tail_settle *settle = container_of(work, struct tail_settle, work);

    settle->on_settled(settle->data);
    free(settle);
}

void tails_check_settled(struct tails *tails)
{
    list_for_each_safe (at, after, &tails->settles) {
        struct tail_settle *settle = container_of(at, struct tail_settle, list);
        if (tails_at(tails, &settle->run))
            continue;
        list_remove(&settle->list);
        work_start(settle->indexer->loop, &settle->work, settle_run, settle_on_done);
    }
}

void tails_settle(struct indexer *indexer, const struct run_key *run,
                  void (*on_settled)(void *data), void *data)
{
    struct tail_settle *settle = calloc(1, sizeof *settle);

    assert(settle != NULL);
    settle->indexer = indexer;
    settle->run = *run;
    settle->on_settled = on_settled;
    settle->data = data;
    if (indexer->tails == NULL) { /* stopping: nobody reads */
        list_init(&settle->list);
        work_start(indexer->loop, &settle->work, settle_run, settle_on_done);
        return;
    }
    list_append(&indexer->tails->settles, &settle->list);
    tails_check_settled(indexer->tails);
}
