/* store.c: opening and closing, stamps, and what is asked of a store without changing it. */
#include "storaged/store/store.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/closed.h"
#include "storaged/store/disk.h"
#include "storaged/store/recover.h"
#include "storaged/store/run_change.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
    STORE_BATCH_COUNT = 4096,
    STORE_QUEUE_COUNT = 65536,
    STORE_FLUSH_THREADS = 4,
    STORE_SAME_TAG_MAX = 8, /* records with one 32-bit tag: even two are rare */
};
#define STORE_BATCH_SIZE (UINT64_C(64) << 20)
#define STORE_DIRECT_SIZE (UINT64_C(64) << 10)
#define STORE_RUN_MEMORY_US (UINT64_C(400) * 86400 * 1000000)
#define STORE_RESERVE_SIZE (UINT64_C(5) << 30)

/* --- open and close --- */

static void store_set_options(struct store *store, const struct store_options *options)
{
    struct store_options *set = &store->options;

    *set = *options;
    set->dir = NULL; /* these are borrowed only until the store is open */
    set->on_locked = NULL;
    if (set->batch_size_max == 0)
        set->batch_size_max = STORE_BATCH_SIZE;
    if (set->batch_count_max == 0)
        set->batch_count_max = STORE_BATCH_COUNT;
    if (set->queue_count_max == 0)
        set->queue_count_max = STORE_QUEUE_COUNT;
    if (set->flush_threads == 0)
        set->flush_threads = STORE_FLUSH_THREADS;
    if (set->flush_threads > FLUSH_THREADS_MAX)
        set->flush_threads = FLUSH_THREADS_MAX;
    if (set->direct_size == 0)
        set->direct_size = STORE_DIRECT_SIZE;
    if (set->run_memory_us == 0)
        set->run_memory_us = STORE_RUN_MEMORY_US;
    assert(set->shards > 0 && (set->shards & (set->shards - 1)) == 0 && set->shards <= 16384);
}

/* DATA_DIR itself, made where it is missing; the lock goes with the descriptor. */
static enum status store_lock(struct store *store, const char *dir, struct error *err)
{
    enum status status = disk_make_dir(AT_FDCWD, dir, err);

    if (status != STATUS_OK && status != STATUS_EXISTS)
        return status;
    status = disk_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, &store->dir_fd, err);
    if (status != STATUS_OK)
        return status;
    if (flock(store->dir_fd, LOCK_EX | LOCK_NB) != 0)
        return error_set(err, STATUS_LOCKED, "another process uses %s", dir);
    return STATUS_OK;
}

static enum status store_open_dir(struct store *store, const char *name, int *fd, struct error *err)
{
    enum status status = disk_make_dir(store->dir_fd, name, err);

    if (status != STATUS_OK && status != STATUS_EXISTS)
        return status;
    return disk_open(store->dir_fd, name, O_RDONLY | O_DIRECTORY, fd, err);
}

static struct store *store_new(const struct store_options *options)
{
    struct store *store = calloc(1, sizeof *store);

    assert(store != NULL);
    store_set_options(store, options);
    store->dir_fd = store->runs_fd = store->purged_fd = store->log.fd = -1;
    random_bytes(&store->boot_id, sizeof store->boot_id);
    run_table_init(&store->runs);
    file_cache_init(&store->files, &store->unlinker);
    uv_mutex_init(&store->mutex);
    uv_mutex_init(&store->bad_mutex);
    list_init(&store->ports);
    return store;
}

static enum status store_start(struct store *store, const struct store_options *options, struct error *err)
{
    enum status status = store_lock(store, options->dir, err);
    if (status != STATUS_OK)
        return status;
    if (options->on_locked != NULL)
        options->on_locked(options->user);
    store_look_at_space(store);
    status = store_open_dir(store, STORE_RUNS_DIR, &store->runs_fd, err);
    if (status != STATUS_OK)
        return status;
    status = store_open_dir(store, STORE_PURGED_DIR, &store->purged_fd, err);
    if (status != STATUS_OK)
        return status;
    status = recover_store(store, err);
    if (status != STATUS_OK)
        return status;
    status = unlinker_start(&store->unlinker, store->purged_fd, err);
    if (status != STATUS_OK)
        return status;
    status = flusher_start(&store->flusher, store->options.flush_threads, err);
    if (status != STATUS_OK)
        return status;
    status = writer_start(&store->writer, store, err);
    if (status != STATUS_OK)
        return status;
    return scrub_start(&store->scrub, store, err);
}

