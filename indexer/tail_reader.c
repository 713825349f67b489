/* tail_reader.c: read one run's journal on one node from the cursor to its end.
 *
 *     STATE -> RECONCILE -> READ -> TAKE -> BATCH  -> CURSOR -> TAKE ...
 *                            ^       |  \-> REMOVE -/
 *                            |       v
 *                            '---- (chunk used up) -> FINISH (the end) -> DONE
 *
 * Invariants: the cursor in the catalog never passes a record whose effect is not in the catalog. Records are acted on in
 * journal order. What the listing does not name is removed before anything is read. A run whose state forbids it
 * (retired, purged, another incarnation) is left between two batches, never within one. After any failure the journal
 * is scanned anew from its beginning: records before the cursor are only looked at for their files. */
#include "indexer/tail_node.h"

#include "indexer/census.h"
#include "indexer/run_state.h"
#include "indexer/share.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/node_api.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

enum {
    READER_TIMEOUT_MS = 60000,
    READER_CHUNK_SIZE_MAX = 64 << 20,
};

enum reader_step {
    READER_STATE,
    READER_RECONCILE,
    READER_READ,
    READER_TAKE,
    READER_BATCH,
    READER_REMOVE,
    READER_CURSOR,
    READER_FINISH,
    READER_DONE
};

/* One that waits until no reader is at its run. */
struct tail_settle {
    struct work work; /* to call back later, never from within */
    struct indexer *indexer;
    struct run_key run;
    void (*on_settled)(void *data);
    void *data;
    struct list list;
};

bool tail_cursor_holds(const struct tail_run *run)
{
    return run->has_cursor && run->cursor.journal_id == run->journal_id;
}

/* The sum over the files, so that their order in a listing is nothing; never 0. */
uint64_t tail_files_hash(const struct tail_run *run)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < run->files_count; i++) {
        uint8_t bytes[16];
        put_u64(bytes, run->files[i].shard);
        put_u64(bytes + 8, run->files[i].birth);
        sum += XXH3_64bits(bytes, sizeof bytes);
    }
    return sum != 0 ? sum : 1;
}

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

/* The run is to be read again from the beginning of its journal (or not at all). */
static void reader_rescan(struct tail_run *run)
{
    run->scanned = 0;
    run->births_count = 0;
}

/* The cursor stands elsewhere than was thought: what is stored is read again, and whose the node is now is asked. */
static void reader_lost(struct tail_reader *reader)
{
    struct tail_run *run = reader->run;

    run->has_cursor = false;
    run->unsure = true;
    run->touched_ns = 0;
    run->stale = true;
    run->generation++;
    share_look(reader->tail->indexer);
}

static bool reader_overtaken(const struct tail_reader *reader)
{
    return reader->generation != reader->run->generation || reader->tail->stopping;
}

/* What was written while this process may have slept past its lease, or over a database that went back, is somebody else's to judge:
 * he reads again from where this reader began. */
static struct catalog_cursor reader_cursor_now(const struct tail_reader *reader)
{
    struct catalog_cursor cursor = { .run = reader->run->run, .journal_id = reader->journal_id };

    if (reader->run->has_cursor)
        cursor = reader->run->cursor;
    snprintf(cursor.node, sizeof cursor.node, "%s", reader->tail->id);
    return cursor;
}

static void reader_check_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);
    work->status = catalog_cursor_check(reader->tail->indexer->catalog, &reader->cursor_was, false,
                                        &work->err);
}

static void reader_on_checked(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    if (work->status == STATUS_CONFLICT)
        reader_lost(reader);
    reader->wrote = false;
    fsm_resume(&reader->fsm, work->status, &work->err);
}

static enum fsm_next reader_leave(struct tail_reader *reader)
{
    reader_rescan(reader->run);
    if (!reader->wrote)
        return fsm_go(&reader->fsm, READER_DONE);
    reader->cursor_was = reader_cursor_now(reader);
    error_init(&reader->work.err);
    work_start(reader->tail->indexer->loop, &reader->work, reader_check_run, reader_on_checked);
    return fsm_wait(&reader->fsm, 1, READER_DONE);
}

static struct tail_reader *reader_of(struct fsm *fsm)
{
    return container_of(fsm, struct tail_reader, fsm);
}

/* --- STATE --- */

