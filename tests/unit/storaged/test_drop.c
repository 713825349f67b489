/* test_drop.c: what storaged/store/drop.h promises of data files that are given up. */
#include "proto/base/clock.h"
#include "storaged/store/data_file.h"
#include "tests/lib/fake_disk.h"
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

#include <cmocka.h>

enum { MESSAGES = 40, SIZE = 600, PATH_SIZE = 512 };

struct drop_fixture {
    struct store_fixture store; /* the first: fixture_teardown() ends it and frees all */
    struct run_key run;
    struct store_place places[MESSAGES];
    struct store_place *victim; /* whose file is given up */
};

static int setup(void **state)
{
    struct drop_fixture *fixture = calloc(1, sizeof *fixture);

    fixture_init(&fixture->store);
    fixture_open(&fixture->store);
    fixture->run = fixture_run(0);
    fixture_fill(&fixture->store, &fixture->run, MESSAGES, SIZE, fixture->places);
    fixture->victim = &fixture->places[7];
    *state = fixture;
    return 0;
}

static enum status give_up(struct drop_fixture *fixture,
                           void (*step)(struct store *, struct store_drop *))
{
    return fixture_give_up(&fixture->store, &fixture->run, fixture->victim, step, NULL);
}

struct several {
    struct store_drop drop;
    bool is_done;
    enum status status;
};

static void on_several(struct store_drop *drop, enum status status)
{
    struct several *several = container_of(drop, struct several, drop);

    several->is_done = true;
    several->status = status;
}

static enum status give_up_files(struct drop_fixture *fixture, struct store_drop_file *files,
                                 unsigned count, uint64_t journal_id, uint64_t deadline_us,
                                 void (*step)(struct store *, struct store_drop *))
{
    struct several several = {
        .drop = { .run = fixture->run,
                  .journal_id = journal_id,
                  .files = files,
                  .count = count,
                  .deadline_us = deadline_us,
                  .port = &fixture->store.port,
                  .on_done = on_several },
    };

    step(fixture->store.store, &several.drop);
    fixture_wait(&fixture->store, &several.is_done);
    return several.status;
}

static void drop_victim(struct drop_fixture *fixture)
{
    assert_int_equal(give_up(fixture, store_seal), STATUS_OK);
    assert_int_equal(give_up(fixture, store_drop), STATUS_OK);
}

static void reopen(struct drop_fixture *fixture)
{
    fixture_close(&fixture->store);
    fixture_open(&fixture->store);
}

static bool is_victims(const struct drop_fixture *fixture, unsigned message)
{
    return fixture->places[message].birth == fixture->victim->birth;
}

static unsigned count_victims(const struct drop_fixture *fixture)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MESSAGES; i++)
        count += is_victims(fixture, i);
    return count;
}

static bool is_found(struct drop_fixture *fixture, unsigned number)
{
    return fixture_has(&fixture->store, &fixture->run, number, SIZE);
}

static enum store_file_state state_of(struct drop_fixture *fixture)
{
    return store_file_state(fixture->store.store, &fixture->run, fixture->victim->shard,
                            fixture->victim->birth);
}

static enum status open_victim(struct drop_fixture *fixture, struct store_file **file)
{
    return store_file_open(fixture->store.store, &fixture->run, fixture->victim->shard,
                           fixture->victim->birth, file, NULL);
}

static void path_of(const struct drop_fixture *fixture, const char *name, char path[PATH_SIZE])
{
    int length = snprintf(path, PATH_SIZE, "%s/runs/hres/20130408T0000Z/%s", fixture->store.dir, name);

    assert_true(length < PATH_SIZE);
}

static bool victim_is_on_disk(const struct drop_fixture *fixture)
{
    char name[DATA_FILE_NAME_SIZE], path[PATH_SIZE];

    data_file_name(fixture->victim->shard, fixture->victim->birth, name);
    path_of(fixture, name, path);
    return access(path, F_OK) == 0;
}

/* Its bytes can be had by its old place. */
static void check_is_served(struct drop_fixture *fixture)
{
    struct store_file *file;
    uint8_t bytes[SIZE];
    struct digest digest, wanted;

    assert_int_equal(open_victim(fixture, &file), STATUS_OK);
    assert_int_equal(pread(store_file_fd(file), bytes, SIZE, (off_t)fixture->victim->offset), SIZE);
    assert_true(fixture->victim->offset + SIZE <= store_file_size(file));
    digest_of(bytes, SIZE, &digest);
    fixture_digest((uint64_t)(fixture->victim - fixture->places), SIZE, &wanted);
    assert_memory_equal(&digest, &wanted, sizeof digest);
    store_file_release(file);
}

