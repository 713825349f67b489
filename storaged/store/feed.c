/* feed.c: what others read of a run: its journal's records, their places, its shards. */
#include "storaged/store/store_state.h"

#include <assert.h>
#include <stdlib.h>

enum { FEED_LIST_CHUNK = 1024 }; /* records that a listing reads at once */

/* The run's directory with a reference. NOT_FOUND. */
static enum status feed_take_dir(struct store *store, const struct run_key *key, struct run **run,
                                 struct run_dir **dir, struct error *err)
{
    *run = run_table_find(&store->runs, key);
    *dir = *run != NULL ? run_take_dir(*run) : NULL;
    if (*dir == NULL)
        return error_set(err, STATUS_NOT_FOUND, "no such run here");
    return STATUS_OK;
}

/* --- journal --- */

/* Does the reader's place belong to this journal? */
static enum status feed_check_place(const struct run_dir *dir, uint64_t journal_id, uint64_t from,
                                    uint64_t total, bool has_check, uint32_t check, struct error *err)
{
    uint8_t before[JOURNAL_RECORD_SIZE];

    if (dir->journal.header.journal_id != journal_id)
        return error_set(err, STATUS_JOURNAL_CHANGED, "the journal is %016jx",
                         (uintmax_t)dir->journal.header.journal_id);
    if (from > total)
        return error_set(err, STATUS_JOURNAL_CHANGED, "the journal has %ju records", (uintmax_t)total);
    if (!has_check || from == 0)
        return STATUS_OK;
    enum status status = journal_read(&dir->journal, from - 1, 1, true, before, err);
    if (status != STATUS_OK)
        return status;
    if (journal_record_check(before) != check)
        return error_set(err, STATUS_JOURNAL_CHANGED, "record %ju is another", (uintmax_t)(from - 1));
    return STATUS_OK;
}

/* Does the record count for nothing? [lock] */
static bool feed_is_void(const struct run_dir *dir, const struct journal_record *record, uint64_t number)
{
    const struct store_file *file;

    if (record->kind == JOURNAL_STORED) {
        file = run_dir_file_of(dir, record->shard, number);
        return file == NULL || file->is_void || run_dir_is_bad(dir, number);
    }
    if (record->kind == JOURNAL_FILE) {
        file = run_dir_file_by_birth(dir, record->shard, record->birth);
        return file == NULL || file->is_void;
    }
    return false;
}

static enum status feed_mark_void(struct run *run, const struct run_dir *dir, uint64_t from,
                                  uint8_t *bytes, uint64_t count, struct error *err)
{
    enum status status = STATUS_OK;
    struct journal_record record;

    uv_rwlock_rdlock(&run->lock);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        uint8_t *at = bytes + i * JOURNAL_RECORD_SIZE;

        status = journal_record_decode(at, dir->journal.header.journal_id, from + i, &record, err);
        if (status == STATUS_OK && feed_is_void(dir, &record, from + i))
            journal_record_set_void(at);
    }
    uv_rwlock_rdunlock(&run->lock);
    return status;
}

enum status store_journal_read(struct store *store, const struct run_key *key, uint64_t journal_id,
                               uint64_t from, bool has_check, uint32_t check, size_t count_max,
                               struct buf *records, uint64_t *total, struct error *err)
{
    struct run *run;
    struct run_dir *dir;
    enum status status = feed_take_dir(store, key, &run, &dir, err);

    if (status != STATUS_OK)
        return status;
    *total = journal_flushed(&dir->journal);
    status = feed_check_place(dir, journal_id, from, *total, has_check, check, err);
    if (status == STATUS_OK && from < *total && count_max > 0) {
        uint64_t count = *total - from < count_max ? *total - from : count_max;
        uint8_t *room = buf_reserve(records, count * JOURNAL_RECORD_SIZE);

        if (room == NULL)
            status = error_set(err, buf_status(records), "no room for records");
        else
            status = journal_read(&dir->journal, from, count, true, room, err);
        if (status == STATUS_OK)
            status = feed_mark_void(run, dir, from, room, count, err);
        if (status == STATUS_OK)
            records->size += count * JOURNAL_RECORD_SIZE;
    }
    run_dir_unref(dir);
    return status;
}

