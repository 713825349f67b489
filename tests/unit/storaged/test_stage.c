/* test_stage.c: which bytes go around the page cache, and that all of them are where they belong. */
#include "proto/base/bytes.h"
#include "storaged/store/disk.h"
#include "storaged/store/stage.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FILE_SIZE_MAX = 3 << 20 };

struct stage_fixture {
    char dir[64];
    int dir_fd, fd, direct_fd;
    struct stage stage;
    uint8_t *bytes, *got;
    uint64_t unit;
};

static int setup(void **state)
{
    struct stage_fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->dir, "/tmp/gribstore-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fake_disk_start(fixture->dir);
    assert_int_equal(disk_open(AT_FDCWD, fixture->dir, O_RDONLY | O_DIRECTORY, &fixture->dir_fd, NULL),
                     STATUS_OK);
    assert_int_equal(disk_open(fixture->dir_fd, "file", O_RDWR | O_CREAT | O_EXCL, &fixture->fd, NULL),
                     STATUS_OK);
    assert_int_equal(disk_open_direct(fixture->dir_fd, "file", &fixture->direct_fd, NULL), STATUS_OK);
    stage_init(&fixture->stage);
    fixture->unit = disk_direct_unit();
    fixture->bytes = malloc(FILE_SIZE_MAX);
    fixture->got = malloc(FILE_SIZE_MAX);
    for (size_t i = 0; i < FILE_SIZE_MAX; i++)
        fixture->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct stage_fixture *fixture = *state;

    stage_fini(&fixture->stage);
    disk_close(fixture->fd);
    disk_close(fixture->direct_fd);
    disk_close(fixture->dir_fd);
    assert_int_equal(fake_disk_open_fds(), 0);
    fake_disk_stop();
    fixture_remove_tree(fixture->dir);
    free(fixture->bytes);
    free(fixture->got);
    free(fixture);
    return 0;
}

