/* drop.c: the three steps by which a data file is given up. */
#include "storaged/store/drop.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/disk.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A message that is in the table of digests now. */
struct drop_message {
    uint32_t tag, record;
};

/* A file that is about to be dropped. */
struct drop_file {
    struct store_file *file;
    struct digest_set set; /* of its messages that count */
    uint64_t bytes;        /* of the same */
};

/* A drop under way. */
struct dropping {
    struct store *store;
    struct store_drop *drop;
    struct run *run;
    struct run_dir *dir;
    struct drop_file files[DROP_FILES_MAX]; /* by address */
    unsigned count;
    struct drop_message *messages; /* owned */
    size_t messages_count, messages_capacity;
    uint64_t *bad; /* owned: records of theirs that are bad */
    size_t bad_count, bad_capacity;
};

void drop_purged_name(const struct run_key *run, const char *file, char name[DROP_PURGED_NAME_SIZE])
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print(run->base_time, base_time);
    snprintf(name, DROP_PURGED_NAME_SIZE, "%s-%s@%s", run->source, base_time, file);
}

/* The run's directory, if its journal is the one that is meant. */
static enum status drop_find(struct store *store, struct store_drop *drop, struct run **run,
                             struct run_dir **dir)
{
    assert(drop->count > 0 && drop->count <= DROP_FILES_MAX);
    *run = run_table_find(&store->runs, &drop->run);
    *dir = *run != NULL ? (*run)->dir : NULL;
    for (unsigned i = 0; i < drop->count; i++)
        drop->files[i].status = STATUS_NOT_FOUND;
    if (*dir == NULL)
        return error_set(&drop->err, STATUS_NOT_FOUND, "no such run here");
    const struct journal_header *header = &(*dir)->journal.header;
    if (drop->journal_id != 0 && drop->journal_id != header->journal_id)
        return error_set(&drop->err, STATUS_NOT_FOUND, "the journal is another");
    drop->journal_id = header->journal_id;
    drop->incarnation = header->incarnation;
    drop->records = journal_flushed(&(*dir)->journal);
    return STATUS_OK;
}

/* --- seal --- */

static void drop_seal_file(struct run_dir *dir, struct store_drop_file *wanted)
{
    struct store_file *file = run_dir_file_by_birth(dir, wanted->shard, wanted->birth);

    if (file == NULL || file->is_void)
        return;
    struct run_shard *shard = run_dir_find_shard(dir, wanted->shard);
    if (shard->active == file)
        shard->active = NULL;
    wanted->status = STATUS_OK;
}

void drop_seal(struct store *store, struct store_drop *drop)
{
    struct run *run;
    struct run_dir *dir;
    enum status status = drop_find(store, drop, &run, &dir);

    for (unsigned i = 0; i < drop->count && status == STATUS_OK; i++)
        drop_seal_file(dir, &drop->files[i]);
    store_port_done(drop->port, &drop->request, status);
}

/* --- drop: what it takes away --- */

static int drop_file_order(const void *a, const void *b)
{
    uintptr_t one = (uintptr_t)((const struct drop_file *)a)->file;
    uintptr_t two = (uintptr_t)((const struct drop_file *)b)->file;

    return one < two ? -1 : one > two;
}

static struct drop_file *drop_file_find(struct dropping *dropping, struct store_file *file)
{
    struct drop_file key = { .file = file };

    return bsearch(&key, dropping->files, dropping->count, sizeof key, drop_file_order);
}

static bool drop_has_file(const struct dropping *dropping, const struct store_file *file)
{
    for (unsigned i = 0; i < dropping->count; i++)
        if (dropping->files[i].file == file)
            return true;
    return false;
}

/* The files that can be dropped. One that takes messages was not sealed: what it will hold nobody was asked about. */
static void drop_take_files(struct dropping *dropping)
{
    struct run_dir *dir = dropping->dir;

    for (unsigned i = 0; i < dropping->drop->count; i++) {
        struct store_drop_file *wanted = &dropping->drop->files[i];
        struct store_file *file = run_dir_file_by_birth(dir, wanted->shard, wanted->birth);

        if (file == NULL || file->is_void || drop_has_file(dropping, file) ||
            run_dir_find_shard(dir, wanted->shard)->active == file)
            continue;
        wanted->status = STATUS_OK;
        dropping->files[dropping->count++] = (struct drop_file){ .file = file };
    }
    if (dropping->count > 0)
        qsort(dropping->files, dropping->count, sizeof *dropping->files, drop_file_order);
}

static void drop_add_message(struct dropping *dropping, uint32_t tag, uint32_t record)
{
    if (dropping->messages_count == dropping->messages_capacity) {
        dropping->messages_capacity = dropping->messages_capacity == 0
                                          ? 1024
                                          : 2 * dropping->messages_capacity;
        dropping->messages = realloc(dropping->messages,
                                     dropping->messages_capacity * sizeof *dropping->messages);
        assert(dropping->messages != NULL);
    }
    dropping->messages[dropping->messages_count++] = (struct drop_message){ .tag = tag, .record = record };
}