/* --- what counts --- */

static void check_sums(struct drop_fixture *fixture)
{
    struct store_shard shards[FIXTURE_SHARDS];
    struct digest_set wanted[FIXTURE_SHARDS] = { 0 };
    struct digest digest;

    assert_int_equal(store_shards(fixture->store.store, &fixture->run, shards), STATUS_OK);
    for (unsigned i = 0; i < MESSAGES; i++) {
        fixture_digest(i, SIZE, &digest);
        if (!is_victims(fixture, i))
            digest_set_add(&wanted[fixture->places[i].shard], &digest);
    }
    for (unsigned i = 0; i < FIXTURE_SHARDS; i++) {
        assert_memory_equal(&shards[i].set, &wanted[i], sizeof wanted[i]);
        assert_int_equal(shards[i].bytes, wanted[i].count * SIZE);
    }
}

static void each_of_shard(void *data, const struct digest *digest, const struct store_place *place)
{
    const struct drop_fixture *fixture = data;

    (void)digest;
    assert_int_not_equal(place->birth, fixture->victim->birth);
}

static void check_feed(struct drop_fixture *fixture, const struct store_run_info *info)
{
    struct journal_record record;
    struct store_place place;
    struct store_file *file;
    struct buf records;
    unsigned dropped = 0;
    uint64_t total;

    buf_init(&records, 1 << 20);
    assert_int_equal(store_journal_read(fixture->store.store, &fixture->run, info->journal_id, 0,
                                        false, 0, 1000, &records, &total, NULL),
                     STATUS_OK);
    assert_int_equal(total, info->records);
    for (uint64_t i = 0; i < total; i++) {
        assert_int_equal(journal_record_decode(records.data + i * JOURNAL_RECORD_SIZE,
                                               info->journal_id, i, &record, NULL),
                         STATUS_OK);
        bool is_gone = record.kind == JOURNAL_FILE && record.birth == fixture->victim->birth;
        for (unsigned n = 0; n < MESSAGES; n++)
            is_gone |= fixture->places[n].record == i && is_victims(fixture, n);
        assert_int_equal(record.is_void, is_gone);
        dropped += record.kind == JOURNAL_DROPPED && record.birth == fixture->victim->birth;
        if (record.kind == JOURNAL_STORED && is_gone)
            assert_int_equal(store_record_open(fixture->store.store, &fixture->run,
                                               info->journal_id, i, &place, &file, NULL),
                             STATUS_NOT_FOUND);
    }
    assert_int_equal(dropped, 1);
    buf_fini(&records);
}

static void check_counts_for_nothing(struct drop_fixture *fixture)
{
    unsigned left = MESSAGES - count_victims(fixture);
    struct store_run_info info;
    struct store_stats stats;

    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(is_found(fixture, i), !is_victims(fixture, i));
    check_sums(fixture);
    assert_int_equal(store_shard_list(fixture->store.store, &fixture->run, fixture->victim->shard,
                                      each_of_shard, fixture, NULL),
                     STATUS_OK);
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    assert_int_equal(info.messages, left);
    assert_int_equal(info.bytes, left * SIZE);
    for (unsigned i = 0; i < info.files_count; i++)
        assert_int_not_equal(info.files[i].birth, fixture->victim->birth);
    check_feed(fixture, &info);
    store_run_info_fini(&info);
    store_stats(fixture->store.store, &stats);
    assert_int_equal(stats.messages, left);
}

