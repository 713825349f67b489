/* test_check.c: what storaged/store/check.h finds in a run's directory, and that it finds nothing else and changes nothing. */
#include "storaged/store/check.h"
#include "storaged/store/data_file.h"
#include "tests/lib/store_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 40, SIZE = 700, FOUND_MAX = 200, PATH_SIZE = 512 };

struct found {
    enum check_kind kind;
    uint64_t record;
    struct digest digest;
};

struct check_fixture {
    struct store_fixture store; /* the first: fixture_teardown() ends it and frees all */
    struct run_key run;
    struct store_place places[MESSAGES];
    uint64_t records;
    char dir[PATH_SIZE]; /* the run's */
    struct found found[FOUND_MAX];
    unsigned found_count;
    struct check check;
};

static int setup(void **state)
{
    struct check_fixture *fixture = calloc(1, sizeof *fixture);
    struct store_run_info info;

    fixture_init(&fixture->store);
    fixture_open(&fixture->store);
    fixture->run = fixture_run(0);
    fixture_fill(&fixture->store, &fixture->run, MESSAGES, SIZE, fixture->places);
    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    fixture->records = info.records;
    store_run_info_fini(&info);
    fixture_close(&fixture->store);
    snprintf(fixture->dir, sizeof fixture->dir, "%s/runs/hres/20130408T0000Z", fixture->store.dir);
    *state = fixture;
    return 0;
}

static void on_finding(void *user, const struct check_finding *finding)
{
    struct check_fixture *fixture = user;

    assert_true(fixture->found_count < FOUND_MAX);
    assert_non_null(finding->detail);
    fixture->found[fixture->found_count++] = (struct found){
        .kind = finding->kind,
        .record = finding->has_record ? finding->record : UINT64_MAX,
        .digest = finding->digest,
    };
}

/* Everything found, in fixture->found; counts in fixture->check. */
static enum status look(struct check_fixture *fixture)
{
    struct closed closed;
    struct error err;
    char path[FIXTURE_PATH_SIZE + 16];

    int dir_fd = open(fixture->store.dir, O_RDONLY | O_DIRECTORY);
    snprintf(path, sizeof path, "%s/runs/hres", fixture->store.dir);
    int source_fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(dir_fd >= 0 && source_fd >= 0);
    closed_load(dir_fd, &closed);
    memset(&fixture->check, 0, sizeof fixture->check);
    fixture->found_count = 0;
    fixture->check.closed = &closed;
    fixture->check.shards = FIXTURE_SHARDS;
    fixture->check.threads = 3;
    fixture->check.on_finding = on_finding;
    fixture->check.user = fixture;
    check_init(&fixture->check);
    enum status status = check_run(&fixture->check, source_fd, "20130408T0000Z", &fixture->run, &err);
    check_fini(&fixture->check);
    closed_fini(&closed);
    close(source_fd);
    close(dir_fd);
    return status;
}

static uint64_t count(const struct check_fixture *fixture, enum check_kind kind)
{
    return atomic_load(&fixture->check.found[kind]);
}

static void path_of(const struct check_fixture *fixture, unsigned message, char path[PATH_SIZE + 40])
{
    char name[DATA_FILE_NAME_SIZE];

    data_file_name(fixture->places[message].shard, fixture->places[message].birth, name);
    snprintf(path, PATH_SIZE + 40, "%s/%s", fixture->dir, name);
}