/* --- the place of a record --- */

static enum status feed_open_record(struct run *run, struct run_dir *dir, uint64_t number,
                                    struct store_place *place, struct store_file **result,
                                    struct error *err)
{
    struct journal_record record;
    enum status status = journal_read_record(&dir->journal, number, true, &record, err);

    if (status != STATUS_OK)
        return status;
    uv_rwlock_rdlock(&run->lock);
    struct store_file *file = run_dir_file_of(dir, record.shard, number);
    bool is_void = record.kind != JOURNAL_STORED || feed_is_void(dir, &record, number);
    uv_rwlock_rdunlock(&run->lock);
    if (is_void)
        return error_set(err, STATUS_NOT_FOUND, "record %ju counts for nothing", (uintmax_t)number);
    status = data_file_hold(file, dir->fd, err);
    if (status != STATUS_OK)
        return status == STATUS_PURGED ? error_set(err, STATUS_NOT_FOUND, "purged") : status;
    *place = (struct store_place){
        .shard = record.shard,
        .birth = file->birth,
        .offset = record.offset,
        .length = record.length,
        .stored_at_us = record.stored_at_us,
        .record = number,
    };
    *result = file;
    return STATUS_OK;
}

enum status store_record_open(struct store *store, const struct run_key *key, uint64_t journal_id,
                              uint64_t record, struct store_place *place, struct store_file **file,
                              struct error *err)
{
    struct run *run;
    struct run_dir *dir;
    enum status status = feed_take_dir(store, key, &run, &dir, err);

    if (status != STATUS_OK)
        return status;
    if (dir->journal.header.journal_id != journal_id || record >= journal_flushed(&dir->journal))
        status = error_set(err, STATUS_JOURNAL_CHANGED, "the journal is another");
    else
        status = feed_open_record(run, dir, record, place, file, err);
    run_dir_unref(dir);
    return status;
}

/* --- shards --- */

enum status store_shards(struct store *store, const struct run_key *key, struct store_shard *shards)
{
    struct run *run = run_table_find(&store->runs, key);
    enum status status = STATUS_NOT_FOUND;

    if (run == NULL)
        return STATUS_NOT_FOUND;
    memset(shards, 0, store->options.shards * sizeof *shards);
    uv_rwlock_rdlock(&run->lock);
    if (run->dir != NULL) {
        status = STATUS_OK;
        for (unsigned i = 0; i < run->dir->shards_count; i++) {
            const struct run_shard *shard = run->dir->shards[i];

            if (shard->shard < store->options.shards)
                shards[shard->shard] = (struct store_shard){ .bytes = shard->bytes, .set = shard->set };
        }
    }
    uv_rwlock_rdunlock(&run->lock);
    return status;
}

/* What a listing is about to hand out, found under the run's lock. */
struct feed_listed {
    struct digest digest;
    struct store_place place;
};

/* The good messages of one shard among count records; returns how many are in listed. */
static enum status feed_list_chunk(struct run *run, const struct run_dir *dir, unsigned shard,
                                   uint64_t from, const uint8_t *bytes, uint64_t count,
                                   struct feed_listed *listed, size_t *used, struct error *err)
{
    enum status status = STATUS_OK;
    struct journal_record record;

