/* tail_goes.c: what of a node leaves the catalog: what its listing does not have, what its journal says is gone, what a first reading of it
 * did not name. */
#include "indexer/tail_node.h"

#include "indexer/census.h"
#include "indexer/sweep.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

/* --- the files that stay --- */

static void goes_keep(struct tail_reader *reader, size_t place, const struct tail_file *file)
{
    reader->keep_only[place] = malloc(DATA_FILE_NAME_SIZE);
    assert(reader->keep_only[place] != NULL);
    data_file_name_print(file->shard, file->birth, reader->keep_only[place]);
}

/* The files of the listing, and those that the journal named behind it: a journal is read further than the listing that made us
 * read it, so a file may be in the index that no listing has shown yet. */
static void goes_keep_listed(struct tail_reader *reader)
{
    const struct tail_run *run = reader->run;
    size_t count = 0;

    reader->keep_only = calloc(run->files_count + run->named_count + 1, sizeof *reader->keep_only);
    assert(reader->keep_only != NULL);
    for (size_t i = 0; i < run->files_count; i++)
        goes_keep(reader, count++, &run->files[i]);
    for (size_t i = 0; i < run->named_count; i++)
        if (run->named[i].record >= run->records)
            goes_keep(reader, count++, &run->named[i].file);
}

void tail_keep_free(struct tail_reader *reader)
{
    for (size_t i = 0; reader->keep_only != NULL && reader->keep_only[i] != NULL; i++)
        free(reader->keep_only[i]);
    free(reader->keep_only);
    reader->keep_only = NULL;
}

/* --- what the listing does not have --- */

static void goes_reconcile_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);
    struct catalog *catalog = reader->tail->indexer->catalog;
    const struct run_key *run = &reader->run->run;

    if (reader->tail->out)
        work->status = catalog_forget_node(catalog, run, reader->tail->id, NULL, &reader->kept, &work->err);
    else
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

/* Others' copies may be read yet: a little later the run is swept once more. What is named nowhere else then, `gribstore check` tells. */
static void goes_say_kept(struct tail_reader *reader)
{
    if (reader->kept == 0)
        return;
    log_msg(LOG_WARN, "tail.kept", "run %s: %zu fields or messages are named on node %s alone, which is out: they stay named",
            reader->run->name, reader->kept, reader->tail->id);
    sweep_differs(reader->tail->indexer, &reader->run->run);
    reader->kept = 0;
}

static void goes_on_reconciled(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    tail_keep_free(reader);
    goes_say_kept(reader);
    census_touch(reader->tail->indexer, &reader->run->run);
    reader->run->touched_ns = uv_hrtime();
    if (work->status == STATUS_OK) {
        reader->run->stale = reader->generation != reader->run->generation;
        if (reader->run_gone)
            reader->run->has_cursor = false;
        else if (reader->cursor_was.rev != 0 && !reader->run->stale)
            reader->run->cursor = reader->cursor; /* it says now what files it was held against */
    } else if (work->status == STATUS_CONFLICT) {
        tail_reader_lost(reader);
    }
    if (work->status == STATUS_OK || work->status == STATUS_CONFLICT)
        reader->wrote = reader->whole = false; /* the cursor was looked at */
    fsm_resume(&reader->fsm, work->status, &work->err);
}

void tail_reconcile(struct tail_reader *reader)
{
    reader->wrote = reader->whole = true;
    goes_keep_listed(reader);
    reader->cursor_was = reader->cursor = tail_window_cursor_now(reader);
    reader->cursor.files = tail_files_hash(reader->run);
    reader->run->touched_ns = UINT64_MAX;
    work_start(reader->tail->indexer->loop, &reader->work, goes_reconcile_run, goes_on_reconciled);
}

/* --- a file was dropped, or messages are bad --- */

static void goes_remove_run(struct work *work)
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

static void goes_on_removed(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    census_touch(reader->tail->indexer, &reader->run->run);
    fsm_resume(&reader->fsm, work->status, &work->err);
}

void tail_remove(struct tail_reader *reader)
{
    reader->wrote = true;
    work_start(reader->tail->indexer->loop, &reader->work, goes_remove_run, goes_on_removed);
}

/* --- what a first reading did not name --- */

static void goes_finish_run(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    work->status = catalog_remove_locations(reader->tail->indexer->catalog, &reader->run->run,
                                            reader->tail->id, NULL,
                                            (const char *const *)reader->keep_only, &work->err);
    if (work->status == STATUS_OK)
        tail_window_put_cursor(reader, work);
}

static void goes_on_finished(struct work *work)
{
    struct tail_reader *reader = container_of(work, struct tail_reader, work);

    tail_keep_free(reader);
    census_touch(reader->tail->indexer, &reader->run->run);
    tail_window_cursor_is_put(reader, work);
    fsm_resume(&reader->fsm, work->status, &work->err);
}

void tail_finish(struct tail_reader *reader)
{
    tail_window_set_cursor(reader, reader->run->scanned, reader->run->check, true);
    reader->wrote = reader->whole = true;
    goes_keep_listed(reader);
    work_start(reader->tail->indexer->loop, &reader->work, goes_finish_run, goes_on_finished);
}
