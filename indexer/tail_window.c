/* tail_window.c: the batches of a reader that are under way at once, and the cursor that follows them.
 *
 *     free -> UNDER_WAY -> DONE -> (all before it are) -> free, behind `end`
 *                     \--> FAILED: nothing is started any more; all that are under way come back, then the reader hears of it
 *
 * Batches are additions, which may come to the catalog in any order (field_merge.c); a removal waits until nothing is under way, and what
 * comes behind it waits for it. The cursor is written up to `end` and never further, one write at a time: when nothing is under way any
 * more, and at the latest after TAIL_UNCOVERED_MAX records; while that many are not covered no batch begins. Whose run has
 * become another (tail_reader_overtaken()) writes no cursor.
 *
 * The replicas of a message lie in journals of several nodes, and what is decoded and written together costs half: so who is ahead of another
 * reader of the run, by the stamps of what was taken, has one batch under way until that one has come as far. Who stands still
 * is not waited for, and a first batch always begins. */
#include "indexer/tail_node.h"

#include "indexer/share.h"
#include "proto/base/clock.h"

#include <assert.h>

static struct tail_reader *reader_of(struct tail_window *window)
{
    return container_of(window, struct tail_reader, window);
}

static void window_advance(struct tail_reader *reader);

/* --- the cursor --- */

/* What was written while this process may have slept past its lease, or over a database that went back, is somebody else's to judge:
 * he reads again from where this reader began. */
struct catalog_cursor tail_window_cursor_now(const struct tail_reader *reader)
{
    struct catalog_cursor cursor = { .run = reader->run->run, .journal_id = reader->journal_id };

    if (reader->run->has_cursor)
        cursor = reader->run->cursor;
    snprintf(cursor.node, sizeof cursor.node, "%s", reader->tail->id);
    return cursor;
}

void tail_window_set_cursor(struct tail_reader *reader, uint64_t end, uint32_t check, bool complete)
{
    struct tail_run *run = reader->run;

    reader->cursor_was = tail_window_cursor_now(reader);
    reader->cursor = (struct catalog_cursor){
        .run = run->run,
        .journal_id = reader->journal_id,
        .record = end,
        .check = end > 0 ? check : 0,
        .complete = complete,
        .files = run->stale ? 0 : tail_files_hash(run),
    };
    snprintf(reader->cursor.node, sizeof reader->cursor.node, "%s", reader->tail->id);
    run->touched_ns = UINT64_MAX; /* under way */
}

void tail_window_put_cursor(struct tail_reader *reader, struct work *work)
{
    struct catalog *catalog = reader->tail->indexer->catalog;

    work->status = catalog_cursor_put(catalog, &reader->cursor, &reader->cursor_was, &work->err);
    if (work->status == STATUS_CONFLICT)
        work->status = catalog_cursor_check(catalog, &reader->cursor_was, reader->whole, &work->err);
}

void tail_window_cursor_is_put(struct tail_reader *reader, const struct work *work)
{
    const struct tail_window *window = &reader->window;
    struct tail_run *run = reader->run;

    run->touched_ns = uv_hrtime();
    if (work->status == STATUS_OK) {
        reader->wrote = window->count > 0 || window->status != STATUS_OK ||
                        window->end > reader->cursor.record;
        reader->whole = false; /* nobody else was here since the cursor before */
        if (reader->generation == run->generation) {
            run->cursor = reader->cursor;
            run->has_cursor = true;
        }
    } else if (work->status == STATUS_CONFLICT) {
        reader->wrote = false;
        tail_reader_lost(reader);
    }
}

static void window_cursor_run(struct work *work)
{
    struct tail_window *window = container_of(work, struct tail_window, work);

    tail_window_put_cursor(reader_of(window), work);
}

static void window_fail(struct tail_window *window, enum status status, const struct error *err)
{
    if (window->status != STATUS_OK)
        return;
    window->status = status;
    window->err = *err;
}

