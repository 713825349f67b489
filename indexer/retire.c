/* retire.c: runs past retention: records first, grace, then the nodes; one machine a run.
 *
 *     TELL -> REMOVE -> GRACE -> DELETE -> AGAIN -> PURGED -> END
 *
 * The number of the step that is begun is kept with the run before anything of it is done, so a crash goes on there; every step may be
 * done twice. A node that did not answer TELL or DELETE is told what holds as soon as it shows a lower state. An undo ends the
 * machine between two of its moves, up to GRACE. When the database does not answer, the step is tried again. */
#include "indexer/retire.h"

#include "indexer/census.h"
#include "indexer/map_authority.h"
#include "indexer/run_tell.h"
#include "indexer/share.h"
#include "indexer/tail.h"
#include "proto/base/clock.h"
#include "proto/base/fsm.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

enum {
    RETIRE_BATCH = 20000, /* documents deleted at once, so that others get their turn; fewer cost a round trip each */
    RETIRE_RETRY_MS = 1000,
    RETIRE_MAP_MS = 100,
    RETIRE_WAIT_MS_MAX = 1000, /* the grace is waited for in pieces: wall time may jump */
};

enum retire_move {
    MOVE_LEASE,
    MOVE_KEEP,
    MOVE_TELL,
    MOVE_SETTLE,
    MOVE_REMOVE,
    MOVE_GRACE,
    MOVE_DELETE,
    MOVE_AGAIN,
    MOVE_PURGED,
    MOVE_RETRY,
    MOVE_END
};

struct retire {
    struct fsm fsm;
    struct indexer *indexer;
    struct catalog_run run;
    unsigned step; /* enum retire_step */
    enum retire_move after_keep;
    struct work work;
    char lease[LEASE_NAME_SIZE_MAX + 1], owner[64];
    bool leased;
    size_t removed;
    uint64_t started_ms;
    uv_timer_t timer;
    void (*on_ended)(void *data, bool undone); /* of an undo */
    void *data;
    struct list list;
};

static struct list retire_all = { &retire_all, &retire_all };
static void (*retire_on_stopped)(struct indexer *indexer);

static struct retire *retire_of(struct fsm *fsm)
{
    return container_of(fsm, struct retire, fsm);
}

/* The run is as this machine knows it: retired, and by the same change. */
static bool retire_holds(const struct retire *retire, const struct run_info *now)
{
    return now->state == RUN_RETIRED && run_info_compare(now, &retire->run.info) == 0;
}

/* Undone, here or by another indexer, or the indexer stops: between two moves the machine leaves. */
static bool retire_leaves(const struct retire *retire)
{
    struct catalog_run now;

    if (run_state_get(retire->indexer, &retire->run.run, &now) && !retire_holds(retire, &now.info))
        return true;
    return retire->indexer->draining || (retire->on_ended != NULL && retire->step <= RETIRE_GRACE);
}

static void retire_on_status(void *data, enum status status)
{
    struct retire *retire = data;
    fsm_resume(&retire->fsm, status, NULL);
}

static void retire_on_timer(uv_timer_t *timer)
{
    struct retire *retire = timer->data;
    fsm_resume(&retire->fsm, STATUS_OK, NULL);
}

/* --- LEASE: one indexer at a time; and how far the one before came --- */

static void retire_lease_run(struct work *work)
{
    struct retire *retire = container_of(work, struct retire, work);
    struct catalog *catalog = retire->indexer->catalog;
    struct catalog_run stored;
    char holder[64];

    work->status = catalog_lease_take(catalog, retire->lease, retire->owner,
                                      retire->indexer->settings->lease_ms, holder, &work->err);
    retire->leased = work->status == STATUS_OK;
    if (work->status == STATUS_OK)
        work->status = catalog_run_get(catalog, &retire->run.run, &stored, &work->err);
    if (work->status == STATUS_OK && !retire_holds(retire, &stored.info))
        work->status = error_set(&work->err, STATUS_CONFLICT, "it is not retired any more");
    if (work->status == STATUS_OK && stored.step >= RETIRE_TELL && stored.step <= RETIRE_PURGED) {
        retire->step = stored.step;
        retire->run = stored;
    }
}

static enum retire_move retire_first_move(unsigned step);

