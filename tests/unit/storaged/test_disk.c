/* test_disk.c: what storaged/store/disk.h promises over a disk that gives little at a time. */
#include "proto/base/bytes.h"
#include "storaged/store/disk.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_SIZE = 5000 };

struct disk_fixture {
    char dir[64];
    int dir_fd, fd;
    uint8_t bytes[FILE_SIZE];
};

/* A directory under the fake disk, with one empty file. */
static int setup(void **state)
{
    struct disk_fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->dir, "/tmp/gribstore-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fake_disk_start(fixture->dir);
    assert_int_equal(disk_open(AT_FDCWD, fixture->dir, O_RDONLY | O_DIRECTORY, &fixture->dir_fd, NULL),
                     STATUS_OK);
    assert_int_equal(disk_open(fixture->dir_fd, "file", O_RDWR | O_CREAT | O_EXCL, &fixture->fd, NULL),
                     STATUS_OK);
    for (size_t i = 0; i < FILE_SIZE; i++)
        fixture->bytes[i] = (uint8_t)(i * 31 / 7);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct disk_fixture *fixture = *state;

    disk_close(fixture->fd);
    disk_close(fixture->dir_fd);
    assert_int_equal(fake_disk_open_fds(), 0);
    fake_disk_stop();
    fixture_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

static void short_writes_and_reads_are_continued(void **state)
{
    struct disk_fixture *fixture = *state;
    uint8_t got[FILE_SIZE];
    struct iovec vec[6];
    size_t at = 0;

    /* Empty ones, in front and at the end, are none. */
    static const size_t sizes[6] = { 0, 1, 100, 0, FILE_SIZE - 101, 0 };
    for (size_t i = 0; i < ARRAY_COUNT(sizes); at += sizes[i++])
        vec[i] = (struct iovec){ .iov_base = fixture->bytes + at, .iov_len = sizes[i] };
    fake_disk_dribble(true);
    assert_int_equal(disk_writev(fixture->fd, 0, vec, ARRAY_COUNT(vec), NULL), STATUS_OK);
    assert_int_equal(disk_read(fixture->fd, 0, got, sizeof got, true, NULL), STATUS_OK);
    assert_memory_equal(got, fixture->bytes, sizeof got);
    assert_int_equal(disk_read(fixture->fd, 4990, got, 10, true, NULL), STATUS_OK);
    assert_memory_equal(got, fixture->bytes + 4990, 10);
}

static void more_pieces_than_a_call_takes_are_written(void **state)
{
    struct disk_fixture *fixture = *state;
    struct iovec vec[FILE_SIZE];
    uint8_t got[FILE_SIZE];

    for (size_t i = 0; i < FILE_SIZE; i++)
        vec[i] = (struct iovec){ .iov_base = fixture->bytes + i, .iov_len = 1 };
    assert_int_equal(disk_writev(fixture->fd, 0, vec, FILE_SIZE, NULL), STATUS_OK);
    assert_int_equal(disk_read(fixture->fd, 0, got, sizeof got, true, NULL), STATUS_OK);
    assert_memory_equal(got, fixture->bytes, sizeof got);
}

static void a_read_beyond_the_end_is_damage(void **state)
{
    struct disk_fixture *fixture = *state;
    uint8_t got[20];

    assert_int_equal(disk_write(fixture->fd, 0, fixture->bytes, 10, NULL), STATUS_OK);
    assert_int_equal(disk_read(fixture->fd, 0, got, 11, true, NULL), STATUS_CORRUPT);
    assert_int_equal(disk_read(fixture->fd, UINT64_MAX - 3, got, 11, true, NULL), STATUS_CORRUPT);
    assert_int_equal(disk_read(fixture->fd, 0, got, 10, true, NULL), STATUS_OK);
}

static void a_full_disk_is_full_for_writes_but_an_error_for_flushes(void **state)
{
    struct disk_fixture *fixture = *state;

    fake_disk_fail_at(1, ENOSPC);
    assert_int_equal(disk_write(fixture->fd, 0, fixture->bytes, 10, NULL), STATUS_FULL);
    fake_disk_fail_at(1, ENOSPC);
    assert_int_equal(disk_flush(fixture->fd, NULL), STATUS_IO);
    fake_disk_fail_at(1, ENOSPC);
    assert_int_equal(disk_flush_dir(fixture->dir_fd, NULL), STATUS_IO);
    fake_disk_fail_at(1, ENOSPC);
    assert_int_equal(disk_make_dir(fixture->dir_fd, "dir", NULL), STATUS_FULL);
}

static void errors_say_what_was_tried(void **state)
{
    struct disk_fixture *fixture = *state;
    struct error err;
    int fd;

    assert_int_equal(disk_open(fixture->dir_fd, "nothing", O_RDONLY, &fd, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.text, "open nothing"));
    assert_int_equal(disk_make_dir(fixture->dir_fd, "dir", NULL), STATUS_OK);
    assert_int_equal(disk_make_dir(fixture->dir_fd, "dir", &err), STATUS_EXISTS);
    assert_int_equal(disk_remove_dir(fixture->dir_fd, "dir", NULL), STATUS_OK);
}

static void a_symbolic_link_is_not_followed(void **state)
{
    struct disk_fixture *fixture = *state;
    int fd;

    assert_int_equal(symlinkat("file", fixture->dir_fd, "link"), 0);
    assert_int_not_equal(disk_open(fixture->dir_fd, "link", O_RDONLY, &fd, NULL), STATUS_OK);
}

static void names_are_listed_in_order(void **state)
{
    struct disk_fixture *fixture = *state;
    char **names;
    size_t count;

    disk_make_dir(fixture->dir_fd, "b", NULL);
    disk_make_dir(fixture->dir_fd, "a", NULL);
    disk_make_dir(fixture->dir_fd, ".c", NULL);
    assert_int_equal(disk_list(fixture->dir_fd, ".", &names, &count, NULL), STATUS_OK);
    assert_int_equal(count, 4);
    assert_string_equal(names[0], ".c");
    assert_string_equal(names[1], "a");
    assert_string_equal(names[3], "file");
    disk_names_free(names, count);
    assert_int_equal(disk_list(fixture->dir_fd, "nothing", &names, &count, NULL), STATUS_NOT_FOUND);
    assert_int_equal(count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(short_writes_and_reads_are_continued),
        TEST(more_pieces_than_a_call_takes_are_written),
        TEST(a_read_beyond_the_end_is_damage),
        TEST(a_full_disk_is_full_for_writes_but_an_error_for_flushes),
        TEST(errors_say_what_was_tried),
        TEST(a_symbolic_link_is_not_followed),
        TEST(names_are_listed_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