static void window_on_cursor(struct work *work)
{
    struct tail_window *window = container_of(work, struct tail_window, work);
    struct tail_reader *reader = reader_of(window);

    window->writing = false;
    tail_window_cursor_is_put(reader, work);
    if (work->status != STATUS_OK) {
        window->cursor_failed = true;
        window_fail(window, work->status, &work->err);
    }
    window_advance(reader);
}

static uint64_t window_uncovered(const struct tail_reader *reader)
{
    uint64_t covered = tail_cursor_holds(reader->run) ? reader->run->cursor.record : 0;

    return reader->window.end > covered ? reader->window.end - covered : 0;
}

/* Behind a failed batch what was done before it is covered, unless the database is what failed. */
static bool window_wants_cursor(const struct tail_reader *reader)
{
    const struct tail_window *window = &reader->window;
    uint64_t uncovered = window_uncovered(reader);

    if (window->writing || window->cursor_failed || uncovered == 0 || tail_reader_overtaken(reader) ||
        window->status == STATUS_UNREACHABLE || window->status == STATUS_TIMEOUT)
        return false;
    return window->count == 0 || window->status != STATUS_OK || uncovered >= TAIL_UNCOVERED_MAX / 2;
}

static void window_cover(struct tail_reader *reader)
{
    struct tail_window *window = &reader->window;
    const struct tail_run *run = reader->run;

    window->writing = true;
    tail_window_set_cursor(reader, window->end, window->check,
                           tail_cursor_holds(run) && run->cursor.complete);
    work_start(reader->tail->indexer->loop, &window->work, window_cursor_run, window_on_cursor);
}

/* --- the ring --- */

static struct tail_slot *window_slot(struct tail_window *window, unsigned at)
{
    return &window->slots[(window->first + at) % TAIL_WINDOW_MAX];
}

/* Whether the other node's reader comes to what this one had already, and goes on. */
static bool reader_follows(const struct tail_reader *other, const struct tail_reader *reader)
{
    return other != reader && run_key_compare(&other->run->run, &reader->run->run) == 0 &&
           other->front_us < reader->front_us && other->run->scanned < other->run->records &&
           clock_monotonic_ms() - other->front_ms < TAIL_COMPANY_MS;
}

static bool window_is_ahead(const struct tail_reader *reader)
{
    list_for_each (at, &reader->tail->indexer->tails->list) {
        const struct tail *tail = container_of(at, struct tail, list);
        if (tail->reading && reader_follows(&tail->reader, reader))
            return true;
    }
    return false;
}

/* A node's first batch always may begin; those ahead of it when there are not too many of all nodes. */
static bool window_has_room(const struct tail_reader *reader)
{
    const struct tail_window *window = &reader->window;

    return window->status == STATUS_OK && window->count < TAIL_WINDOW_MAX &&
           window_uncovered(reader) < TAIL_UNCOVERED_MAX &&
           (window->count == 0 ||
            (upserts_have_room(reader->tail->indexer) && !window_is_ahead(reader)));
}

bool tail_window_idle(const struct tail_reader *reader)
{
    const struct tail_window *window = &reader->window;

    return window->count == 0 && !window->writing;
}

static bool window_waits_for_slots(struct tail_window *window)
{
    for (unsigned i = 0; i < window->count; i++)
        if (window_slot(window, i)->state == TAIL_SLOT_UNDER_WAY)
            return true;
    return false;
}

static void window_tell(struct tail_reader *reader)
{
    struct tail_window *window = &reader->window;
    bool idle = tail_window_idle(reader);

    if (window->wait == TAIL_WINDOW_NOBODY ||
        (!idle && (window->wait == TAIL_WINDOW_IDLE || !window_has_room(reader))))
        return;
    window->wait = TAIL_WINDOW_NOBODY;
    fsm_resume(&reader->fsm, window->status, &window->err);
}