static void reader_on_known(void *data, enum status status)
{
    struct tail_reader *reader = data;
    fsm_resume(&reader->fsm, status, NULL);
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

static void reader_keep(struct tail_reader *reader, size_t place, const struct tail_file *file)
{
    reader->keep_only[place] = malloc(DATA_FILE_NAME_SIZE);
    assert(reader->keep_only[place] != NULL);
    data_file_name_print(file->shard, file->birth, reader->keep_only[place]);
}

/* The files of the listing, and those that the journal named behind it: a journal is read further than the listing that made us
 * read it, so a file may be in the index that no listing has shown yet. */
static void reader_keep_listed(struct tail_reader *reader)
{
    const struct tail_run *run = reader->run;
    size_t count = 0;

    reader->keep_only = calloc(run->files_count + run->named_count + 1, sizeof *reader->keep_only);
    assert(reader->keep_only != NULL);
    for (size_t i = 0; i < run->files_count; i++)
        reader_keep(reader, count++, &run->files[i]);
    for (size_t i = 0; i < run->named_count; i++)
        if (run->named[i].record >= run->records)
            reader_keep(reader, count++, &run->named[i].file);
}

static void reader_keep_free(struct tail_reader *reader)
{
    for (size_t i = 0; reader->keep_only != NULL && reader->keep_only[i] != NULL; i++)
        free(reader->keep_only[i]);
    free(reader->keep_only);
    reader->keep_only = NULL;
}

static void reader_reconcile_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);
    struct catalog *catalog = reader->tail->indexer->catalog;
    const struct run_key *run = &reader->run->run;

    work->status = catalog_remove_locations(
        catalog, run, reader->tail->id, NULL,
        reader->journal_id == 0 ? NULL : (const char *const *)reader->keep_only, &work->err);
    if (work->status == STATUS_OK)
        work->status = catalog_cursor_check(catalog, &reader->cursor_was, true, &work->err);
    if (work->status == STATUS_OK && reader->run_gone)
        work->status = catalog_cursor_remove(catalog, reader->tail->id, run, &work->err);
    else if (work->status == STATUS_OK && reader->cursor_was.rev != 0)
        work->status = catalog_cursor_put(catalog, &reader->cursor, &reader->cursor_was, &work->err);
}

static void reader_on_reconciled(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    reader_keep_free(reader);
    census_touch(reader->tail->indexer, &reader->run->run);
    reader->run->touched_ns = uv_hrtime();
    if (work->status == STATUS_OK) {
        reader->run->stale = reader->generation != reader->run->generation;
        if (reader->run_gone)
            reader->run->has_cursor = false;
        else if (reader->cursor_was.rev != 0 && !reader->run->stale)
            reader->run->cursor = reader->cursor; /* it says now what files it was held against */
    } else if (work->status == STATUS_CONFLICT) {
        reader_lost(reader);
    }
    fsm_resume(&reader->fsm, work->status, &work->err);
}