enum status store_open(const struct store_options *options, struct store **result, struct error *err)
{
    struct store *store = store_new(options);
    struct error own; /* recovery looks at what went wrong and goes on */
    if (err == NULL)
        err = &own;
    enum status status = store_start(store, options, err);

    store->options.progress = NULL;
    if (status == STATUS_OK) {
        *result = store;
        return STATUS_OK;
    }
    store_close(store);
    return error_wrap(err, "%s", options->dir);
}

/* What the next start need not prove. Without it, it does. */
static void store_note_closed(struct store *store)
{
    struct closed closed = { 0 };
    struct error err = { 0 };
    size_t count;
    struct run **runs = run_table_list(&store->runs, false, &count);

    for (size_t i = 0; i < count; i++) {
        const struct run_dir *dir = runs[i]->dir;

        if (dir != NULL)
            closed_add(&closed, dir->journal.header.journal_id, journal_flushed(&dir->journal));
    }
    free(runs);
    if (closed_save(store->dir_fd, &closed, &err) != STATUS_OK)
        log_msg(LOG_WARN, "store.closed", "%s", err.text);
    closed_fini(&closed);
}

void store_close(struct store *store)
{
    bool was_open = store->writer.running;

    assert(list_empty(&store->ports));
    scrub_stop(&store->scrub); /* it waits for the writer */
    writer_stop(&store->writer);
    flusher_stop(&store->flusher);
    if (was_open && !store_is_read_only(store))
        store_note_closed(store);
    run_table_fini(&store->runs);
    unlinker_stop(&store->unlinker);
    file_cache_fini(&store->files);
    run_log_close(&store->log);
    disk_close(store->purged_fd);
    disk_close(store->runs_fd);
    disk_close(store->dir_fd);
    uv_mutex_destroy(&store->bad_mutex);
    uv_mutex_destroy(&store->mutex);
    free(store);
}

/* --- what changes are told by --- */

void store_fail(struct store *store, const struct error *err)
{
    uv_mutex_lock(&store->mutex);
    bool is_first = !atomic_load(&store->read_only);
    if (is_first)
        memcpy(store->error, err->text, sizeof store->error);
    atomic_store(&store->read_only, true);
    uv_mutex_unlock(&store->mutex);
    if (is_first)
        log_msg(LOG_ERROR, "store.read-only", "%s", err->text);
}

bool store_is_read_only(struct store *store)
{
    return atomic_load(&store->read_only);
}

void store_run_changed(struct store *store, struct run *run)
{
    run->changed = atomic_fetch_add(&store->counter, 1) + 1;
}

uint64_t store_boot_id(const struct store *store)
{
    return store->boot_id;
}

uint64_t store_counter(struct store *store)
{
    return atomic_load(&store->counter);
}

/* --- requests --- */

static void store_start_request(struct store *store, struct store_port *port,
                                struct store_request *request, enum store_request_kind kind)
{
    request->kind = kind;
    list_init(&request->list);
    if (!writer_queue(&store->writer, request))
        store_request_done(port, request, STATUS_OVERLOADED);
}

void store_append(struct store *store, struct append *append)
{
    store_start_request(store, append->port, &append->request, STORE_APPEND);
}

void store_run_tell(struct store *store, struct run_change *change)
{
    error_init(&change->err);
    store_start_request(store, change->port, &change->request, STORE_TELL);
}

void store_run_purge(struct store *store, struct run_change *purge)
{
    error_init(&purge->err);
    store_start_request(store, purge->port, &purge->request, STORE_PURGE);
}

void store_mark_bad(struct store *store, struct store_bad *bad)
{
    error_init(&bad->err);
    bad->is_new = false;
    store_start_request(store, bad->port, &bad->request, STORE_BAD);
}

void store_seal(struct store *store, struct store_drop *drop)
{
    error_init(&drop->err);
    store_start_request(store, drop->port, &drop->request, STORE_SEAL);
}

void store_drop(struct store *store, struct store_drop *drop)
{
    error_init(&drop->err);
    store_start_request(store, drop->port, &drop->request, STORE_DROP);
}

void store_unlink(struct store *store, struct store_drop *drop)
{
    error_init(&drop->err);
    store_start_request(store, drop->port, &drop->request, STORE_UNLINK);
}