static void retire_on_lease(struct work *work)
{
    struct retire *retire = container_of(work, struct retire, work);

    retire->after_keep = retire_first_move(retire->step);
    fsm_resume(&retire->fsm, work->status, &work->err);
}

static enum fsm_next retire_lease(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);
    char name[RUN_TEXT_SIZE];

    if (retire_leaves(retire))
        return fsm_go(fsm, MOVE_END);
    if (!catalog_is_shared(retire->indexer->catalog))
        return fsm_go(fsm, MOVE_KEEP);    /* there is no other */
    if (retire->indexer->share == NULL) { /* at the start */
        uv_timer_start(&retire->timer, retire_on_timer, RETIRE_MAP_MS, 0);
        return fsm_wait(fsm, 1, MOVE_LEASE);
    }
    run_key_print(&retire->run.run, name);
    snprintf(retire->owner, sizeof retire->owner, "%s", share_owner(retire->indexer));
    snprintf(retire->lease, sizeof retire->lease, "retire/%s", name);
    error_init(&retire->work.err);
    work_start(retire->indexer->loop, &retire->work, retire_lease_run, retire_on_lease);
    return fsm_wait(fsm, 1, MOVE_KEEP);
}

/* --- KEEP: the step that begins now is written --- */

static enum fsm_next retire_begin(struct retire *retire, enum retire_step step, enum retire_move move)
{
    retire->step = step;
    retire->after_keep = move;
    return fsm_go(&retire->fsm, MOVE_KEEP);
}

static enum fsm_next retire_keep(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    if (retire_leaves(retire))
        return fsm_go(fsm, MOVE_END);
    if (map_authority_map(retire->indexer) == NULL) { /* after a start: nobody could be told */
        uv_timer_start(&retire->timer, retire_on_timer, RETIRE_MAP_MS, 0);
        return fsm_wait(fsm, 1, MOVE_KEEP);
    }
    run_state_step(retire->indexer, &retire->run, retire->step, retire_on_status, retire);
    return fsm_wait(fsm, 1, retire->after_keep);
}

/* --- TELL: no node takes appends any more --- */

static void retire_on_told(void *data, unsigned failed)
{
    struct retire *retire = data;

    (void)failed;
    fsm_resume(&retire->fsm, STATUS_OK, NULL);
}

static enum fsm_next retire_tell(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    run_tell_all(retire->indexer, RUN_TELL_STATE, &retire->run.run, &retire->run.info,
                 retire_on_told, retire);
    return fsm_wait(fsm, 1, MOVE_SETTLE);
}

/* --- SETTLE: no tail is at the run --- */

static void retire_on_settled(void *data)
{
    struct retire *retire = data;
    fsm_resume(&retire->fsm, STATUS_OK, NULL);
}

static enum fsm_next retire_settle(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    if (retire->step < RETIRE_REMOVE)
        retire->step = RETIRE_REMOVE;
    tails_settle(retire->indexer, &retire->run.run, retire_on_settled, retire);
    return fsm_wait(fsm, 1, MOVE_REMOVE);
}

/* --- REMOVE: a batch of records --- */

/* CONFLICT: the run is not retired any more, says the catalog, or by another change. */
static enum status retire_check(const struct retire *retire, struct error *err)
{
    struct catalog_run stored;
    enum status status = catalog_run_get(retire->indexer->catalog, &retire->run.run, &stored, err);

    if (status == STATUS_NOT_FOUND || (status == STATUS_OK && !retire_holds(retire, &stored.info)))
        return error_set(err, STATUS_CONFLICT, "it is not retired any more");
    return status;
}

static void retire_remove_run(struct work *work)
{
    struct retire *retire = container_of(work, struct retire, work);

    work->status = retire_check(retire, &work->err);
    if (work->status != STATUS_OK)
        return;
    work->status = catalog_remove_run(retire->indexer->catalog, &retire->run.run,
                                      retire->run.info.incarnation, RETIRE_BATCH, &retire->removed,
                                      &work->err);
    if (work->status == STATUS_OK)
        work->status = retire_check(retire, &work->err);
    /* Undone by another indexer while this one slept over its removal: the run is read again, from every node. */
    if (work->status == STATUS_CONFLICT &&
        catalog_cursor_remove(retire->indexer->catalog, NULL, &retire->run.run, &work->err) != STATUS_OK)
        work->status = work->err.status;
}