static void drop_add_bad(struct dropping *dropping, uint64_t record)
{
    if (dropping->bad_count == dropping->bad_capacity) {
        dropping->bad_capacity = dropping->bad_capacity == 0 ? 8 : 2 * dropping->bad_capacity;
        dropping->bad = realloc(dropping->bad, dropping->bad_capacity * sizeof *dropping->bad);
        assert(dropping->bad != NULL);
    }
    dropping->bad[dropping->bad_count++] = record;
}

/* Only this thread changes tables: they are read without the lock. */
static void drop_look_at(struct dropping *dropping, uint64_t number, const struct journal_record *record)
{
    struct run_dir *dir = dropping->dir;
    struct drop_file *file;

    if (record->kind != JOURNAL_STORED)
        return;
    file = drop_file_find(dropping, run_dir_file_of(dir, record->shard, number));
    if (file == NULL)
        return;
    uint32_t tag = digest_table_tag(&dir->table, &record->digest);
    if (run_dir_is_bad(dir, number)) {
        drop_add_bad(dropping, number);
    } else if (digest_table_has(&dir->table, tag, (uint32_t)number)) { /* not adopted, not given twice */
        digest_set_add(&file->set, &record->digest);
        file->bytes += record->length;
        drop_add_message(dropping, tag, (uint32_t)number);
    }
}

static uint64_t drop_first_record(const struct dropping *dropping)
{
    uint64_t first = UINT64_MAX;

    for (unsigned i = 0; i < dropping->count; i++)
        if (dropping->files[i].file->record < first)
            first = dropping->files[i].file->record;
    return first;
}

static enum status drop_look(struct dropping *dropping, struct error *err)
{
    const struct journal *journal = &dropping->dir->journal;
    uint64_t id = journal->header.journal_id, total = journal_flushed(journal);
    uint8_t *bytes = malloc((size_t)DROP_CHUNK * JOURNAL_RECORD_SIZE);
    enum status status = STATUS_OK;

    assert(bytes != NULL);
    for (uint64_t from = drop_first_record(dropping); from < total && status == STATUS_OK;
         from += DROP_CHUNK) {
        uint64_t count = total - from < DROP_CHUNK ? total - from : DROP_CHUNK;
        struct journal_record record;

        status = journal_read(journal, from, count, true, bytes, err);
        for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
            status = journal_record_decode(bytes + i * JOURNAL_RECORD_SIZE, id, from + i, &record, err);
            if (status == STATUS_OK)
                drop_look_at(dropping, from + i, &record);
        }
    }
    free(bytes);
    return status;
}

/* --- drop: written and shown --- */

static enum status drop_check(const struct dropping *dropping, struct error *err)
{
    if (store_is_read_only(dropping->store))
        return error_set(err, STATUS_READ_ONLY, "a write failed before");
    if (dropping->dir->journal.written + dropping->count > JOURNAL_RECORDS_MAX)
        return error_set(err, STATUS_FULL, "the run's journal is full");
    if (clock_monotonic_us() > dropping->drop->deadline_us)
        return error_set(err, STATUS_TIMEOUT, "the grant is too old");
    return STATUS_OK;
}

static enum status drop_write_records(struct dropping *dropping, struct error *err)
{
    struct journal *journal = &dropping->dir->journal;
    uint8_t *bytes = malloc((size_t)dropping->count * JOURNAL_RECORD_SIZE);

    assert(bytes != NULL);
    for (unsigned i = 0; i < dropping->count; i++) {
        const struct store_file *file = dropping->files[i].file;
        struct journal_record record = {
            .kind = JOURNAL_DROPPED,
            .batch_first = i == 0,
            .shard = file->shard,
            .birth = file->birth,
            .stored_at_us = clock_wall_us(),
        };

        journal_record_encode(&record, journal->header.journal_id, journal->written + i,
                              bytes + (size_t)i * JOURNAL_RECORD_SIZE);
    }
    enum status status = journal_write(journal, bytes, dropping->count, err);
    free(bytes);
    if (status == STATUS_FULL && journal_cut(journal, err) == STATUS_OK)
        return error_set(err, STATUS_FULL, "no room for *dropped* records");
    if (status == STATUS_OK)
        status = disk_flush(journal->fd, err);
    if (status != STATUS_OK)
        store_fail(dropping->store, err);
    return status;
}

/* [lock], for writing */
static void drop_show_file(struct run_dir *dir, const struct drop_file *dropped)
{
    struct store_file *file = dropped->file;
    struct run_shard *shard = run_dir_find_shard(dir, file->shard);

    file->is_void = file->is_dropped = file->in_grace = true;
    file->count = 0;
    digest_set_subtract(&shard->set, &dropped->set);
    shard->bytes -= dropped->bytes;
    dir->messages -= dropped->set.count;
    dir->bytes -= dropped->bytes;
}