void store_on_bad(struct store *store, void (*on_bad)(void *user, const struct store_bad *bad), void *user)
{
    uv_mutex_lock(&store->bad_mutex);
    store->on_bad = on_bad;
    store->on_bad_user = user;
    uv_mutex_unlock(&store->bad_mutex);
}

void store_tell_bad(struct store *store, const struct store_bad *bad)
{
    uv_mutex_lock(&store->bad_mutex);
    if (store->on_bad != NULL)
        store->on_bad(store->on_bad_user, bad);
    uv_mutex_unlock(&store->bad_mutex);
}

uint64_t store_stamp(struct store *store, uint64_t count)
{
    uint64_t now = clock_wall_us();
    uint64_t last = atomic_load(&store->stamp);
    uint64_t first;

    assert(count > 0);
    do {
        first = last >= now && last - now < STORE_STAMP_AHEAD_MAX_US ? last + 1 : now;
    } while (!atomic_compare_exchange_weak(&store->stamp, &last, first + count - 1));
    return first;
}

void store_stamp_seen(struct store *store, uint64_t stored_at_us)
{
    uint64_t last = atomic_load(&store->stamp);

    while (last < stored_at_us && !atomic_compare_exchange_weak(&store->stamp, &last, stored_at_us))
        ;
}

enum status store_spool_open(struct store *store, int *fd, struct error *err)
{
    return disk_open(store->dir_fd, ".", O_TMPFILE | O_RDWR, fd, err);
}

void store_spool_close(struct store *store, int fd)
{
    if (fd >= 0)
        unlinker_give(&store->unlinker, fd, 0); /* no data file's birth id */
}

/* --- find --- */

/* The place of a *stored* record that was just read, unless it counts for nothing. [lock] */
static bool store_place_of(const struct run_dir *dir, uint64_t number,
                           const struct journal_record *record, struct store_place *place)
{
    const struct store_file *file = run_dir_file_of(dir, record->shard, number);

    if (file == NULL || file->is_void || run_dir_is_bad(dir, number))
        return false;
    *place = (struct store_place){
        .shard = record->shard,
        .birth = file->birth,
        .offset = record->offset,
        .length = record->length,
        .stored_at_us = record->stored_at_us,
        .record = number,
    };
    return true;
}

/* Which of the records with the digest's tag is the digest's. */
static enum status store_confirm(struct run *run, struct run_dir *dir, const uint32_t *records,
                                 unsigned count, const struct digest *digest, bool may_block,
                                 struct store_place *place, struct error *err)
{
    struct journal_record record;

    for (unsigned i = 0; i < count; i++) {
        enum status status = journal_read_record(&dir->journal, records[i], may_block, &record, err);
        if (status != STATUS_OK)
            return status;
        if (record.kind != JOURNAL_STORED || digest_compare(&record.digest, digest) != 0)
            continue;
        uv_rwlock_rdlock(&run->lock);
        bool is_good = store_place_of(dir, records[i], &record, place);
        uv_rwlock_rdunlock(&run->lock);
        if (is_good)
            return STATUS_OK;
    }
    return error_set(err, STATUS_NOT_FOUND, "no such message");
}

enum status store_run_find(struct run *run, const struct digest *digest, bool may_block,
                           struct store_place *place, struct error *err)
{
    uint32_t records[STORE_SAME_TAG_MAX];
    unsigned count = 0;

    uv_rwlock_rdlock(&run->lock);
    struct run_dir *dir = run->dir;
    if (dir != NULL && run_change_keeps(&run->info, dir->journal.header.incarnation))
        count = digest_table_find(&dir->table, digest_table_tag(&dir->table, digest), records,
                                  STORE_SAME_TAG_MAX);
    if (count > 0)
        run_dir_ref(dir);
    uv_rwlock_rdunlock(&run->lock);
    if (count == 0)
        return error_set(err, STATUS_NOT_FOUND, "no such message");
    enum status status = store_confirm(run, dir, records, count, digest, may_block, place, err);
    run_dir_unref(dir);
    return status;
}

enum status store_find(struct store *store, const struct run_key *key, const struct digest *digest,
                       bool may_block, struct store_place *place, struct error *err)
{
    struct run *run = run_table_find(&store->runs, key);

    if (run == NULL)
        return error_set(err, STATUS_NOT_FOUND, "no such run");
    return store_run_find(run, digest, may_block, place, err);
}

