/* damage.c: *bad* records, a batch of one run at a time. */
#include "storaged/store/damage.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/disk.h"
#include "storaged/store/store_metrics.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <stdlib.h>

/* A batch under way. */
struct damage {
    struct store *store;
    struct run *run;     /* NULL: nobody knows it */
    struct run_dir *dir; /* NULL: it has none */
    struct store_bad *bads[DAMAGE_BATCH_MAX];
    enum status statuses[DAMAGE_BATCH_MAX];
    unsigned count;
    uint8_t *records; /* owned: encoded */
    unsigned records_count;
};

void damage_encode(const struct journal_record *stored, uint64_t stored_number, uint64_t journal_id,
                   uint64_t number, bool batch_first, uint8_t bytes[JOURNAL_RECORD_SIZE])
{
    struct journal_record record = {
        .kind = JOURNAL_BAD,
        .batch_first = batch_first,
        .shard = stored->shard,
        .digest = stored->digest,
        .offset = stored->offset,
        .stored_record = stored_number,
        .stored_at_us = clock_wall_us(),
    };

    journal_record_encode(&record, journal_id, number, bytes);
}

/* --- plan --- */

static bool damage_is_planned(const struct damage *damage, uint64_t record)
{
    for (unsigned i = 0; i < damage->count; i++)
        if (damage->bads[i]->is_new && damage->bads[i]->record == record)
            return true;
    return false;
}

/* What the record says, into *bad; is_new: it counts until now. */
static enum status damage_look(struct damage *damage, struct store_bad *bad, struct journal_record *record)
{
    const struct run_dir *dir = damage->dir;

    if (dir == NULL || dir->journal.header.journal_id != bad->journal_id ||
        bad->record >= journal_flushed(&dir->journal))
        return error_set(&bad->err, STATUS_NOT_FOUND, "the journal is another");
    enum status status = journal_read_record(&dir->journal, bad->record, true, record, &bad->err);
    if (status != STATUS_OK)
        return status;
    const struct store_file *file = run_dir_file_of(dir, record->shard, bad->record);
    if (record->kind != JOURNAL_STORED || file == NULL || file->is_void)
        return error_set(&bad->err, STATUS_NOT_FOUND, "record %ju counts for nothing",
                         (uintmax_t)bad->record);
    bad->incarnation = dir->journal.header.incarnation;
    bad->digest = record->digest;
    bad->place = (struct store_place){
        .shard = record->shard,
        .birth = file->birth,
        .offset = record->offset,
        .length = record->length,
        .stored_at_us = record->stored_at_us,
        .record = bad->record,
    };
    bad->is_new = !run_dir_is_bad(dir, bad->record) && !damage_is_planned(damage, bad->record);
    return STATUS_OK;
}

static void damage_plan(struct damage *damage, struct store_bad *bad)
{
    struct journal_record record;
    struct run_dir *dir = damage->dir;

    bad->is_new = false;
    error_init(&bad->err);
    enum status status = damage_look(damage, bad, &record);
    if (status == STATUS_OK && bad->is_new) {
        uint64_t number = dir->journal.written + damage->records_count;

        if (number < JOURNAL_RECORDS_MAX) {
            damage_encode(&record, bad->record, dir->journal.header.journal_id, number,
                          damage->records_count == 0,
                          damage->records + (size_t)damage->records_count * JOURNAL_RECORD_SIZE);
            damage->records_count++;
        } else {
            status = error_set(&bad->err, STATUS_FULL, "the run's journal is full");
        }
    }
    damage->statuses[damage->count] = status;
    damage->bads[damage->count++] = bad;
}

/* --- write and show --- */

static enum status damage_write(struct damage *damage, struct error *err)
{
    struct journal *journal = &damage->dir->journal;

    if (store_is_read_only(damage->store))
        return error_set(err, STATUS_READ_ONLY, "a write failed before");
    enum status status = journal_write(journal, damage->records, damage->records_count, err);
    if (status == STATUS_FULL && journal_cut(journal, err) == STATUS_OK)
        return error_set(err, STATUS_FULL, "no room for a *bad* record");
    if (status == STATUS_OK)
        status = disk_flush(journal->fd, err);
    if (status != STATUS_OK)
        store_fail(damage->store, err);
    return status;
}

