/* test_recover.c: the rules of storaged/store/recover.h, each with the damage that calls for it. */
#include "storaged/store/closed.h"
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

enum { MESSAGES = 30, PATH_SIZE = 512 };

/* A store with MESSAGES messages, one a batch, that looks as after a crash: was_closed() makes it one that was closed. */
struct recover_fixture {
    struct store_fixture store;
    struct run_key run;
    struct store_place places[MESSAGES];
    uint64_t journal_id, records;
    char journal[PATH_SIZE];
    char closed[PATH_SIZE]; /* where the file is that an orderly close leaves */
};

static size_t size_of(unsigned number)
{
    return 100 + number * 11;
}

static int setup(void **state)
{
    struct recover_fixture *fixture = calloc(1, sizeof *fixture);
    struct store_run_info info;
    char closed_kept[PATH_SIZE];

    fixture_init(&fixture->store);
    fixture_open(&fixture->store);
    fixture->run = fixture_run(0);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(
            fixture_put(&fixture->store, &fixture->run, i, size_of(i), &fixture->places[i]), STATUS_OK);
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    fixture->journal_id = info.journal_id;
    fixture->records = info.records;
    store_run_info_fini(&info);
    fixture_close(&fixture->store);
    snprintf(fixture->journal, sizeof fixture->journal, "%s/runs/hres/20130408T0000Z/journal",
             fixture->store.dir);
    snprintf(fixture->closed, sizeof fixture->closed, "%s/closed", fixture->store.dir);
    snprintf(closed_kept, sizeof closed_kept, "%s/closed.kept", fixture->store.dir);
    assert_int_equal(rename(fixture->closed, closed_kept), 0); /* as after a crash */
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct recover_fixture *fixture = *state;

    fixture_fini(&fixture->store);
    free(fixture);
    return 0;
}

static void data_path(const struct recover_fixture *fixture, unsigned message, char path[PATH_SIZE])
{
    char name[DATA_FILE_NAME_SIZE];

    data_file_name(fixture->places[message].shard, fixture->places[message].birth, name);
    snprintf(path, PATH_SIZE, "%s/runs/hres/20130408T0000Z/%s", fixture->store.dir, name);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x04;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static off_t file_size(const char *path)
{
    struct stat stat_;

    return stat(path, &stat_) == 0 ? stat_.st_size : -1;
}

static bool has(struct recover_fixture *fixture, unsigned message)
{
    return fixture_has(&fixture->store, &fixture->run, message, size_of(message));
}

static uint64_t journal_id_now(struct recover_fixture *fixture)
{
    struct store_run_info info;

    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    store_run_info_fini(&info);
    return info.journal_id;
}

static void a_torn_last_record_goes_and_takes_its_bytes_along(void **state)
{
    struct recover_fixture *fixture = *state;
    const struct store_place *last = &fixture->places[MESSAGES - 1];
    char path[PATH_SIZE];

    data_path(fixture, MESSAGES - 1, path);
    for (off_t left = 0; left < JOURNAL_RECORD_SIZE; left += 7) {
        uint8_t record[JOURNAL_RECORD_SIZE];
        int fd = open(fixture->journal, O_RDWR);
        off_t at = 64 + 64 * (off_t)(fixture->records - 1);

        assert_int_equal(pread(fd, record, sizeof record, at), sizeof record);
        assert_int_equal(ftruncate(fd, at + left), 0);
        close(fd);
        fixture_open(&fixture->store);
        assert_int_equal(journal_id_now(fixture), fixture->journal_id);
        assert_false(has(fixture, MESSAGES - 1));
        for (unsigned i = 0; i + 1 < MESSAGES; i++)
            assert_true(has(fixture, i));
        fixture_close(&fixture->store);
        assert_int_equal(file_size(fixture->journal), at);
        assert_int_equal(file_size(path), last->offset);
        /* As it was, for the next length. */
        fd = open(fixture->journal, O_RDWR);
        assert_int_equal(pwrite(fd, record, sizeof record, at), sizeof record);
        close(fd);
        uint8_t *bytes = malloc(size_of(MESSAGES - 1));
        fixture_message(MESSAGES - 1, size_of(MESSAGES - 1), bytes);
        fd = open(path, O_RDWR);
        assert_int_equal(pwrite(fd, bytes, size_of(MESSAGES - 1), (off_t)last->offset),
                         size_of(MESSAGES - 1));
        close(fd);
        free(bytes);
    }
}

static void a_last_message_with_other_bytes_was_never_acknowledged(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];

    data_path(fixture, MESSAGES - 1, path);
    flip(path, (off_t)fixture->places[MESSAGES - 1].offset + 50);
    fixture_open(&fixture->store);
    assert_int_equal(journal_id_now(fixture), fixture->journal_id);
    assert_false(has(fixture, MESSAGES - 1));
    assert_true(has(fixture, MESSAGES - 2));
}