static void retire_on_removed(struct work *work)
{
    struct retire *retire = container_of(work, struct retire, work);

    census_touch(retire->indexer, &retire->run.run);
    fsm_resume(&retire->fsm, work->status, &work->err);
}

static enum fsm_next retire_remove(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    if (retire_leaves(retire))
        return fsm_go(fsm, MOVE_END);
    if (retire->removed < RETIRE_BATCH) {
        retire->removed = RETIRE_BATCH;
        if (retire->step == RETIRE_REMOVE)
            return retire_begin(retire, RETIRE_GRACE, MOVE_GRACE);
        return retire_begin(retire, RETIRE_PURGED, MOVE_PURGED);
    }
    error_init(&retire->work.err);
    work_start(retire->indexer->loop, &retire->work, retire_remove_run, retire_on_removed);
    return fsm_wait(fsm, 1, MOVE_REMOVE);
}

/* --- GRACE: who holds a record may still read by it --- */

static enum fsm_next retire_grace(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);
    uint64_t waited_ms = clock_monotonic_ms() - retire->started_ms;
    uint64_t wall_us = clock_wall_us();

    if (retire_leaves(retire))
        return fsm_go(fsm, MOVE_END);
    /* After a restart the wall clock tells what of the grace is over; a clock that jumped ahead only shortens it, one that jumped
     * back can't make it longer than the grace itself. */
    bool over = waited_ms >= retire->run.grace_ms ||
                (wall_us > retire->run.retired_at_us &&
                 (wall_us - retire->run.retired_at_us) / 1000 >= retire->run.grace_ms);
    if (over)
        return retire_begin(retire, RETIRE_DELETE, MOVE_DELETE);
    uint64_t left_ms = retire->run.grace_ms - waited_ms;
    uv_timer_start(&retire->timer, retire_on_timer,
                   left_ms < RETIRE_WAIT_MS_MAX ? left_ms : RETIRE_WAIT_MS_MAX, 0);
    return fsm_wait(fsm, 1, MOVE_GRACE);
}

/* --- DELETE, then the records once more --- */

static enum fsm_next retire_delete(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    run_tell_all(retire->indexer, RUN_DELETE, &retire->run.run, &retire->run.info, retire_on_told, retire);
    return fsm_wait(fsm, 1, MOVE_AGAIN);
}

/* Written down before the last removal begins: whoever brings documents from then on sees it, and takes them away himself (run_guard.c); what came
 * before goes now. */
static enum fsm_next retire_again(struct fsm *fsm)
{
    return retire_begin(retire_of(fsm), RETIRE_AGAIN, MOVE_SETTLE);
}

static enum fsm_next retire_purged(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    run_state_purged(retire->indexer, &retire->run.run, retire_on_status, retire);
    return fsm_wait(fsm, 1, MOVE_END);
}

/* --- RETRY: the database did not answer --- */

/* Where a step begins: after a failure, and after a restart. */
static enum retire_move retire_first_move(unsigned step)
{
    static const enum retire_move first[] = {
        [RETIRE_TELL] = MOVE_TELL,     [RETIRE_REMOVE] = MOVE_SETTLE, [RETIRE_GRACE] = MOVE_GRACE,
        [RETIRE_DELETE] = MOVE_DELETE, [RETIRE_AGAIN] = MOVE_SETTLE,  [RETIRE_PURGED] = MOVE_PURGED,
    };
    return first[step];
}

static enum fsm_next retire_retry(struct fsm *fsm)
{
    struct retire *retire = retire_of(fsm);

    bool moved_on = fsm->status == STATUS_CONFLICT; /* undone, or purged, by another indexer: not ours any more */
    if (!moved_on)
        log_msg(LOG_WARN, "retire.retry", "%s", fsm->err.text);
    fsm->status = STATUS_OK;
    fsm->failed = false;
    if (moved_on || retire_leaves(retire))
        return fsm_go(fsm, MOVE_END);
    retire->removed = RETIRE_BATCH;
    retire->after_keep = retire_first_move(retire->step);
    uv_timer_start(&retire->timer, retire_on_timer, RETIRE_RETRY_MS, 0);
    return fsm_wait(fsm, 1, MOVE_LEASE);
}

