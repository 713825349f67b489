/* test_store.c: what storaged/store/store.h promises. */
#include "storaged/store/disk.h"

#include "proto/base/clock.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void an_appended_message_is_found_and_read_back(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_place place;

    assert_int_equal(fixture_put(fixture, &run, 1, 100, &place), STATUS_OK);
    assert_int_equal(place.length, 100);
    assert_int_equal(place.offset, 0);
    assert_int_equal(place.record, 1); /* behind the *file* record */
    assert_true(fixture_has(fixture, &run, 1, 100));
}

static void what_was_acknowledged_is_there_after_reopening(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key runs[] = { fixture_run(0), fixture_run(12) };

    for (uint64_t i = 0; i < 40; i++)
        assert_int_equal(fixture_put(fixture, &runs[i % 2], i, 50 + i, NULL), STATUS_OK);
    fixture_close(fixture);
    fixture_open(fixture);
    for (uint64_t i = 0; i < 40; i++) {
        assert_true(fixture_has(fixture, &runs[i % 2], i, 50 + i));
        assert_false(fixture_has(fixture, &runs[(i + 1) % 2], i, 50 + i));
    }
}

static void stamps_follow_those_seen_but_not_those_of_a_clock_that_was_wrong(void **state)
{
    struct store_fixture *fixture = *state;
    uint64_t now = clock_wall_us();
    uint64_t minute = 60000000, hour = 60 * minute;

    store_stamp_seen(fixture->store, now + minute);
    assert_true(store_stamp(fixture->store, 1) > now + minute);
    store_stamp_seen(fixture->store, now + hour);
    uint64_t first = store_stamp(fixture->store, 10);
    assert_in_range(first, now, now + STORE_STAMP_AHEAD_MAX_US);
    assert_int_equal(store_stamp(fixture->store, 1) >= first + 10, true);
}

static void a_known_digest_is_not_stored_again(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_place first;

    fixture_put(fixture, &run, 7, 60, &first);
    struct fixture_append *again = fixture_append_new(fixture, &run, 7, 60);
    store_append(fixture->store, &again->append);
    fixture_wait(fixture, &again->is_done);
    assert_int_equal(again->status, STATUS_OK);
    assert_false(again->append.is_new);
    assert_memory_equal(&again->append.place, &first, sizeof first);
    fixture_append_free(again);
}

static void twins_in_flight_are_stored_once(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct fixture_append *twins[16];
    struct store_run_info info;
    unsigned news = 0;

    for (unsigned i = 0; i < 16; i++) {
        twins[i] = fixture_append_new(fixture, &run, i / 8, 64);
        store_append(fixture->store, &twins[i]->append);
    }
    for (unsigned i = 0; i < 16; i++) {
        fixture_wait(fixture, &twins[i]->is_done);
        assert_int_equal(twins[i]->status, STATUS_OK);
        assert_int_equal(twins[i]->append.place.record, twins[i / 8 * 8]->append.place.record);
        news += twins[i]->append.is_new;
    }
    for (unsigned i = 0; i < 16; i++)
        fixture_append_free(twins[i]);
    assert_int_equal(news, 2);
    assert_int_equal(store_run_get(fixture->store, &run, &info), STATUS_OK);
    assert_int_equal(info.messages, 2);
    store_run_info_fini(&info);
}

/* Whoever asks for a handoff is told by it that there is to be none. */
static void each_of_the_twins_is_told_of_a_quota(void **state)
{
    enum { TWINS = 16 };
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct fixture_append *twins[TWINS];

    assert_int_equal(fixture_put(fixture, &run, 0, 64, NULL), STATUS_OK);
    for (unsigned i = 0; i < TWINS; i++) {
        twins[i] = fixture_append_new(fixture, &run, 1, 64);
        twins[i]->append.run_messages_max = 1;
        store_append(fixture->store, &twins[i]->append);
    }
    for (unsigned i = 0; i < TWINS; i++) {
        fixture_wait(fixture, &twins[i]->is_done);
        assert_int_equal(twins[i]->status, STATUS_FULL);
        assert_true(twins[i]->append.over_quota);
        fixture_append_free(twins[i]);
    }
}