static enum fsm_next reader_reconcile(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_run *run = reader->run;

    if (reader_overtaken(reader))
        return reader_leave(reader);
    if (reader->journal_id != 0 &&
        !run_state_takes(reader->tail->indexer, &run->run, run->info.incarnation)) {
        run->skipped = true;
        return reader_leave(reader);
    }
    /* A cursor of another journal is worth nothing: it goes with the locations that the new one does not name. */
    reader->run_gone = run->has_cursor && (reader->journal_id == 0 || !tail_cursor_holds(run));
    if (!run->stale && !reader->run_gone)
        return fsm_go(fsm, reader->journal_id == 0 ? READER_DONE : READER_READ);
    reader_keep_listed(reader);
    reader->cursor_was = reader->cursor = reader_cursor_now(reader);
    reader->cursor.files = tail_files_hash(run);
    run->touched_ns = UINT64_MAX;
    error_init(&reader->work.err);
    work_start(reader->tail->indexer->loop, &reader->work, reader_reconcile_run, reader_on_reconciled);
    return fsm_wait(fsm, 1, reader->journal_id == 0 ? READER_DONE : READER_READ);
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
    if (reader_overtaken(reader))
        return reader_leave(reader);
    if (tail_cursor_holds(run) && run->cursor.complete && run->cursor.record >= run->records)
        return fsm_go(fsm, READER_DONE);
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

static void reader_add_named(struct tail_run *run, const struct journal_record *record, uint64_t number)
{
    if (run->named_count > 0 && number <= run->named[run->named_count - 1].record)
        return; /* a second reading */
    run->named = realloc(run->named, (run->named_count + 1) * sizeof *run->named);
    assert(run->named != NULL);
    run->named[run->named_count++] = (struct tail_named){ .file = { record->shard, record->birth },
                                                          .record = number };
}

static enum status reader_set_birth(struct tail_run *run, const struct journal_record *record,
                                    uint64_t number, struct error *err)
{
    if (record->shard >= MAP_SHARDS_MAX)
        return error_set(err, STATUS_CORRUPT, "shard %u", record->shard);
    if (record->shard >= run->births_count) {
        size_t count = (size_t)record->shard + 1;
        run->births = realloc(run->births, count * sizeof *run->births);
        assert(run->births != NULL);
        memset(run->births + run->births_count, 0, (count - run->births_count) * sizeof *run->births);
        run->births_count = count;
    }
    run->births[record->shard] = (struct tail_birth){ .birth = record->birth, .is_void = record->is_void };
    reader_add_named(run, record, number);
    return STATUS_OK;
}

static enum status reader_add_stored(struct tail_reader *reader, const struct journal_record *record,
                                     uint64_t number, struct error *err)
{
    const struct tail_run *run = reader->run;

    if (record->is_void)
        return STATUS_OK;
    if (record->shard >= run->births_count || run->births[record->shard].birth == 0)
        return error_set(err, STATUS_CORRUPT, "no file record of shard %u before it", record->shard);
    reader->batch_records[reader->batch.count++] = (struct upsert_record){
        .digest = record->digest,
        .record = number,
        .shard = record->shard,
        .birth = run->births[record->shard].birth,
        .offset = record->offset,
        .length = record->length,
        .stored_at_us = record->stored_at_us,
    };
    return STATUS_OK;
}

/* Is what was taken before it to be acted on first? Records are, in their order; but a batch of one kind at once. */
static bool reader_comes_later(const struct tail_reader *reader, enum journal_kind kind)
{
    return (reader->batch.count > 0 && kind != JOURNAL_STORED) ||
           (reader->bad_count > 0 && kind != JOURNAL_BAD);
}

/* One record; *stop when it, or what was taken before it, has to be acted on before the next. */
static enum status reader_take_one(struct tail_reader *reader, bool *stop, struct error *err)
{
    struct tail_run *run = reader->run;
    const uint8_t *bytes = reader->records + reader->at * JOURNAL_RECORD_SIZE;
    uint64_t number = reader->first + reader->at;
    bool act = !tail_cursor_holds(run) || number >= run->cursor.record;
    struct journal_record record;

    enum status status = journal_record_decode(bytes, reader->journal_id, number, &record, err);
    if (status != STATUS_OK)
        return status;
    if (!act && number + 1 == run->cursor.record && journal_record_check(bytes) != run->cursor.check) {
        run->has_cursor = false;
        return error_set(err, STATUS_JOURNAL_CHANGED, "the cursor's record is another one now");
    }
    if (record.kind == JOURNAL_FILE) {
        status = reader_set_birth(run, &record, number, err);
    } else if (act && reader_comes_later(reader, record.kind)) {
        *stop = true;
        return STATUS_OK;
    } else if (act && record.kind == JOURNAL_STORED) {
        status = reader_add_stored(reader, &record, number, err);
    } else if (act && record.kind == JOURNAL_BAD) {
        reader->bad[reader->bad_count++] = record.digest;
    } else if (act) {
        reader->removes = *stop = true;
        reader->removal = record;
    }
    if (status != STATUS_OK)
        return status;
    reader->run->check = journal_record_check(bytes);
    reader->at++;
    run->scanned = number + 1;
    reader->tail->records_read += act;
    *stop = *stop || reader->batch.count == UPSERT_BATCH_MAX || reader->bad_count == TAIL_BAD_MAX;
    return STATUS_OK;
}

static enum fsm_next reader_take(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_run *run = reader->run;
    struct error err;
    bool stop = false;

    error_init(&err);
    if (reader_overtaken(reader))
        return reader_leave(reader);
    if (!run_state_takes(reader->tail->indexer, &run->run, run->info.incarnation)) {
        run->skipped = true;
        return reader_leave(reader);
    }
    if (reader->records_count == 0) {
        error_set(&err, STATUS_MALFORMED,
                  "journal of %s: the listing has %" PRIu64 " records, the journal ends at %" PRIu64,
                  run->name, run->records, run->scanned);
        return fsm_fail(fsm, STATUS_MALFORMED, &err);
    }
    reader->batch.count = reader->bad_count = 0;
    reader->removes = false;
    while (reader->at < reader->records_count && !stop) {
        enum status status = reader_take_one(reader, &stop, &err);
        if (status != STATUS_OK) {
            error_wrap(&err, "journal of %s: record %" PRIu64, run->name, reader->first + reader->at);
            return fsm_fail(fsm, status, &err);
        }
    }
    if (reader->batch.count > 0)
        return fsm_go(fsm, READER_BATCH);
    if (reader->removes || reader->bad_count > 0)
        return fsm_go(fsm, READER_REMOVE);
    return fsm_go(fsm, READER_CURSOR);
}

/* --- BATCH --- */

static void reader_on_batch(struct upsert_batch *batch, enum status status, const struct error *err)
{
    struct tail_reader *reader = container_of(batch, struct tail_reader, batch);

    if (status == STATUS_STALE_RUN)
        share_look(reader->tail->indexer); /* the catalog knows more of the run's state than we do */
    fsm_resume(&reader->fsm, status, err);
}

static enum fsm_next reader_batch(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct upsert_batch *batch = &reader->batch;

    batch->run = reader->run->run;
    batch->incarnation = reader->run->info.incarnation;
    batch->journal_id = reader->journal_id;
    snprintf(batch->node, sizeof batch->node, "%s", reader->tail->id);
    snprintf(batch->url, sizeof batch->url, "%s", reader->tail->url);
    batch->records = reader->batch_records;
    batch->on_done = reader_on_batch;
    reader->wrote = true;
    upsert_start(reader->tail->indexer, batch);
    return fsm_wait(fsm, 1, READER_CURSOR);
}

/* --- REMOVE: a file was dropped, or messages are bad --- */

static void reader_remove_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);
    struct catalog *catalog = reader->tail->indexer->catalog;
    const struct run_key *run = &reader->run->run;
    char file[DATA_FILE_NAME_SIZE];

    if (reader->bad_count > 0) {
        work->status = catalog_remove_messages(catalog, run, reader->tail->id, reader->bad,
                                               reader->bad_count, &work->err);
        return;
    }
    data_file_name_print(reader->removal.shard, reader->removal.birth, file);
    work->status = catalog_remove_locations(catalog, run, reader->tail->id, file, NULL, &work->err);
}