static void bytes_behind_the_last_record_are_cut(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];

    data_path(fixture, 3, path);
    off_t size = file_size(path);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "GRIB, or the beginning of it", 28), 28);
    close(fd);
    fixture_open(&fixture->store);
    assert_int_equal(file_size(path), size);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
}

static void any_flipped_bit_in_earlier_records_makes_the_journal_anew(void **state)
{
    for (uint64_t record = 0; record < 20; record += 3) {
        struct recover_fixture *fixture = *state;
        struct store_shard shards[FIXTURE_SHARDS];
        struct store_place place;
        struct run_key run;
        struct digest digest;

        flip(fixture->journal, 64 + 64 * (off_t)record + (off_t)(record * 13 % 64));
        fixture_open(&fixture->store);
        assert_int_not_equal(journal_id_now(fixture), fixture->journal_id);
        /* Adopted: readable by their URLs, but known to nobody. */
        assert_int_equal(store_shards(fixture->store.store, &fixture->run, shards), STATUS_OK);
        for (unsigned i = 0; i < FIXTURE_SHARDS; i++)
            assert_int_equal(shards[i].set.count, 0);
        for (unsigned i = 0; i < MESSAGES; i++) {
            struct store_file *file;

            assert_false(has(fixture, i));
            fixture_digest(i, size_of(i), &digest);
            assert_int_equal(store_find_any(fixture->store.store, &digest, true, &run, &place, NULL),
                             STATUS_NOT_FOUND);
            assert_int_equal(store_file_open(fixture->store.store, &fixture->run, fixture->places[i].shard,
                                             fixture->places[i].birth, &file, NULL),
                             STATUS_OK);
            assert_true(store_file_size(file) >= fixture->places[i].offset + fixture->places[i].length);
            store_file_release(file);
        }
        /* A PUT stores them anew, and that holds. */
        for (unsigned i = 0; i < MESSAGES; i++)
            assert_int_equal(fixture_put(&fixture->store, &fixture->run, i, size_of(i), NULL), STATUS_OK);
        fixture_close(&fixture->store);
        fixture_open(&fixture->store);
        for (unsigned i = 0; i < MESSAGES; i++)
            assert_true(has(fixture, i));
        fixture_close(&fixture->store);
        teardown(state);
        setup(state);
    }
}

static void a_rebuilt_journal_names_every_message_in_its_place(void **state)
{
    struct recover_fixture *fixture = *state;
    struct buf records;
    uint64_t total;
    unsigned found = 0;

    assert_int_equal(unlink(fixture->journal), 0);
    fixture_open(&fixture->store);
    buf_init(&records, 1 << 20);
    uint64_t id = journal_id_now(fixture);
    assert_int_equal(store_journal_read(fixture->store.store, &fixture->run, id, 0, false, 0, 1000,
                                        &records, &total, NULL),
                     STATUS_OK);
    for (uint64_t n = 0; n < total; n++) {
        struct journal_record record;

        assert_int_equal(
            journal_record_decode(records.data + n * JOURNAL_RECORD_SIZE, id, n, &record, NULL),
            STATUS_OK);
        assert_false(record.is_void);
        for (unsigned i = 0; i < MESSAGES && record.kind == JOURNAL_STORED; i++) {
            struct digest digest;

            fixture_digest(i, size_of(i), &digest);
            if (digest_compare(&digest, &record.digest) != 0)
                continue;
            assert_int_equal(record.offset, fixture->places[i].offset);
            assert_int_equal(record.length, fixture->places[i].length);
            assert_int_equal(record.stored_at_us, 0);
            found++;
        }
    }
    assert_int_equal(found, MESSAGES);
    buf_fini(&records);
}