static _Atomic int unreadable; /* a descriptor; -1: none */

static ssize_t preadv2_unreadable(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    if (fd != atomic_load(&unreadable))
        return disk_posix.preadv2(fd, vec, count, offset, flags);
    errno = EIO;
    return -1;
}

/* It fails, with those beside it; nothing was written that is not known, and the store takes the next. */
static void a_spooled_message_that_can_not_be_read_costs_its_batch_alone(void **state)
{
    enum { SIZE = 200000 };
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct disk_ops ops = disk_posix;
    struct store_stats stats;
    int fd;

    fixture_close(fixture);
    atomic_store(&unreadable, -1);
    ops.preadv2 = preadv2_unreadable;
    disk_replace(&ops);
    fixture_open(fixture);
    assert_int_equal(fixture_put(fixture, &run, 0, SIZE, NULL), STATUS_OK);
    assert_int_equal(store_spool_open(fixture->store, &fd, NULL), STATUS_OK);
    struct fixture_append *spooled = fixture_append_new(fixture, &run, 1, SIZE);
    assert_int_equal(disk_write(fd, 0, spooled->bytes, SIZE, NULL), STATUS_OK);
    spooled->append.fd = fd;
    for (unsigned readable = 0; readable < 2; readable++) {
        spooled->is_done = false;
        atomic_store(&unreadable, readable ? -1 : fd);
        store_append(fixture->store, &spooled->append);
        fixture_wait(fixture, &spooled->is_done);
        assert_int_equal(spooled->status, readable ? STATUS_OK : STATUS_IO);
        store_stats(fixture->store, &stats);
        assert_false(stats.read_only);
        assert_int_equal(stats.messages, 1 + readable);
    }
    fixture_append_free(spooled);
    store_spool_close(fixture->store, fd);
    fixture_close(fixture);
    disk_replace(NULL);
    fixture_open(fixture);
    for (uint64_t i = 0; i < 2; i++)
        assert_true(fixture_has(fixture, &run, i, SIZE));
}

static _Atomic unsigned asked;
static _Atomic uint64_t blocks_free;

static int fstatvfs_made_up(int fd, struct statvfs *space)
{
    (void)fd;
    atomic_fetch_add(&asked, 1);
    *space = (struct statvfs){ .f_frsize = 4096, .f_blocks = 1000, .f_bavail = atomic_load(&blocks_free) };
    return 0;
}

/* Loops take these figures, and the disk may hang. */
static void figures_of_the_disk_are_those_of_the_last_look(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct disk_ops ops = disk_posix;
    struct store_stats stats;

    fixture_close(fixture);
    ops.fstatvfs = fstatvfs_made_up;
    disk_replace(&ops);
    atomic_store(&blocks_free, 500);
    fixture->options.reserve_size = 100 * 4096;
    fixture_open(fixture);
    unsigned before = atomic_load(&asked);
    atomic_store(&blocks_free, 100);
    store_stats(fixture->store, &stats);
    assert_int_equal(atomic_load(&asked), before);
    assert_int_equal(stats.disk_size, 1000 * 4096);
    assert_int_equal(stats.disk_free, 500 * 4096);
    assert_int_equal(stats.disk_reserved, 100 * 4096);
    assert_false(stats.full);
    store_look_at_space(fixture->store);
    store_stats(fixture->store, &stats);
    assert_true(stats.full);
    atomic_store(&blocks_free, 101);
    assert_int_equal(fixture_put(fixture, &run, 0, 64, NULL), STATUS_OK); /* an append looks, too */
    store_stats(fixture->store, &stats);
    assert_false(stats.full);
    fixture_close(fixture);
    disk_replace(NULL);
}