static void reader_on_work(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    census_touch(reader->tail->indexer, &reader->run->run);
    fsm_resume(&reader->fsm, work->status, &work->err);
}

static enum fsm_next reader_remove(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);

    reader->wrote = true;
    error_init(&reader->work.err);
    work_start(reader->tail->indexer->loop, &reader->work, reader_remove_run, reader_on_work);
    return fsm_wait(fsm, 1, READER_CURSOR);
}

/* --- CURSOR: what was done is done --- */

static void reader_cursor_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);
    struct catalog *catalog = reader->tail->indexer->catalog;

    work->status = catalog_cursor_put(catalog, &reader->cursor, &reader->cursor_was, &work->err);
    if (work->status == STATUS_CONFLICT)
        work->status = catalog_cursor_check(catalog, &reader->cursor_was, reader->whole, &work->err);
}

static void reader_on_cursor(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    reader->run->touched_ns = uv_hrtime();
    if (work->status == STATUS_OK) {
        reader->wrote = false;
        if (reader->generation == reader->run->generation) {
            reader->run->cursor = reader->cursor;
            reader->run->has_cursor = true;
        }
    } else if (work->status == STATUS_CONFLICT) {
        reader->wrote = false;
        reader_lost(reader);
    }
    fsm_resume(&reader->fsm, work->status, &work->err);
}

