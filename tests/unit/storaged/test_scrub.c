/* test_scrub.c: what storaged/store/scrub.h promises: all is read again, what does not hold is found, nothing else. */
#include "storaged/store/data_file.h"
#include "storaged/store/scrub.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 60, SIZE = 5000 };

struct scrub_fixture {
    struct store_fixture store;
    struct run_key runs[2];
    struct store_place places[MESSAGES];
};

static const struct run_key *run_of(struct scrub_fixture *fixture, unsigned number)
{
    return &fixture->runs[number % 2];
}

static int setup(void **state)
{
    struct scrub_fixture *fixture = calloc(1, sizeof *fixture);

    fixture_init(&fixture->store);
    fixture_open(&fixture->store);
    fixture->runs[0] = fixture_run(0);
    fixture->runs[1] = fixture_run(6);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(fixture_put(&fixture->store, run_of(fixture, i), i, SIZE, &fixture->places[i]),
                         STATUS_OK);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct scrub_fixture *fixture = *state;

    fixture_fini(&fixture->store);
    free(fixture);
    return 0;
}

static void path_of(struct scrub_fixture *fixture, unsigned number, char path[512])
{
    char run[RUN_TEXT_SIZE], name[DATA_FILE_NAME_SIZE];

    run_key_print(run_of(fixture, number), run);
    data_file_name(fixture->places[number].shard, fixture->places[number].birth, name);
    snprintf(path, 512, "%s/runs/%s/%s", fixture->store.dir, run, name);
}

static void flip(const char *path, uint64_t offset)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static void damage(struct scrub_fixture *fixture, unsigned number, uint64_t at)
{
    char path[512];

    path_of(fixture, number, path);
    flip(path, fixture->places[number].offset + at);
}

/* A whole pass, from its beginning to its end. */
static struct store_scrub_info scrub(struct scrub_fixture *fixture)
{
    struct store_scrub_info info;

    store_scrub(fixture->store.store, 0);
    do {
        uv_sleep(1); /* a thread of its own: it tells nobody */
        store_scrub_status(fixture->store.store, &info);
    } while (info.is_asked || info.is_running);
    return info;
}

static bool has(struct scrub_fixture *fixture, unsigned number)
{
    return fixture_has(&fixture->store, run_of(fixture, number), number, SIZE);
}

static void all_that_is_good_is_read_and_stays(void **state)
{
    struct scrub_fixture *fixture = *state;
    struct store_scrub_info info = scrub(fixture);

    assert_int_equal(info.last.messages, MESSAGES);
    assert_int_equal(info.last.bytes, MESSAGES * SIZE);
    assert_int_equal(info.bytes_total, MESSAGES * SIZE);
    assert_int_equal(info.last.found, 0);
    assert_true(info.last.completed_us >= info.last.begun_us);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
}

static void each_damaged_message_is_found_and_no_other(void **state)
{
    static const unsigned damaged[] = { 0, 7, 8, 9, 33, MESSAGES - 1 };
    struct scrub_fixture *fixture = *state;
    struct digest digest;

    for (unsigned i = 0; i < ARRAY_COUNT(damaged); i++)
        damage(fixture, damaged[i], i * 997 % SIZE);
    struct store_scrub_info info = scrub(fixture);
    assert_int_equal(info.last.messages, MESSAGES);
    assert_int_equal(info.last.found, ARRAY_COUNT(damaged));
    assert_int_equal(info.findings_count, ARRAY_COUNT(damaged));
    for (unsigned i = 0, next = 0; i < MESSAGES; i++) {
        bool is_bad = next < ARRAY_COUNT(damaged) && damaged[next] == i;
        unsigned named = 0;

        next += is_bad;
        fixture_digest(i, SIZE, &digest);
        for (unsigned j = 0; j < info.findings_count; j++)
            named += digest_compare(&info.findings[j].digest, &digest) == 0 &&
                     info.findings[j].kind == STORE_FINDING_DAMAGED &&
                     info.findings[j].offset == fixture->places[i].offset;
        assert_int_equal(named, is_bad);
        assert_int_equal(has(fixture, i), !is_bad);
    }
    info = scrub(fixture); /* known is not found again */
    assert_int_equal(info.last.messages, MESSAGES - ARRAY_COUNT(damaged));
    assert_int_equal(info.last.found, 0);
}

static void a_file_that_is_gone_or_short_is_damage(void **state)
{
    struct scrub_fixture *fixture = *state;
    const struct store_place *gone = &fixture->places[0], *cut = NULL;
    char path[512];

    path_of(fixture, 0, path);
    assert_int_equal(unlink(path), 0);
    unsigned victim = 1;
    while (fixture->places[victim].birth == gone->birth || fixture->places[victim].offset == 0)
        victim++;
    cut = &fixture->places[victim];
    path_of(fixture, victim, path);
    assert_int_equal(truncate(path, (off_t)cut->offset + SIZE / 2), 0);
    scrub(fixture);
    for (unsigned i = 0; i < MESSAGES; i++) {
        const struct store_place *place = &fixture->places[i];
        struct store_place now;
        struct digest digest;
        bool is_bad = place->birth == gone->birth ||
                      (place->birth == cut->birth && place->offset >= cut->offset);

        fixture_digest(i, SIZE, &digest);
        assert_int_equal(store_find(fixture->store.store, run_of(fixture, i), &digest, true, &now, NULL),
                         is_bad ? STATUS_NOT_FOUND : STATUS_OK);
    }
}