static void a_dropped_file_counts_for_nothing_and_is_served_over_restarts(void **state)
{
    struct drop_fixture *fixture = *state;
    uint64_t before = store_counter(fixture->store.store);
    struct store_drop drop;

    assert_int_equal(give_up(fixture, store_seal), STATUS_OK);
    assert_int_equal(fixture_give_up(&fixture->store, &fixture->run, fixture->victim, store_drop, &drop),
                     STATUS_OK);
    assert_int_equal(drop.records, MESSAGES + FIXTURE_SHARDS + 1);
    assert_true(store_counter(fixture->store.store) > before);
    for (unsigned i = 0; i < 3; i++) {
        struct store_dropped *files;
        size_t count;

        check_counts_for_nothing(fixture);
        check_is_served(fixture);
        assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
        store_list_dropped(fixture->store.store, &files, &count);
        assert_int_equal(count, 1);
        assert_int_equal(files[0].birth, fixture->victim->birth);
        assert_int_equal(files[0].size, count_victims(fixture) * SIZE);
        assert_int_equal(files[0].records, drop.records);
        assert_int_equal(files[0].journal_id, drop.journal_id);
        free(files);
        reopen(fixture);
    }
}

static void what_was_dropped_is_stored_anew(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_place place;

    drop_victim(fixture);
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_int_equal(fixture_put(&fixture->store, &fixture->run, i, SIZE, &place), STATUS_OK);
        assert_int_equal(place.birth == fixture->places[i].birth, !is_victims(fixture, i));
    }
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < MESSAGES; i++)
            assert_true(is_found(fixture, i));
        assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
        reopen(fixture);
    }
    assert_int_equal(give_up(fixture, store_unlink), STATUS_OK);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(is_found(fixture, i));
}

/* --- seal --- */

static void a_sealed_file_takes_no_more(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_drop seal;
    struct store_place place;

    assert_int_equal(fixture_give_up(&fixture->store, &fixture->run, fixture->victim, store_seal, &seal),
                     STATUS_OK);
    assert_int_equal(seal.records, MESSAGES + FIXTURE_SHARDS);
    assert_int_not_equal(seal.journal_id, 0);
    assert_int_equal(seal.incarnation, 1);
    for (unsigned i = 0; i < MESSAGES; i++) {
        assert_int_equal(fixture_put(&fixture->store, &fixture->run, 1000 + i, SIZE, &place), STATUS_OK);
        assert_int_not_equal(place.birth, fixture->victim->birth);
    }
    assert_true(is_found(fixture, 7));
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
}

static void one_that_takes_messages_is_not_dropped(void **state)
{
    struct drop_fixture *fixture = *state;

    assert_int_equal(give_up(fixture, store_drop), STATUS_NOT_FOUND);
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
    reopen(fixture); /* now it takes none */
    assert_int_equal(give_up(fixture, store_drop), STATUS_OK);
    check_counts_for_nothing(fixture);
}

struct seen {
    struct drop_fixture *fixture;
    unsigned messages[MESSAGES], others;
};

static void each_digest(void *user, unsigned file, const struct digest *digest)
{
    struct seen *seen = user;
    struct digest of;
    bool known = false;

    assert_int_equal(file, 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        fixture_digest(i, SIZE, &of);
        if (digest_compare(&of, digest) == 0) {
            seen->messages[i]++;
            known = true;
        }
    }
    seen->others += !known;
}

struct mark {
    struct store_bad bad;
    bool is_done;
    enum status status;
};

static void on_marked(struct store_bad *bad, enum status status)
{
    struct mark *mark = container_of(bad, struct mark, bad);

    mark->is_done = true;
    mark->status = status;
}

static enum status mark_bad(struct drop_fixture *fixture, unsigned message)
{
    struct store_run_info info;
    struct mark mark = {
        .bad = { .run = fixture->run,
                 .record = fixture->places[message].record,
                 .port = &fixture->store.port,
                 .on_done = on_marked },
    };

    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    mark.bad.journal_id = info.journal_id;
    store_run_info_fini(&info);
    store_mark_bad(fixture->store.store, &mark.bad);
    fixture_wait(&fixture->store, &mark.is_done);
    return mark.status;
}