enum status store_find_any(struct store *store, const struct digest *digest, bool may_block,
                           struct run_key *key, struct store_place *place, struct error *err)
{
    return store_find_where(store, digest, may_block, NULL, NULL, key, place, err);
}

enum status store_find_where(struct store *store, const struct digest *digest, bool may_block,
                             bool (*allows)(void *data, const struct run_key *run), void *data,
                             struct run_key *key, struct store_place *place, struct error *err)
{
    size_t count;
    struct run **runs = run_table_list(&store->runs, true, &count);
    enum status status = error_set(err, STATUS_NOT_FOUND, "no such message");

    for (size_t i = 0; i < count && status == STATUS_NOT_FOUND; i++) {
        if (allows != NULL && !allows(data, &runs[i]->key))
            continue;
        status = store_run_find(runs[i], digest, may_block, place, err);
        if (status == STATUS_OK)
            *key = runs[i]->key;
    }
    free(runs);
    return status;
}

/* --- data files --- */

static bool store_run_is_gone(const struct run *run)
{
    return run->info.state == RUN_PURGED || (run->info.state == RUN_RETIRED && run->dir == NULL);
}

/* The file, with a reference, and its directory, with another. */
static enum status store_find_file(struct run *run, unsigned shard, uint64_t birth,
                                   struct run_dir **dir, struct store_file **file, struct error *err)
{
    enum status status = STATUS_OK;

    uv_rwlock_rdlock(&run->lock);
    *dir = run->dir;
    *file = *dir != NULL ? run_dir_file_by_birth(*dir, shard, birth) : NULL;
    if (store_run_is_gone(run))
        status = error_set(err, STATUS_PURGED, "the run was purged");
    else if (*file == NULL)
        status = error_set(err, STATUS_NOT_FOUND, "no such data file");
    else if ((*file)->is_void && !(*file)->in_grace)
        status = error_set(err, STATUS_PURGED, "the data file was dropped");
    else
        run_dir_ref(*dir);
    uv_rwlock_rdunlock(&run->lock);
    return status;
}

static enum status store_hold_file(struct store *store, const struct run_key *key, unsigned shard,
                                   uint64_t birth, bool may_block, struct store_file **result,
                                   struct error *err)
{
    struct run *run = run_table_find(&store->runs, key);
    struct run_dir *dir;
    struct store_file *file;

    if (run == NULL)
        return error_set(err, STATUS_NOT_FOUND, "no such run");
    enum status status = store_find_file(run, shard, birth, &dir, &file, err);
    if (status != STATUS_OK)
        return status;
    status = may_block ? data_file_hold(file, dir->fd, err) : data_file_try_hold(file, err);
    run_dir_unref(dir);
    if (status == STATUS_OK)
        *result = file;
    return status;
}

enum status store_file_open(struct store *store, const struct run_key *run, unsigned shard,
                            uint64_t birth, struct store_file **file, struct error *err)
{
    return store_hold_file(store, run, shard, birth, true, file, err);
}

enum status store_file_try_open(struct store *store, const struct run_key *run, unsigned shard,
                                uint64_t birth, struct store_file **file, struct error *err)
{
    return store_hold_file(store, run, shard, birth, false, file, err);
}

uint64_t store_files_gone(struct store *store)
{
    return atomic_load(&store->files.gone);
}

/* --- runs --- */

static void store_info_files(const struct run_dir *dir, struct store_run_info *info)
{
    info->files = calloc(dir->files_count + 1, sizeof *info->files);
    assert(info->files != NULL);
    for (unsigned i = 0; i < dir->files_count; i++) {
        const struct store_file *file = dir->files[i];

        if (file->is_void)
            continue;
        info->files[info->files_count++] = (struct store_file_info){
            .shard = file->shard,
            .birth = file->birth,
            .size = store_file_size(file),
            .count = file->count,
            .modified = store_file_modified(file),
            .own = file->own,
        };
    }
}

/* False: it did not change since. */
static bool store_info_of(struct run *run, uint64_t since, struct store_run_info *info)
{
    uv_rwlock_rdlock(&run->lock);
    bool has_changed = run->changed > since;
    if (has_changed) {
        const struct run_dir *dir = run->dir;

        *info = (struct store_run_info){
            .run = run->key,
            .info = run->info,
            .changed = run->changed,
        };
        if (dir != NULL) {
            info->journal_id = dir->journal.header.journal_id;
            info->records = journal_flushed(&dir->journal);
            info->messages = dir->messages;
            info->bytes = dir->bytes;
            store_info_files(dir, info);
        }
    }
    uv_rwlock_rdunlock(&run->lock);
    return has_changed;
}