static bool is_damaged(struct recover_fixture *fixture, unsigned message)
{
    const struct store_place *place = &fixture->places[message];
    struct store_file *file;

    assert_int_equal(store_file_open(fixture->store.store, &fixture->run, place->shard,
                                     place->birth, &file, NULL),
                     STATUS_OK);
    bool damaged = store_file_damaged(file, place->offset, place->length);
    store_file_release(file);
    return damaged;
}

static void a_rebuild_leaves_out_what_does_not_frame(void **state)
{
    struct recover_fixture *fixture = *state;
    struct store_run_info info;
    char path[PATH_SIZE];

    data_path(fixture, 0, path);
    flip(path, (off_t)fixture->places[0].offset); /* no "GRIB" */
    data_path(fixture, 7, path);
    flip(path, (off_t)fixture->places[7].offset + (off_t)size_of(7) - 1); /* no "7777" */
    assert_int_equal(truncate(fixture->journal, 10), 0);
    fixture_open(&fixture->store);
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    assert_int_equal(info.records, FIXTURE_SHARDS + MESSAGES - 2);
    store_run_info_fini(&info);
    /* Whoever has their places from before gets nothing for them, and the others as they were. */
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(is_damaged(fixture, i), i == 0 || i == 7);
}

/* Its checksum holds, but no *file* record of its shard stands before it. */
static void a_record_without_a_place_makes_the_journal_anew(void **state)
{
    struct recover_fixture *fixture = *state;
    struct journal_record record = {
        .kind = JOURNAL_STORED, .batch_first = true, .shard = 999, .length = 10, .stored_at_us = 1
    };
    uint8_t bytes[JOURNAL_RECORD_SIZE];
    struct store_stats stats;

    journal_record_encode(&record, fixture->journal_id, 12, bytes);
    int fd = open(fixture->journal, O_RDWR);
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 64 + 64 * 12), sizeof bytes);
    close(fd);
    for (unsigned starts = 0; starts < 2; starts++) {
        fixture_open(&fixture->store);
        assert_int_not_equal(journal_id_now(fixture), fixture->journal_id);
        store_stats(fixture->store.store, &stats);
        assert_int_equal(stats.files, FIXTURE_SHARDS); /* once each */
        assert_int_equal(stats.messages, 0);           /* adopted */
        fixture_close(&fixture->store);
    }
}

static int journal_fd;           /* of the first open of a journal */
static unsigned journal_failing; /* reads of it that are still to fail */
static off_t journal_failing_from;

static int openat_journal(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd = disk_posix.openat(dir_fd, path, flags, mode);

    if (journal_fd < 0 && strcmp(path, "journal") == 0)
        journal_fd = fd;
    return fd;
}

static ssize_t preadv2_journal(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    if (fd != journal_fd || journal_failing == 0 || offset < journal_failing_from)
        return disk_posix.preadv2(fd, vec, count, offset, flags);
    journal_failing--;
    errno = EIO;
    return -1;
}

static int close_journal(int fd)
{
    if (fd == journal_fd)
        journal_failing = 0; /* the number may come again */
    return disk_posix.close(fd);
}

