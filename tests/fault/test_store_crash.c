/* test_store_crash.c: what the store acknowledged is there, whichever disk call fails and whenever the power goes.
 *
 * One script of appends, states, a purge and a data file that is given up is run over and over: with its 1st disk call failing, its 2nd, ... until a run
 * passes untouched. Each time the directory is opened anew with the real disk, and every promise is looked at. All of it is
 * done with writes through the page cache, and again with larger messages and every whole page written around it. */
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

enum { PROMISES_MAX = 64, WAVE = 6 };

/* Three runs: the first is purged by hand, the second filled to the end, the third taken over by its next incarnation. */
enum { RUN_A, RUN_B, RUN_C, RUN_COUNT };

struct promise {
    int run;
    uint64_t number;
    size_t size;
    uint64_t incarnation;
    unsigned shard;
    uint64_t birth; /* of its data file */
};

struct script {
    struct store_fixture fixture;
    struct promise promises[PROMISES_MAX]; /* acknowledged messages */
    unsigned count;
    bool retired, purge_begun, purged; /* of A */
    bool takeover_begun;               /* of C */
    struct store_place given_up; /* a message of B's, with its whole file; birth 0: none yet */
    bool drop_begun, dropped, unlinked;
    uint64_t seed; /* numbers of messages, and their sizes */
};

/* What differs between the two ways to write. */
static const struct script_mode {
    uint64_t direct_size; /* of the store's options */
    size_t size_max;      /* of a message */
    unsigned scale;       /* of the room on a full disk */
} script_cached = { UINT64_MAX, 1500, 1 }, script_direct = { 1, 9001, 6 };
static const struct script_mode *script_mode;

static size_t script_size(uint64_t number)
{
    return 20 + (number * 7919) % script_mode->size_max;
}

static struct fixture_append *script_append(struct script *script, int run, uint64_t incarnation)
{
    struct run_key key = fixture_run(run);
    uint64_t number = script->seed++;
    struct fixture_append *append = fixture_append_new(&script->fixture, &key, number,
                                                       script_size(number));

    append->append.incarnation = incarnation;
    store_append(script->fixture.store, &append->append);
    return append;
}

static void script_settle(struct script *script, struct fixture_append *append, int run)
{
    fixture_wait(&script->fixture, &append->is_done);
    if (append->status == STATUS_OK)
        script->promises[script->count++] = (struct promise){
            .run = run,
            .number = append->number,
            .size = append->append.length,
            .incarnation = append->append.run_incarnation,
            .shard = append->append.place.shard,
            .birth = append->append.place.birth,
        };
    fixture_append_free(append);
}

/* Several messages in flight, in turn to each of two runs. */
static void script_wave(struct script *script, int first, int second)
{
    struct fixture_append *appends[WAVE];

    for (int i = 0; i < WAVE; i++)
        appends[i] = script_append(script, i % 2 == 0 ? first : second, 0);
    for (int i = 0; i < WAVE; i++)
        script_settle(script, appends[i], i % 2 == 0 ? first : second);
}

/* A message that comes in an unnamed file. */
static void script_spool(struct script *script, int run)
{
    struct run_key key = fixture_run(run);
    uint64_t number = script->seed++;
    int fd;

    if (store_spool_open(script->fixture.store, &fd, NULL) != STATUS_OK)
        return;
    struct fixture_append *append = fixture_append_new(&script->fixture, &key, number,
                                                       script_size(number));
    if (disk_write(fd, 0, append->bytes, append->append.length, NULL) == STATUS_OK) {
        append->append.fd = fd;
        store_append(script->fixture.store, &append->append);
        script_settle(script, append, run);
    } else {
        fixture_append_free(append);
    }
    disk_close(fd);
}

/* The file of B's first message. */
static void script_drop(struct script *script)
{
    struct run_key b = fixture_run(RUN_B);

    for (unsigned i = 0; i < script->count && script->given_up.birth == 0; i++)
        if (script->promises[i].run == RUN_B)
            script->given_up = (struct store_place){ .shard = script->promises[i].shard,
                                                     .birth = script->promises[i].birth };
    if (script->given_up.birth == 0)
        return;
    fixture_give_up(&script->fixture, &b, &script->given_up, store_seal, NULL);
    script->drop_begun = true;
    script->dropped = fixture_give_up(&script->fixture, &b, &script->given_up, store_drop, NULL) ==
                      STATUS_OK;
}

