/* rebuild.c: data files -> messages -> adopted records. */
#include "storaged/store/rebuild.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/grib_frame.h"
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"
#include "storaged/store/journal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REBUILD_WINDOW = 1 << 20 };
#define REBUILD_BATCH_SIZE                                                                         \
    (UINT64_C(16) << 20) /* bytes of messages that the next start hashes again, at most */

/* A data file that the damaged journal says was dropped. */
struct rebuild_dropped {
    uint64_t birth;
    unsigned shard;
};

struct rebuild {
    struct journal journal;
    unsigned shards;
    struct rebuild_dropped *dropped; /* owned */
    size_t dropped_count;
    struct digest_stream *hash;
    uint8_t *window; /* REBUILD_WINDOW bytes of the file, from window_offset on */
    uint64_t window_offset;
    size_t window_size;
    /* the data file under way */
    int fd;
    unsigned shard;
    uint64_t birth;
    uint64_t file_messages;
    uint64_t file_size;
    uint64_t batch_size; /* bytes of messages since the last flag */
    uint64_t messages;
};

static enum status rebuild_add(struct rebuild *rebuild, struct journal_record *record, struct error *err)
{
    uint8_t bytes[JOURNAL_RECORD_SIZE];
    struct journal *journal = &rebuild->journal;

    if (journal->written == JOURNAL_RECORDS_MAX)
        return error_set(err, STATUS_TOO_LARGE, "more messages than a journal names");
    journal_record_encode(record, journal->header.journal_id, journal->written, bytes);
    enum status status = journal_write(journal, bytes, 1, err);
    if (status == STATUS_OK)
        journal_wrote(journal, 1);
    return status;
}

/* The bytes at offset as far as the window has them, at least one; *size 0: the file ends. */
static enum status rebuild_look(struct rebuild *rebuild, uint64_t offset, const uint8_t **bytes,
                                size_t *size, struct error *err)
{
    if (offset < rebuild->window_offset || offset >= rebuild->window_offset + rebuild->window_size) {
        uint64_t left = rebuild->file_size - offset;

        rebuild->window_offset = offset;
        rebuild->window_size = left < REBUILD_WINDOW ? (size_t)left : REBUILD_WINDOW;
        enum status status = disk_read(rebuild->fd, offset, rebuild->window, rebuild->window_size,
                                       true, err);
        if (status != STATUS_OK)
            return status;
    }
    *bytes = rebuild->window + (offset - rebuild->window_offset);
    *size = rebuild->window_size - (size_t)(offset - rebuild->window_offset);
    return STATUS_OK;
}

/* A message that begins at offset: its length and digest. BAD_GRIB, TOO_LARGE: none does. */
static enum status rebuild_frame(struct rebuild *rebuild, uint64_t offset, uint64_t *length,
                                 struct digest *digest, struct error *err)
{
    struct grib_frame frame;
    enum status status = STATUS_MORE;
    uint64_t at = offset;

    grib_frame_init(&frame);
    while (status == STATUS_MORE && at < rebuild->file_size) {
        const uint8_t *bytes;
        size_t size, used = 0;

        status = rebuild_look(rebuild, at, &bytes, &size, err);
        if (status != STATUS_OK)
            break;
        status = grib_frame_feed(&frame, bytes, size, &used, err);
        if (status == STATUS_OK || status == STATUS_MORE)
            digest_stream_update(rebuild->hash, bytes, used);
        at += used;
        if (status == STATUS_MORE && frame.size > rebuild->file_size - offset)
            break;
    }
    digest_stream_final(rebuild->hash, digest);
    *length = at - offset;
    return status == STATUS_MORE ? error_set(err, STATUS_BAD_GRIB, "it ends too early") : status;
}

/* The next "GRIB" from offset on; the file's size: none. */
static enum status rebuild_find(struct rebuild *rebuild, uint64_t *offset, struct error *err)
{
    while (rebuild->file_size - *offset >= 4) {
        const uint8_t *bytes;
        size_t size;
        enum status status = rebuild_look(rebuild, *offset, &bytes, &size, err);

        if (status != STATUS_OK)
            return status;
        if (size < 4) { /* at the window's end: look again from here */
            rebuild->window_size = 0;
            continue;
        }
        const uint8_t *found = memmem(bytes, size, "GRIB", 4);
        if (found != NULL) {
            *offset += (uint64_t)(found - bytes);
            return STATUS_OK;
        }
        *offset += size - 3;
    }
    *offset = rebuild->file_size;
    return STATUS_OK;
}