/* Bytes [from, to) in pieces of so many. */
static enum status put_range(struct stage_fixture *fixture, uint64_t from, uint64_t to,
                             size_t piece, struct error *err)
{
    stage_begin(&fixture->stage, fixture->fd, fixture->direct_fd, from, to);
    for (uint64_t at = from; at < to; at += piece) {
        size_t size = to - at < piece ? (size_t)(to - at) : piece;
        enum status status = stage_put(&fixture->stage, fixture->bytes + at, size, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void check_file(struct stage_fixture *fixture, uint64_t expected)
{
    uint64_t size;

    assert_int_equal(disk_size(fixture->fd, &size, NULL), STATUS_OK);
    assert_int_equal(size, expected);
    assert_int_equal(disk_read(fixture->fd, 0, fixture->got, size, true, NULL), STATUS_OK);
    assert_memory_equal(fixture->got, fixture->bytes, size);
}

static uint64_t whole_pages(const struct stage_fixture *fixture, uint64_t from, uint64_t to)
{
    uint64_t first = (from + fixture->unit - 1) / fixture->unit, last = to / fixture->unit;

    return first < last ? (last - first) * fixture->unit : 0;
}

static void every_place_against_a_pages_border_is_written_whole(void **state)
{
    struct stage_fixture *fixture = *state;
    uint64_t unit = fixture->unit;
    const uint64_t lengths[] = { 1,        unit - 1,     unit,        unit + 1, 2 * unit - 1,
                                 2 * unit, 2 * unit + 1, 5 * unit - 3 };
    const uint64_t starts[] = { 0, 1, unit - 1, unit, unit + 1, 2 * unit - 5 };

    for (unsigned i = 0; i < ARRAY_COUNT(starts); i++)
        for (unsigned j = 0; j < ARRAY_COUNT(lengths); j++) {
            uint64_t end = starts[i] + lengths[j], before = fake_disk_direct_size();

            assert_int_equal(disk_truncate(fixture->fd, 0, NULL), STATUS_OK);
            assert_int_equal(disk_write(fixture->fd, 0, fixture->bytes, starts[i], NULL), STATUS_OK);
            assert_int_equal(put_range(fixture, starts[i], end, 1009, NULL), STATUS_OK);
            check_file(fixture, end);
            assert_int_equal(fake_disk_direct_size() - before, whole_pages(fixture, starts[i], end));
        }
}

static void more_than_the_stage_holds_goes_on_where_it_was(void **state)
{
    struct stage_fixture *fixture = *state;
    uint64_t at = 0;

    for (uint64_t end = 777777; end < FILE_SIZE_MAX; end += 999999) {
        assert_int_equal(put_range(fixture, at, end, 300001, NULL), STATUS_OK);
        at = end;
    }
    check_file(fixture, at);
    assert_true(fake_disk_direct_size() > at - 10 * fixture->unit);
}

static void short_and_interrupted_writes_are_continued(void **state)
{
    struct stage_fixture *fixture = *state;
    uint64_t end = 9 * fixture->unit + 100;

    fake_disk_dribble(true);
    assert_int_equal(put_range(fixture, 0, 100, 100, NULL), STATUS_OK);
    assert_int_equal(put_range(fixture, 100, end, 5000, NULL), STATUS_OK);
    fake_disk_dribble(false);
    check_file(fixture, end);
    assert_int_equal(fake_disk_direct_size(), 8 * fixture->unit);
}

static void a_file_system_that_refuses_gets_all_through_the_page_cache(void **state)
{
    struct stage_fixture *fixture = *state;
    uint64_t end = 7 * fixture->unit + 1;
    int fd;

    fake_disk_direct(FAKE_DIRECT_NOT_WRITTEN);
    assert_int_equal(put_range(fixture, 0, end, 1000, NULL), STATUS_OK);
    assert_true(fixture->stage.refused);
    check_file(fixture, end);
    assert_int_equal(fake_disk_direct_size(), 0);
    fake_disk_direct(FAKE_DIRECT_NOT_OPENED);
    assert_int_equal(disk_open_direct(fixture->dir_fd, "file", &fd, NULL), STATUS_UNSUPPORTED);
}

static void without_a_second_descriptor_the_stage_is_only_a_buffer(void **state)
{
    struct stage_fixture *fixture = *state;

    disk_close(fixture->direct_fd);
    fixture->direct_fd = -1;
    assert_int_equal(put_range(fixture, 0, 2000000, 123456, NULL), STATUS_OK);
    check_file(fixture, 2000000);
    assert_int_equal(fake_disk_direct_size(), 0);
}

static void a_full_disk_and_a_broken_one_are_told_apart(void **state)
{
    struct stage_fixture *fixture = *state;
    struct error err;

    for (uint64_t n = 1; n <= 3; n++) { /* in front, in whole pages, at the end */
        static const struct {
            int error_number;
            enum status status;
        } cases[] = { { ENOSPC, STATUS_FULL }, { EIO, STATUS_IO } };

        for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
            assert_int_equal(disk_truncate(fixture->fd, 5, NULL), STATUS_OK);
            fake_disk_fail_at(n, cases[i].error_number);
            assert_int_equal(put_range(fixture, 5, 5 * fixture->unit + 5, 999, &err), cases[i].status);
            fake_disk_fail_at(0, 0);
        }
    }
}

static void room_for_half_a_write_is_a_full_disk(void **state)
{
    struct stage_fixture *fixture = *state;

    fake_disk_room(3 * fixture->unit + 100);
    assert_int_equal(put_range(fixture, 0, 5 * fixture->unit, 999, NULL), STATUS_FULL);
    assert_int_equal(fake_disk_direct_size(), 3 * fixture->unit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_place_against_a_pages_border_is_written_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_than_the_stage_holds_goes_on_where_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(short_and_interrupted_writes_are_continued, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_system_that_refuses_gets_all_through_the_page_cache,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_second_descriptor_the_stage_is_only_a_buffer,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_and_a_broken_one_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(room_for_half_a_write_is_a_full_disk, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