/* A sector that is gone keeps no node from its start. Once may be anything, and costs nothing. */
static void a_journal_that_can_not_be_read_is_made_anew_and_read_twice_before(void **state)
{
    struct disk_ops ops = disk_posix;

    ops.openat = openat_journal;
    ops.preadv2 = preadv2_journal;
    ops.close = close_journal;
    for (unsigned failing = 1; failing <= 2; failing++)
        for (unsigned header = 0; header < 2; header++) {
            struct recover_fixture *fixture = *state;

            journal_fd = -1;
            journal_failing = failing;
            journal_failing_from = header ? 0 : 64;
            disk_replace(&ops);
            fixture_open(&fixture->store);
            assert_int_equal(journal_failing, 0);
            assert_int_equal(journal_id_now(fixture) == fixture->journal_id, failing == 1);
            for (unsigned i = 0; i < MESSAGES; i++)
                assert_int_equal(has(fixture, i), failing == 1);
            fixture_close(&fixture->store);
            disk_replace(NULL);
            teardown(state);
            setup(state);
        }
}

static void a_rebuild_keeps_the_bytes_of_a_file_it_can_make_nothing_of(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE], aside[PATH_SIZE + 16];

    data_path(fixture, 0, path);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "GRIB, but no more than that", 27), 27);
    close(fd);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    assert_int_equal(unlink(fixture->journal), 0);
    for (int starts = 0; starts < 2; starts++) {
        fixture_open(&fixture->store);
        assert_int_equal(file_size(path), -1);
        assert_int_equal(file_size(aside), 27);
        fixture_close(&fixture->store);
    }
}

static bool count_missing(void *user, const struct store_missing *missing)
{
    unsigned *count = user;

    (void)missing;
    (*count)++;
    return true;
}

static void a_missing_data_file_is_void_and_its_messages_are_told_to_be_bad(void **state)
{
    struct recover_fixture *fixture = *state;
    struct store_file *file;
    struct buf records;
    uint64_t total;
    char path[PATH_SIZE];
    unsigned lost = fixture->places[0].shard, lost_count = 0, bad = 0;

    /* Not the last batch's file: that batch would be cut. */
    for (unsigned i = 0; lost == fixture->places[MESSAGES - 1].shard; i++)
        lost = fixture->places[i].shard;
    for (unsigned i = 0; i < MESSAGES; i++)
        if (fixture->places[i].shard == lost) {
            data_path(fixture, i, path);
            unlink(path);
            lost_count++;
        }
    fixture_open(&fixture->store);
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_int_equal(has(fixture, i), fixture->places[i].shard != lost);
        if (fixture->places[i].shard == lost)
            assert_int_equal(store_file_open(fixture->store.store, &fixture->run, lost,
                                             fixture->places[i].birth, &file, NULL),
                             STATUS_PURGED);
    }
    buf_init(&records, 1 << 20);
    assert_int_equal(store_journal_read(fixture->store.store, &fixture->run, fixture->journal_id, 0,
                                        false, 0, 1000, &records, &total, NULL),
                     STATUS_OK);
    for (uint64_t n = 0; n < total; n++) {
        struct journal_record record;

        assert_int_equal(journal_record_decode(records.data + n * JOURNAL_RECORD_SIZE,
                                               fixture->journal_id, n, &record, NULL),
                         STATUS_OK);
        bad += record.kind == JOURNAL_BAD;
        assert_int_equal(record.is_void, record.kind != JOURNAL_BAD && record.shard == lost);
    }
    buf_fini(&records);
    assert_int_equal(bad, lost_count);
    unsigned missing = 0;
    store_missing_each(fixture->store.store, count_missing, &missing);
    assert_int_equal(missing, lost_count);
    /* It is taken again, into a new file. */
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(fixture_put(&fixture->store, &fixture->run, i, size_of(i), NULL), STATUS_OK);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
    missing = 0;
    store_missing_each(fixture->store.store, count_missing, &missing);
    assert_int_equal(missing, 0);
    /* It is told once. */
    struct store_run_info info;
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    uint64_t told = info.records;
    store_run_info_fini(&info);
    fixture_close(&fixture->store);
    fixture_open(&fixture->store);
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    assert_int_equal(info.records, told);
    store_run_info_fini(&info);
}

