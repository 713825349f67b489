/* test_run_states.c: states of runs, incarnations and purges, as storaged/store/store.h promises them. */
#include "tests/lib/fake_disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void reopen(struct store_fixture *fixture)
{
    fixture_close(fixture);
    fixture_open(fixture);
}

static void assert_state(struct store_fixture *fixture, const struct run_key *run,
                         uint64_t incarnation, uint64_t version, enum run_state state)
{
    struct run_info info;

    store_run_state(fixture->store, run, &info);
    assert_int_equal(info.incarnation, incarnation);
    assert_int_equal(info.version, version);
    assert_int_equal(info.state, state);
}

static enum status put_at(struct store_fixture *fixture, const struct run_key *run, uint64_t number,
                          uint64_t incarnation)
{
    struct fixture_append *append = fixture_append_new(fixture, run, number, 100);

    append->append.incarnation = incarnation;
    store_append(fixture->store, &append->append);
    fixture_wait(fixture, &append->is_done);
    enum status status = append->status;
    fixture_append_free(append);
    return status;
}

static bool dir_exists(const struct store_fixture *fixture, const char *name)
{
    char path[FIXTURE_PATH_SIZE + 64];
    struct stat stat_;

    snprintf(path, sizeof path, "%s/runs/hres/%s", fixture->dir, name);
    return stat(path, &stat_) == 0;
}

static void only_a_higher_state_is_taken(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    assert_state(fixture, &run, 1, 0, RUN_FILLING);
    assert_int_equal(fixture_tell(fixture, &run, 1, 0, RUN_FILLING), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &run, 1, 3, RUN_READY), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &run, 1, 3, RUN_READY), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &run, 1, 2, RUN_RETIRED), STATUS_STALE_RUN);
    assert_state(fixture, &run, 1, 3, RUN_READY);
    assert_int_equal(fixture_tell(fixture, &run, 2, 0, RUN_FILLING), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &run, 1, 9, RUN_RETIRED), STATUS_STALE_RUN);
    reopen(fixture);
    assert_state(fixture, &run, 2, 0, RUN_FILLING);
}

static void a_retired_run_refuses_appends_and_is_read(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    fixture_put(fixture, &run, 1, 100, NULL);
    assert_int_equal(fixture_tell(fixture, &run, 1, 1, RUN_RETIRED), STATUS_OK);
    assert_int_equal(fixture_put(fixture, &run, 2, 100, NULL), STATUS_RUN_RETIRED);
    assert_int_equal(fixture_put(fixture, &run, 1, 100, NULL), STATUS_RUN_RETIRED);
    assert_true(fixture_has(fixture, &run, 1, 100));
    reopen(fixture);
    assert_int_equal(fixture_put(fixture, &run, 2, 100, NULL), STATUS_RUN_RETIRED);
    assert_int_equal(fixture_tell(fixture, &run, 1, 2, RUN_READY), STATUS_OK); /* undone */
    assert_int_equal(fixture_put(fixture, &run, 2, 100, NULL), STATUS_OK);
}

struct told {
    struct run_change change;
    struct fixture_append **appends;
    unsigned done_before;
    bool is_done;
};

static void on_told(struct run_change *change, enum status status)
{
    struct told *told = container_of(change, struct told, change);

    assert_int_equal(status, STATUS_OK);
    for (unsigned i = 0; i < 40; i++)
        told->done_before += told->appends[i]->is_done;
    told->is_done = true;
}

static void a_state_stands_behind_every_append_before_it_and_before_every_one_after(void **state)
{
    struct store_fixture *fixture = *state;
    struct fixture_append *appends[80];
    struct run_key run = fixture_run(0);
    struct told told = {
        .change = {
            .run = run,
            .info = { .incarnation = 1, .version = 1, .state = RUN_RETIRED },
            .port = &fixture->port,
            .on_done = on_told,
        },
        .appends = appends,
    };

    for (unsigned i = 0; i < 80; i++)
        appends[i] = fixture_append_new(fixture, &run, i, 100);
    for (unsigned i = 0; i < 40; i++)
        store_append(fixture->store, &appends[i]->append);
    store_run_tell(fixture->store, &told.change);
    for (unsigned i = 40; i < 80; i++)
        store_append(fixture->store, &appends[i]->append);
    for (unsigned i = 0; i < 80; i++) {
        fixture_wait(fixture, &appends[i]->is_done);
        assert_int_equal(appends[i]->status, i < 40 ? STATUS_OK : STATUS_RUN_RETIRED);
    }
    fixture_wait(fixture, &told.is_done);
    assert_int_equal(told.done_before, 40);
    for (unsigned i = 0; i < 80; i++)
        fixture_append_free(appends[i]);
}