/* Something came back. The reader may be gone when it returns. */
static void window_advance(struct tail_reader *reader)
{
    struct tail_window *window = &reader->window;

    while (window->count > 0 && window_slot(window, 0)->state == TAIL_SLOT_DONE) {
        window->end = window_slot(window, 0)->end;
        window->check = window_slot(window, 0)->check;
        window->first = (window->first + 1) % TAIL_WINDOW_MAX;
        window->count--;
    }
    if (window->status != STATUS_OK && !window_waits_for_slots(window))
        window->count = 0; /* what is done behind a failure is done again */
    if (window_wants_cursor(reader))
        window_cover(reader);
    window_tell(reader);
}

static void window_on_batch(struct upsert_batch *batch, enum status status, const struct error *err)
{
    struct tail_slot *slot = container_of(batch, struct tail_slot, batch);
    struct tail_reader *reader = batch->user;

    slot->state = status == STATUS_OK ? TAIL_SLOT_DONE : TAIL_SLOT_FAILED;
    if (status == STATUS_STALE_RUN)
        share_look(reader->tail->indexer); /* the catalog knows more of the run's state than we do */
    if (status != STATUS_OK)
        window_fail(&reader->window, status, err);
    window_advance(reader);
}

/* --- the reader's side --- */

void tail_window_init(struct tail_reader *reader)
{
    struct tail_window *window = &reader->window;

    window->first = window->count = 0;
    window->end = 0;
    window->check = 0;
    window->writing = window->cursor_failed = false;
    window->status = STATUS_OK;
    window->wait = TAIL_WINDOW_NOBODY;
    error_init(&window->err);
    reader->front_us = 0;
    reader->front_ms = clock_monotonic_ms();
}

/* The reader has come further: those that were ahead of it may be so no more. */
static void window_tell_others(struct tail_reader *reader)
{
    list_for_each_safe (at, after, &reader->tail->indexer->tails->list) {
        struct tail *tail = container_of(at, struct tail, list);
        if (tail->reading && &tail->reader != reader && tail->reader.window.wait == TAIL_WINDOW_ROOM &&
            run_key_compare(&tail->reader.run->run, &reader->run->run) == 0)
            window_tell(&tail->reader);
    }
}

struct tail_slot *tail_window_free(struct tail_reader *reader)
{
    return window_has_room(reader) ? window_slot(&reader->window, reader->window.count) : NULL;
}

static void window_start(struct tail_reader *reader, struct tail_slot *slot)
{
    struct upsert_batch *batch = &slot->batch;

    batch->run = reader->run->run;
    batch->incarnation = reader->run->info.incarnation;
    batch->journal_id = reader->journal_id;
    snprintf(batch->node, sizeof batch->node, "%s", reader->tail->id);
    snprintf(batch->url, sizeof batch->url, "%s", reader->tail->url);
    batch->records = slot->records;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->records[i].stored_at_us > reader->front_us)
            reader->front_us = batch->records[i].stored_at_us;
    reader->front_ms = clock_monotonic_ms();
    batch->on_done = window_on_batch;
    batch->user = reader;
    reader->wrote = true;
    upsert_start(reader->tail->indexer, batch);
    window_tell_others(reader);
}

void tail_window_put(struct tail_reader *reader)
{
    struct tail_window *window = &reader->window;
    struct tail_slot *slot = window_slot(window, window->count);

    assert(window->count < TAIL_WINDOW_MAX && window->wait == TAIL_WINDOW_NOBODY);
    window->count++;
    slot->end = reader->run->scanned;
    slot->check = reader->run->check;
    slot->state = slot->batch.count > 0 ? TAIL_SLOT_UNDER_WAY : TAIL_SLOT_DONE;
    if (slot->state == TAIL_SLOT_UNDER_WAY)
        window_start(reader, slot);
    else
        window_advance(reader);
}

enum fsm_next tail_window_wait(struct tail_reader *reader, enum tail_window_wait wait, unsigned step)
{
    struct tail_window *window = &reader->window;

    if (tail_window_idle(reader)) {
        if (window->status != STATUS_OK && reader->fsm.step != reader->fsm.fail_step)
            return fsm_fail(&reader->fsm, window->status, &window->err);
        return fsm_go(&reader->fsm, step);
    }
    window->wait = wait;
    return fsm_wait(&reader->fsm, 1, step);
}