static void a_message_behind_the_end_of_its_file_is_bad(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];
    unsigned victim = 0;
    struct store_file *file;

    /* The last message of a shard that is not the last batch's. */
    for (unsigned i = 0; i < MESSAGES; i++)
        if (fixture->places[i].shard != fixture->places[MESSAGES - 1].shard)
            victim = i;
    data_path(fixture, victim, path);
    assert_int_equal(truncate(path, (off_t)fixture->places[victim].offset + 30), 0);
    fixture_open(&fixture->store);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(has(fixture, i), i != victim);
    assert_int_equal(store_file_open(fixture->store.store, &fixture->run, fixture->places[victim].shard,
                                     fixture->places[victim].birth, &file, NULL),
                     STATUS_OK);
    assert_true(store_file_damaged(file, fixture->places[victim].offset, 1));
    assert_true(store_file_damaged(file, fixture->places[victim].offset - 1, 2));
    assert_false(store_file_damaged(file, 0, fixture->places[victim].offset));
    assert_int_equal(store_file_size(file), fixture->places[victim].offset + 30);
    store_file_release(file);
    assert_int_equal(fixture_put(&fixture->store, &fixture->run, victim, size_of(victim), NULL),
                     STATUS_OK);
    assert_true(has(fixture, victim));
    fixture_close(&fixture->store);
    fixture_open(&fixture->store);
    assert_true(has(fixture, victim));
}

static void a_data_file_without_a_record_goes_away(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/runs/hres/20130408T0000Z/0001-00000000000000aa.grib",
             fixture->store.dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    fixture_open(&fixture->store);
    assert_int_equal(file_size(path), -1);
    fixture_wait_purged(&fixture->store);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
}

static void a_run_half_made_goes_away_and_strangers_stay(void **state)
{
    struct recover_fixture *fixture = *state;
    char half[PATH_SIZE], stranger[PATH_SIZE];

    snprintf(half, sizeof half, "%s/runs/hres/.new-0123456789abcdef", fixture->store.dir);
    snprintf(stranger, sizeof stranger, "%s/runs/hres/notes", fixture->store.dir);
    assert_int_equal(mkdir(half, 0700), 0);
    assert_int_equal(mkdir(stranger, 0700), 0);
    fixture_open(&fixture->store);
    assert_int_equal(file_size(half), -1);
    assert_true(file_size(stranger) >= 0);
    fixture_wait_purged(&fixture->store);
}

static void a_newer_format_is_refused_and_left_as_it_is(void **state)
{
    struct recover_fixture *fixture = *state;
    struct journal_header header = { .incarnation = 1, .journal_id = 5, .made_at_us = 1 };
    off_t size = file_size(fixture->journal);
    uint8_t bytes[JOURNAL_HEADER_SIZE];
    uint8_t *before = malloc((size_t)size), *after = malloc((size_t)size);
    int fd = open(fixture->journal, O_RDWR);

    journal_header_encode(&header, bytes);
    put_u64(bytes + 8, JOURNAL_FORMAT + 1);
    put_u64(bytes + 56, XXH3_64bits(bytes, 56));
    assert_int_equal(pwrite(fd, bytes, sizeof bytes, 0), sizeof bytes);
    assert_int_equal(pread(fd, before, (size_t)size, 0), size);
    assert_int_equal(fixture_try_open(&fixture->store, NULL), STATUS_UNSUPPORTED);
    assert_int_equal(file_size(fixture->journal), size);
    assert_int_equal(pread(fd, after, (size_t)size, 0), size);
    assert_memory_equal(before, after, (size_t)size);
    close(fd);
    free(before);
    free(after);
}

/* A flush counts only for a file that was written to since the start: what a failed flush left in the page cache counts as
 * written there, and is not on the disk. */
static struct {
    ino_t written[16];
    off_t first[16]; /* byte written */
    unsigned written_count, flushed_count;
} seen;