static void reader_set_cursor(struct tail_reader *reader, bool complete)
{
    struct tail_run *run = reader->run;

    reader->cursor_was = reader_cursor_now(reader);
    reader->cursor = (struct catalog_cursor){
        .run = run->run,
        .journal_id = reader->journal_id,
        .record = run->scanned,
        .check = run->scanned > 0 ? run->check : 0,
        .complete = complete,
        .files = run->stale ? 0 : tail_files_hash(run),
    };
    snprintf(reader->cursor.node, sizeof reader->cursor.node, "%s", reader->tail->id);
    run->touched_ns = UINT64_MAX; /* under way */
}

static void reader_put_cursor(struct tail_reader *reader, bool complete)
{
    reader_set_cursor(reader, complete);
    reader->whole = false;
    error_init(&reader->work.err);
    work_start(reader->tail->indexer->loop, &reader->work, reader_cursor_run, reader_on_cursor);
}

static enum fsm_next reader_cursor(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_run *run = reader->run;
    enum reader_step next = reader->at < reader->records_count ? READER_TAKE : READER_READ;

    if (reader_overtaken(reader))
        return reader_leave(reader);
    if (tail_cursor_holds(run) && run->scanned <= run->cursor.record)
        return fsm_go(fsm, next); /* still in front of it */
    reader_put_cursor(reader, tail_cursor_holds(run) && run->cursor.complete);
    return fsm_wait(fsm, 1, next);
}

/* --- FINISH: a first reading is at its end: what it did not name goes --- */

static void reader_finish_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    work->status = catalog_remove_locations(reader->tail->indexer->catalog, &reader->run->run,
                                            reader->tail->id, NULL,
                                            (const char *const *)reader->keep_only, &work->err);
    if (work->status == STATUS_OK)
        reader_cursor_run(work);
}

static void reader_on_finished(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    reader_keep_free(reader);
    census_touch(reader->tail->indexer, &reader->run->run);
    reader_on_cursor(work);
}

static enum fsm_next reader_finish(struct fsm *fsm)
{
    struct tail_reader *reader = reader_of(fsm);
    struct tail_run *run = reader->run;

    if (tail_cursor_holds(run) && run->cursor.complete)
        return fsm_go(fsm, READER_DONE);
    reader_set_cursor(reader, true);
    reader->whole = true;
    reader_keep_listed(reader);
    error_init(&reader->work.err);
    work_start(reader->tail->indexer->loop, &reader->work, reader_finish_run, reader_on_finished);
    return fsm_wait(fsm, 1, READER_DONE);
}

/* --- DONE: also where failures go --- */

/* The run waits, so that one that can't be read keeps no other waiting. */
static void reader_failed(struct tail_reader *reader)
{
    struct tail *tail = reader->tail;
    struct tail_run *run = reader->run;
    const struct fsm *fsm = &reader->fsm;

    reader_rescan(run);
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
    reader_keep_free(reader);
    if (fsm->status != STATUS_OK)
        reader_failed(reader);
    else
        run->retry_ms = run->not_before_ms = 0;
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
    [READER_RECONCILE] = { "reconcile", reader_reconcile, TO(READ) | TO(DONE) },
    [READER_READ] = { "read", reader_read, TO(TAKE) | TO(FINISH) | TO(DONE) },
    [READER_TAKE] = { "take", reader_take, TO(BATCH) | TO(REMOVE) | TO(CURSOR) | TO(DONE) },
    [READER_BATCH] = { "batch", reader_batch, TO(CURSOR) },
    [READER_REMOVE] = { "remove", reader_remove, TO(CURSOR) },
    [READER_CURSOR] = { "cursor", reader_cursor, TO(TAKE) | TO(READ) | TO(DONE) },
    [READER_FINISH] = { "finish", reader_finish, TO(DONE) },
    [READER_DONE] = { "done", reader_done, 0 },
};

static void reader_start(struct tail *tail, struct tail_run *run)
{
    struct tail_reader *reader = &tail->reader;

    tail->reading = true;
    reader->tail = tail;
    reader->run = run;
    reader->wrote = reader->whole = false;
    reader->generation = run->generation;
    reader->journal_id = run->journal_id;
    if (!tail_cursor_holds(run) && run->scanned > 0)
        reader_rescan(run);
    fsm_start(&reader->fsm, "tail", reader_steps, ARRAY_COUNT(reader_steps), READER_STATE, READER_DONE);
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

/* --- settling --- */

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