static void a_files_digests_are_all_that_it_holds(void **state)
{
    struct drop_fixture *fixture = *state;
    struct seen seen = { .fixture = fixture };
    struct store_drop_file file = { .shard = fixture->victim->shard, .birth = fixture->victim->birth };
    struct store_drop seal;
    struct store_place place;
    uint64_t behind, last = 0;

    for (unsigned i = 0; i < MESSAGES; i++)
        if (is_victims(fixture, i))
            last = fixture->places[i].record + 1;
    mark_bad(fixture, 7);
    fixture_give_up(&fixture->store, &fixture->run, fixture->victim, store_seal, &seal);
    for (unsigned i = 0; i < MESSAGES; i++)
        fixture_put(&fixture->store, &fixture->run, 1000 + i, SIZE, &place);
    seal.files = &file;
    seal.count = 1;
    assert_int_equal(store_drop_digests(fixture->store.store, &seal, each_digest, &seen, &behind, NULL), STATUS_OK);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(seen.messages[i], is_victims(fixture, i));
    assert_int_equal(seen.others, 0);
    assert_int_equal(behind, last); /* no matter what was appended since */
    assert_true(behind < seal.records);
    seal.journal_id++;
    assert_int_equal(store_drop_digests(fixture->store.store, &seal, each_digest, &seen, &behind, NULL),
                     STATUS_JOURNAL_CHANGED);
    seal.journal_id--;
    file.birth++;
    assert_int_equal(store_drop_digests(fixture->store.store, &seal, each_digest, &seen, &behind, NULL),
                     STATUS_NOT_FOUND);
}

/* --- time --- */

static void a_grant_that_is_too_old_writes_nothing(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_drop_file file = { .shard = fixture->victim->shard, .birth = fixture->victim->birth };
    struct store_run_info info;

    assert_int_equal(give_up(fixture, store_seal), STATUS_OK);
    assert_int_equal(give_up_files(fixture, &file, 1, 0, clock_monotonic_us() - 1, store_drop),
                     STATUS_TIMEOUT);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
        for (unsigned i = 0; i < MESSAGES; i++)
            assert_true(is_found(fixture, i));
        store_run_get(fixture->store.store, &fixture->run, &info);
        assert_int_equal(info.records, MESSAGES + FIXTURE_SHARDS);
        store_run_info_fini(&info);
        reopen(fixture);
    }
}

/* --- unlink --- */

static void an_unlinked_file_is_gone_for_good(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_file *held, *file;
    uint8_t byte;

    assert_int_equal(give_up(fixture, store_seal), STATUS_OK);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_NOT_FOUND); /* it counts */
    assert_int_equal(give_up(fixture, store_drop), STATUS_OK);
    assert_int_equal(give_up(fixture, store_drop), STATUS_NOT_FOUND); /* it is dropped */
    assert_int_equal(open_victim(fixture, &held), STATUS_OK);
    uint64_t gone = store_files_gone(fixture->store.store);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_OK);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_NOT_FOUND);
    assert_true(store_files_gone(fixture->store.store) > gone);
    assert_true(store_file_is_gone(held));
    assert_int_equal(pread(store_file_fd(held), &byte, 1, 0), 1); /* who reads it reads on */
    assert_int_equal(byte, 'G');
    store_file_release(held);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(victim_is_on_disk(fixture));
        assert_int_equal(open_victim(fixture, &file), STATUS_PURGED);
        assert_int_equal(state_of(fixture), STORE_FILE_GONE);
        check_counts_for_nothing(fixture);
        reopen(fixture);
    }
    fixture_wait_purged(&fixture->store);
}

static void a_name_that_a_crash_brings_back_is_in_its_grace_again(void **state)
{
    struct drop_fixture *fixture = *state;
    char name[DATA_FILE_NAME_SIZE], path[PATH_SIZE], kept[PATH_SIZE + 8];
    struct store_file *file;

    drop_victim(fixture);
    data_file_name(fixture->victim->shard, fixture->victim->birth, name);
    path_of(fixture, name, path);
    snprintf(kept, sizeof kept, "%s/kept", fixture->store.dir);
    assert_int_equal(link(path, kept), 0);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_OK);
    fixture_close(&fixture->store);
    assert_int_equal(rename(kept, path), 0);
    fixture_open(&fixture->store);
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
    check_counts_for_nothing(fixture);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_OK);
    assert_int_equal(open_victim(fixture, &file), STATUS_PURGED);
}

/* --- what comes between --- */

static void purge_run(struct drop_fixture *fixture)
{
    assert_int_equal(fixture_tell(&fixture->store, &fixture->run, 1, 5, RUN_RETIRED), STATUS_OK);
    assert_int_equal(fixture_purge(&fixture->store, &fixture->run, 1, 5), STATUS_OK);
}