static bool rebuild_is_dropped(const struct rebuild *rebuild)
{
    for (size_t i = 0; i < rebuild->dropped_count; i++)
        if (rebuild->dropped[i].birth == rebuild->birth && rebuild->dropped[i].shard == rebuild->shard)
            return true;
    return false;
}

/* A file that was dropped and not unlinked stays dropped, and is served. */
static enum status rebuild_add_dropped(struct rebuild *rebuild, struct error *err)
{
    struct journal_record record = {
        .kind = JOURNAL_DROPPED,
        .batch_first = true,
        .shard = (uint16_t)rebuild->shard,
        .birth = rebuild->birth,
        .stored_at_us = clock_wall_us(),
    };

    return rebuild_add(rebuild, &record, err);
}

/* The file's own record comes with its first message. */
static enum status rebuild_add_file(struct rebuild *rebuild, struct error *err)
{
    struct journal_record record = {
        .kind = JOURNAL_FILE,
        .batch_first = true,
        .shard = (uint16_t)rebuild->shard,
        .birth = rebuild->birth,
        .stored_at_us = clock_wall_us(),
    };

    return rebuild_add(rebuild, &record, err);
}

static enum status rebuild_add_message(struct rebuild *rebuild, uint64_t offset, uint64_t length,
                                       const struct digest *digest, struct error *err)
{
    struct journal_record record = {
        .kind = JOURNAL_STORED,
        .shard = (uint16_t)rebuild->shard,
        .digest = *digest,
        .offset = offset,
        .length = length,
    };

    if (rebuild->file_messages++ == 0) {
        enum status status = rebuild_add_file(rebuild, err);
        if (status != STATUS_OK)
            return status;
    }
    rebuild->batch_size += length;
    if (rebuild->batch_size > REBUILD_BATCH_SIZE) {
        record.batch_first = true;
        rebuild->batch_size = length;
    }
    return rebuild_add(rebuild, &record, err);
}

static enum status rebuild_scan(struct rebuild *rebuild, struct error *err)
{
    struct digest digest;
    uint64_t length;

    for (uint64_t offset = 0;;) {
        enum status status = rebuild_find(rebuild, &offset, err);

        if (status != STATUS_OK || offset == rebuild->file_size)
            return status;
        status = rebuild_frame(rebuild, offset, &length, &digest, err);
        if (status == STATUS_BAD_GRIB || status == STATUS_TOO_LARGE) {
            offset += 4;
            continue;
        }
        if (status == STATUS_OK && digest_shard(&digest, rebuild->shards) == rebuild->shard)
            status = rebuild_add_message(rebuild, offset, length, &digest, err);
        if (status != STATUS_OK)
            return status;
        offset += length;
    }
}

/* A file in which nothing is whole keeps its bytes, under a name that is no data file's, for whoever wants to look. */
static enum status rebuild_set_aside(int dir_fd, const char *name, struct error *err)
{
    char aside[DATA_FILE_NAME_SIZE + sizeof ".damaged"];

    snprintf(aside, sizeof aside, "%s.damaged", name);
    log_msg(LOG_ERROR, "store.damaged", "nothing in data file %s is whole", name);
    return disk_rename(dir_fd, name, dir_fd, aside, err);
}

static enum status rebuild_file(struct rebuild *rebuild, int dir_fd, const char *name, struct error *err)
{
    enum status status = disk_open(dir_fd, name, O_RDONLY, &rebuild->fd, err);