/* [lock], for writing */
static void damage_show(struct damage *damage, const struct store_bad *bad)
{
    struct run_dir *dir = damage->dir;
    struct store_file *file = run_dir_file_of(dir, bad->place.shard, bad->record);

    run_dir_add_bad(dir, bad->record);
    run_dir_remove_message(dir, file, &bad->digest, digest_table_tag(&dir->table, &bad->digest),
                           (uint32_t)bad->record, bad->place.length);
    data_file_add_damage(file, bad->place.offset, bad->place.length);
    metric_add(&store_metric_corrupt, 1);
}

static void damage_show_all(struct damage *damage, bool is_told)
{
    struct run_dir *dir = damage->dir;

    uv_rwlock_wrlock(&damage->run->lock);
    for (unsigned i = 0; i < damage->count; i++)
        if (damage->bads[i]->is_new)
            damage_show(damage, damage->bads[i]);
    if (is_told) {
        journal_wrote(&dir->journal, damage->records_count);
        journal_show(&dir->journal);
    }
    store_run_changed(damage->store, damage->run);
    uv_rwlock_wrunlock(&damage->run->lock);
}

static void damage_log(const struct store_bad *bad)
{
    struct log_line line;
    char text[RUN_TEXT_SIZE]; /* a digest is shorter */
    char name[DATA_FILE_NAME_SIZE];

    log_begin(&line, LOG_ERROR, "store.bad");
    run_key_print(&bad->run, text);
    log_str(&line, "run", text);
    data_file_name(bad->place.shard, bad->place.birth, name);
    log_str(&line, "file", name);
    digest_print(&bad->digest, text);
    log_str(&line, "digest", text);
    log_u64(&line, "record", bad->record);
    log_u64(&line, "offset", bad->place.offset);
    log_u64(&line, "length", bad->place.length);
    if (bad->why != NULL)
        log_str(&line, "detail", bad->why);
    log_end(&line);
}

/* --- answer --- */

static void damage_answer(struct damage *damage, enum status status, const struct error *err)
{
    struct store *store = damage->store;

    for (unsigned i = 0; i < damage->count; i++) {
        struct store_bad *bad = damage->bads[i];

        if (bad->is_new)
            damage_log(bad);
        if (bad->is_new && damage->statuses[i] == STATUS_OK && status != STATUS_OK) {
            damage->statuses[i] = status;
            bad->err = *err;
        }
        if (bad->is_new)
            store_tell_bad(store, bad);
    }
    for (unsigned i = 0; i < damage->count; i++)
        store_request_done(damage->bads[i]->port, &damage->bads[i]->request, damage->statuses[i]);
}

void damage_mark(struct store *store, struct list *bads)
{
    struct damage *damage = calloc(1, sizeof *damage);
    struct error err = { 0 };
    enum status status = STATUS_OK;

    assert(damage != NULL);
    damage->records = malloc((size_t)DAMAGE_BATCH_MAX * JOURNAL_RECORD_SIZE);
    assert(damage->records != NULL);
    damage->store = store;
    while (!list_empty(bads)) {
        struct store_request *request = list_first(bads, struct store_request, list);
        struct store_bad *bad = container_of(request, struct store_bad, request);

        list_remove(&request->list);
        assert(damage->count < DAMAGE_BATCH_MAX);
        if (damage->count == 0) {
            damage->run = run_table_find(&store->runs, &bad->run);
            damage->dir = damage->run != NULL ? damage->run->dir : NULL;
        }
        damage_plan(damage, bad);
    }
    bool has_news = false;
    for (unsigned i = 0; i < damage->count; i++)
        has_news |= damage->bads[i]->is_new;
    if (damage->records_count > 0)
        status = damage_write(damage, &err);
    if (has_news) {
        damage_show_all(damage, status == STATUS_OK);
        store_notify(store);
    }
    damage_answer(damage, status, &err);
    free(damage->records);
    free(damage);
}