static void script_unlink(struct script *script)
{
    struct run_key b = fixture_run(RUN_B);

    script->unlinked = script->dropped && fixture_give_up(&script->fixture, &b, &script->given_up,
                                                          store_unlink, NULL) == STATUS_OK;
}

static void script_run(struct script *script)
{
    struct store_fixture *fixture = &script->fixture;
    struct run_key a = fixture_run(RUN_A);

    if (fixture_try_open(fixture, NULL) != STATUS_OK)
        return;
    script_wave(script, RUN_A, RUN_A);
    script_wave(script, RUN_A, RUN_B);
    script_wave(script, RUN_C, RUN_B);
    script_spool(script, RUN_B);
    script_drop(script);
    script->retired = fixture_tell(fixture, &a, 1, 7, RUN_RETIRED) == STATUS_OK;
    if (script->retired) {
        script->purge_begun = true;
        script->purged = fixture_purge(fixture, &a, 1, 7) == STATUS_OK;
    }
    script->takeover_begun = true;
    script_settle(script, script_append(script, RUN_C, 2), RUN_C);
    script_wave(script, RUN_B, RUN_C);
    script_unlink(script);
    fixture_close(fixture);
}

/* --- the promises --- */

static void check_record(struct store_fixture *fixture, const struct store_run_info *info,
                         uint64_t number, const struct journal_record *record)
{
    struct store_place place;
    struct store_file *file;
    struct digest digest;

    assert_int_equal(store_record_open(fixture->store, &info->run, info->journal_id, number, &place,
                                       &file, NULL),
                     STATUS_OK);
    assert_true(place.offset + place.length <= store_file_size(file));
    uint8_t *bytes = malloc(place.length);
    assert_int_equal(pread(store_file_fd(file), bytes, place.length, (off_t)place.offset),
                     (ssize_t)place.length);
    digest_of(bytes, place.length, &digest);
    assert_memory_equal(&digest, &record->digest, sizeof digest);
    free(bytes);
    store_file_release(file);
}

/* Each record that is served names whole messages: nothing torn. */
static void check_run(struct store_fixture *fixture, const struct store_run_info *info)
{
    struct buf records;
    uint64_t total, good = 0;

    buf_init(&records, 1 << 20);
    assert_int_equal(store_journal_read(fixture->store, &info->run, info->journal_id, 0, false, 0,
                                        1000, &records, &total, NULL),
                     STATUS_OK);
    for (uint64_t i = 0; i < total; i++) {
        struct journal_record record;

        assert_int_equal(journal_record_decode(records.data + i * JOURNAL_RECORD_SIZE,
                                               info->journal_id, i, &record, NULL),
                         STATUS_OK);
        if (record.kind != JOURNAL_STORED || record.is_void)
            continue;
        check_record(fixture, info, i, &record);
        good++;
    }
    assert_int_equal(good, info->messages);
    buf_fini(&records);
}

static bool is_given_up(const struct script *script, const struct promise *promise)
{
    return script->drop_begun && promise->run == RUN_B && promise->birth == script->given_up.birth;
}

static bool promise_holds(const struct script *script, const struct promise *promise)
{
    if (promise->run == RUN_A)
        return !script->purge_begun;
    if (is_given_up(script, promise))
        return false;
    return promise->run == RUN_B || promise->incarnation == 2 || !script->takeover_begun;
}

/* Dropped when that was acknowledged, else all or nothing; served until it is gone. */
static void check_drop(struct script *script)
{
    struct store_fixture *fixture = &script->fixture;
    struct run_key b = fixture_run(RUN_B);
    struct store_file *file;
    enum store_file_state state = store_file_state(fixture->store, &b, script->given_up.shard,
                                                   script->given_up.birth);

    assert_true(state != STORE_FILE_UNKNOWN);
    assert_true(!script->dropped || state != STORE_FILE_COUNTS);
    assert_true(script->dropped || state != STORE_FILE_GONE);
    for (unsigned i = 0; i < script->count; i++)
        if (is_given_up(script, &script->promises[i]))
            assert_int_equal(
                fixture_has(fixture, &b, script->promises[i].number, script->promises[i].size),
                state == STORE_FILE_COUNTS);
    enum status status = store_file_open(fixture->store, &b, script->given_up.shard,
                                         script->given_up.birth, &file, NULL);
    assert_int_equal(status, state == STORE_FILE_GONE ? STATUS_PURGED : STATUS_OK);
    if (status == STATUS_OK)
        store_file_release(file);
}