/* --- END --- */

static void retire_on_closed(uv_handle_t *handle)
{
    struct retire *retire = handle->data;
    struct indexer *indexer = retire->indexer;
    void (*on_ended)(void *, bool) = retire->on_ended;
    void *data = retire->data;
    bool undone = retire->step <= RETIRE_GRACE;
    const struct catalog_run was = retire->run;
    struct catalog_run now;

    list_remove(&retire->list);
    if (retire->leased)
        share_give_back(indexer, retire->lease);
    free(retire);
    if (on_ended != NULL)
        on_ended(data, undone);
    else if (!indexer->draining && run_state_get(indexer, &was.run, &now) &&
             now.info.state == RUN_RETIRED && run_info_compare(&now.info, &was.info) != 0)
        retire_start(indexer, &now); /* undone and retired again while this one was at work */
    if (retire_on_stopped != NULL && list_empty(&retire_all))
        retire_on_stopped(indexer);
}

static enum fsm_next retire_end(struct fsm *fsm)
{
    uv_close((uv_handle_t *)&retire_of(fsm)->timer, retire_on_closed);
    return FSM_END;
}

#define TO(move) (1u << MOVE_##move)
static const struct fsm_step retire_moves[] = {
    [MOVE_LEASE] = { "lease", retire_lease, TO(LEASE) | TO(KEEP) | TO(END) },
    [MOVE_KEEP] = { "keep", retire_keep,
                    TO(KEEP) | TO(TELL) | TO(SETTLE) | TO(GRACE) | TO(DELETE) | TO(PURGED) | TO(END) },
    [MOVE_TELL] = { "tell", retire_tell, TO(SETTLE) },
    [MOVE_SETTLE] = { "settle", retire_settle, TO(REMOVE) },
    [MOVE_REMOVE] = { "remove", retire_remove, TO(REMOVE) | TO(KEEP) | TO(END) },
    [MOVE_GRACE] = { "grace", retire_grace, TO(GRACE) | TO(KEEP) | TO(END) },
    [MOVE_DELETE] = { "delete", retire_delete, TO(AGAIN) },
    [MOVE_AGAIN] = { "again", retire_again, TO(KEEP) },
    [MOVE_PURGED] = { "purged", retire_purged, TO(END) },
    [MOVE_RETRY] = { "retry", retire_retry, TO(LEASE) | TO(END) },
    [MOVE_END] = { "end", retire_end, 0 },
};

static struct retire *retire_find(const struct run_key *run)
{
    list_for_each (at, &retire_all) {
        struct retire *retire = container_of(at, struct retire, list);
        if (run_key_compare(&retire->run.run, run) == 0)
            return retire;
    }
    return NULL;
}

void retire_start(struct indexer *indexer, const struct catalog_run *run)
{
    if (retire_find(&run->run) != NULL)
        return;
    struct retire *retire = calloc(1, sizeof *retire);
    assert(retire != NULL);
    retire->indexer = indexer;
    retire->run = *run;
    retire->step = run->step < RETIRE_TELL || run->step > RETIRE_PURGED ? RETIRE_TELL : run->step;
    retire->removed = RETIRE_BATCH;
    retire->started_ms = clock_monotonic_ms();
    uv_timer_init(indexer->loop, &retire->timer);
    retire->timer.data = retire;
    list_append(&retire_all, &retire->list);
    retire->after_keep = retire_first_move(retire->step);
    fsm_start(&retire->fsm, "retire", retire_moves, ARRAY_COUNT(retire_moves), MOVE_LEASE, MOVE_RETRY);
}

void retire_undo(struct indexer *indexer, const struct run_key *run,
                 void (*on_ended)(void *data, bool undone), void *data)
{
    struct retire *retire = retire_find(run);

    (void)indexer;
    if (retire == NULL || retire->step > RETIRE_GRACE || retire->on_ended != NULL) {
        on_ended(data, retire == NULL);
        return;
    }
    retire->on_ended = on_ended;
    retire->data = data;
}

void retire_stop_all(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    assert(indexer->draining); /* the machines see that and leave */
    retire_on_stopped = on_stopped;
    if (list_empty(&retire_all))
        on_stopped(indexer);
}
