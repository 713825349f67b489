/* recover.c: the walk over a data directory at start. */
#include "storaged/store/recover.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/closed.h"
#include "storaged/store/disk.h"
#include "storaged/store/rebuild.h"
#include "storaged/store/recover_run.h"
#include "storaged/store/run_change.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    RECOVER_THREADS_MAX = 8,
    RECOVER_SHARE_MIN = 16, /* runs that are worth a thread */
};

/* A run's directory that is to be read. */
struct recover_job {
    int source_fd;    /* borrowed */
    const char *name; /* borrowed: of the source's names */
    struct run_key key;
};

/* runs/{source}, open until all its runs are read. */
struct recover_source {
    int fd;
    char **names;
    size_t names_count;
};

/* A start under way. */
struct recover {
    struct store *store;
    struct closed closed;
    struct recover_source *sources; /* owned */
    size_t sources_count;
    struct recover_job *jobs; /* owned */
    size_t jobs_count, jobs_capacity;
    _Atomic size_t next; /* job */
    uv_mutex_t mutex;    /* over what follows */
    enum status status;
    struct error err; /* of the first that failed */
};

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

/* The same directory with nothing in its tables: how far the damaged journal filled them is all the same. */
static void recover_begin_anew(struct run_dir **dir)
{
    struct run_dir *fresh = run_dir_new();

    fresh->fd = (*dir)->fd;
    (*dir)->fd = -1;
    run_dir_unref(*dir);
    *dir = fresh;
}

/* The run's journal, made anew when it can't be used. */
static enum status recover_rebuild(struct store *store, struct run *run, struct run_dir **dir,
                                   uint64_t incarnation, struct error *err)
{
    char text[RUN_TEXT_SIZE];

    run_key_print(&run->key, text);
    log_msg(LOG_ERROR, "store.journal-damaged", "%s: %s", text, err->text);
    recover_begin_anew(dir);
    enum status status = rebuild_journal((*dir)->fd, incarnation, store->options.shards, err);
    if (status != STATUS_OK)
        return status;
    return journal_open(&(*dir)->journal, (*dir)->fd, JOURNAL_NAME, err);
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

/* Opens the directory and fills its tables; *stays false: its state sent it to purged/. */
static enum status recover_load(struct recover *recover, int source_fd, const char *name,
                                struct run *run, struct run_dir **dir, bool *stays, struct error *err)
{
    struct store *store = recover->store;
    bool usable;

    *stays = true;
    enum status status = disk_open(source_fd, name, O_RDONLY | O_DIRECTORY, &(*dir)->fd, err);
    if (status != STATUS_OK)
        return status;
    status = recover_open_journal(*dir, &usable, err);
    if (status != STATUS_OK)
        return status;
    const struct journal_header *header = &(*dir)->journal.header;
    uint64_t incarnation = usable ? header->incarnation : run->info.incarnation;
    if (!run_change_keeps(&run->info, incarnation)) {
        *stays = false;
        return recover_put_run_away(store, source_fd, name, &run->key,
                                    usable ? header->journal_id : 0, err);
    }
    if (usable) {
        status = recover_run(store, &recover->closed, &run->key, *dir, err);
        if (status != STATUS_CORRUPT)
            return status;
    }
    status = recover_rebuild(store, run, dir, incarnation, err);
    if (status != STATUS_OK)
        return status;
    return recover_run(store, &recover->closed, &run->key, *dir, err);
}

static enum status recover_one(struct recover *recover, const struct recover_job *job, struct error *err)
{
    struct store *store = recover->store;
    struct run *run = run_table_add(&store->runs, &job->key);
    struct run_dir *dir = run_dir_new();
    char text[RUN_TEXT_SIZE];
    bool stays;
    enum status status = recover_load(recover, job->source_fd, job->name, run, &dir, &stays, err);

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
    run_key_print(&job->key, text);
    return error_wrap(err, "run %s", text);
}

/* --- the directories --- */

static void recover_add_job(struct recover *recover, int source_fd, const char *name,
                            const struct run_key *key)
{
    if (recover->jobs_count == recover->jobs_capacity) {
        recover->jobs_capacity = recover->jobs_capacity == 0 ? 64 : 2 * recover->jobs_capacity;
        recover->jobs = realloc(recover->jobs, recover->jobs_capacity * sizeof *recover->jobs);
        assert(recover->jobs != NULL);
    }
    recover->jobs[recover->jobs_count++] = (struct recover_job){ .source_fd = source_fd,
                                                                 .name = name,
                                                                 .key = *key };
}

/* runs/{source}/{name}: a run, one half made, or something that is not ours. */
static enum status recover_entry(struct recover *recover, int source_fd, const char *source,
                                 const char *name, struct error *err)
{
    struct run_key key;
    char again[BASE_TIME_TEXT_SIZE];
    char purged[PURGED_NAME_SIZE];

    if (strncmp(name, RUN_DIR_NEW_PREFIX, strlen(RUN_DIR_NEW_PREFIX)) == 0) {
        snprintf(purged, sizeof purged, "%s-%.32s", source, name);
        return recover_put_away(recover->store, source_fd, name, purged, err);
    }
    if (run_key_parse(slice_text(source), slice_text(name), &key, NULL) == STATUS_OK) {
        base_time_print(key.base_time, again);
        if (strcmp(name, again) == 0) {
            recover_add_job(recover, source_fd, name, &key);
            return STATUS_OK;
        }
    }
    log_msg(LOG_WARN, "store.unknown", "%s/%s/%s is left alone", STORE_RUNS_DIR, source, name);
    return STATUS_OK;
}

static enum status recover_source(struct recover *recover, const char *name, struct error *err)
{
    struct recover_source *source = &recover->sources[recover->sources_count];

    if (!source_valid(slice_text(name))) {
        log_msg(LOG_WARN, "store.unknown", "%s/%s is left alone", STORE_RUNS_DIR, name);
        return STATUS_OK;
    }
    enum status status = disk_open(recover->store->runs_fd, name, O_RDONLY | O_DIRECTORY,
                                   &source->fd, err);
    if (status != STATUS_OK)
        return status;
    recover->sources_count++;
    status = disk_list(source->fd, ".", &source->names, &source->names_count, err);
    for (size_t i = 0; i < source->names_count && status == STATUS_OK; i++)
        status = recover_entry(recover, source->fd, name, source->names[i], err);
    return status;
}

static enum status recover_list(struct recover *recover, struct error *err)
{
    char **names;
    size_t count;
    enum status status = disk_list(recover->store->runs_fd, ".", &names, &count, err);

    recover->sources = calloc(count + 1, sizeof *recover->sources);
    assert(recover->sources != NULL);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = recover_source(recover, names[i], err);
    disk_names_free(names, count);
    return status;
}

static void recover_tell_runs(const struct recover *recover)
{
    struct store_progress *progress = recover->store->options.progress;

    if (progress != NULL)
        atomic_store(&progress->runs, recover->jobs_count);
}

static void recover_tell_read(const struct recover *recover)
{
    struct store_progress *progress = recover->store->options.progress;

    if (progress != NULL)
        atomic_fetch_add(&progress->runs_read, 1);
}

/* --- side by side: runs share nothing but the table, which has a lock --- */

static void recover_work(void *data)
{
    struct recover *recover = data;
    size_t at;

    while ((at = atomic_fetch_add(&recover->next, 1)) < recover->jobs_count) {
        struct error err = { 0 };
        enum status status = recover_one(recover, &recover->jobs[at], &err);

        recover_tell_read(recover);
        if (status == STATUS_OK)
            continue;
        atomic_store(&recover->next, recover->jobs_count); /* what others have begun they end */
        uv_mutex_lock(&recover->mutex);
        if (recover->status == STATUS_OK) {
            recover->status = status;
            recover->err = err;
        }
        uv_mutex_unlock(&recover->mutex);
    }
}

static unsigned recover_threads(const struct recover *recover)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = recover->store->options.recover_threads;

    if (threads == 0)
        threads = cores > 0 ? (size_t)cores : 1;
    if (threads > RECOVER_THREADS_MAX)
        threads = RECOVER_THREADS_MAX;
    if (threads > recover->jobs_count / RECOVER_SHARE_MIN)
        threads = recover->jobs_count / RECOVER_SHARE_MIN;
    return (unsigned)threads;
}