static void drop_show(struct dropping *dropping, bool is_told)
{
    struct run_dir *dir = dropping->dir;

    uv_rwlock_wrlock(&dropping->run->lock);
    for (unsigned i = 0; i < dropping->count; i++)
        drop_show_file(dir, &dropping->files[i]);
    for (size_t i = 0; i < dropping->bad_count; i++)
        run_dir_remove_bad(dir, dropping->bad[i]);
    if (is_told) {
        journal_wrote(&dir->journal, dropping->count);
        journal_show(&dir->journal);
    }
    store_run_changed(dropping->store, dropping->run);
    uv_rwlock_wrunlock(&dropping->run->lock);
}

/* What the table still names is void: nobody finds it, and it may go a few at a time. */
static void drop_clean(struct dropping *dropping)
{
    for (size_t i = 0; i < dropping->messages_count;) {
        uv_rwlock_wrlock(&dropping->run->lock);
        for (unsigned n = 0; n < DROP_CLEAN && i < dropping->messages_count; n++, i++)
            digest_table_remove(&dropping->dir->table, dropping->messages[i].tag,
                                dropping->messages[i].record);
        uv_rwlock_wrunlock(&dropping->run->lock);
    }
}

static void drop_log(const struct dropping *dropping, const char *event)
{
    char run[RUN_TEXT_SIZE];
    char name[DATA_FILE_NAME_SIZE];

    run_key_print(&dropping->run->key, run);
    for (unsigned i = 0; i < dropping->count; i++) {
        const struct drop_file *file = &dropping->files[i];
        struct log_line line;

        data_file_name(file->file->shard, file->file->birth, name);
        log_begin(&line, LOG_INFO, event);
        log_str(&line, "run", run);
        log_str(&line, "file", name);
        log_u64(&line, "messages", file->set.count);
        log_u64(&line, "bytes", file->bytes);
        log_end(&line);
    }
}

static enum status drop_do(struct dropping *dropping)
{
    struct error *err = &dropping->drop->err;

    drop_take_files(dropping);
    if (dropping->count == 0)
        return STATUS_OK;
    enum status status = drop_look(dropping, err);
    if (status == STATUS_OK)
        status = drop_check(dropping, err); /* last: the deadline is among it */
    if (status != STATUS_OK)
        return status;
    status = drop_write_records(dropping, err);
    if (status == STATUS_FULL && !store_is_read_only(dropping->store))
        return status;
    drop_show(dropping, status == STATUS_OK);
    drop_clean(dropping);
    drop_log(dropping, "store.dropped");
    dropping->drop->records = journal_flushed(&dropping->dir->journal);
    return status;
}

static struct dropping *dropping_new(struct store *store, struct store_drop *drop)
{
    struct dropping *dropping = calloc(1, sizeof *dropping);

    assert(dropping != NULL);
    dropping->store = store;
    dropping->drop = drop;
    return dropping;
}

void drop_write(struct store *store, struct store_drop *drop)
{
    struct dropping *dropping = dropping_new(store, drop);
    enum status status = drop_find(store, drop, &dropping->run, &dropping->dir);

    if (status == STATUS_OK)
        status = drop_do(dropping);
    free(dropping->messages);
    free(dropping->bad);
    free(dropping);
    store_port_done(drop->port, &drop->request, status);
    store_notify(store);
}

/* --- unlink --- */

/* Behind the 410 that everybody gets from now on. One whose name is gone already is done with. */
static enum status drop_put_away(struct store *store, const struct run_key *run,
                                 const struct run_dir *dir, const struct store_file *file,
                                 struct error *err)
{
    char name[DATA_FILE_NAME_SIZE], purged[DROP_PURGED_NAME_SIZE];

    data_file_name(file->shard, file->birth, name);
    drop_purged_name(run, name, purged);
    enum status status = disk_rename(dir->fd, name, store->purged_fd, purged, err);
    if (status == STATUS_OK)
        unlinker_add(&store->unlinker, purged);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status drop_unlink_file(struct store *store, struct run *run, struct run_dir *dir,
                                    const struct store_drop_file *wanted, struct error *err)
{
    struct store_file *file = run_dir_file_by_birth(dir, wanted->shard, wanted->birth);

    if (file == NULL || !file->in_grace)
        return STATUS_NOT_FOUND;
    data_file_purge(file);
    enum status status = drop_put_away(store, &run->key, dir, file, err);
    if (status != STATUS_OK)
        return status;
    uv_rwlock_wrlock(&run->lock);
    file->in_grace = false;
    store_run_changed(store, run);
    uv_rwlock_wrunlock(&run->lock);
    return STATUS_OK;
}

void drop_unlink(struct store *store, struct store_drop *drop)
{
    struct run *run;
    struct run_dir *dir;
    enum status status = drop_find(store, drop, &run, &dir);

    if (status == STATUS_OK && store_is_read_only(store)) /* maybe since the record of the drop could not be flushed */
        status = error_set(&drop->err, STATUS_READ_ONLY, "a write failed before");
    for (unsigned i = 0; i < drop->count && status == STATUS_OK; i++)
        drop->files[i].status = drop_unlink_file(store, run, dir, &drop->files[i], &drop->err);
    store_port_done(drop->port, &drop->request, status);
    store_notify(store);
}
