/* run_dir.c: making a run's directory, and the tables over its files and messages. */
#include "storaged/store/run_dir.h"

#include "proto/base/clock.h"
#include "storaged/store/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run_dir *run_dir_new(void)
{
    struct run_dir *dir = calloc(1, sizeof *dir);

    assert(dir != NULL);
    atomic_init(&dir->references, 1);
    dir->fd = -1;
    dir->journal.fd = -1;
    digest_table_init(&dir->table);
    return dir;
}

void run_dir_ref(struct run_dir *dir)
{
    atomic_fetch_add(&dir->references, 1);
}

void run_dir_unref(struct run_dir *dir)
{
    if (atomic_fetch_sub(&dir->references, 1) > 1)
        return;
    for (unsigned i = 0; i < dir->files_count; i++)
        data_file_unref(dir->files[i]);
    for (unsigned i = 0; i < dir->shards_count; i++)
        free(dir->shards[i]);
    free(dir->files);
    free(dir->shards);
    free(dir->bad);
    digest_table_fini(&dir->table);
    journal_close(&dir->journal);
    disk_close(dir->fd);
    free(dir);
}

/* runs/{source} and runs, whichever is new: flushed before anything in them counts. */
static enum status run_dir_make_source(int runs_fd, const char *source, struct error *err)
{
    enum status status = disk_make_dir(runs_fd, source, err);

    if (status == STATUS_EXISTS) /* but maybe not flushed, if we died right here */
        return disk_flush_dir_at(runs_fd, ".", err);
    if (status != STATUS_OK)
        return status;
    return disk_flush_dir_at(runs_fd, ".", err);
}

/* The new directory under its first name: its journal's header and its own list of names are flushed. */
static enum status run_dir_fill(struct run_dir *dir, int source_fd, const char *name,
                                uint64_t incarnation, struct error *err)
{
    struct journal_header header = { .incarnation = incarnation, .made_at_us = clock_wall_us() };

    while (header.journal_id == 0)
        random_bytes(&header.journal_id, sizeof header.journal_id);
    enum status status = disk_make_dir(source_fd, name, err);
    if (status != STATUS_OK)
        return status;
    status = disk_open(source_fd, name, O_RDONLY | O_DIRECTORY, &dir->fd, err);
    if (status != STATUS_OK)
        return status;
    status = journal_make(&dir->journal, dir->fd, JOURNAL_NAME, &header, err);
    if (status != STATUS_OK)
        return status;
    return disk_flush_dir(dir->fd, err);
}

static void run_dir_clean_up(struct run_dir *dir, int source_fd, const char *name)
{
    if (dir->fd >= 0)
        disk_unlink(dir->fd, JOURNAL_NAME, NULL);
    disk_remove_dir(source_fd, name, NULL); /* what stays is swept at the next start */
}

static enum status run_dir_make_in(struct run_dir *dir, int source_fd, const struct run_key *run,
                                   uint64_t incarnation, struct error *err)
{
    char name[BASE_TIME_TEXT_SIZE];
    char new_name[32];
    uint64_t random;

    base_time_print(run->base_time, name);
    random_bytes(&random, sizeof random);
    snprintf(new_name, sizeof new_name, RUN_DIR_NEW_PREFIX "%016" PRIx64, random);
    enum status status = run_dir_fill(dir, source_fd, new_name, incarnation, err);
    if (status == STATUS_OK)
        status = disk_rename(source_fd, new_name, source_fd, name, err);
    if (status != STATUS_OK) {
        run_dir_clean_up(dir, source_fd, new_name);
        return status;
    }
    return disk_flush_dir(source_fd, err);
}

enum status run_dir_make(int runs_fd, const struct run_key *run, uint64_t incarnation,
                         struct run_dir **result, struct error *err)
{
    struct run_dir *dir = run_dir_new();
    char text[RUN_TEXT_SIZE];
    int source_fd = -1;

    enum status status = run_dir_make_source(runs_fd, run->source, err);
    if (status == STATUS_OK)
        status = disk_open(runs_fd, run->source, O_RDONLY | O_DIRECTORY, &source_fd, err);
    if (status == STATUS_OK)
        status = run_dir_make_in(dir, source_fd, run, incarnation, err);
    disk_close(source_fd);
    if (status == STATUS_OK) {
        *result = dir;
        return STATUS_OK;
    }
    run_dir_unref(dir);
    run_key_print(run, text);
    return error_wrap(err, "make run %s", text);
}