static ino_t inode_of(int fd)
{
    struct stat stat_;

    assert_int_equal(fstat(fd, &stat_), 0);
    return stat_.st_ino;
}

static ssize_t pwritev_seen(int fd, const struct iovec *vec, int count, off_t offset)
{
    assert_true(seen.written_count < 16);
    seen.first[seen.written_count] = offset;
    seen.written[seen.written_count++] = inode_of(fd);
    return pwritev(fd, vec, count, offset);
}

static bool was_written(ino_t inode)
{
    for (unsigned i = 0; i < seen.written_count; i++)
        if (seen.written[i] == inode)
            return true;
    return false;
}

static int fdatasync_seen(int fd)
{
    /* Of runs.log nothing was ever told. */
    seen.flushed_count += was_written(inode_of(fd));
    return fdatasync(fd);
}

static bool was_written_at(ino_t inode, off_t offset)
{
    for (unsigned i = 0; i < seen.written_count; i++)
        if (seen.written[i] == inode && seen.first[i] == offset)
            return true;
    return false;
}

static void what_is_kept_of_the_last_batch_is_written_again_before_it_is_flushed(void **state)
{
    struct recover_fixture *fixture = *state;
    const struct store_place *last = &fixture->places[MESSAGES - 1];
    struct disk_ops ops = disk_posix;
    struct stat data, journal;
    char path[PATH_SIZE];

    data_path(fixture, MESSAGES - 1, path);
    assert_int_equal(stat(path, &data), 0);
    assert_int_equal(stat(fixture->journal, &journal), 0);
    ops.pwritev = pwritev_seen;
    ops.fdatasync = fdatasync_seen;
    memset(&seen, 0, sizeof seen);
    disk_replace(&ops);
    fixture_open(&fixture->store);
    unsigned flushed = seen.flushed_count;
    fixture_close(&fixture->store);
    disk_replace(NULL);
    assert_true(was_written_at(data.st_ino, (off_t)last->offset));
    assert_true(was_written_at(journal.st_ino, 64 + 64 * (off_t)(fixture->records - 1)));
    assert_int_equal(flushed, 2);
    fixture_open(&fixture->store);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
}

/* --- after an orderly close --- */

static void was_closed(struct recover_fixture *fixture)
{
    char kept[PATH_SIZE];

    snprintf(kept, sizeof kept, "%s/closed.kept", fixture->store.dir);
    assert_int_equal(rename(kept, fixture->closed), 0);
}

static enum status find(struct recover_fixture *fixture, unsigned message)
{
    struct store_place place;
    struct digest digest;

    fixture_digest(message, size_of(message), &digest);
    return store_find(fixture->store.store, &fixture->run, &digest, true, &place, NULL);
}

static void a_last_message_damaged_since_the_close_is_damage_and_is_not_cut(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];

    was_closed(fixture);
    data_path(fixture, MESSAGES - 1, path);
    flip(path, (off_t)fixture->places[MESSAGES - 1].offset + 50);
    fixture_open(&fixture->store);
    assert_int_equal(find(fixture, MESSAGES - 1), STATUS_OK); /* the scrub will see */
    struct store_run_info info;
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    assert_int_equal(info.records, fixture->records);
    store_run_info_fini(&info);
}

static void a_last_record_damaged_since_the_close_makes_the_journal_anew(void **state)
{
    struct recover_fixture *fixture = *state;

    was_closed(fixture);
    flip(fixture->journal, 64 + 64 * (off_t)(fixture->records - 1) + 5);
    fixture_open(&fixture->store);
    assert_int_not_equal(journal_id_now(fixture), fixture->journal_id);
}

static void a_closed_store_is_flushed_and_reads_nothing_of_its_messages(void **state)
{
    struct recover_fixture *fixture = *state;
    struct disk_ops ops = disk_posix;

    was_closed(fixture);
    ops.pwritev = pwritev_seen;
    ops.fdatasync = fdatasync_seen;
    memset(&seen, 0, sizeof seen);
    disk_replace(&ops);
    fixture_open(&fixture->store);
    assert_int_equal(seen.written_count, 0);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
    fixture_close(&fixture->store);
    disk_replace(NULL);
}

