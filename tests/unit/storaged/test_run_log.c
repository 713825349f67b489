/* test_run_log.c: what storaged/store/run_log.h promises. */
#include "storaged/store/disk.h"
#include "storaged/store/run_log.h"
#include "tests/lib/store_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SEEN_MAX = 100 };

struct log_fixture {
    char dir[64];
    int dir_fd;
    struct run_log log;
    struct run_key runs[SEEN_MAX];
    struct run_info infos[SEEN_MAX];
    unsigned count;
};

static int setup(void **state)
{
    struct log_fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->dir, "/tmp/gribstore-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    fixture->log.fd = -1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct log_fixture *fixture = *state;

    run_log_close(&fixture->log);
    close(fixture->dir_fd);
    fixture_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

static void see(void *data, const struct run_key *run, const struct run_info *info)
{
    struct log_fixture *fixture = data;

    assert_true(fixture->count < SEEN_MAX);
    fixture->runs[fixture->count] = *run;
    fixture->infos[fixture->count++] = *info;
}

static enum status reopen(struct log_fixture *fixture, uint64_t forget_us)
{
    run_log_close(&fixture->log);
    fixture->count = 0;
    return run_log_open(&fixture->log, fixture->dir_fd, forget_us, see, fixture, NULL);
}

static void tell(struct log_fixture *fixture, int run, uint64_t version, enum run_state state)
{
    struct run_key key = fixture_run(run);
    struct run_info info = { .incarnation = 1, .version = version, .state = state };

    assert_int_equal(run_log_append(&fixture->log, &key, &info, NULL), STATUS_OK);
}

static off_t log_size(struct log_fixture *fixture)
{
    struct stat stat;

    assert_int_equal(fstat(fixture->log.fd, &stat), 0);
    return stat.st_size;
}

static void a_new_log_is_empty(void **state)
{
    struct log_fixture *fixture = *state;

    assert_int_equal(reopen(fixture, 0), STATUS_OK);
    assert_int_equal(fixture->count, 0);
    assert_int_equal(log_size(fixture), RUN_LOG_HEADER_SIZE);
}

static void of_each_run_the_highest_state_is_told(void **state)
{
    struct log_fixture *fixture = *state;

    reopen(fixture, 0);
    tell(fixture, 2, 1, RUN_READY);
    tell(fixture, 1, 5, RUN_READY);
    tell(fixture, 2, 9, RUN_RETIRED);
    assert_int_equal(reopen(fixture, 0), STATUS_OK);
    assert_int_equal(fixture->count, 2);
    assert_int_equal(fixture->infos[0].version, 5);
    assert_int_equal(fixture->infos[1].version, 9);
    assert_int_equal(fixture->infos[1].state, RUN_RETIRED);
}

static void a_log_that_is_mostly_superseded_is_written_anew(void **state)
{
    struct log_fixture *fixture = *state;

    reopen(fixture, 0);
    for (uint64_t version = 1; version <= 20; version++)
        tell(fixture, 1, version, RUN_READY);
    assert_int_equal(log_size(fixture), RUN_LOG_HEADER_SIZE + 20 * RUN_LOG_RECORD_SIZE);
    assert_int_equal(reopen(fixture, 0), STATUS_OK);
    assert_int_equal(log_size(fixture), RUN_LOG_HEADER_SIZE + RUN_LOG_RECORD_SIZE);
    tell(fixture, 1, 21, RUN_READY);
    assert_int_equal(reopen(fixture, 0), STATUS_OK);
    assert_int_equal(fixture->infos[0].version, 21);
}

static void purged_runs_are_forgotten_in_the_end(void **state)
{
    struct log_fixture *fixture = *state;

    reopen(fixture, 0);
    for (uint64_t version = 1; version <= 20; version++)
        tell(fixture, 1, version, version < 20 ? RUN_RETIRED : RUN_PURGED);
    tell(fixture, 2, 1, RUN_RETIRED);
    assert_int_equal(reopen(fixture, UINT64_MAX), STATUS_OK); /* told before the end of time */
    assert_int_equal(fixture->count, 1);
    assert_int_equal(fixture->infos[0].state, RUN_RETIRED);
}

static void a_torn_last_record_is_cut_at_every_byte(void **state)
{
    struct log_fixture *fixture = *state;

    reopen(fixture, 0);
    tell(fixture, 1, 1, RUN_READY);
    tell(fixture, 2, 1, RUN_READY);
    off_t whole = log_size(fixture);
    for (off_t left = 1; left < RUN_LOG_RECORD_SIZE; left++) {
        tell(fixture, 3, 1, RUN_READY);
        assert_int_equal(ftruncate(fixture->log.fd, whole + left), 0);
        assert_int_equal(reopen(fixture, 0), STATUS_OK);
        assert_int_equal(fixture->count, 2);
        assert_int_equal(log_size(fixture), whole);
    }
}

static void a_flipped_bit_is_an_error_except_in_the_last_record(void **state)
{
    struct log_fixture *fixture = *state;

    reopen(fixture, 0);
    tell(fixture, 1, 1, RUN_READY);
    tell(fixture, 2, 1, RUN_READY);
    off_t last = RUN_LOG_HEADER_SIZE + RUN_LOG_RECORD_SIZE;
    for (off_t at = 0; at < last; at++) {
        uint8_t byte;

        assert_int_equal(pread(fixture->log.fd, &byte, 1, at), 1);
        byte ^= 0x10;
        assert_int_equal(pwrite(fixture->log.fd, &byte, 1, at), 1);
        int fd = dup(fixture->log.fd);
        assert_int_not_equal(reopen(fixture, 0), STATUS_OK);
        byte ^= 0x10;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        assert_int_equal(reopen(fixture, 0), STATUS_OK);
        assert_int_equal(fixture->count, 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_log_is_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(of_each_run_the_highest_state_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_mostly_superseded_is_written_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(purged_runs_are_forgotten_in_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_last_record_is_cut_at_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flipped_bit_is_an_error_except_in_the_last_record, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