static void a_purge_needs_the_exact_retired_state(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0), other = fixture_run(1);

    fixture_put(fixture, &run, 1, 100, NULL);
    assert_int_equal(fixture_purge(fixture, &run, 1, 0), STATUS_STALE_RUN); /* filling */
    fixture_tell(fixture, &run, 1, 4, RUN_RETIRED);
    assert_int_equal(fixture_purge(fixture, &run, 1, 3), STATUS_STALE_RUN);
    assert_int_equal(fixture_purge(fixture, &run, 1, 5), STATUS_STALE_RUN);
    assert_int_equal(fixture_purge(fixture, &run, 2, 4), STATUS_STALE_RUN);
    assert_true(fixture_has(fixture, &run, 1, 100));
    assert_int_equal(fixture_purge(fixture, &run, 1, 4), STATUS_OK);
    assert_false(fixture_has(fixture, &run, 1, 100));
    assert_false(dir_exists(fixture, "20130408T0000Z"));
    assert_int_equal(fixture_purge(fixture, &run, 1, 4), STATUS_OK);   /* sent again */
    assert_int_equal(fixture_purge(fixture, &other, 1, 4), STATUS_OK); /* never here */
    fixture_wait_purged(fixture);
}

static void a_purged_runs_files_are_gone_for_new_readers_and_there_for_old_ones(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_place place;
    struct store_file *file, *late;
    uint8_t got[3000], want[3000];

    fixture_put(fixture, &run, 1, sizeof want, &place);
    assert_int_equal(store_file_open(fixture->store, &run, place.shard, place.birth, &file, NULL),
                     STATUS_OK);
    fixture_tell(fixture, &run, 1, 1, RUN_RETIRED);
    assert_int_equal(fixture_purge(fixture, &run, 1, 1), STATUS_OK);
    assert_int_equal(store_file_open(fixture->store, &run, place.shard, place.birth, &late, NULL),
                     STATUS_PURGED);
    fixture_wait_purged(fixture);
    fixture_message(1, sizeof want, want);
    assert_int_equal(pread(store_file_fd(file), got, sizeof got, (off_t)place.offset), sizeof got);
    assert_memory_equal(got, want, sizeof got);
    store_file_release(file);
    fixture_tell(fixture, &run, 1, 2, RUN_PURGED);
    assert_int_equal(store_file_open(fixture->store, &run, place.shard, place.birth, &late, NULL),
                     STATUS_PURGED);
    reopen(fixture);
    assert_int_equal(store_file_open(fixture->store, &run, place.shard, place.birth, &late, NULL),
                     STATUS_PURGED);
}

static void a_state_of_purged_drops_the_directory(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    fixture_put(fixture, &run, 1, 100, NULL);
    assert_int_equal(fixture_tell(fixture, &run, 1, 9, RUN_PURGED), STATUS_OK);
    assert_false(dir_exists(fixture, "20130408T0000Z"));
    assert_int_equal(fixture_put(fixture, &run, 2, 100, NULL), STATUS_PURGED);
    assert_int_equal(put_at(fixture, &run, 2, 1), STATUS_PURGED);
    reopen(fixture);
    assert_int_equal(fixture_put(fixture, &run, 2, 100, NULL), STATUS_PURGED);
}