static void what_went_on_after_the_close_is_proven(void **state)
{
    struct recover_fixture *fixture = *state;
    struct store_place place;
    char path[PATH_SIZE], name[DATA_FILE_NAME_SIZE], gone[PATH_SIZE + 8];

    was_closed(fixture);
    fixture_open(&fixture->store);
    assert_int_equal(fixture_put(&fixture->store, &fixture->run, 1000, 500, &place), STATUS_OK);
    snprintf(gone, sizeof gone, "%s.old", fixture->closed);
    assert_int_equal(rename(fixture->closed, gone), 0);
    fixture_close(&fixture->store);
    assert_int_equal(rename(gone, fixture->closed), 0); /* the one of before: it crashed this time */
    data_file_name(place.shard, place.birth, name);
    snprintf(path, sizeof path, "%s/runs/hres/20130408T0000Z/%s", fixture->store.dir, name);
    flip(path, (off_t)place.offset + 50);
    fixture_open(&fixture->store);
    assert_int_equal(find(fixture, MESSAGES - 1), STATUS_OK);
    struct store_run_info info;
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    assert_true(info.records <= fixture->records + 1); /* its *file* record may stay */
    store_run_info_fini(&info);
}

static void a_closed_file_with_any_byte_changed_says_nothing(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];

    was_closed(fixture);
    data_path(fixture, MESSAGES - 1, path);
    flip(path, (off_t)fixture->places[MESSAGES - 1].offset + 50);
    off_t size = file_size(fixture->closed);
    for (off_t at = 0; at < size; at++) {
        struct closed closed;
        int dir_fd = open(fixture->store.dir, O_RDONLY | O_DIRECTORY);

        flip(fixture->closed, at);
        closed_load(dir_fd, &closed);
        assert_false(closed_has(&closed, fixture->journal_id, fixture->records));
        closed_fini(&closed);
        flip(fixture->closed, at);
        closed_load(dir_fd, &closed);
        assert_true(closed_has(&closed, fixture->journal_id, fixture->records));
        assert_false(closed_has(&closed, fixture->journal_id, fixture->records + 1));
        assert_false(closed_has(&closed, fixture->journal_id + 1, fixture->records));
        closed_fini(&closed);
        close(dir_fd);
    }
    flip(fixture->closed, 0);
    fixture_open(&fixture->store);
    assert_int_equal(find(fixture, MESSAGES - 1), STATUS_NOT_FOUND); /* proven, and cut */
}

/* --- what recovery finds bad it tells --- */

static void a_message_behind_the_end_of_its_file_is_told_by_the_journal_once(void **state)
{
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];

    was_closed(fixture);
    data_path(fixture, 0, path);
    assert_int_equal(truncate(path, (off_t)fixture->places[0].offset + 10), 0);
    unsigned bad = 0;
    for (unsigned i = 0; i < MESSAGES; i++)
        bad += fixture->places[i].birth == fixture->places[0].birth;
    for (unsigned i = 0; i < 3; i++) {
        struct store_run_info info;

        fixture_open(&fixture->store);
        assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
        assert_int_equal(info.records, fixture->records + bad);
        assert_int_equal(info.messages, MESSAGES - bad);
        store_run_info_fini(&info);
        fixture_close(&fixture->store);
        if (i == 1)
            assert_int_equal(unlink(fixture->closed), 0);
    }
}

/* --- many runs --- */