static void check_promises(struct script *script)
{
    struct store_fixture *fixture = &script->fixture;
    struct store_run_info *runs;
    size_t count;
    uint64_t counter;
    struct run_key a = fixture_run(RUN_A), c = fixture_run(RUN_C);
    struct run_info info;

    store_runs(fixture->store, 0, &runs, &count, &counter);
    for (size_t i = 0; i < count; i++)
        if (runs[i].journal_id != 0)
            check_run(fixture, &runs[i]);
    store_runs_free(runs, count);
    if (script->drop_begun)
        check_drop(script);
    for (unsigned i = 0; i < script->count; i++) {
        const struct promise *promise = &script->promises[i];
        struct run_key run = fixture_run(promise->run);
        bool has = fixture_has(fixture, &run, promise->number, promise->size);

        if (promise_holds(script, promise))
            assert_true(has);
        if (promise->run == RUN_A && script->purged)
            assert_false(has);
        store_run_state(fixture->store, &c, &info);
        if (promise->run == RUN_C && promise->incarnation < info.incarnation)
            assert_false(has);
        if (promise->run == RUN_C)
            assert_true(info.incarnation >= promise->incarnation);
    }
    store_run_state(fixture->store, &a, &info);
    if (script->retired)
        assert_int_equal(info.state, RUN_RETIRED);
}

/* What is looked at afterwards is in the page cache: no need to wait for a disk. */
static int no_flush(int fd)
{
    (void)fd;
    return 0;
}

static void use_quick_disk(void)
{
    static struct disk_ops quick;

    quick = disk_posix;
    quick.fdatasync = quick.fsync = no_flush;
    disk_replace(&quick);
}

/* Opened by the system's calls: all promises; and it takes messages again, which are there after another start. */
static void check_after(struct script *script)
{
    struct store_fixture *fixture = &script->fixture;
    struct run_key b = fixture_run(RUN_B);

    use_quick_disk();
    fixture_open(fixture);
    check_promises(script);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(fixture_put(fixture, &b, 900 + i, 200, NULL), STATUS_OK);
    fixture_close(fixture);
    fixture_open(fixture);
    check_promises(script);
    for (uint64_t i = 0; i < 5; i++)
        assert_true(fixture_has(fixture, &b, 900 + i, 200));
    fixture_close(fixture);
}

static struct script *script_new(void)
{
    struct script *script = calloc(1, sizeof *script);

    fixture_init(&script->fixture);
    script->fixture.options.direct_size = script_mode->direct_size;
    fake_disk_start(script->fixture.dir);
    return script;
}

static void script_free(struct script *script)
{
    fixture_fini(&script->fixture);
    free(script);
}

/* --- the n-th call fails --- */

static void fail_each_call(int error_number)
{
    unsigned hits = 0;

    for (uint64_t n = 1;; n++) {
        struct script *script = script_new();

        fake_disk_fail_at(n, error_number);
        script_run(script);
        bool was_hit = fake_disk_was_hit();
        assert_int_equal(fake_disk_open_fds(), 0);
        fake_disk_stop();
        check_after(script);
        script_free(script);
        hits += was_hit;
        if (!was_hit)
            break;
    }
    print_message("%u calls failed\n", hits);
    assert_true(hits > 50);
}

static void any_call_may_fail_with_an_input_output_error(void **state)
{
    (void)state;
    fail_each_call(EIO);
}

static void any_call_may_find_the_disk_full(void **state)
{
    (void)state;
    fail_each_call(ENOSPC);
}

static void short_and_interrupted_calls_change_nothing(void **state)
{
    struct script *script = script_new();

    (void)state;
    fake_disk_dribble(true);
    script_run(script);
    assert_true(script->count > 20);
    assert_true(script->purged && script->dropped && script->unlinked);
    if (script_mode == &script_direct)
        assert_true(fake_disk_direct_size() > 5 * disk_direct_unit());
    else
        assert_int_equal(fake_disk_direct_size(), 0);
    fake_disk_stop();
    check_after(script);
    script_free(script);
}