static void an_append_of_the_next_incarnation_reopens_a_purged_run(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    fixture_put(fixture, &run, 1, 100, NULL);
    fixture_tell(fixture, &run, 1, 9, RUN_PURGED);
    assert_int_equal(put_at(fixture, &run, 2, 2), STATUS_OK);
    assert_state(fixture, &run, 2, 0, RUN_FILLING);
    assert_true(fixture_has(fixture, &run, 2, 100));
    assert_int_equal(put_at(fixture, &run, 3, 1), STATUS_STALE_RUN);
    assert_int_equal(put_at(fixture, &run, 3, 0), STATUS_OK);
    reopen(fixture);
    assert_state(fixture, &run, 2, 0, RUN_FILLING);
    assert_true(fixture_has(fixture, &run, 2, 100));
    assert_true(fixture_has(fixture, &run, 3, 100));
    assert_false(fixture_has(fixture, &run, 1, 100));
}

static void a_higher_incarnation_drops_what_a_node_that_slept_still_has(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    fixture_put(fixture, &run, 1, 100, NULL);
    assert_int_equal(fixture_tell(fixture, &run, 3, 1, RUN_FILLING), STATUS_OK);
    assert_false(fixture_has(fixture, &run, 1, 100));
    assert_int_equal(fixture_put(fixture, &run, 1, 100, NULL), STATUS_OK);
    assert_true(fixture_has(fixture, &run, 1, 100));
}

static void an_append_of_a_higher_incarnation_waits_for_the_batch_before_it(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct fixture_append *appends[30];

    for (unsigned i = 0; i < 30; i++) {
        appends[i] = fixture_append_new(fixture, &run, i, 100);
        appends[i]->append.incarnation = 1 + i / 10;
        store_append(fixture->store, &appends[i]->append);
    }
    for (unsigned i = 0; i < 30; i++) {
        fixture_wait(fixture, &appends[i]->is_done);
        assert_int_equal(appends[i]->status, STATUS_OK);
        assert_int_equal(appends[i]->append.run_incarnation, 1 + i / 10);
        fixture_append_free(appends[i]);
    }
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(fixture_has(fixture, &run, i, 100), i >= 20);
}