static void runs_are_read_side_by_side(void **state)
{
    enum { RUNS = 100 };
    struct recover_fixture *fixture = *state;
    struct store_stats stats;

    fixture->store.options.recover_threads = 4;
    fixture_open(&fixture->store);
    for (int i = 1; i <= RUNS; i++) {
        struct run_key run = fixture_run(i);

        if (i % 2 == 0)
            strcpy(run.source, "gfs");
        assert_int_equal(fixture_put(&fixture->store, &run, (uint64_t)i, 300, NULL), STATUS_OK);
    }
    for (unsigned closed = 0; closed < 2; closed++) {
        fixture_close(&fixture->store);
        if (closed == 0)
            assert_int_equal(unlink(fixture->closed), 0);
        fixture_open(&fixture->store);
        store_stats(fixture->store.store, &stats);
        assert_int_equal(stats.runs, RUNS + 1);
        assert_int_equal(stats.messages, RUNS + MESSAGES);
    }
}

static void a_run_that_fails_fails_the_start_and_frees_the_rest(void **state)
{
    enum { RUNS = 64 };
    struct recover_fixture *fixture = *state;
    char path[PATH_SIZE];
    struct error err;

    fixture->store.options.recover_threads = 4;
    fixture_open(&fixture->store);
    for (int i = 1; i <= RUNS; i++) {
        struct run_key run = fixture_run(i);

        assert_int_equal(fixture_put(&fixture->store, &run, (uint64_t)i, 300, NULL), STATUS_OK);
    }
    fixture_close(&fixture->store);
    snprintf(path, sizeof path, "%s/runs/hres/20130409T0600Z/journal", fixture->store.dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* a journal that is a directory */
    assert_int_not_equal(fixture_try_open(&fixture->store, &err), STATUS_OK);
    assert_non_null(strstr(err.text, "hres/20130409T0600Z"));
    assert_int_equal(rmdir(path), 0);
}

static unsigned refusals; /* opens of data files that are still to be refused */

static int openat_refused(int dir_fd, const char *path, int flags, mode_t mode)
{
    if (refusals > 0 && strstr(path, ".grib") != NULL) {
        refusals--;
        errno = EACCES;
        return -1;
    }
    return disk_posix.openat(dir_fd, path, flags, mode);
}

static void a_file_that_may_not_be_opened_is_an_error_and_not_damage(void **state)
{
    struct recover_fixture *fixture = *state;
    struct disk_ops ops = disk_posix;
    char closed[PATH_SIZE];

    snprintf(closed, sizeof closed, "%s/closed", fixture->store.dir);
    unlink(closed); /* else nothing is proven */
    ops.openat = openat_refused;
    refusals = 1;
    disk_replace(&ops);
    assert_int_not_equal(fixture_try_open(&fixture->store, NULL), STATUS_OK);
    disk_replace(NULL);
    fixture_open(&fixture->store);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_last_message_damaged_since_the_close_is_damage_and_is_not_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(a_last_record_damaged_since_the_close_makes_the_journal_anew,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_store_is_flushed_and_reads_nothing_of_its_messages,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_went_on_after_the_close_is_proven, setup, teardown),
        cmocka_unit_test_setup_teardown(a_closed_file_with_any_byte_changed_says_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_message_behind_the_end_of_its_file_is_told_by_the_journal_once, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_are_read_side_by_side, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_that_fails_fails_the_start_and_frees_the_rest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_torn_last_record_goes_and_takes_its_bytes_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_last_message_with_other_bytes_was_never_acknowledged,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_behind_the_last_record_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(any_flipped_bit_in_earlier_records_makes_the_journal_anew,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_rebuilt_journal_names_every_message_in_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rebuild_leaves_out_what_does_not_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rebuild_keeps_the_bytes_of_a_file_it_can_make_nothing_of,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_missing_data_file_is_void_and_its_messages_are_told_to_be_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_behind_the_end_of_its_file_is_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(a_data_file_without_a_record_goes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_half_made_goes_away_and_strangers_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_kept_of_the_last_batch_is_written_again_before_it_is_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_may_not_be_opened_is_an_error_and_not_damage,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_record_without_a_place_makes_the_journal_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_journal_that_can_not_be_read_is_made_anew_and_read_twice_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused_and_left_as_it_is, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