static void the_runs_purge_may_come_before_each_step(void **state)
{
    void (*const steps[])(struct store *, struct store_drop *) = { store_seal, store_drop, store_unlink };
    struct drop_fixture *fixture = *state;
    struct store_file *file;
    struct store_dropped *files;
    size_t count;

    for (unsigned done = 0; done <= ARRAY_COUNT(steps); done++) {
        struct store_place place = { 0 };

        fixture->run = fixture_run((int)done + 1);
        fixture->victim = &place;
        assert_int_equal(fixture_put(&fixture->store, &fixture->run, 1, SIZE, &place), STATUS_OK);
        for (unsigned i = 0; i < done; i++)
            assert_int_equal(give_up(fixture, steps[i]), STATUS_OK);
        purge_run(fixture);
        for (unsigned i = done; i < ARRAY_COUNT(steps); i++)
            assert_int_equal(give_up(fixture, steps[i]), STATUS_NOT_FOUND);
        assert_int_equal(open_victim(fixture, &file), STATUS_PURGED);
        assert_int_equal(state_of(fixture), STORE_FILE_UNKNOWN);
    }
    store_list_dropped(fixture->store.store, &files, &count);
    assert_int_equal(count, 0);
    free(files);
    fixture_wait_purged(&fixture->store);
}

/* The same base_time again: another journal, with nothing of the grants for the one before. */
static void a_grant_for_a_run_that_was_filled_again_drops_nothing(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_drop_file file;
    struct store_drop seal;

    fixture_give_up(&fixture->store, &fixture->run, fixture->victim, store_seal, &seal);
    purge_run(fixture);
    assert_int_equal(fixture_tell(&fixture->store, &fixture->run, 2, 0, RUN_FILLING), STATUS_OK);
    assert_int_equal(fixture_put(&fixture->store, &fixture->run, 7, SIZE, fixture->victim), STATUS_OK);
    give_up(fixture, store_seal);
    file = (struct store_drop_file){ .shard = fixture->victim->shard, .birth = fixture->victim->birth };
    assert_int_equal(give_up_files(fixture, &file, 1, seal.journal_id, UINT64_MAX, store_drop),
                     STATUS_NOT_FOUND);
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
    assert_true(is_found(fixture, 7));
}

static bool each_missing(void *user, const struct store_missing *missing)
{
    unsigned *count = user;

    (void)missing;
    ++*count;
    return true;
}

static void bad_messages_of_a_dropped_file_are_missed_by_nobody(void **state)
{
    struct drop_fixture *fixture = *state;
    unsigned missing = 0;
    struct store_stats stats;
    struct store_file *file;

    assert_int_equal(mark_bad(fixture, 7), STATUS_OK);
    store_missing_each(fixture->store.store, each_missing, &missing);
    assert_int_equal(missing, 1);
    drop_victim(fixture);
    for (unsigned i = 0; i < 3; i++) {
        missing = 0;
        store_missing_each(fixture->store.store, each_missing, &missing);
        assert_int_equal(missing, 0);
        store_stats(fixture->store.store, &stats);
        assert_int_equal(stats.bad, 0);
        check_sums(fixture);
        if (i < 2) { /* what is damaged stays so for who reads ranges of it */
            assert_int_equal(open_victim(fixture, &file), STATUS_OK);
            assert_true(store_file_damaged(file, fixture->victim->offset, 1));
            assert_false(store_file_damaged(file, fixture->victim->offset + SIZE, 1));
            store_file_release(file);
        }
        if (i == 1)
            assert_int_equal(give_up(fixture, store_unlink), STATUS_OK);
        reopen(fixture);
    }
}

static void what_lies_in_a_dropped_file_does_not_turn_bad(void **state)
{
    struct drop_fixture *fixture = *state;

    drop_victim(fixture);
    assert_int_equal(mark_bad(fixture, 7), STATUS_NOT_FOUND);
    check_counts_for_nothing(fixture);
}

static void a_scrub_finds_nothing_in_what_is_gone(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_scrub_info info;

    drop_victim(fixture);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_OK);
    store_scrub(fixture->store.store, 0);
    do
        store_scrub_status(fixture->store.store, &info);
    while (info.is_asked || info.is_running || info.last.completed_us == 0);
    assert_int_equal(info.findings_total, 0);
    assert_int_equal(info.last.messages, MESSAGES - count_victims(fixture));
}