static void changes_are_counted_and_told(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key a = fixture_run(0), b = fixture_run(1);
    struct store_run_info *runs;
    size_t count;
    uint64_t first, second, third;

    fixture_put(fixture, &a, 1, 100, NULL);
    store_runs(fixture->store, 0, &runs, &count, &first);
    assert_int_equal(count, 1);
    store_runs_free(runs, count);
    fixture_put(fixture, &b, 1, 100, NULL);
    store_runs(fixture->store, first, &runs, &count, &second);
    assert_int_equal(count, 1);
    assert_int_equal(run_key_compare(&runs[0].run, &b), 0);
    assert_int_equal(runs[0].files_count, 1);
    assert_int_equal(runs[0].files[0].size, 100);
    store_runs_free(runs, count);
    fixture_tell(fixture, &a, 1, 1, RUN_RETIRED);
    fixture_purge(fixture, &a, 1, 1);
    store_runs(fixture->store, second, &runs, &count, &third);
    assert_int_equal(count, 1);
    assert_int_equal(run_key_compare(&runs[0].run, &a), 0);
    assert_int_equal(runs[0].journal_id, 0);
    assert_int_equal(runs[0].info.state, RUN_RETIRED);
    store_runs_free(runs, count);
    store_runs(fixture->store, third, &runs, &count, &third);
    assert_int_equal(count, 0);
    store_runs_free(runs, count);
    while (fixture->changes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(store_counter(fixture->store), third);
}

static void a_refused_append_leaves_no_run_behind(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_run_info info;

    fixture_close(fixture);
    fixture->options.reserve_size = UINT64_MAX - 1; /* more than any disk has */
    fixture_open(fixture);
    assert_int_equal(fixture_put(fixture, &run, 1, 100, NULL), STATUS_FULL);
    assert_int_equal(store_run_get(fixture->store, &run, &info), STATUS_NOT_FOUND);
    assert_false(dir_exists(fixture, "20130408T0000Z"));
}

static void shards_sum_up_what_a_run_holds(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_shard shards[FIXTURE_SHARDS], again[FIXTURE_SHARDS];
    struct digest_set all = { 0 }, want = { 0 };
    uint64_t bytes = 0;

    assert_int_equal(store_shards(fixture->store, &run, shards), STATUS_NOT_FOUND);
    for (uint64_t i = 0; i < 50; i++) {
        struct digest digest;

        fixture_put(fixture, &run, i, 100 + i, NULL);
        fixture_digest(i, 100 + i, &digest);
        digest_set_add(&want, &digest);
    }
    assert_int_equal(store_shards(fixture->store, &run, shards), STATUS_OK);
    for (unsigned i = 0; i < FIXTURE_SHARDS; i++) {
        digest_set_merge(&all, &shards[i].set);
        bytes += shards[i].bytes;
    }
    assert_memory_equal(&all, &want, sizeof all);
    assert_int_equal(bytes, 50 * 100 + 49 * 50 / 2);
    reopen(fixture);
    assert_int_equal(store_shards(fixture->store, &run, again), STATUS_OK);
    assert_memory_equal(shards, again, sizeof shards);
}

static void count_listed(void *data, const struct digest *digest, const struct store_place *place)
{
    unsigned *counts = data;

    assert_int_equal(digest_shard(digest, FIXTURE_SHARDS), place->shard);
    counts[place->shard]++;
}

static void a_shards_list_has_each_of_its_messages_once(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct store_shard shards[FIXTURE_SHARDS];
    unsigned counts[FIXTURE_SHARDS] = { 0 };

    for (uint64_t i = 0; i < 50; i++)
        fixture_put(fixture, &run, i, 100, NULL);
    for (unsigned i = 0; i < FIXTURE_SHARDS; i++)
        assert_int_equal(store_shard_list(fixture->store, &run, i, count_listed, counts, NULL), STATUS_OK);
    store_shards(fixture->store, &run, shards);
    for (unsigned i = 0; i < FIXTURE_SHARDS; i++)
        assert_int_equal(counts[i], shards[i].set.count);
}

static void the_newest_run_with_a_digest_is_found(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key found;
    struct store_place place;
    struct digest digest;

    fixture_digest(1, 100, &digest);
    assert_int_equal(store_find_any(fixture->store, &digest, true, &found, &place, NULL),
                     STATUS_NOT_FOUND);
    for (int hours = 0; hours < 36; hours += 12) {
        struct run_key run = fixture_run((hours + 12) % 36);

        fixture_put(fixture, &run, 1, 100, NULL);
    }
    assert_int_equal(store_find_any(fixture->store, &digest, true, &found, &place, NULL), STATUS_OK);
    struct run_key newest = fixture_run(24);
    assert_int_equal(run_key_compare(&found, &newest), 0);
}

static void stamps_only_rise(void **state)
{
    struct store_fixture *fixture = *state;
    uint64_t first = store_stamp(fixture->store, 10);
    uint64_t second = store_stamp(fixture->store, 1);

    assert_true(second >= first + 10);
    store_stamp_seen(fixture->store, second + 100000000);
    assert_int_equal(store_stamp(fixture->store, 1), second + 100000001);
    store_stamp_seen(fixture->store, 5);
    assert_int_equal(store_stamp(fixture->store, 1), second + 100000002);
}

static void one_append_too_many_is_refused(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct fixture_append *appends[400];
    unsigned refused = 0;

    fixture_close(fixture);
    fixture->options.queue_count_max = 3;
    fixture_open(fixture);
    for (unsigned i = 0; i < 400; i++) {
        appends[i] = fixture_append_new(fixture, &run, i, 100);
        store_append(fixture->store, &appends[i]->append);
        assert_false(appends[i]->is_done); /* never from within */
    }
    for (unsigned i = 0; i < 400; i++) {
        fixture_wait(fixture, &appends[i]->is_done);
        assert_true(appends[i]->status == STATUS_OK || appends[i]->status == STATUS_OVERLOADED);
        assert_int_equal(fixture_has(fixture, &run, i, 100), appends[i]->status == STATUS_OK);
        refused += appends[i]->status == STATUS_OVERLOADED;
        fixture_append_free(appends[i]);
    }
    assert_true(refused > 0);
}

/* A purge needs a descriptor for the directory that the run's lies in; without one it did not begin. */
static void without_descriptors_a_purge_is_refused_and_nothing_is_half_done(void **state)
{
    struct store_fixture *fixture = *state;
    const struct run_key first = fixture_run(0), second = fixture_run(6);

    fixture_close(fixture);
    fake_disk_start(fixture->dir);
    fixture_open(fixture);
    assert_int_equal(put_at(fixture, &first, 1, 0), STATUS_OK);
    assert_int_equal(put_at(fixture, &second, 2, 0), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &first, 1, 1, RUN_RETIRED), STATUS_OK);
    fake_disk_fail_at(1, EMFILE);
    assert_int_equal(fixture_purge(fixture, &first, 1, 1), STATUS_OVERLOADED);
    assert_true(fake_disk_was_hit());
    assert_true(fixture_has(fixture, &first, 1, 100));
    fake_disk_fail_at(1, EMFILE);
    assert_int_equal(fixture_tell(fixture, &second, 2, 0, RUN_FILLING), STATUS_OVERLOADED);
    assert_state(fixture, &second, 1, 0, RUN_FILLING); /* not told by half */
    assert_true(fixture_has(fixture, &second, 2, 100));
    fake_disk_fail_at(1, EMFILE);
    assert_int_equal(put_at(fixture, &second, 3, 2), STATUS_OVERLOADED); /* the same by an append's incarnation */
    fake_disk_fail_at(0, 0);
    assert_int_equal(fixture_purge(fixture, &first, 1, 1), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &second, 2, 0, RUN_FILLING), STATUS_OK);
    assert_int_equal(put_at(fixture, &second, 3, 2), STATUS_OK);
    assert_false(fixture_has(fixture, &second, 2, 100));
    fixture_close(fixture);
    fake_disk_stop();
    fixture_open(fixture);
    assert_true(fixture_has(fixture, &second, 3, 100));
}