static enum status recover_read(struct recover *recover, struct error *err)
{
    uv_thread_t threads[RECOVER_THREADS_MAX];
    unsigned wanted = recover_threads(recover), count = 0;

    recover_tell_runs(recover);
    while (count + 1 < wanted && uv_thread_create(&threads[count], recover_work, recover) == 0)
        count++;
    recover_work(recover);
    for (unsigned i = 0; i < count; i++)
        uv_thread_join(&threads[i]);
    if (recover->status != STATUS_OK && err != NULL)
        *err = recover->err;
    return recover->status;
}

static enum status recover_flush_sources(const struct recover *recover, struct error *err)
{
    enum status status = STATUS_OK;

    for (size_t i = 0; i < recover->sources_count && status == STATUS_OK; i++)
        status = disk_flush_dir(recover->sources[i].fd, err);
    return status;
}

static enum status recover_runs(struct store *store, struct error *err)
{
    struct recover recover = { .store = store };

    uv_mutex_init(&recover.mutex);
    closed_load(store->dir_fd, &recover.closed);
    enum status status = recover_list(&recover, err);
    if (status == STATUS_OK)
        status = recover_read(&recover, err);
    if (status == STATUS_OK)
        status = recover_flush_sources(&recover, err);
    for (size_t i = 0; i < recover.sources_count; i++) {
        disk_names_free(recover.sources[i].names, recover.sources[i].names_count);
        disk_close(recover.sources[i].fd);
    }
    free(recover.sources);
    free(recover.jobs);
    closed_fini(&recover.closed);
    uv_mutex_destroy(&recover.mutex);
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