/* Whatever room is left, what does not fit is refused, and when there is room again it is taken. */
static void a_full_disk_takes_messages_again_when_there_is_room(void **state)
{
    unsigned refused = 0;

    (void)state;
    for (uint64_t room = 0; room < 9000 * script_mode->scale; room += 61 * script_mode->scale) {
        struct script *script = script_new();
        struct run_key b = fixture_run(RUN_B);
        enum status status;

        fixture_open(&script->fixture);
        assert_int_equal(fixture_put(&script->fixture, &b, 1000, 100, NULL), STATUS_OK);
        fake_disk_room(room);
        script_wave(script, RUN_A, RUN_B);
        script_spool(script, RUN_B);
        script_wave(script, RUN_B, RUN_C);
        status = fixture_put(&script->fixture, &b, 1001, 3000, NULL);
        assert_true(status == STATUS_OK || status == STATUS_FULL);
        refused += status == STATUS_FULL;
        fake_disk_room(UINT64_MAX);
        assert_int_equal(fixture_put(&script->fixture, &b, 1001, 3000, NULL), STATUS_OK);
        script_wave(script, RUN_A, RUN_C);
        assert_true(script->count >= WAVE);
        check_promises(script);
        fixture_close(&script->fixture);
        fake_disk_stop();
        check_after(script);
        script_free(script);
    }
    assert_true(refused > 10);
}

/* --- the power goes --- */

static void script_move_to(struct script *script, const char *dir)
{
    fixture_remove_tree(script->fixture.dir);
    snprintf(script->fixture.dir, sizeof script->fixture.dir, "%s", dir);
}

/* The script up to its n-th call, and what that leaves by one kind of loss. */
static bool lose_power_at(uint64_t n, enum fake_loss loss, struct script **result)
{
    struct script *script = script_new();
    char left[FIXTURE_PATH_SIZE];

    fake_disk_cut_at(n);
    script_run(script);
    bool was_hit = fake_disk_was_hit();
    int length = snprintf(left, sizeof left, "%.*s-left", FIXTURE_PATH_SIZE - 6, script->fixture.dir);
    assert_true(length < FIXTURE_PATH_SIZE);
    mkdir(left, 0700);
    fake_disk_lose_power(loss, n, left);
    fake_disk_stop();
    script_move_to(script, left);
    *result = script;
    return was_hit;
}

static void lose_power_everywhere(enum fake_loss loss)
{
    unsigned hits = 0;
    struct script *script;

    for (uint64_t n = 1; lose_power_at(n, loss, &script); n++) {
        hits++;
        check_after(script);
        script_free(script);
    }
    check_after(script);
    script_free(script);
    print_message("%u calls were the last\n", hits);
    assert_true(hits > 50);
}

static void power_may_go_and_take_all_that_was_not_flushed(void **state)
{
    (void)state;
    lose_power_everywhere(FAKE_LOSS_CLEAN);
}

static void power_may_go_and_leave_parts(void **state)
{
    (void)state;
    lose_power_everywhere(FAKE_LOSS_TORN);
}

static void power_may_go_and_leave_zeros(void **state)
{
    (void)state;
    lose_power_everywhere(FAKE_LOSS_ZERO);
}

static void power_may_go_and_leave_noise(void **state)
{
    (void)state;
    lose_power_everywhere(FAKE_LOSS_NOISE);
}

static void the_process_may_be_killed(void **state)
{
    (void)state;
    lose_power_everywhere(FAKE_LOSS_NONE);
}

/* Notes which messages of B and C the open store has: whoever asks is told that they are known. */
static void promise_what_is_shown(struct script *script)
{
    script->count = 0;
    for (uint64_t number = 0; number < script->seed; number++)
        for (int run = RUN_B; run <= RUN_C; run++) {
            struct run_key key = fixture_run(run);
            size_t size = script_size(number);
            struct run_info info;

            if (!fixture_has(&script->fixture, &key, number, size))
                continue;
            store_run_state(script->fixture.store, &key, &info);
            script->promises[script->count++] = (struct promise){
                .run = run,
                .number = number,
                .size = size,
                .incarnation = info.incarnation,
            };
        }
}