static void a_damaged_record_is_told_and_the_rest_is_read(void **state)
{
    struct scrub_fixture *fixture = *state;
    char run[RUN_TEXT_SIZE], path[512];

    run_key_print(run_of(fixture, 4), run);
    snprintf(path, sizeof path, "%s/runs/%s/journal", fixture->store.dir, run);
    flip(path, 64 + 64 * fixture->places[4].record + 40);
    struct store_scrub_info info = scrub(fixture);
    assert_int_equal(info.last.found, 1);
    assert_int_equal(info.findings[0].kind, STORE_FINDING_JOURNAL);
    assert_int_equal(info.findings[0].record, fixture->places[4].record);
    assert_int_equal(info.last.messages, MESSAGES - 1);
}

/* Waits until nothing is suspected any more, and what is under way is done: one is suspected that does not exist. */
static void wait_suspects(struct scrub_fixture *fixture)
{
    struct store_scrub_info info;

    do {
        uv_sleep(1);
        store_scrub_status(fixture->store.store, &info);
    } while (info.suspects > 0);
    scrub(fixture); /* comes behind them */
}

static void a_suspect_is_read_at_once_with_whom_it_touches(void **state)
{
    struct scrub_fixture *fixture = *state;
    struct store_place bytes = fixture->places[10];
    struct store_scrub_info info;
    struct digest digest;
    struct store_place place;

    damage(fixture, 10, 0);
    damage(fixture, 20, 0);
    bytes.record = 0;
    bytes.offset += SIZE - 1;
    bytes.length = 1;
    store_suspect(fixture->store.store, run_of(fixture, 10), &bytes);
    store_suspect(fixture->store.store, run_of(fixture, 11), &fixture->places[11]); /* is good */
    fixture_digest(10, SIZE, &digest);
    while (store_find(fixture->store.store, run_of(fixture, 10), &digest, true, &place, NULL) == STATUS_OK)
        uv_sleep(1);
    do /* it is bad first, then told */
        store_scrub_status(fixture->store.store, &info);
    while (info.findings_total == 0);
    assert_int_equal(info.findings_total, 1); /* 20 is left to the pass */
    wait_suspects(fixture);
    assert_true(has(fixture, 11));
    assert_false(has(fixture, 20));
}

static void a_suspect_without_its_run_is_found_by_its_file(void **state)
{
    struct scrub_fixture *fixture = *state;
    const struct store_place *place = &fixture->places[12];
    struct store_file *file;
    struct store_place now;
    struct digest digest;

    damage(fixture, 12, SIZE / 2);
    assert_int_equal(store_file_open(fixture->store.store, run_of(fixture, 12), place->shard,
                                     place->birth, &file, NULL),
                     STATUS_OK);
    store_file_suspect(fixture->store.store, file, place->offset + 1, 10);
    store_file_release(file);
    fixture_digest(12, SIZE, &digest);
    while (store_find(fixture->store.store, run_of(fixture, 12), &digest, true, &now, NULL) == STATUS_OK)
        uv_sleep(1);
}

static void more_suspects_than_a_queue_holds_do_no_harm(void **state)
{
    struct scrub_fixture *fixture = *state;
    struct store_place place = fixture->places[0];

    place.record = 0;
    place.length = 1;
    for (place.offset = 0; place.offset < 3 * SCRUB_SUSPECTS_MAX; place.offset++)
        store_suspect(fixture->store.store, run_of(fixture, 0), &place);
    wait_suspects(fixture);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
}

/* A pass so slow that it ends with its first file: the second process goes on behind. */
static void a_pass_goes_on_after_a_restart(void **state)
{
    struct scrub_fixture *fixture = *state;
    struct store_scrub_info info;
    uint64_t done;

    fixture_close(&fixture->store);
    fixture->store.options.scrub_rate = 40000;
    fixture_open(&fixture->store);
    do {
        uv_sleep(1);
        store_scrub_status(fixture->store.store, &info);
    } while (info.pass.messages == 0);
    fixture_close(&fixture->store);
    fixture->store.options.scrub_rate = 1 << 30;
    fixture_open(&fixture->store);
    do {
        uv_sleep(1);
        store_scrub_status(fixture->store.store, &info);
    } while (info.is_running);
    done = info.last.messages;
    assert_int_equal(done, MESSAGES); /* none twice, none left out */
    assert_int_equal(info.last.bytes, MESSAGES * SIZE);
    fixture_close(&fixture->store);
    fixture_open(&fixture->store); /* not due again */
    store_scrub_status(fixture->store.store, &info);
    assert_false(info.is_running);
    assert_int_equal(info.last.messages, MESSAGES);
}

