/* tail_reader.c: read one run's journal on one node from the cursor to its end.
 *
 *     STATE -> RECONCILE -> READ -> TAKE -> (room for a batch, which goes its own way: tail_window.c) -> TAKE ...
 *                            ^       |  \-> REMOVE (nothing under way) -> COVER -> TAKE ...
 *                            |       v
 *                            '---- (chunk used up) -> FINISH (the end, nothing under way) -> SETTLE -> DONE
 *
 * Invariants: the cursor in the catalog never passes a record whose effect is not in the catalog. A removal comes after
 * all records in front of it, and before all behind it. What the listing does not name is removed before anything is read. A run whose
 * state forbids it (retired, purged, another incarnation) is left between two batches, never within one. The machine ends
 * only when nothing of it is under way. After any failure the journal is scanned anew from its beginning: records before the
 * cursor are only looked at for their files. */
#include "indexer/tail_node.h"

#include "indexer/run_state.h"
#include "indexer/share.h"
#include "proto/base/clock.h"

#include <inttypes.h>

enum {
    READER_TIMEOUT_MS = 60000,
    READER_CHUNK_SIZE_MAX = 64 << 20,
};

enum reader_step {
    READER_STATE,
    READER_RECONCILE,
    READER_READ,
    READER_TAKE,
    READER_REMOVE,
    READER_COVER,
    READER_FINISH,
    READER_LEAVE,
    READER_SETTLE,
    READER_DONE
};

static bool reader_has_news(const struct tail_run *run)
{
    if (run->unsure)
        return false;
    if (run->listed && !run->weighed)
        return true; /* also of a run that the node only knows by name: purged here, or reopened behind its back */
    if (run->journal_id == 0)
        return run->has_cursor || run->stale;
    if (run->skipped)
        return false;
    return run->stale || !tail_cursor_holds(run) || !run->cursor.complete ||
           run->cursor.record < run->records;
}

void tail_reader_lost(struct tail_reader *reader)
{
    struct tail_run *run = reader->run;

    run->has_cursor = false;
    run->unsure = true;
    run->touched_ns = 0;
    run->stale = true;
    run->generation++;
    share_look(reader->tail->indexer);
}

bool tail_reader_overtaken(const struct tail_reader *reader)
{
    return reader->generation != reader->run->generation || reader->tail->stopping;
}

static struct tail_reader *reader_of(struct fsm *fsm)
{
    return container_of(fsm, struct tail_reader, fsm);
}

static enum fsm_next reader_leave_now(struct tail_reader *reader)
{
    tail_run_rescan(reader->run);
    return fsm_go(&reader->fsm, READER_LEAVE);
}

/* Between two batches: is the run still one to be read? */
static bool reader_may_go_on(struct tail_reader *reader)
{
    struct tail_run *run = reader->run;

    if (tail_reader_overtaken(reader))
        return false;
    if (run_state_takes(reader->tail->indexer, &run->run, run->info.incarnation))
        return true;
    run->skipped = true;
    return false;
}

/* --- STATE --- */

static void reader_on_known(void *data, enum status status)
{
    struct tail_reader *reader = data;
    struct error err;

    error_init(&err);
    if (status != STATUS_OK)
        error_set(&err, status, "the state of %s: %s", reader->run->name, status_title(status));
    fsm_resume(&reader->fsm, status, &err);
}

static enum fsm_next reader_state(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);

    if (!reader->run->listed || reader->run->weighed)
        return fsm_go(fsm, READER_RECONCILE);
    reader->run->weighed = true;
    run_state_seen(reader->tail->indexer, reader->tail->url, &reader->run->run, &reader->run->info,
                   reader_on_known, reader);
    return fsm_wait(fsm, 1, READER_RECONCILE);
}

/* --- RECONCILE: what the listing does not have goes before anything else --- */

static enum fsm_next reader_reconcile(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_run *run = reader->run;
    enum reader_step next = reader->journal_id == 0 ? READER_SETTLE : READER_READ;

    if (tail_reader_overtaken(reader) || (reader->journal_id != 0 && !reader_may_go_on(reader)))
        return reader_leave_now(reader);
    /* A cursor of another journal is worth nothing: it goes with the locations that the new one does not name. */
    reader->run_gone = run->has_cursor && (reader->journal_id == 0 || !tail_cursor_holds(run));
    if (!run->stale && !reader->run_gone)
        return fsm_go(fsm, next);
    tail_reconcile(reader);
    return fsm_wait(fsm, 1, next);
}

/* --- READ --- */

static void reader_close_request(struct tail_reader *reader)
{
    if (reader->request_open)
        node_request_fini(&reader->request);
    reader->request_open = false;
    reader->records = NULL;
    reader->records_count = reader->at = 0;
}

