/* tail_cursors.c: where each run is read from: as the catalog says at the start, and as it says later, when somebody else has changed it. */
#include "indexer/tail_node.h"

#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

/* --- cursors, loaded once --- */

static bool tail_load_one(void *data, const struct catalog_cursor *cursor)
{
    struct tail *tail = data;

    if (tail->loaded_count == tail->loaded_capacity) {
        tail->loaded_capacity = tail->loaded_capacity == 0 ? 64 : 2 * tail->loaded_capacity;
        tail->loaded = realloc(tail->loaded, tail->loaded_capacity * sizeof *tail->loaded);
        assert(tail->loaded != NULL);
    }
    tail->loaded[tail->loaded_count++] = *cursor;
    return true;
}

static void tail_load_run(struct work *work)
{
    struct tail *tail = container_of(work, struct tail, load);

    tail->loaded_count = 0;
    work->status = catalog_cursor_scan(tail->indexer->catalog, tail->id, tail_load_one, tail, &work->err);
}

static void tail_on_loaded(struct work *work)
{
    struct tail *tail = container_of(work, struct tail, load);

    tail->loading = false;
    if (work->status == STATUS_OK) {
        for (size_t i = 0; i < tail->loaded_count; i++) {
            struct tail_run *run = tail_run_make(tail, &tail->loaded[i].run);
            run->cursor = tail->loaded[i];
            run->has_cursor = true;
            run->stale = true; /* until a listing with the same files comes */
        }
        tail->cursors_known = true;
        tail->known_ns = uv_hrtime();
        tail->listed_once = tail->out; /* it lists nothing any more: all of it is absent */
    }
    free(tail->loaded);
    tail->loaded = NULL;
    tail->loaded_count = tail->loaded_capacity = 0;
    if (tail->stopping) {
        tail_stop_if_idle(tail);
        return;
    }
    if (work->status != STATUS_OK) {
        error_wrap(&work->err, "cursors");
        tail_trouble(tail, &work->err);
        tail_retry_later(tail);
    }
    tail_pump(tail);
}

void tail_load_cursors(struct tail *tail)
{
    tail->loading = true;
    error_init(&tail->load.err);
    work_start(tail->indexer->loop, &tail->load, tail_load_run, tail_on_loaded);
}

/* --- what the catalog has now: another indexer's, or an older database's --- */

static bool tail_cursor_known(const struct tail_run *run, const struct catalog_cursor *cursor)
{
    return !run->unsure && run->has_cursor && run->cursor.rev == cursor->rev &&
           run->cursor.journal_id == cursor->journal_id && run->cursor.record == cursor->record &&
           run->cursor.complete == cursor->complete;
}

/* Read on from there. cursor NULL: there is none. */
static void tail_take_cursor(struct tail *tail, struct tail_run *run, const struct catalog_cursor *cursor)
{
    if (!run->unsure)
        log_msg(LOG_INFO, "tail.cursor",
                "%s on %s: the index has it %s record %" PRIu64 ", not at %" PRIu64, run->name,
                tail->id, cursor == NULL ? "nowhere, from" : "at",
                cursor == NULL ? 0 : cursor->record, run->has_cursor ? run->cursor.record : 0);
    tail_run_leave_debt(tail, run);
    run->has_cursor = cursor != NULL;
    if (cursor != NULL)
        run->cursor = *cursor;
    run->generation++;
    tail_run_rescan(run);
    run->unsure = run->skipped = run->weighed = false;
    run->stale = true;
}

/* Whether what was read of the catalog since then may be older than what is known here. */
static bool tail_newer(const struct tail *tail, const struct tail_run *run, uint64_t started_ns)
{
    return (tail->reading && tail->reader.run == run) || run->touched_ns >= started_ns;
}

static void tail_refresh_one(struct tail *tail, const struct catalog_cursor *cursor, uint64_t started_ns)
{
    struct tail_run *run = tail_run_make(tail, &cursor->run);

    run->seen_ns = started_ns;
    if (!tail_newer(tail, run, started_ns) && !tail_cursor_known(run, cursor))
        tail_take_cursor(tail, run, cursor);
}

void tails_refresh(struct indexer *indexer, const struct catalog_cursor *cursors, size_t count,
                   uint64_t started_ns)
{
    if (indexer->tails == NULL)
        return;
    list_for_each_safe (at, after, &indexer->tails->list) {
        struct tail *tail = container_of(at, struct tail, list);
        if (!tail->cursors_known || tail->stopping || tail->known_ns >= started_ns)
            continue;
        for (size_t i = 0; i < count; i++)
            if (strcmp(cursors[i].node, tail->id) == 0)
                tail_refresh_one(tail, &cursors[i], started_ns);
        for (struct tail_run *run = tail->runs; run != NULL; run = run->hh.next)
            if ((run->has_cursor || run->unsure) && run->seen_ns != started_ns &&
                !tail_newer(tail, run, started_ns))
                tail_take_cursor(tail, run, NULL);
        tail_pump(tail);
    }
}

/* --- for run states --- */

/* A change to a run on every node that has it, then what follows from it. */
static void tails_change(struct indexer *indexer, const struct run_key *key,
                         void (*change)(struct tail_run *run))
{
    if (indexer->tails == NULL)
        return;
    list_for_each (at, &indexer->tails->list) {
        struct tail *tail = container_of(at, struct tail, list);
        struct tail_run *run = tail_find(tail, key);
        if (run == NULL)
            continue;
        change(run);
        tail_pump(tail);
    }
}

static void tail_change_reread(struct tail_run *run)
{
    run->generation++;
    run->has_cursor = run->skipped = false;
    tail_run_rescan(run);
}

static void tail_change_weigh(struct tail_run *run)
{
    run->weighed = run->skipped = false;
}

void tails_reread(struct indexer *indexer, const struct run_key *run)
{
    tails_change(indexer, run, tail_change_reread);
}

void tails_weigh(struct indexer *indexer, const struct run_key *run)
{
    tails_change(indexer, run, tail_change_weigh);
}
