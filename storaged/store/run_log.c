/* run_log.c: the file runs.log. */
#include "storaged/store/run_log.h"

#include "proto/base/clock.h"
#include "storaged/store/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

/* What a file held, sorted by run; of each run only the record that holds. */
struct run_log_states {
    struct run_log_record *records;
    size_t count;
};

static uint64_t run_log_offset(uint64_t record)
{
    return RUN_LOG_HEADER_SIZE + record * RUN_LOG_RECORD_SIZE;
}

void run_log_close(struct run_log *log)
{
    disk_close(log->fd);
    log->fd = -1;
}

static int run_log_order(const void *a, const void *b)
{
    const struct run_log_record *left = a, *right = b;
    int order = run_key_compare(&left->run, &right->run);

    return order != 0 ? order : run_info_compare(&left->info, &right->info);
}

/* Sorts, and keeps the highest of each run. */
static void run_log_settle(struct run_log_states *states)
{
    size_t kept = 0;

    if (states->count > 0)
        qsort(states->records, states->count, sizeof *states->records, run_log_order);
    for (size_t i = 0; i < states->count; i++) {
        if (i + 1 < states->count &&
            run_key_compare(&states->records[i].run, &states->records[i + 1].run) == 0)
            continue;
        states->records[kept++] = states->records[i];
    }
    states->count = kept;
}

/* Records of the open file, up to a torn last one; log->records counts them. */
static enum status run_log_read(struct run_log *log, uint64_t size, struct run_log_states *states,
                                struct error *err)
{
    uint64_t count = (size - RUN_LOG_HEADER_SIZE) / RUN_LOG_RECORD_SIZE;
    uint8_t bytes[RUN_LOG_RECORD_SIZE];
    struct run_log_record *records = calloc(count + 1, sizeof *records);

    assert(records != NULL);
    states->records = records;
    for (log->records = 0; log->records < count; log->records++) {
        enum status status = disk_read(log->fd, run_log_offset(log->records), bytes, sizeof bytes,
                                       true, err);
        if (status != STATUS_OK)
            return status;
        status = run_log_record_decode(bytes, log->id, &records[log->records], err);
        if (status != STATUS_OK && log->records + 1 == count)
            break; /* torn: nobody was told that it holds */
        if (status != STATUS_OK)
            return error_wrap(err, "record %ju", (uintmax_t)log->records);
    }
    states->count = log->records;
    return STATUS_OK;
}

/* Opens what is there. NOT_FOUND. */
static enum status run_log_load(struct run_log *log, int dir_fd, struct run_log_states *states,
                                struct error *err)
{
    uint8_t header[RUN_LOG_HEADER_SIZE];
    uint64_t size;

    enum status status = disk_open(dir_fd, RUN_LOG_NAME, O_RDWR, &log->fd, err);
    if (status != STATUS_OK)
        return status;
    status = disk_size(log->fd, &size, err);
    if (status != STATUS_OK)
        return status;
    status = disk_read(log->fd, 0, header, sizeof header, true, err);
    if (status != STATUS_OK)
        return status;
    status = run_log_header_decode(header, &log->id, err);
    if (status != STATUS_OK)
        return status;
    status = run_log_read(log, size, states, err);
    if (status != STATUS_OK)
        return status;
    if (run_log_offset(log->records) == size)
        return STATUS_OK;
    return disk_truncate(log->fd, run_log_offset(log->records), err);
}