static void flip(const char *path, uint64_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t byte;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void after_a_crash(const struct check_fixture *fixture)
{
    char path[FIXTURE_PATH_SIZE + 16];

    snprintf(path, sizeof path, "%s/closed", fixture->store.dir);
    assert_int_equal(unlink(path), 0);
}

static bool names(const struct check_fixture *fixture, enum check_kind kind, unsigned message)
{
    struct digest digest;

    fixture_digest(message, SIZE, &digest);
    for (unsigned i = 0; i < fixture->found_count; i++)
        if (fixture->found[i].kind == kind && digest_compare(&fixture->found[i].digest, &digest) == 0)
            return true;
    return false;
}

static void what_is_sound_has_no_finding(void **state)
{
    struct check_fixture *fixture = *state;

    for (unsigned crashed = 0; crashed < 2; crashed++) {
        assert_int_equal(look(fixture), STATUS_OK);
        assert_int_equal(fixture->found_count, 0);
        assert_int_equal(atomic_load(&fixture->check.messages), MESSAGES);
        assert_int_equal(atomic_load(&fixture->check.bytes), MESSAGES * SIZE);
        assert_int_equal(atomic_load(&fixture->check.files), FIXTURE_SHARDS);
        if (crashed == 0)
            after_a_crash(fixture);
    }
}

/* Each byte of each message, the last batch's too: the store was closed in order. */
static void every_flipped_byte_names_its_message_alone(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    for (unsigned i = 0; i < MESSAGES; i++) {
        uint64_t at = fixture->places[i].offset + i * 131 % SIZE;

        path_of(fixture, i, path);
        flip(path, at);
        assert_int_equal(look(fixture), STATUS_OK);
        assert_int_equal(fixture->found_count, 1);
        assert_true(names(fixture, CHECK_DAMAGED, i));
        flip(path, at);
    }
}

static void a_last_batch_that_a_crash_may_have_torn_is_no_damage(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    after_a_crash(fixture);
    path_of(fixture, MESSAGES - 1, path);
    flip(path, fixture->places[MESSAGES - 1].offset);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(fixture->found_count, 1);
    assert_true(names(fixture, CHECK_TAIL, MESSAGES - 1));
}

static void every_flipped_byte_of_a_record_is_a_finding_of_its_journal(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    snprintf(path, sizeof path, "%s/journal", fixture->dir);
    for (unsigned i = 0; i < 64; i++) {
        uint64_t record = fixture->places[i % (MESSAGES - 1)].record;

        flip(path, 64 + 64 * record + i);
        assert_int_equal(look(fixture), STATUS_OK);
        assert_int_equal(count(fixture, CHECK_JOURNAL), fixture->found_count);
        assert_int_equal(fixture->found_count, 1);
        assert_int_equal(fixture->found[0].record, record);
        flip(path, 64 + 64 * record + i);
    }
}

static void a_journal_that_says_nothing_is_one_finding(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    snprintf(path, sizeof path, "%s/journal", fixture->dir);
    flip(path, 3);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(fixture->found_count, 1);
    assert_int_equal(count(fixture, CHECK_HEADER), 1);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(count(fixture, CHECK_HEADER), 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(fixture->found_count, 1);
    assert_int_equal(count(fixture, CHECK_MISSING), 1);
}

static void a_missing_file_names_itself_and_each_of_its_messages(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    path_of(fixture, 0, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(count(fixture, CHECK_MISSING), 1);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(names(fixture, CHECK_DAMAGED, i),
                         fixture->places[i].birth == fixture->places[0].birth);
    assert_int_equal(fixture->found_count, 1 + count(fixture, CHECK_DAMAGED));
}

static void a_short_file_names_what_lay_behind_its_end(void **state)
{
    struct check_fixture *fixture = *state;
    unsigned victim = MESSAGES / 2;
    char path[PATH_SIZE + 40];

    path_of(fixture, victim, path);
    assert_int_equal(truncate(path, (off_t)fixture->places[victim].offset + SIZE - 1), 0);
    assert_int_equal(look(fixture), STATUS_OK);
    for (unsigned i = 0; i < MESSAGES; i++)
        assert_int_equal(names(fixture, CHECK_DAMAGED, i),
                         fixture->places[i].birth == fixture->places[victim].birth &&
                             fixture->places[i].offset >= fixture->places[victim].offset);
    assert_int_equal(fixture->found_count, count(fixture, CHECK_DAMAGED));
}

static void strangers_and_tails_are_told_apart_from_damage(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    after_a_crash(fixture);
    snprintf(path, sizeof path, "%s/0001-00000000000000ff.grib", fixture->dir);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    snprintf(path, sizeof path, "%s/journal.new", fixture->dir);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    path_of(fixture, 0, path);
    int fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "GRIB", 4), 4);
    close(fd);
    snprintf(path, sizeof path, "%s/journal", fixture->dir);
    fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, path, 100), 100);
    close(fd);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(count(fixture, CHECK_STRAY), 2);
    assert_int_equal(count(fixture, CHECK_TAIL), 2);
    assert_int_equal(fixture->found_count, 4);
}

struct mark {
    struct store_bad bad;
    bool is_done;
};

static void on_marked(struct store_bad *bad, enum status status)
{
    assert_int_equal(status, STATUS_OK);
    container_of(bad, struct mark, bad)->is_done = true;
}

static void mark_bad(struct check_fixture *fixture, unsigned message)
{
    struct store_run_info info;

    assert_int_equal(store_run_get(fixture->store.store, &fixture->run, &info), STATUS_OK);
    store_run_info_fini(&info);
    struct mark mark = { .bad = { .run = fixture->run,
                                  .journal_id = info.journal_id,
                                  .record = fixture->places[message].record,
                                  .port = &fixture->store.port,
                                  .on_done = on_marked } };
    store_mark_bad(fixture->store.store, &mark.bad);
    fixture_wait(&fixture->store, &mark.is_done);
}