static void several_files_go_at_once_and_strangers_are_told(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_drop_file files[FIXTURE_SHARDS + 2] = { 0 };
    unsigned count = 0;

    for (unsigned i = 0; i < MESSAGES; i++) {
        bool known = false;

        for (unsigned n = 0; n < count; n++)
            known |= files[n].birth == fixture->places[i].birth;
        if (!known)
            files[count++] = (struct store_drop_file){ .shard = fixture->places[i].shard,
                                                       .birth = fixture->places[i].birth };
    }
    assert_int_equal(count, FIXTURE_SHARDS);
    files[count++] = (struct store_drop_file){ .shard = 0, .birth = 1 };
    files[count++] = files[0];
    reopen(fixture);
    assert_int_equal(give_up_files(fixture, files, count, 0, UINT64_MAX, store_drop), STATUS_OK);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(files[i].status, i < FIXTURE_SHARDS ? STATUS_OK : STATUS_NOT_FOUND);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_false(is_found(fixture, i));
    reopen(fixture);
    struct store_stats stats;
    store_stats(fixture->store.store, &stats);
    assert_int_equal(stats.messages, 0);
    assert_int_equal(stats.files, FIXTURE_SHARDS);
    assert_int_equal(give_up_files(fixture, files, count, 0, 0, store_unlink), STATUS_OK);
    store_stats(fixture->store.store, &stats);
    assert_int_equal(stats.files, 0);
}

/* --- what the disk does --- */

static void without_room_nothing_is_dropped(void **state)
{
    struct drop_fixture *fixture = *state;

    fixture_close(&fixture->store);
    fake_disk_start(fixture->store.dir);
    fixture_open(&fixture->store);
    fake_disk_room(0);
    assert_int_equal(give_up(fixture, store_drop), STATUS_FULL);
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(is_found(fixture, i));
    fake_disk_room(UINT64_MAX);
    assert_int_equal(give_up(fixture, store_drop), STATUS_OK);
    check_counts_for_nothing(fixture);
    fixture_close(&fixture->store);
    fake_disk_stop();
}

