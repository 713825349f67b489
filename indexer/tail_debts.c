/* tail_debts.c: what was written by a tail that ended before it could look at its cursor again.
 *
 * A batch that fails may be in the catalog in part, or wholly, or be there only later. The tail that goes on finds out by its next cursor,
 * written by compare and set. One that ends, mostly because it lost its lease while the database did not answer, leaves a debt behind:
 * the cursor is looked at, again and again until the database answers, and set back if somebody else has moved it meanwhile, so that he reads
 * what he did in between once more. A debt a run and node; a process that ends tries each once, and leaves the rest to the next sweep. */
#include "indexer/tail_node.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

struct tail_debt {
    struct tails *tails;
    struct catalog_cursor was;
    bool whole, trying, closing;
    uint64_t retry_ms;
    uv_timer_t timer;
    struct work work;
    struct list list;
};

static void debt_on_closed(uv_handle_t *handle)
{
    struct tail_debt *debt = handle->data;
    struct tails *tails = debt->tails;

    list_remove(&debt->list);
    free(debt);
    tails_stop_if_idle(tails);
}

static void debt_close(struct tail_debt *debt)
{
    debt->closing = true;
    uv_close((uv_handle_t *)&debt->timer, debt_on_closed);
}

static void debt_run(struct work *work)
{
    struct tail_debt *debt = container_of(work, struct tail_debt, work);

    work->status = catalog_cursor_check(debt->tails->indexer->catalog, &debt->was, debt->whole,
                                        &work->err);
}

static void debt_try(struct tail_debt *debt);

static void debt_on_timer(uv_timer_t *timer)
{
    debt_try(timer->data);
}

static void debt_on_done(struct work *work)
{
    struct tail_debt *debt = container_of(work, struct tail_debt, work);
    bool settled = work->status == STATUS_OK || work->status == STATUS_CONFLICT;

    debt->trying = false;
    if (!settled && debt->tails->on_stopped == NULL) {
        debt->retry_ms = tail_retry_after(debt->retry_ms);
        uv_timer_start(&debt->timer, debt_on_timer, debt->retry_ms, 0);
        return;
    }
    if (work->status == STATUS_CONFLICT)
        log_msg(LOG_INFO, "tail.debt", "node %s: %s", debt->was.node, work->err.text);
    else if (!settled)
        log_msg(LOG_WARN, "tail.debt",
                "node %s: what may have been written late of %s is left to the next sweep: %s",
                debt->was.node, debt->was.run.source, work->err.text);
    debt_close(debt);
}

static void debt_try(struct tail_debt *debt)
{
    debt->trying = true;
    error_init(&debt->work.err);
    work_start(debt->tails->indexer->loop, &debt->work, debt_run, debt_on_done);
}

/* One there already reaches back further: the tails of a node come one after the other. One that is being tried is the pool's to read, and
 * perhaps too old. */
static bool debt_there(const struct tails *tails, const struct catalog_cursor *was, bool whole)
{
    list_for_each (at, &tails->debts) {
        struct tail_debt *debt = container_of(at, struct tail_debt, list);
        if (debt->closing || debt->trying || strcmp(debt->was.node, was->node) != 0 ||
            run_key_compare(&debt->was.run, &was->run) != 0 || debt->was.journal_id != was->journal_id)
            continue;
        debt->whole = debt->whole || whole;
        return true;
    }
    return false;
}

void tail_debt_add(struct indexer *indexer, const struct catalog_cursor *was, bool whole)
{
    struct tails *tails = indexer->tails;

    if (debt_there(tails, was, whole))
        return;
    struct tail_debt *debt = calloc(1, sizeof *debt);
    assert(debt != NULL);
    debt->tails = tails;
    debt->was = *was;
    debt->whole = whole;
    uv_timer_init(indexer->loop, &debt->timer);
    debt->timer.data = debt;
    list_append(&tails->debts, &debt->list);
    debt_try(debt);
}

void tail_debts_stop(struct tails *tails)
{
    list_for_each_safe (at, after, &tails->debts) {
        struct tail_debt *debt = container_of(at, struct tail_debt, list);
        if (debt->trying || debt->closing)
            continue;
        uv_timer_stop(&debt->timer);
        debt_try(debt);
    }
}

/* --- a run's --- */

void tail_run_owes(struct tail_reader *reader)
{
    struct tail_run *run = reader->run;

    if (!reader->wrote) {
        run->owes = false;
        return;
    }
    if (!run->owes)
        run->owed = tail_window_cursor_now(reader);
    run->owes = true;
    run->owes_whole = reader->whole;
}

void tail_run_leave_debt(struct tail *tail, struct tail_run *run)
{
    if (run->owes)
        tail_debt_add(tail->indexer, &run->owed, run->owes_whole);
    run->owes = false;
}