static void reader_on_chunk(struct node_request *request, enum status status, const struct error *err)
{
    struct tail_reader *reader = container_of(request, struct tail_reader, request);

    if (status == STATUS_OK) {
        reader->records = request->transfer.answer.data;
        reader->records_count = request->transfer.answer.size / JOURNAL_RECORD_SIZE;
        reader->at = 0;
        reader->first = reader->run->scanned;
    }
    reader->request_sent = false;
    fsm_resume(&reader->fsm, status, err);
}

void tail_reader_cancel(struct tail *tail)
{
    if (tail->reader.request_sent)
        node_request_cancel(&tail->reader.request);
}

static enum fsm_next reader_read(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_run *run = reader->run;
    char base_time[BASE_TIME_TEXT_SIZE], check[24] = "";

    reader_close_request(reader);
    if (tail_reader_overtaken(reader))
        return reader_leave_now(reader);
    if (tail_cursor_holds(run) && run->cursor.complete && run->cursor.record >= run->records)
        return fsm_go(fsm, READER_SETTLE);
    if (run->scanned >= run->records)
        return fsm_go(fsm, READER_FINISH);
    base_time_print(run->run.base_time, base_time);
    if (run->scanned > 0)
        snprintf(check, sizeof check, "&check=%" PRIu32, reader->run->check);
    node_request_init(&reader->request, reader->tail->indexer);
    reader->request_open = reader->request_sent = true;
    reader->request.transfer.answer_max = READER_CHUNK_SIZE_MAX;
    node_request_start(&reader->request, "GET", reader->tail->url, READER_TIMEOUT_MS, reader_on_chunk,
                       "/cluster/journal/%s/%s?journal=%016" PRIx64 "&from=%" PRIu64 "%s",
                       run->run.source, base_time, reader->journal_id, run->scanned, check);
    return fsm_wait(fsm, 1, READER_TAKE);
}

/* --- TAKE: records in order, until something has to be done with them --- */

static enum fsm_next reader_ends_early(struct tail_reader *reader)
{
    const struct tail_run *run = reader->run;
    struct error err;

    error_init(&err);
    error_set(&err, STATUS_MALFORMED,
              "journal of %s: the listing has %" PRIu64 " records, the journal ends at %" PRIu64,
              run->name, run->records, run->scanned);
    return fsm_fail(&reader->fsm, STATUS_MALFORMED, &err);
}

static enum fsm_next reader_take(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_slot *slot;
    struct error err;

    if (!reader_may_go_on(reader))
        return reader_leave_now(reader);
    if (reader->records_count == 0)
        return reader_ends_early(reader);
    if (reader->at == reader->records_count)
        return fsm_go(fsm, READER_READ);
    slot = tail_window_free(reader);
    if (slot == NULL)
        return tail_window_wait(reader, TAIL_WINDOW_ROOM, READER_TAKE);
    error_init(&err);
    enum status status = tail_records_take(reader, slot, &err);
    if (status != STATUS_OK)
        return fsm_fail(fsm, status, &err);
    if (reader->removes || reader->bad_count > 0)
        return tail_window_wait(reader, TAIL_WINDOW_IDLE, READER_REMOVE);
    tail_window_put(reader);
    return fsm_go(fsm, READER_TAKE);
}

/* --- REMOVE: a file was dropped, or messages are bad; all in front of it is done --- */

static enum fsm_next reader_remove(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);

    if (!reader_may_go_on(reader))
        return reader_leave_now(reader);
    tail_remove(reader);
    return fsm_wait(fsm, 1, READER_COVER);
}

static enum fsm_next reader_cover(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);

    if (!reader_may_go_on(reader))
        return reader_leave_now(reader);
    tail_window_free(reader)->batch.count = 0; /* nothing is under way, so there is room */
    tail_window_put(reader);
    return fsm_go(fsm, READER_TAKE);
}

/* --- FINISH: a first reading is at its end: what it did not name goes --- */

static enum fsm_next reader_finish(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    const struct tail_run *run = reader->run;

    if (!tail_window_idle(reader))
        return tail_window_wait(reader, TAIL_WINDOW_IDLE, READER_FINISH);
    if (tail_reader_overtaken(reader))
        return reader_leave_now(reader);
    if (tail_cursor_holds(run) && run->cursor.complete)
        return fsm_go(fsm, READER_SETTLE);
    tail_finish(reader);
    return fsm_wait(fsm, 1, READER_SETTLE);
}

/* --- LEAVE: the run is not read on; whose the cursor is now is looked at --- */

static void reader_check_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);
    work->status = catalog_cursor_check(reader->tail->indexer->catalog, &reader->cursor_was,
                                        reader->whole, &work->err);
}

static void reader_on_checked(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    if (work->status == STATUS_CONFLICT)
        tail_reader_lost(reader);
    if (work->status == STATUS_OK || work->status == STATUS_CONFLICT)
        reader->wrote = false;
    fsm_resume(&reader->fsm, work->status, &work->err);
}