/* Nobody knows what the disk has now: it may be dropped at the next start, so nobody may count on it. */
static void a_drop_that_fails_half_way_counts_for_nothing_until_the_next_start(void **state)
{
    struct drop_fixture *fixture = *state;
    struct store_stats stats;
    struct store_run_info info;

    fixture_close(&fixture->store);
    fake_disk_start(fixture->store.dir);
    fixture_open(&fixture->store);
    give_up(fixture, store_seal);
    fake_disk_fail_at(3, EIO); /* read, write, flush */
    assert_int_equal(give_up(fixture, store_drop), STATUS_IO);
    assert_true(fake_disk_was_hit());
    store_stats(fixture->store.store, &stats);
    assert_true(stats.read_only);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(is_found(fixture, i), !is_victims(fixture, i));
    check_sums(fixture);
    check_is_served(fixture);
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
    store_run_get(fixture->store.store, &fixture->run, &info);
    assert_int_equal(info.records, MESSAGES + FIXTURE_SHARDS); /* nobody is told of it */
    store_run_info_fini(&info);
    assert_int_equal(give_up(fixture, store_unlink), STATUS_READ_ONLY);
    fixture_close(&fixture->store);
    fake_disk_stop();
    fixture_open(&fixture->store);
    check_is_served(fixture);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(is_found(fixture, i),
                         !is_victims(fixture, i) || state_of(fixture) == STORE_FILE_COUNTS);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void what_was_dropped_stays_so_when_the_journal_is_made_anew(void **state)
{
    struct drop_fixture *fixture = *state;
    char path[PATH_SIZE];
    struct store_run_info before, after;

    drop_victim(fixture);
    store_run_get(fixture->store.store, &fixture->run, &before);
    fixture_close(&fixture->store);
    path_of(fixture, "journal", path);
    flip(path, 64 + 64 * 11 + 20);
    fixture_open(&fixture->store);
    for (unsigned i = 0; i < 2; i++) {
        store_run_get(fixture->store.store, &fixture->run, &after);
        assert_int_not_equal(after.journal_id, before.journal_id);
        for (unsigned n = 0; n < after.files_count; n++)
            assert_int_not_equal(after.files[n].birth, fixture->victim->birth);
        assert_int_equal(after.files_count, FIXTURE_SHARDS - 1);
        assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
        check_is_served(fixture);
        store_run_info_fini(&after);
        reopen(fixture);
    }
    store_run_info_fini(&before);
}

static void with_the_whole_journal_lost_it_is_adopted_like_any(void **state)
{
    struct drop_fixture *fixture = *state;
    char path[PATH_SIZE];

    drop_victim(fixture);
    fixture_close(&fixture->store);
    path_of(fixture, "journal", path);
    assert_int_equal(unlink(path), 0);
    fixture_open(&fixture->store);
    assert_int_equal(state_of(fixture), STORE_FILE_COUNTS);
    assert_false(is_found(fixture, 7)); /* not before another confirms it */
    check_is_served(fixture);
    drop_victim(fixture);
    assert_int_equal(state_of(fixture), STORE_FILE_DROPPED);
}

/* --- readers --- */

struct reader {
    struct drop_fixture *fixture;
    _Atomic bool stop;
};

/* What is found can be read, whatever goes on. */
static void reader_main(void *data)
{
    struct reader *reader = data;
    struct drop_fixture *fixture = reader->fixture;
    struct digest digest;

    while (!atomic_load(&reader->stop))
        for (unsigned i = 0; i < MESSAGES; i++) {
            struct store_shard shards[FIXTURE_SHARDS];
            struct store_place place;
            struct store_file *file;

            fixture_digest(i, SIZE, &digest);
            store_shards(fixture->store.store, &fixture->run, shards);
            if (store_find(fixture->store.store, &fixture->run, &digest, true, &place, NULL) != STATUS_OK)
                continue;
            enum status status = store_file_open(fixture->store.store, &fixture->run, place.shard,
                                                 place.birth, &file, NULL);
            assert_true(status == STATUS_OK || status == STATUS_PURGED);
            if (status == STATUS_OK)
                store_file_release(file);
        }
}

static void readers_find_messages_or_do_not_find_them(void **state)
{
    struct drop_fixture *fixture = *state;
    struct reader reader = { .fixture = fixture };
    uv_thread_t thread;

    assert_int_equal(uv_thread_create(&thread, reader_main, &reader), 0);
    for (unsigned round = 0; round < 20; round++) {
        struct store_place old = *fixture->victim;

        drop_victim(fixture);
        fixture_fill(&fixture->store, &fixture->run, MESSAGES, SIZE, fixture->places);
        assert_int_equal(fixture_give_up(&fixture->store, &fixture->run, &old, store_unlink, NULL),
                         STATUS_OK);
        for (unsigned i = 0; i < MESSAGES; i++) /* however often it went and came */
            assert_true(is_found(fixture, i));
    }
    atomic_store(&reader.stop, true);
    uv_thread_join(&thread);
}

int main(void)
{
#define DROP_TEST(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        DROP_TEST(a_dropped_file_counts_for_nothing_and_is_served_over_restarts),
        DROP_TEST(what_was_dropped_is_stored_anew),
        DROP_TEST(a_sealed_file_takes_no_more),
        DROP_TEST(one_that_takes_messages_is_not_dropped),
        DROP_TEST(a_files_digests_are_all_that_it_holds),
        DROP_TEST(a_grant_that_is_too_old_writes_nothing),
        DROP_TEST(an_unlinked_file_is_gone_for_good),
        DROP_TEST(a_name_that_a_crash_brings_back_is_in_its_grace_again),
        DROP_TEST(the_runs_purge_may_come_before_each_step),
        DROP_TEST(a_grant_for_a_run_that_was_filled_again_drops_nothing),
        DROP_TEST(bad_messages_of_a_dropped_file_are_missed_by_nobody),
        DROP_TEST(what_lies_in_a_dropped_file_does_not_turn_bad),
        DROP_TEST(a_scrub_finds_nothing_in_what_is_gone),
        DROP_TEST(several_files_go_at_once_and_strangers_are_told),
        DROP_TEST(without_room_nothing_is_dropped),
        DROP_TEST(a_drop_that_fails_half_way_counts_for_nothing_until_the_next_start),
        DROP_TEST(what_was_dropped_stays_so_when_the_journal_is_made_anew),
        DROP_TEST(with_the_whole_journal_lost_it_is_adopted_like_any),
        DROP_TEST(readers_find_messages_or_do_not_find_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