/* The process is killed at its n-th call, started again, shows what the page cache has, and then the power goes. */
static void what_a_start_shows_survives_the_next_power_loss(void **state)
{
    unsigned shown = 0;

    (void)state;
    for (uint64_t n = 1, hit = 1; hit; n++) {
        struct script *script = script_new();
        char left[FIXTURE_PATH_SIZE];

        fake_disk_cut_at(n);
        script_run(script);
        fixture_close(&script->fixture);
        hit = fake_disk_was_hit();
        fake_disk_cut_at(0);
        fixture_open(&script->fixture);
        promise_what_is_shown(script);
        shown += script->count;
        fixture_close(&script->fixture);
        snprintf(left, sizeof left, "%.*s3", FIXTURE_PATH_SIZE - 2, script->fixture.dir);
        mkdir(left, 0700);
        fake_disk_lose_power(FAKE_LOSS_CLEAN, n, left);
        fake_disk_stop();
        script_move_to(script, left);
        script->takeover_begun = script->drop_begun = false;
        script->retired = script->purged = false;
        check_after(script);
        script_free(script);
    }
    print_message("%u messages were shown\n", shown);
    assert_true(shown > 500);
}

/* The power goes, and again at the m-th call of the recovery from that. */
static void power_may_go_during_recovery(void **state)
{
    unsigned cuts = 0;

    (void)state;
    for (uint64_t n = 20, more = 1; more; n += 17) {
        for (uint64_t m = 1, hit = 1; hit; m++) {
            struct script *script;
            char left[FIXTURE_PATH_SIZE];
            enum fake_loss loss = (enum fake_loss)((n + m) % FAKE_LOSS_COUNT);

            more = lose_power_at(n, (enum fake_loss)(n % FAKE_LOSS_COUNT), &script);
            fake_disk_start(script->fixture.dir);
            fake_disk_cut_at(m);
            if (fixture_try_open(&script->fixture, NULL) == STATUS_OK)
                fixture_close(&script->fixture);
            hit = fake_disk_was_hit();
            cuts += (unsigned)hit;
            snprintf(left, sizeof left, "%.*s2", FIXTURE_PATH_SIZE - 2, script->fixture.dir);
            mkdir(left, 0700);
            fake_disk_lose_power(loss, m, left);
            assert_int_equal(fake_disk_open_fds(), 0);
            fake_disk_stop();
            script_move_to(script, left);
            check_after(script);
            script_free(script);
        }
    }
    print_message("%u recoveries were cut\n", cuts);
    assert_true(cuts > 100);
}

static int use_page_cache(void **state)
{
    (void)state;
    script_mode = &script_cached;
    return 0;
}

static int use_direct(void **state)
{
    (void)state;
    script_mode = &script_direct;
    return 0;
}

/* Writes around the page cache that the file system takes at no time, or only says so when it is written to. */
static void who_is_refused_writes_through_the_page_cache(void **state)
{
    (void)state;
    for (enum fake_direct direct = FAKE_DIRECT_NOT_OPENED; direct <= FAKE_DIRECT_NOT_WRITTEN; direct++) {
        struct script *script = script_new();

        fake_disk_direct(direct);
        script_run(script);
        assert_true(script->purged);
        assert_int_equal(fake_disk_direct_size(), 0);
        fake_disk_stop();
        check_after(script);
        script_free(script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_call_may_fail_with_an_input_output_error),
        cmocka_unit_test(any_call_may_find_the_disk_full),
        cmocka_unit_test(short_and_interrupted_calls_change_nothing),
        cmocka_unit_test(a_full_disk_takes_messages_again_when_there_is_room),
        cmocka_unit_test(power_may_go_and_take_all_that_was_not_flushed),
        cmocka_unit_test(power_may_go_and_leave_parts),
        cmocka_unit_test(power_may_go_and_leave_zeros),
        cmocka_unit_test(power_may_go_and_leave_noise),
        cmocka_unit_test(the_process_may_be_killed),
        cmocka_unit_test(what_a_start_shows_survives_the_next_power_loss),
        cmocka_unit_test(power_may_go_during_recovery),
        cmocka_unit_test(who_is_refused_writes_through_the_page_cache),
    };

    return cmocka_run_group_tests_name("through the page cache", tests, use_page_cache, NULL) +
           cmocka_run_group_tests_name("around the page cache", tests, use_direct, NULL);
}
