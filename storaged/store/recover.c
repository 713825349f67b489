/* recover.c: the walk over a data directory at start. */
#include "storaged/store/recover.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/disk.h"
#include "storaged/store/rebuild.h"
#include "storaged/store/recover_run.h"
#include "storaged/store/run_change.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

/* --- one run --- */

/* A directory that does not belong here any more goes to purged/ as `wanted`, or, where that is taken (a file system that
 * does not rename in one may leave both names), with a random end. */
static enum status recover_put_away(struct store *store, int source_fd, const char *name,
                                    const char *wanted, struct error *err)
{
    char other[PURGED_NAME_SIZE + 64];
    uint64_t random;

    log_msg(LOG_INFO, "store.purge", "%s", wanted);
    if (disk_rename(source_fd, name, store->purged_fd, wanted, err) == STATUS_OK)
        return STATUS_OK;
    random_bytes(&random, sizeof random);
    snprintf(other, sizeof other, "%s-%016" PRIx64, wanted, random);
    return disk_rename(source_fd, name, store->purged_fd, other, err);
}

static enum status recover_put_run_away(struct store *store, int source_fd, const char *name,
                                        const struct run_key *run, uint64_t journal_id, struct error *err)
{
    char purged[PURGED_NAME_SIZE];

    run_change_purged_name(run, journal_id, purged);
    return recover_put_away(store, source_fd, name, purged, err);
}

/* The run's journal, made anew when it can't be used. */
static enum status recover_rebuild(struct store *store, struct run *run, struct run_dir *dir,
                                   uint64_t incarnation, struct error *err)
{
    char text[RUN_TEXT_SIZE];

    run_key_print(&run->key, text);
    log_msg(LOG_ERROR, "store.journal-damaged", "%s: %s", text, err->text);
    journal_close(&dir->journal);
    enum status status = rebuild_journal(dir->fd, incarnation, store->options.shards, err);
    if (status != STATUS_OK)
        return status;
    return journal_open(&dir->journal, dir->fd, JOURNAL_NAME, err);
}

/* Opens the journal; *usable false: it has to be made anew. */
static enum status recover_open_journal(struct run_dir *dir, bool *usable, struct error *err)
{
    enum status status = journal_open(&dir->journal, dir->fd, JOURNAL_NAME, err);

    *usable = status == STATUS_OK;
    if (status == STATUS_NOT_FOUND || status == STATUS_CORRUPT)
        return STATUS_OK;
    return status;
}

/* The open directory into *dir, its tables filled; *dir stays NULL when its state sent it to purged/. */
static enum status recover_load(struct store *store, int source_fd, const char *name,
                                struct run *run, struct run_dir *dir, bool *stays, struct error *err)
{
    bool usable;

    *stays = true;
    enum status status = disk_open(source_fd, name, O_RDONLY | O_DIRECTORY, &dir->fd, err);
    if (status != STATUS_OK)
        return status;
    status = recover_open_journal(dir, &usable, err);
    if (status != STATUS_OK)
        return status;
    uint64_t incarnation = usable ? dir->journal.header.incarnation : run->info.incarnation;
    if (!run_change_keeps(&run->info, incarnation)) {
        *stays = false;
        return recover_put_run_away(store, source_fd, name, &run->key,
                                    usable ? dir->journal.header.journal_id : 0, err);
    }
    if (usable) {
        status = recover_run(store, &run->key, dir, err);
        if (status != STATUS_CORRUPT)
            return status;
    }
    status = recover_rebuild(store, run, dir, incarnation, err);
    if (status != STATUS_OK)
        return status;
    return recover_run(store, &run->key, dir, err);
}

static enum status recover_one(struct store *store, int source_fd, const char *name,
                               const struct run_key *key, struct error *err)
{
    struct run *run = run_table_add(&store->runs, key);
    struct run_dir *dir = run_dir_new();
    char text[RUN_TEXT_SIZE];
    bool stays;
    enum status status = recover_load(store, source_fd, name, run, dir, &stays, err);

    if (status == STATUS_OK && stays) {
        run->dir = dir;
        if (dir->journal.header.incarnation > run->info.incarnation)
            run->info = (struct run_info){
                .incarnation = dir->journal.header.incarnation,
                .state = RUN_FILLING,
            };
        store_run_changed(store, run);
        return STATUS_OK;
    }
    run_dir_unref(dir);
    if (status == STATUS_OK)
        return STATUS_OK;
    run_key_print(key, text);
    return error_wrap(err, "run %s", text);
}

/* --- the directories --- */

/* runs/{source}/{name}: a run, one half made, or something that is not ours. */
static enum status recover_entry(struct store *store, int source_fd, const char *source,
                                 const char *name, struct error *err)
{
    struct run_key key;
    char again[BASE_TIME_TEXT_SIZE];
    char purged[PURGED_NAME_SIZE];

    if (strncmp(name, RUN_DIR_NEW_PREFIX, strlen(RUN_DIR_NEW_PREFIX)) == 0) {
        snprintf(purged, sizeof purged, "%s-%.32s", source, name);
        return recover_put_away(store, source_fd, name, purged, err);
    }
    if (run_key_parse(slice_text(source), slice_text(name), &key, NULL) == STATUS_OK) {
        base_time_print(key.base_time, again);
        if (strcmp(name, again) == 0)
            return recover_one(store, source_fd, name, &key, err);
    }
    log_msg(LOG_WARN, "store.unknown", "%s/%s/%s is left alone", STORE_RUNS_DIR, source, name);
    return STATUS_OK;
}

static enum status recover_source(struct store *store, const char *source, struct error *err)
{
    char **names;
    size_t count;
    int fd;

    if (!source_valid(slice_text(source))) {
        log_msg(LOG_WARN, "store.unknown", "%s/%s is left alone", STORE_RUNS_DIR, source);
        return STATUS_OK;
    }
    enum status status = disk_open(store->runs_fd, source, O_RDONLY | O_DIRECTORY, &fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_list(fd, ".", &names, &count, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = recover_entry(store, fd, source, names[i], err);
    disk_names_free(names, count);
    if (status == STATUS_OK)
        status = disk_flush_dir(fd, err);
    disk_close(fd);
    return status;
}

static enum status recover_runs(struct store *store, struct error *err)
{
    char **names;
    size_t count;
    enum status status = disk_list(store->runs_fd, ".", &names, &count, err);

    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = recover_source(store, names[i], err);
    disk_names_free(names, count);
    return status;
}

static void recover_state(void *data, const struct run_key *key, const struct run_info *info)
{
    struct store *store = data;
    struct run *run = run_table_add(&store->runs, key);

    run->info = *info;
    store_run_changed(store, run);
}

enum status recover_store(struct store *store, struct error *err)
{
    uint64_t now = clock_wall_us();
    uint64_t memory = store->options.run_memory_us;
    enum status status = run_log_open(&store->log, store->dir_fd, now > memory ? now - memory : 0,
                                      recover_state, store, err);

    if (status != STATUS_OK)
        return status;
    status = recover_runs(store, err);
    if (status != STATUS_OK)
        return status;
    status = disk_flush_dir(store->runs_fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_flush_dir(store->purged_fd, err);
    if (status != STATUS_OK)
        return status;
    return disk_flush_dir(store->dir_fd, err);
}