static void a_store_in_use_is_locked(void **state)
{
    struct store_fixture *fixture = *state;
    struct store *second;

    assert_int_equal(store_open(&fixture->options, &second, NULL), STATUS_LOCKED);
}

static void the_first_message_of_a_shard_after_a_start_opens_a_new_file(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_run_info before, after;

    for (uint64_t i = 0; i < 20; i++)
        fixture_put(fixture, &run, i, 64, NULL);
    assert_int_equal(store_run_get(fixture->store, &run, &before), STATUS_OK);
    fixture_close(fixture);
    fixture_open(fixture);
    for (uint64_t i = 20; i < 40; i++)
        fixture_put(fixture, &run, i, 64, NULL);
    assert_int_equal(store_run_get(fixture->store, &run, &after), STATUS_OK);
    assert_int_equal(after.journal_id, before.journal_id);
    assert_int_equal(before.files_count, FIXTURE_SHARDS);
    assert_int_equal(after.files_count, 2 * FIXTURE_SHARDS);
    for (unsigned i = 0; i < before.files_count; i++) { /* the old ones as they were */
        assert_int_equal(after.files[i].birth, before.files[i].birth);
        assert_int_equal(after.files[i].size, before.files[i].size);
    }
    store_run_info_fini(&before);
    store_run_info_fini(&after);
}

static void the_feed_is_the_journal_from_any_record_on(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_run_info info;
    struct buf all, rest;
    uint64_t total;

    for (uint64_t i = 0; i < 10; i++)
        fixture_put(fixture, &run, i, 64, NULL);
    store_run_get(fixture->store, &run, &info);
    buf_init(&all, 1 << 20);
    buf_init(&rest, 1 << 20);
    assert_int_equal(store_journal_read(fixture->store, &run, info.journal_id, 0, false, 0, 1000,
                                        &all, &total, NULL),
                     STATUS_OK);
    assert_int_equal(total, info.records);
    assert_int_equal(all.size, total * JOURNAL_RECORD_SIZE);
    for (uint64_t from = 1; from <= total; from++) {
        uint32_t check = journal_record_check(all.data + (from - 1) * JOURNAL_RECORD_SIZE);

        buf_clear(&rest);
        assert_int_equal(store_journal_read(fixture->store, &run, info.journal_id, from, true,
                                            check, 1000, &rest, &total, NULL),
                         STATUS_OK);
        assert_int_equal(rest.size, (total - from) * JOURNAL_RECORD_SIZE);
        if (rest.size > 0)
            assert_memory_equal(rest.data, all.data + from * JOURNAL_RECORD_SIZE, rest.size);
        assert_int_equal(store_journal_read(fixture->store, &run, info.journal_id, from, true,
                                            check + 1, 1000, &rest, &total, NULL),
                         STATUS_JOURNAL_CHANGED);
    }
    assert_int_equal(store_journal_read(fixture->store, &run, info.journal_id, total + 1, false, 0,
                                        1000, &rest, &total, NULL),
                     STATUS_JOURNAL_CHANGED);
    assert_int_equal(store_journal_read(fixture->store, &run, info.journal_id ^ 1, 0, false, 0,
                                        1000, &rest, &total, NULL),
                     STATUS_JOURNAL_CHANGED);
    buf_fini(&all);
    buf_fini(&rest);
    store_run_info_fini(&info);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_appended_message_is_found_and_read_back,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_was_acknowledged_is_there_after_reopening,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(stamps_follow_those_seen_but_not_those_of_a_clock_that_was_wrong,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_known_digest_is_not_stored_again, fixture_setup_open,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(twins_in_flight_are_stored_once, fixture_setup_open,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(each_of_the_twins_is_told_of_a_quota, fixture_setup_open,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_spooled_message_that_can_not_be_read_costs_its_batch_alone,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(figures_of_the_disk_are_those_of_the_last_look,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_store_in_use_is_locked, fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_first_message_of_a_shard_after_a_start_opens_a_new_file,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_feed_is_the_journal_from_any_record_on,
                                        fixture_setup_open, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
