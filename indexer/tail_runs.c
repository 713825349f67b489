/* tail_runs.c: the runs of a node as far as is known: from its listings, and where reading has got to. */
#include "indexer/tail_node.h"

#include "proto/base/json_read.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

struct tail_run *tail_find(struct tail *tail, const struct run_key *run)
{
    char name[RUN_TEXT_SIZE];
    struct tail_run *found;

    run_key_print(run, name);
    HASH_FIND_STR(tail->runs, name, found);
    return found;
}

struct tail_run *tail_run_make(struct tail *tail, const struct run_key *run)
{
    struct tail_run *made = tail_find(tail, run);

    if (made != NULL)
        return made;
    made = calloc(1, sizeof *made);
    assert(made != NULL);
    made->run = *run;
    run_key_print(run, made->name);
    HASH_ADD_STR(tail->runs, name, made);
    return made;
}

void tail_run_free(struct tail *tail, struct tail_run *run)
{
    tail_run_leave_debt(tail, run);
    HASH_DEL(tail->runs, run); /* NOLINT(clang-analyzer-unix.Malloc): it does not follow uthash's links */
    free(run->files);
    free(run->births);
    free(run->named);
    free(run);
}

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

void tail_run_rescan(struct tail_run *run)
{
    run->scanned = 0;
    run->births_count = 0;
}

/* --- the listing --- */

/* Whether this file of the previous listing is in the new one. */
static bool tail_listing_has(const struct tail_file *files, size_t count, const struct tail_file *file)
{
    for (size_t i = 0; i < count; i++)
        if (files[i].birth == file->birth && files[i].shard == file->shard)
            return true;
    return false;
}

/* Takes the listing's files. */
static void tail_take_listing(struct tail *tail, struct tail_listing *listing)
{
    struct tail_run *run = tail_run_make(tail, &listing->run);

    for (size_t i = 0; i < run->files_count; i++)
        if (!tail_listing_has(listing->files, listing->files_count, &run->files[i]))
            run->stale = true;
    if (run->journal_id != listing->journal_id) {
        run->generation++; /* another journal, or the first look at this one; a reader at it leaves */
        tail_run_rescan(run);
        run->named_count = 0;
        run->stale = true;
    }
    free(run->files);
    run->files = listing->files;
    run->files_count = listing->files_count;
    if (run->journal_id != listing->journal_id && run->journal_id == 0 && run->has_cursor &&
        run->cursor.journal_id == listing->journal_id && run->cursor.complete &&
        run->cursor.files == tail_files_hash(run))
        run->stale = false; /* the first look after a start: nothing has gone since the run was held against these files */
    run->listed = true;
    run->weighed = run->skipped = false;
    run->info = listing->info;
    run->journal_id = listing->journal_id;
    run->records = listing->records;
}

/* The node has it no more: a reader that is at it leaves, then its locations and its cursor go. */
static void tail_run_absent(struct tail_run *run)
{
    run->generation += run->journal_id != 0;
    run->journal_id = 0;
    run->records = run->files_count = 0;
    tail_run_rescan(run);
    run->named_count = 0;
    run->stale = true;
}

enum status tail_take_answer(struct tail *tail, const json_t *answer, struct error *err)
{
    const char *seq;
    json_t *runs;
    struct tail_run *run;
    struct tail_listing listing;

    enum status status = json_get_string(answer, "seq", &seq, err);
    if (status == STATUS_OK)
        status = json_get_array(answer, "runs", &runs, err);
    if (status == STATUS_OK && strlen(seq) >= sizeof tail->seq)
        status = error_set(err, STATUS_BAD_VALUE, "seq: too long");
    if (status != STATUS_OK)
        return status;
    bool full = json_is_true(json_object_get(answer, "full"));
    if (full)
        for (run = tail->runs; run != NULL; run = run->hh.next)
            run->listed = false;
    for (size_t i = 0; i < json_array_size(runs); i++) {
        status = tail_listing_parse(json_array_get(runs, i), &listing, err);
        if (status != STATUS_OK) {
            free(listing.files);
            return error_wrap(err, "runs[%zu]", i);
        }
        tail_take_listing(tail, &listing);
    }
    for (run = tail->runs; full && run != NULL; run = run->hh.next) /* only a full listing proves absence */
        if (!run->listed)
            tail_run_absent(run);
    snprintf(tail->seq, sizeof tail->seq, "%s", tail->relist && !full ? "" : seq);
    tail->relist = false;
    return STATUS_OK;
}
