/* run_change.c: states go to runs.log before they count; directories go to purged/ before they are unlinked. */
#include "storaged/store/run_change.h"

#include "storaged/store/disk.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

bool run_change_keeps(const struct run_info *info, uint64_t incarnation)
{
    return info->state != RUN_PURGED && incarnation >= info->incarnation;
}

void run_change_purged_name(const struct run_key *run, uint64_t journal_id, char name[PURGED_NAME_SIZE])
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print(run->base_time, base_time);
    snprintf(name, PURGED_NAME_SIZE, "%s-%s-%016" PRIx64, run->source, base_time, journal_id);
}

/* The directory that the run's lies in: opened before anything is changed, so that a node without descriptors refuses
 * (OVERLOADED) and is not left half way. */
static enum status run_change_open_source(struct store *store, const struct run_key *run, int *fd,
                                          struct error *err)
{
    return disk_open(store->runs_fd, run->source, O_RDONLY | O_DIRECTORY, fd, err);
}

/* {base_time} in source_fd -> purged/..., both parents flushed. */
static enum status run_change_rename(struct store *store, const struct run_key *run, int source_fd,
                                     const char *purged_name, struct error *err)
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print(run->base_time, base_time);
    enum status status = disk_rename(source_fd, base_time, store->purged_fd, purged_name, err);
    if (status != STATUS_OK)
        return status;
    status = disk_flush_dir(source_fd, err);
    if (status != STATUS_OK)
        return status;
    return disk_flush_dir(store->purged_fd, err);
}

/* Readers that hold a file read on; nobody finds anything here any more. */
static void run_change_detach(struct store *store, struct run *run)
{
    uv_rwlock_wrlock(&run->lock);
    struct run_dir *dir = run->dir;
    run->dir = NULL;
    store_run_changed(store, run);
    uv_rwlock_wrunlock(&run->lock);
    for (unsigned i = 0; i < dir->files_count; i++)
        data_file_purge(dir->files[i]);
    run_dir_unref(dir);
}

/* may_stay: it is as good as before when there is no room for its new name. A flush has no such excuse. */
static enum status run_change_drop_dir(struct store *store, struct run *run, int source_fd,
                                       bool may_stay, struct error *err)
{
    char name[PURGED_NAME_SIZE];

    run_change_purged_name(&run->key, run->dir->journal.header.journal_id, name);
    enum status status = run_change_rename(store, &run->key, source_fd, name, err);
    if (status != STATUS_OK) {
        error_wrap(err, "purge %s", name);
        if (status != STATUS_FULL || !may_stay)
            store_fail(store, err);
        return status;
    }
    run_change_detach(store, run);
    unlinker_add(&store->unlinker, name);
    return STATUS_OK;
}

static enum status run_change_log(struct store *store, struct run *run, const struct run_info *info,
                                  struct error *err)
{
    enum status status = run_log_append(&store->log, &run->key, info, err);

    if (status != STATUS_OK) {
        if (status != STATUS_FULL)
            store_fail(store, err);
        return status;
    }
    uv_rwlock_wrlock(&run->lock);
    run->info = *info;
    store_run_changed(store, run);
    uv_rwlock_wrunlock(&run->lock);
    return STATUS_OK;
}

enum status run_change_take(struct store *store, struct run *run, const struct run_info *info,
                            struct error *err)
{
    bool drops = run->dir != NULL && !run_change_keeps(info, run->dir->journal.header.incarnation);
    enum status status = STATUS_OK;
    int source_fd = -1;

    if (drops)
        status = run_change_open_source(store, &run->key, &source_fd, err);
    if (status == STATUS_OK)
        status = run_change_log(store, run, info, err);
    if (status == STATUS_OK && drops)
        status = run_change_drop_dir(store, run, source_fd, false, err);
    disk_close(source_fd);
    return status;
}

static enum status run_change_do_tell(struct store *store, struct run *run, struct run_change *change)
{
    int order = run_info_compare(&change->info, &run->info);

    if (order < 0)
        return error_set(&change->err, STATUS_STALE_RUN, "incarnation %ju, version %ju is here already",
                         (uintmax_t)run->info.incarnation, (uintmax_t)run->info.version);
    if (order == 0)
        return STATUS_OK;
    if (store_is_read_only(store))
        return error_set(&change->err, STATUS_READ_ONLY, "a write failed before");
    return run_change_take(store, run, &change->info, &change->err);
}

void run_change_tell(struct store *store, struct run_change *change)
{
    struct run *run = run_table_add(&store->runs, &change->run);

    assert(change->info.incarnation > 0);
    assert(change->info.state >= RUN_FILLING && change->info.state <= RUN_PURGED);
    enum status status = run_change_do_tell(store, run, change);
    change->info = run->info;
    store_port_done(change->port, &change->request, status);
    store_notify(store);
}

static enum status run_change_do_purge(struct store *store, struct run *run, struct run_change *change)
{
    if (run == NULL || run->dir == NULL)
        return STATUS_OK; /* gone already */
    if (run->info.state != RUN_RETIRED || run_info_compare(&change->info, &run->info) != 0)
        return error_set(&change->err, STATUS_STALE_RUN, "the run is %s at incarnation %ju, version %ju",
                         run_state_name(run->info.state), (uintmax_t)run->info.incarnation,
                         (uintmax_t)run->info.version);
    if (store_is_read_only(store))
        return error_set(&change->err, STATUS_READ_ONLY, "a write failed before");
    int source_fd = -1;
    enum status status = run_change_open_source(store, &run->key, &source_fd, &change->err);
    if (status == STATUS_OK)
        status = run_change_drop_dir(store, run, source_fd, true, &change->err);
    disk_close(source_fd);
    return status;
}

void run_change_purge(struct store *store, struct run_change *change)
{
    struct run *run = run_table_find(&store->runs, &change->run);
    enum status status = run_change_do_purge(store, run, change);

    if (run != NULL)
        change->info = run->info;
    store_port_done(change->port, &change->request, status);
    store_notify(store);
}