/* A purge is what makes room: a disk that is full to its last block does not make the node read-only by it. */
static void without_room_for_its_new_name_a_run_stays_and_can_be_purged_later(void **state)
{
    struct store_fixture *fixture = *state;
    const struct run_key run = fixture_run(0);
    struct store_stats stats;

    fixture_close(fixture);
    fake_disk_start(fixture->dir);
    fixture_open(fixture);
    assert_int_equal(put_at(fixture, &run, 1, 0), STATUS_OK);
    assert_int_equal(fixture_tell(fixture, &run, 1, 1, RUN_RETIRED), STATUS_OK);
    fake_disk_fail_at(2, ENOSPC); /* its source is opened, then it is renamed */
    assert_int_equal(fixture_purge(fixture, &run, 1, 1), STATUS_FULL);
    assert_true(fake_disk_was_hit());
    fake_disk_fail_at(0, 0);
    store_stats(fixture->store, &stats);
    assert_false(stats.read_only);
    assert_true(fixture_has(fixture, &run, 1, 100));
    assert_int_equal(fixture_purge(fixture, &run, 1, 1), STATUS_OK);
    assert_false(fixture_has(fixture, &run, 1, 100));
    fixture_close(fixture);
    fake_disk_stop();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup_open, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_a_higher_state_is_taken),
        TEST(a_retired_run_refuses_appends_and_is_read),
        TEST(a_state_stands_behind_every_append_before_it_and_before_every_one_after),
        TEST(a_purge_needs_the_exact_retired_state),
        TEST(a_purged_runs_files_are_gone_for_new_readers_and_there_for_old_ones),
        TEST(a_state_of_purged_drops_the_directory),
        TEST(an_append_of_the_next_incarnation_reopens_a_purged_run),
        TEST(a_higher_incarnation_drops_what_a_node_that_slept_still_has),
        TEST(an_append_of_a_higher_incarnation_waits_for_the_batch_before_it),
        TEST(changes_are_counted_and_told),
        TEST(a_refused_append_leaves_no_run_behind),
        TEST(shards_sum_up_what_a_run_holds),
        TEST(a_shards_list_has_each_of_its_messages_once),
        TEST(the_newest_run_with_a_digest_is_found),
        TEST(stamps_only_rise),
        TEST(one_append_too_many_is_refused),
        TEST(without_descriptors_a_purge_is_refused_and_nothing_is_half_done),
        TEST(without_room_for_its_new_name_a_run_stays_and_can_be_purged_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
