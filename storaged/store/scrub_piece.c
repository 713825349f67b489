/* scrub_piece.c: a piece of a journal, read from the disk and checked, and the messages that its records tell of. */
#include "storaged/store/scrub_parts.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/store_metrics.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

int scrub_item_order(const void *a, const void *b)
{
    const struct scrub_item *one = a, *two = b;

    if (one->birth != two->birth)
        return one->birth < two->birth ? -1 : 1;
    return one->offset < two->offset ? -1 : one->offset > two->offset;
}

/* The message of a *stored* record that counts, among items. [lock] */
static void scrub_piece_take(struct scrub *scrub, const struct run_dir *dir, uint64_t number,
                             const struct journal_record *record)
{
    const struct store_file *file;

    if (record->kind != JOURNAL_STORED || run_dir_is_bad(dir, number))
        return;
    file = run_dir_file_of(dir, record->shard, number);
    if (file == NULL || file->is_void)
        return;
    scrub->items[scrub->items_count++] = (struct scrub_item){
        .record = number,
        .offset = record->offset,
        .length = record->length,
        .birth = file->birth,
        .shard = record->shard,
        .digest = record->digest,
    };
}

/* Is it still the run's directory, or was it purged meanwhile? */
static bool scrub_piece_is_here(struct scrub *scrub, const struct run_key *key, const struct run_dir *dir)
{
    struct run *run = run_table_find(&scrub->store->runs, key);

    uv_rwlock_rdlock(&run->lock);
    bool is_here = run->dir == dir;
    uv_rwlock_rdunlock(&run->lock);
    return is_here;
}

static void scrub_piece_note(struct scrub *scrub, const struct run_key *run, uint64_t number,
                             const char *detail)
{
    struct store_scrub_finding finding = {
        .kind = STORE_FINDING_JOURNAL,
        .time_us = clock_wall_us(),
        .run = *run,
        .record = number,
    };
    char text[RUN_TEXT_SIZE];

    snprintf(finding.detail, sizeof finding.detail, "%.*s", (int)sizeof finding.detail - 1, detail);
    metric_add(&store_metric_corrupt_records, 1);
    scrub_note(scrub, &finding);
    run_key_print(run, text);
    log_msg(LOG_ERROR, "store.bad-record", "run %s: record %ju: %s", text, (uintmax_t)number, detail);
}

static enum status scrub_piece_try(struct scrub *scrub, const struct run_dir *dir, uint64_t from,
                                   unsigned count, uint8_t *bytes, struct error *err)
{
    enum status status = medium_open(&scrub->medium, dir->fd, JOURNAL_NAME, err);

    if (status == STATUS_OK)
        status = medium_read(&scrub->medium, journal_offset(from), bytes,
                             (size_t)count * JOURNAL_RECORD_SIZE, err);
    medium_close(&scrub->medium);
    return status;
}

/* Records [from, from + count) as the disk has them. What can't be read is told: no message of theirs can be proven. */
static enum status scrub_piece_read(struct scrub *scrub, const struct run_key *run,
                                    const struct run_dir *dir, uint64_t from, unsigned count,
                                    uint8_t *bytes, struct error *err)
{
    enum status status = scrub_piece_try(scrub, dir, from, count, bytes, err);

    if (scrub_is_damage(status))
        status = scrub_piece_try(scrub, dir, from, count, bytes, err);
    if (scrub_is_damage(status) && scrub_piece_is_here(scrub, run, dir))
        scrub_piece_note(scrub, run, from, err->text);
    return status;
}

static bool scrub_piece_holds(struct scrub *scrub, const struct run_key *run, struct run_dir *dir,
                              uint64_t number, const uint8_t *bytes, struct journal_record *record)
{
    uint64_t id = dir->journal.header.journal_id;
    uint8_t again[JOURNAL_RECORD_SIZE];
    struct error err = { 0 };

    if (journal_record_decode(bytes, id, number, record, &err) == STATUS_OK)
        return true;
    if (scrub_piece_read(scrub, run, dir, number, 1, again, &err) != STATUS_OK)
        return false;
    if (journal_record_decode(again, id, number, record, &err) == STATUS_OK)
        return true;
    scrub_piece_note(scrub, run, number, err.text);
    return false;
}

/* The messages of count records from `from` on, into items by file and offset. */
enum status scrub_piece_load(struct scrub *scrub, struct run *run, struct run_dir *dir,
                             uint64_t from, unsigned count, struct error *err)
{
    uint8_t *bytes = malloc((size_t)count * JOURNAL_RECORD_SIZE);
    struct journal_record record;

    assert(bytes != NULL && count <= SCRUB_CHUNK);
    scrub->items_count = 0;
    enum status status = scrub_piece_read(scrub, &run->key, dir, from, count, bytes, err);
    for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
        if (!scrub_piece_holds(scrub, &run->key, dir, from + i,
                               bytes + (size_t)i * JOURNAL_RECORD_SIZE, &record))
            continue;
        uv_rwlock_rdlock(&run->lock);
        scrub_piece_take(scrub, dir, from + i, &record);
        uv_rwlock_rdunlock(&run->lock);
    }
    free(bytes);
    if (scrub->items_count > 0)
        qsort(scrub->items, scrub->items_count, sizeof *scrub->items, scrub_item_order);
    return status;
}