    if (status != STATUS_OK)
        return status;
    rebuild->window_size = 0;
    rebuild->window_offset = 0;
    rebuild->batch_size = 0;
    rebuild->file_messages = 0;
    status = disk_size(rebuild->fd, &rebuild->file_size, err);
    if (status == STATUS_OK)
        status = rebuild_scan(rebuild, err);
    disk_close(rebuild->fd);
    rebuild->messages += rebuild->file_messages;
    if (status == STATUS_OK && rebuild->file_messages > 0 && rebuild_is_dropped(rebuild))
        status = rebuild_add_dropped(rebuild, err);
    if (status == STATUS_OK && rebuild->file_messages == 0 && rebuild->file_size > 0)
        status = rebuild_set_aside(dir_fd, name, err);
    if (status != STATUS_OK)
        return error_wrap(err, "data file %s", name);
    return STATUS_OK;
}

static enum status rebuild_files(struct rebuild *rebuild, int dir_fd, struct error *err)
{
    char **names;
    size_t count;
    enum status status = disk_list(dir_fd, ".", &names, &count, err);

    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (data_file_parse_name(names[i], &rebuild->shard, &rebuild->birth))
            status = rebuild_file(rebuild, dir_fd, names[i], err);
    disk_names_free(names, count);
    return status;
}

/* --- what the damaged journal says still --- */

static void rebuild_note_dropped(struct rebuild *rebuild, const struct journal_record *record)
{
    struct rebuild_dropped *dropped = realloc(rebuild->dropped,
                                              (rebuild->dropped_count + 1) * sizeof *dropped);

    assert(dropped != NULL);
    dropped[rebuild->dropped_count++] = (struct rebuild_dropped){ .birth = record->birth,
                                                                  .shard = record->shard };
    rebuild->dropped = dropped;
}

/* A record that holds says what happened, whatever became of its neighbours: each one is tried by itself. */
static void rebuild_read_dropped(struct rebuild *rebuild, const struct journal *journal)
{
    struct journal_record record;
    uint64_t size;

    if (disk_size(journal->fd, &size, NULL) != STATUS_OK)
        return;
    for (uint64_t number = 0; journal_offset(number + 1) <= size; number++)
        if (journal_read_record(journal, number, true, &record, NULL) == STATUS_OK &&
            record.kind == JOURNAL_DROPPED)
            rebuild_note_dropped(rebuild, &record);
}

static void rebuild_find_dropped(struct rebuild *rebuild, int dir_fd)
{
    struct journal journal = { .fd = -1 };

    if (journal_open(&journal, dir_fd, JOURNAL_NAME, NULL) == STATUS_OK)
        rebuild_read_dropped(rebuild, &journal);
    journal_close(&journal);
}

enum status rebuild_journal(int dir_fd, uint64_t incarnation, unsigned shards, struct error *err)
{
    struct journal_header header = { .incarnation = incarnation, .made_at_us = clock_wall_us() };
    struct rebuild rebuild = { .shards = shards };

    while (header.journal_id == 0)
        random_bytes(&header.journal_id, sizeof header.journal_id);
    disk_unlink(dir_fd, JOURNAL_NEW_NAME, NULL); /* of an attempt that did not end */
    enum status status = journal_make(&rebuild.journal, dir_fd, JOURNAL_NEW_NAME, &header, err);
    if (status != STATUS_OK)
        return status;
    rebuild.hash = digest_stream_new();
    rebuild.window = malloc(REBUILD_WINDOW);
    assert(rebuild.window != NULL);
    rebuild_find_dropped(&rebuild, dir_fd);
    status = rebuild_files(&rebuild, dir_fd, err);
    if (status == STATUS_OK)
        status = disk_flush(rebuild.journal.fd, err);
    if (status == STATUS_OK)
        status = disk_rename(dir_fd, JOURNAL_NEW_NAME, dir_fd, JOURNAL_NAME, err);
    if (status == STATUS_OK)
        status = disk_flush_dir(dir_fd, err);
    if (status == STATUS_OK)
        log_msg(LOG_WARN, "store.rebuilt", "journal %016jx: %ju messages adopted",
                (uintmax_t)header.journal_id, (uintmax_t)rebuild.messages);
    free(rebuild.dropped);
    free(rebuild.window);
    digest_stream_free(rebuild.hash);
    journal_close(&rebuild.journal);
    if (status != STATUS_OK)
        return error_wrap(err, "rebuild");
    return STATUS_OK;
}