/* A file under another name that holds just states, flushed, and then in the place of the old one. */
static enum status run_log_write_anew(struct run_log *log, int dir_fd,
                                      const struct run_log_states *states, struct error *err)
{
    struct run_log fresh = { .fd = -1 };
    uint8_t bytes[RUN_LOG_RECORD_SIZE];

    while (fresh.id == 0)
        random_bytes(&fresh.id, sizeof fresh.id);
    enum status status = disk_open(dir_fd, RUN_LOG_NEW_NAME, O_RDWR | O_CREAT | O_TRUNC, &fresh.fd, err);
    if (status != STATUS_OK)
        goto fail;
    run_log_header_encode(fresh.id, clock_wall_us(), bytes);
    status = disk_write(fresh.fd, 0, bytes, RUN_LOG_HEADER_SIZE, err);
    for (size_t i = 0; i < states->count && status == STATUS_OK; i++) {
        run_log_record_encode(&states->records[i], fresh.id, bytes);
        status = disk_write(fresh.fd, run_log_offset(fresh.records++), bytes, sizeof bytes, err);
    }
    if (status == STATUS_OK)
        status = disk_flush(fresh.fd, err);
    if (status == STATUS_OK)
        status = disk_rename(dir_fd, RUN_LOG_NEW_NAME, dir_fd, RUN_LOG_NAME, err);
    if (status != STATUS_OK)
        goto fail;
    run_log_close(log);
    *log = fresh;
    return STATUS_OK;

fail:
    run_log_close(&fresh);
    return error_wrap(err, "write it anew");
}

/* Purged runs that were told of long ago are left out. */
static void run_log_forget(struct run_log_states *states, uint64_t forget_us)
{
    size_t kept = 0;

    for (size_t i = 0; i < states->count; i++)
        if (states->records[i].info.state != RUN_PURGED || states->records[i].told_at_us >= forget_us)
            states->records[kept++] = states->records[i];
    states->count = kept;
}

/* The last record once more: had its flush failed, a flush alone would not bring it to the disk now. */
static enum status run_log_settle_tail(struct run_log *log, struct error *err)
{
    uint8_t bytes[RUN_LOG_RECORD_SIZE];

    if (log->records > 0) {
        uint64_t offset = run_log_offset(log->records - 1);
        enum status status = disk_read(log->fd, offset, bytes, sizeof bytes, true, err);
        if (status == STATUS_OK)
            status = disk_write(log->fd, offset, bytes, sizeof bytes, err);
        if (status != STATUS_OK)
            return status;
    }
    return disk_flush(log->fd, err);
}

static enum status run_log_open_in(struct run_log *log, int dir_fd, uint64_t forget_us,
                                   struct run_log_states *states, struct error *err)
{
    enum status status = run_log_load(log, dir_fd, states, err);

    if (status != STATUS_OK && (status != STATUS_NOT_FOUND || log->fd >= 0))
        return status;
    run_log_settle(states);
    if (log->fd < 0 || states->count < (log->records + 1) / 2) {
        run_log_forget(states, forget_us);
        status = run_log_write_anew(log, dir_fd, states, err);
    } else {
        status = run_log_settle_tail(log, err);
    }
    return status == STATUS_OK ? disk_flush_dir(dir_fd, err) : status;
}

enum status run_log_open(struct run_log *log, int dir_fd, uint64_t forget_us, run_log_each *each,
                         void *data, struct error *err)
{
    struct run_log_states states = { 0 };

    *log = (struct run_log){ .fd = -1 };
    enum status status = run_log_open_in(log, dir_fd, forget_us, &states, err);
    for (size_t i = 0; i < states.count && status == STATUS_OK; i++)
        each(data, &states.records[i].run, &states.records[i].info);
    free(states.records);
    if (status == STATUS_OK)
        return STATUS_OK;
    run_log_close(log);
    return error_wrap(err, RUN_LOG_NAME);
}

enum status run_log_append(struct run_log *log, const struct run_key *run,
                           const struct run_info *info, struct error *err)
{
    struct run_log_record record = { .run = *run, .info = *info, .told_at_us = clock_wall_us() };
    uint8_t bytes[RUN_LOG_RECORD_SIZE];

    run_log_record_encode(&record, log->id, bytes);
    enum status status = disk_write(log->fd, run_log_offset(log->records), bytes, sizeof bytes, err);
    if (status == STATUS_FULL && disk_truncate(log->fd, run_log_offset(log->records), NULL) != STATUS_OK)
        status = error_set(err, STATUS_IO, "a record that did not fit can't be cut off");
    if (status == STATUS_OK)
        status = disk_flush(log->fd, err);
    if (status != STATUS_OK)
        return error_wrap(err, RUN_LOG_NAME);
    log->records++;
    return STATUS_OK;
}