static void a_damaged_place_is_a_pass_from_the_beginning(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "null",
        "{\"format\":2}",
        "{\"format\":1,\"running\":true}",
        "{\"format\":1,\"running\":true,\"pass\":{\"begun\":1,\"completed\":0,\"messages\":0,"
        "\"bytes\":0,\"found\":0},\"last\":{\"begun\":0,\"completed\":0,\"messages\":0,\"bytes\":"
        "0,\"found\":0},\"place\":{\"source\":\"../x\"}}"
    };
    struct scrub_fixture *fixture = *state;
    struct store_scrub_info info;
    char path[512];

    snprintf(path, sizeof path, "%s/scrub.json", fixture->store.dir);
    fixture->store.options.scrub_rate = 1 << 30;
    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        fixture_close(&fixture->store);
        FILE *file = fopen(path, "w");
        fputs(texts[i], file);
        fclose(file);
        fixture_open(&fixture->store);
        do {
            uv_sleep(1);
            store_scrub_status(fixture->store.store, &info);
        } while (info.last.completed_us == 0);
        assert_int_equal(info.last.messages, MESSAGES);
    }
}

/* Whatever fails once is read again: no message is given up for it. */
static void one_failing_call_condemns_nothing(void **state)
{
    struct scrub_fixture *fixture = *state;
    bool was_hit = true;

    fixture_close(&fixture->store);
    fake_disk_start(fixture->store.dir);
    fixture_open(&fixture->store);
    for (uint64_t n = 1; was_hit; n++) {
        fake_disk_fail_at(n, EIO);
        struct store_scrub_info info = scrub(fixture);
        was_hit = fake_disk_was_hit();
        fake_disk_fail_at(0, 0);
        assert_int_equal(info.findings_total, 0);
    }
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_true(has(fixture, i));
    fixture_close(&fixture->store);
    fake_disk_stop();
}

static _Atomic bool refusing;

static int openat_refused(int dir_fd, const char *path, int flags, mode_t mode)
{
    if (!atomic_load(&refusing) || strstr(path, ".grib") == NULL)
        return disk_posix.openat(dir_fd, path, flags, mode);
    errno = EACCES;
    return -1;
}

static ssize_t preadv2_without_memory(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    if (!atomic_load(&refusing))
        return disk_posix.preadv2(fd, vec, count, offset, flags);
    errno = ENOMEM;
    return -1;
}

/* What the system would not give says nothing of the bytes. */
static void what_may_not_be_opened_or_had_no_memory_is_not_condemned(void **state)
{
    struct scrub_fixture *fixture = *state;

    for (unsigned what = 0; what < 2; what++) {
        struct disk_ops ops = disk_posix;

        if (what == 0)
            ops.openat = openat_refused;
        else
            ops.preadv2 = preadv2_without_memory;
        fixture_close(&fixture->store);
        disk_replace(&ops);
        fixture_open(&fixture->store);
        atomic_store(&refusing, true);
        struct store_scrub_info info = scrub(fixture);
        atomic_store(&refusing, false);
        assert_int_equal(info.findings_total, 0);
        for (unsigned i = 0; i < MESSAGES; i++)
            assert_true(has(fixture, i));
        fixture_close(&fixture->store);
        disk_replace(NULL);
        fixture_open(&fixture->store);
    }
}

static void the_pace_is_the_rate_and_a_second_of_burst(void **state)
{
    struct scrub_pace pace = { .rate = 1000000 };
    struct scrub_pace any = { .rate = 0 };
    (void)state;

    assert_int_equal(scrub_pace_wait(&pace, 0, 1000000), 1000000);
    assert_int_equal(scrub_pace_wait(&pace, 1000000, 500000), 500000);
    assert_int_equal(scrub_pace_wait(&pace, 1700000, 500000), 300000); /* slow reads are made up for */
    /* an hour of rest is a second's credit */
    assert_int_equal(scrub_pace_wait(&pace, UINT64_C(3600000000), 1000000), 0);
    assert_int_equal(scrub_pace_wait(&pace, UINT64_C(3600000000), 1000000), 1000000);
    assert_int_equal(scrub_pace_wait(&any, 0, 1 << 30), 0);
    assert_int_equal(scrub_pace_wait(&any, 0, 1 << 30), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pace_is_the_rate_and_a_second_of_burst),
        TEST(all_that_is_good_is_read_and_stays),
        TEST(each_damaged_message_is_found_and_no_other),
        TEST(a_file_that_is_gone_or_short_is_damage),
        TEST(a_damaged_record_is_told_and_the_rest_is_read),
        TEST(a_suspect_is_read_at_once_with_whom_it_touches),
        TEST(a_suspect_without_its_run_is_found_by_its_file),
        TEST(more_suspects_than_a_queue_holds_do_no_harm),
        TEST(a_pass_goes_on_after_a_restart),
        TEST(a_damaged_place_is_a_pass_from_the_beginning),
        TEST(one_failing_call_condemns_nothing),
        TEST(what_may_not_be_opened_or_had_no_memory_is_not_condemned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