static void what_is_known_to_be_bad_is_told_until_a_good_one_is_there(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    path_of(fixture, 3, path);
    flip(path, fixture->places[3].offset);
    fixture_open(&fixture->store);
    mark_bad(fixture, 3);
    mark_bad(fixture, 4);
    fixture_close(&fixture->store);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(fixture->found_count, 2);
    assert_true(names(fixture, CHECK_BAD, 3));
    assert_true(names(fixture, CHECK_BAD, 4));
    fixture_open(&fixture->store);
    assert_int_equal(fixture_put(&fixture->store, &fixture->run, 3, SIZE, NULL), STATUS_OK);
    fixture_close(&fixture->store);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(fixture->found_count, 1);
    assert_true(names(fixture, CHECK_BAD, 4));
}

/* Sizes and times of all that is there. */
static uint64_t stamp_of(const struct check_fixture *fixture)
{
    uint64_t sum = 0;
    char path[PATH_SIZE + 40];

    for (unsigned i = 0; i <= MESSAGES; i++) {
        struct stat stat_;

        if (i < MESSAGES)
            path_of(fixture, i, path);
        else
            snprintf(path, sizeof path, "%s/journal", fixture->dir);
        assert_int_equal(stat(path, &stat_), 0);
        sum = sum * 31 + (uint64_t)stat_.st_size + (uint64_t)stat_.st_mtim.tv_nsec + (uint64_t)stat_.st_ino;
    }
    return sum;
}

static void nothing_is_changed(void **state)
{
    struct check_fixture *fixture = *state;
    char path[PATH_SIZE + 40];

    path_of(fixture, 3, path);
    flip(path, fixture->places[3].offset);
    uint64_t before = stamp_of(fixture);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(stamp_of(fixture), before);
}

static void give_up(struct check_fixture *fixture, unsigned message,
                    void (*step)(struct store *, struct store_drop *))
{
    assert_int_equal(fixture_give_up(&fixture->store, &fixture->run, &fixture->places[message], step, NULL),
                     STATUS_OK);
}

static void a_dropped_file_is_told_and_what_is_bad_in_it_is_not(void **state)
{
    struct check_fixture *fixture = *state;

    fixture_open(&fixture->store);
    mark_bad(fixture, 3);
    give_up(fixture, 3, store_drop);
    fixture_close(&fixture->store);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(count(fixture, CHECK_DROPPED), 1);
    assert_int_equal(fixture->found_count, 1);
    fixture_open(&fixture->store);
    give_up(fixture, 3, store_unlink);
    fixture_close(&fixture->store);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(fixture->found_count, 0);
}

/* A copy in a dropped file is none. */
static void a_bad_message_with_its_good_copy_dropped_is_told(void **state)
{
    struct check_fixture *fixture = *state;
    struct store_place old = fixture->places[3];

    fixture_open(&fixture->store);
    mark_bad(fixture, 3);
    assert_int_equal(fixture_put(&fixture->store, &fixture->run, 3, SIZE, &fixture->places[3]), STATUS_OK);
    assert_int_not_equal(fixture->places[3].birth, old.birth);
    give_up(fixture, 3, store_seal);
    give_up(fixture, 3, store_drop);
    give_up(fixture, 3, store_unlink);
    fixture_close(&fixture->store);
    assert_int_equal(look(fixture), STATUS_OK);
    assert_int_equal(count(fixture, CHECK_BAD), 1);
    assert_int_equal(fixture->found_count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_sound_has_no_finding),
        TEST(every_flipped_byte_names_its_message_alone),
        TEST(a_last_batch_that_a_crash_may_have_torn_is_no_damage),
        TEST(every_flipped_byte_of_a_record_is_a_finding_of_its_journal),
        TEST(a_journal_that_says_nothing_is_one_finding),
        TEST(a_missing_file_names_itself_and_each_of_its_messages),
        TEST(a_short_file_names_what_lay_behind_its_end),
        TEST(strangers_and_tails_are_told_apart_from_damage),
        TEST(what_is_known_to_be_bad_is_told_until_a_good_one_is_there),
        TEST(nothing_is_changed),
        cmocka_unit_test_setup_teardown(a_dropped_file_is_told_and_what_is_bad_in_it_is_not, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_bad_message_with_its_good_copy_dropped_is_told, setup,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