static enum fsm_next reader_leave(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);

    if (!tail_window_idle(reader))
        return tail_window_wait(reader, TAIL_WINDOW_IDLE, READER_LEAVE);
    if (!reader->wrote)
        return fsm_go(fsm, READER_SETTLE);
    reader->cursor_was = tail_window_cursor_now(reader);
    work_start(reader->tail->indexer->loop, &reader->work, reader_check_run, reader_on_checked);
    return fsm_wait(fsm, 1, READER_SETTLE);
}

/* --- SETTLE: also where failures go: what is under way comes back first --- */

static enum fsm_next reader_settle(struct fsm *fsm)
{
    return tail_window_wait(reader_of(fsm), TAIL_WINDOW_IDLE, READER_DONE);
}

/* --- DONE --- */

/* The run waits, so that one that can't be read keeps no other waiting. */
static void reader_failed(struct tail_reader *reader)
{
    struct tail *tail = reader->tail;
    struct tail_run *run = reader->run;
    const struct fsm *fsm = &reader->fsm;

    tail_run_rescan(run);
    run->weighed = false; /* perhaps that was what failed */
    if (fsm->status == STATUS_JOURNAL_CHANGED || fsm->status == STATUS_NOT_FOUND) {
        tail->seq[0] = '\0'; /* the next poll lists all anew */
        tail->relist = tail->polling;
    }
    run->retry_ms = tail_retry_after(run->retry_ms);
    run->not_before_ms = clock_monotonic_ms() + run->retry_ms;
    if (!tail->stopping)
        tail_trouble(tail, &fsm->err);
}

static enum fsm_next reader_done(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail *tail = reader->tail;
    struct tail_run *run = reader->run;

    reader_close_request(reader);
    tail_keep_free(reader);
    tail_run_owes(reader);
    if (fsm->status != STATUS_OK) {
        reader_failed(reader);
    } else {
        run->retry_ms = run->not_before_ms = 0;
        if (tail->reachable)
            tail_well(tail);
    }
    if (fsm->status == STATUS_OK && run->journal_id == 0 && !run->listed && !reader_has_news(run))
        tail_run_free(tail, run);
    reader->run = NULL;
    tail->reading = false;
    tails_check_settled(tail->indexer->tails);
    tail_pump(tail);
    return FSM_END;
}

#define TO(step) (1u << READER_##step)
static const struct fsm_step reader_steps[] = {
    [READER_STATE] = { "state", reader_state, TO(RECONCILE) },
    [READER_RECONCILE] = { "reconcile", reader_reconcile, TO(READ) | TO(LEAVE) | TO(SETTLE) },
    [READER_READ] = { "read", reader_read, TO(TAKE) | TO(FINISH) | TO(LEAVE) | TO(SETTLE) },
    [READER_TAKE] = { "take", reader_take, TO(TAKE) | TO(READ) | TO(REMOVE) | TO(LEAVE) },
    [READER_REMOVE] = { "remove", reader_remove, TO(COVER) | TO(LEAVE) },
    [READER_COVER] = { "cover", reader_cover, TO(TAKE) | TO(LEAVE) },
    [READER_FINISH] = { "finish", reader_finish, TO(FINISH) | TO(LEAVE) | TO(SETTLE) },
    [READER_LEAVE] = { "leave", reader_leave, TO(LEAVE) | TO(SETTLE) },
    [READER_SETTLE] = { "settle", reader_settle, TO(DONE) },
    [READER_DONE] = { "done", reader_done, 0 },
};

static void reader_start(struct tail *tail, struct tail_run *run)
{
    struct tail_reader *reader = &tail->reader;

    tail->reading = true;
    reader->tail = tail;
    reader->run = run;
    reader->wrote = run->owes;
    reader->whole = run->owes && run->owes_whole;
    reader->generation = run->generation;
    reader->journal_id = run->journal_id;
    if (!tail_cursor_holds(run) && run->scanned > 0)
        tail_run_rescan(run);
    tail_window_init(reader);
    fsm_start(&reader->fsm, "tail", reader_steps, ARRAY_COUNT(reader_steps), READER_STATE, READER_SETTLE);
}

static void reader_on_again(uv_timer_t *timer)
{
    tail_pump(timer->data);
}

void tail_reader_next(struct tail *tail)
{
    uint64_t now = clock_monotonic_ms(), next = UINT64_MAX;

    for (struct tail_run *run = tail->runs; run != NULL; run = run->hh.next) {
        if (!reader_has_news(run))
            continue;
        if (run->not_before_ms <= now) {
            reader_start(tail, run);
            return;
        }
        next = run->not_before_ms < next ? run->not_before_ms : next;
    }
    if (next != UINT64_MAX)
        uv_timer_start(&tail->again, reader_on_again, next - now, 0);
}