    *used = 0;
    uv_rwlock_rdlock(&run->lock);
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        status = journal_record_decode(bytes + i * JOURNAL_RECORD_SIZE,
                                       dir->journal.header.journal_id, from + i, &record, err);
        if (status != STATUS_OK || record.kind != JOURNAL_STORED || record.shard != shard ||
            record.stored_at_us == 0 || feed_is_void(dir, &record, from + i) ||
            !digest_table_has(&dir->table, digest_table_tag(&dir->table, &record.digest),
                              (uint32_t)(from + i)))
            continue; /* the last: given twice, and the other record counts */
        listed[(*used)++] = (struct feed_listed){
            .digest = record.digest,
            .place = {
                .shard = shard,
                .birth = run_dir_file_of(dir, shard, from + i)->birth,
                .offset = record.offset,
                .length = record.length,
                .stored_at_us = record.stored_at_us,
                .record = from + i,
            },
        };
    }
    uv_rwlock_rdunlock(&run->lock);
    return status;
}

enum status store_shard_list(struct store *store, const struct run_key *key, unsigned shard,
                             void (*each)(void *data, const struct digest *digest,
                                          const struct store_place *place),
                             void *data, struct error *err)
{
    struct run *run;
    struct run_dir *dir;
    enum status status = feed_take_dir(store, key, &run, &dir, err);

    if (status != STATUS_OK)
        return status;
    uint8_t *bytes = malloc(FEED_LIST_CHUNK * JOURNAL_RECORD_SIZE);
    struct feed_listed *listed = malloc(FEED_LIST_CHUNK * sizeof *listed);
    assert(bytes != NULL && listed != NULL);
    uint64_t total = journal_flushed(&dir->journal);
    for (uint64_t from = 0; from < total && status == STATUS_OK; from += FEED_LIST_CHUNK) {
        uint64_t count = total - from < FEED_LIST_CHUNK ? total - from : FEED_LIST_CHUNK;
        size_t used = 0;

        status = journal_read(&dir->journal, from, count, true, bytes, err);
        if (status == STATUS_OK)
            status = feed_list_chunk(run, dir, shard, from, bytes, count, listed, &used, err);
        for (size_t i = 0; i < used; i++)
            each(data, &listed[i].digest, &listed[i].place);
    }
    free(bytes);
    free(listed);
    run_dir_unref(dir);
    return status;
}

/* --- what is missing --- */

/* The bad records of a run, as a copy. */
static uint64_t *feed_list_bad(struct run *run, unsigned *count, struct run_dir **dir)
{
    uint64_t *bad = NULL;

    uv_rwlock_rdlock(&run->lock);
    *dir = run->dir;
    *count = *dir != NULL ? (*dir)->bad_count : 0;
    if (*count > 0) {
        bad = malloc(*count * sizeof *bad);
        assert(bad != NULL);
        memcpy(bad, (*dir)->bad, *count * sizeof *bad);
        run_dir_ref(*dir);
    }
    uv_rwlock_rdunlock(&run->lock);
    return bad;
}

static bool feed_each_missing(struct run *run,
                              bool (*each)(void *user, const struct store_missing *missing), void *user)
{
    struct store_place place;
    struct run_dir *dir;
    unsigned count;
    uint64_t *bad = feed_list_bad(run, &count, &dir);
    bool goes_on = true;

    for (unsigned i = 0; i < count && goes_on; i++) {
        struct journal_record record;

        if (journal_read_record(&dir->journal, bad[i], true, &record, NULL) != STATUS_OK ||
            record.kind != JOURNAL_STORED ||
            store_run_find(run, &record.digest, true, &place, NULL) == STATUS_OK)
            continue;
        struct store_missing missing = {
            .run = run->key,
            .incarnation = dir->journal.header.incarnation,
            .digest = record.digest,
            .length = record.length,
            .stored_at_us = record.stored_at_us,
        };
        goes_on = each(user, &missing);
    }
    if (count > 0)
        run_dir_unref(dir);
    free(bad);
    return goes_on;
}

void store_missing_each(struct store *store,
                        bool (*each)(void *user, const struct store_missing *missing), void *user)
{
    size_t count;
    struct run **runs = run_table_list(&store->runs, false, &count);
    bool goes_on = true;

    for (size_t i = 0; i < count && goes_on; i++)
        goes_on = feed_each_missing(runs[i], each, user);
    free(runs);
}