/* Where the shard's entry is, or would be. */
static unsigned run_dir_shard_index(const struct run_dir *dir, unsigned shard)
{
    unsigned low = 0, high = dir->shards_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (dir->shards[middle]->shard < shard)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct run_shard *run_dir_find_shard(const struct run_dir *dir, unsigned shard)
{
    unsigned at = run_dir_shard_index(dir, shard);

    return at < dir->shards_count && dir->shards[at]->shard == shard ? dir->shards[at] : NULL;
}

struct run_shard *run_dir_shard(struct run_dir *dir, unsigned shard)
{
    unsigned at = run_dir_shard_index(dir, shard);

    if (at < dir->shards_count && dir->shards[at]->shard == shard)
        return dir->shards[at];
    struct run_shard **shards = realloc(dir->shards, (dir->shards_count + 1) * sizeof *shards);
    struct run_shard *entry = calloc(1, sizeof *entry);
    assert(shards != NULL && entry != NULL);
    memmove(shards + at + 1, shards + at, (dir->shards_count - at) * sizeof *shards);
    entry->shard = shard;
    shards[at] = entry;
    dir->shards = shards;
    dir->shards_count++;
    return entry;
}

void run_dir_add_file(struct run_dir *dir, struct store_file *file)
{
    struct run_shard *shard = run_dir_shard(dir, file->shard);

    if (dir->files_count == dir->files_capacity) {
        dir->files_capacity = dir->files_capacity == 0 ? 8 : dir->files_capacity * 2;
        dir->files = realloc(dir->files, dir->files_capacity * sizeof *dir->files);
        assert(dir->files != NULL);
    }
    assert(shard->last == NULL || shard->last->record < file->record);
    dir->files[dir->files_count++] = file;
    file->previous = shard->last;
    shard->last = file;
}

struct store_file *run_dir_file_of(const struct run_dir *dir, unsigned shard, uint64_t record)
{
    const struct run_shard *entry = run_dir_find_shard(dir, shard);
    struct store_file *file = entry != NULL ? entry->last : NULL;

    while (file != NULL && file->record > record)
        file = file->previous;
    return file;
}

struct store_file *run_dir_file_by_birth(const struct run_dir *dir, unsigned shard, uint64_t birth)
{
    const struct run_shard *entry = run_dir_find_shard(dir, shard);
    struct store_file *file = entry != NULL ? entry->last : NULL;

    while (file != NULL && file->birth != birth)
        file = file->previous;
    return file;
}

void run_dir_add_message(struct run_dir *dir, struct store_file *file, const struct digest *digest,
                         uint32_t tag, uint32_t record, uint64_t length)
{
    struct run_shard *shard = run_dir_shard(dir, file->shard);

    digest_table_insert(&dir->table, tag, record);
    digest_set_add(&shard->set, digest);
    shard->bytes += length;
    file->count++;
    dir->messages++;
    dir->bytes += length;
}

bool run_dir_remove_message(struct run_dir *dir, struct store_file *file, const struct digest *digest,
                            uint32_t tag, uint32_t record, uint64_t length)
{
    struct run_shard *shard = run_dir_shard(dir, file->shard);

    if (!digest_table_remove(&dir->table, tag, record))
        return false;
    digest_set_remove(&shard->set, digest);
    shard->bytes -= length;
    file->count--;
    dir->messages--;
    dir->bytes -= length;
    return true;
}

/* Where record is among the bad ones, or would be. */
static unsigned run_dir_bad_index(const struct run_dir *dir, uint64_t record)
{
    unsigned low = 0, high = dir->bad_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (dir->bad[middle] < record)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool run_dir_is_bad(const struct run_dir *dir, uint64_t record)
{
    unsigned at = run_dir_bad_index(dir, record);

    return at < dir->bad_count && dir->bad[at] == record;
}

void run_dir_add_bad(struct run_dir *dir, uint64_t record)
{
    unsigned at = run_dir_bad_index(dir, record);

    if (at < dir->bad_count && dir->bad[at] == record)
        return;
    if (dir->bad_count == dir->bad_capacity) {
        dir->bad_capacity = dir->bad_capacity == 0 ? 8 : 2 * dir->bad_capacity;
        dir->bad = realloc(dir->bad, dir->bad_capacity * sizeof *dir->bad);
        assert(dir->bad != NULL);
    }
    memmove(dir->bad + at + 1, dir->bad + at, (dir->bad_count - at) * sizeof *dir->bad);
    dir->bad[at] = record;
    dir->bad_count++;
}

void run_dir_remove_bad(struct run_dir *dir, uint64_t record)
{
    unsigned at = run_dir_bad_index(dir, record);

    if (at == dir->bad_count || dir->bad[at] != record)
        return;
    dir->bad_count--;
    memmove(dir->bad + at, dir->bad + at + 1, (dir->bad_count - at) * sizeof *dir->bad);
}