enum status store_runs(struct store *store, uint64_t since, struct store_run_info **result,
                       size_t *result_count, uint64_t *counter)
{
    size_t count, used = 0;

    *counter = store_counter(store); /* first: what changes from here on is told again */
    struct run **runs = run_table_list(&store->runs, false, &count);
    struct store_run_info *infos = calloc(count + 1, sizeof *infos);
    assert(infos != NULL);
    for (size_t i = 0; i < count; i++)
        if (store_info_of(runs[i], since, &infos[used]))
            used++;
    free(runs);
    *result = infos;
    *result_count = used;
    return STATUS_OK;
}

enum status store_run_get(struct store *store, const struct run_key *key, struct store_run_info *info)
{
    struct run *run = run_table_find(&store->runs, key);

    *info = (struct store_run_info){ 0 };
    return run != NULL && store_info_of(run, 0, info) ? STATUS_OK : STATUS_NOT_FOUND;
}

void store_run_info_fini(struct store_run_info *info)
{
    free(info->files);
    info->files = NULL;
    info->files_count = 0;
}

void store_runs_free(struct store_run_info *runs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        store_run_info_fini(&runs[i]);
    free(runs);
}

void store_run_state(struct store *store, const struct run_key *key, struct run_info *info)
{
    struct run *run = run_table_find(&store->runs, key);

    *info = (struct run_info){ .incarnation = 1, .state = RUN_FILLING };
    if (run == NULL)
        return;
    uv_rwlock_rdlock(&run->lock);
    *info = run->info;
    uv_rwlock_rdunlock(&run->lock);
}

/* --- health --- */

static uint64_t store_reserve(const struct store *store, uint64_t size)
{
    if (store->options.reserve_size != UINT64_MAX)
        return store->options.reserve_size;
    return size / 20 > STORE_RESERVE_SIZE ? size / 20 : STORE_RESERVE_SIZE;
}

enum status store_room(struct store *store, uint64_t *room, struct error *err)
{
    uint64_t size, free;
    enum status status = disk_space(store->dir_fd, &size, &free, err);

    if (status != STATUS_OK)
        return status;
    uint64_t reserve = store_reserve(store, size);
    *room = free > reserve ? free - reserve : 0;
    atomic_store(&store->disk_size, size);
    atomic_store(&store->disk_free, free);
    return STATUS_OK;
}

void store_look_at_space(struct store *store)
{
    uint64_t room;

    store_room(store, &room, NULL);
}

enum status store_check_room(struct store *store, uint64_t size, struct error *err)
{
    uint64_t room;
    enum status status = store_room(store, &room, err);

    if (status == STATUS_OK && size > room)
        status = error_set(err, STATUS_FULL, "what is free is kept in reserve");
    return status;
}

static void store_add_run_stats(struct run *run, struct store_stats *stats)
{
    uv_rwlock_rdlock(&run->lock);
    if (run->dir != NULL) {
        stats->runs++;
        stats->messages += run->dir->messages;
        stats->bytes += run->dir->bytes;
        for (unsigned i = 0; i < run->dir->files_count; i++)
            stats->files += !run->dir->files[i]->is_void || run->dir->files[i]->in_grace;
        stats->bad += run->dir->bad_count;
    }
    uv_rwlock_rdunlock(&run->lock);
}

void store_stats(struct store *store, struct store_stats *stats)
{
    size_t count;

    *stats = (struct store_stats){ 0 };
    struct run **runs = run_table_list(&store->runs, false, &count);
    for (size_t i = 0; i < count; i++)
        store_add_run_stats(runs[i], stats);
    free(runs);
    stats->files_purging = atomic_load(&store->unlinker.left);
    stats->disk_size = atomic_load(&store->disk_size);
    stats->disk_free = atomic_load(&store->disk_free);
    stats->disk_reserved = store_reserve(store, stats->disk_size);
    stats->full = stats->disk_size > 0 && stats->disk_free <= stats->disk_reserved;
    stats->read_only = store_is_read_only(store);
    uv_mutex_lock(&store->mutex);
    memcpy(stats->error, store->error, sizeof stats->error);
    uv_mutex_unlock(&store->mutex);
}
