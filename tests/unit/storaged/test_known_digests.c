/* test_known_digests.c: whether a message is known, and that it is sent again, is answered from tables and journal: no data
 * file is opened, read, written or flushed. */
#include "storaged/store/disk.h"
#include "tests/lib/store_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 40, SIZE = 70000, FDS_MAX = 1024 };

/* The disk, with an eye on data files. */
static struct disk_ops watching;
static _Atomic bool is_data[FDS_MAX];
static _Atomic unsigned touched, others;

static void note(int fd)
{
    atomic_fetch_add(is_data[fd] ? &touched : &others, 1);
}

static int watch_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd = disk_posix.openat(dir_fd, path, flags, mode);
    size_t length = strlen(path);

    assert_true(fd < FDS_MAX);
    if (fd < 0)
        return fd;
    is_data[fd] = length > 5 && strcmp(path + length - 5, ".grib") == 0;
    note(fd);
    return fd;
}

static ssize_t watch_preadv2(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    note(fd);
    return disk_posix.preadv2(fd, vec, count, offset, flags);
}

static ssize_t watch_pwritev(int fd, const struct iovec *vec, int count, off_t offset)
{
    note(fd);
    return disk_posix.pwritev(fd, vec, count, offset);
}

static int watch_fdatasync(int fd)
{
    note(fd);
    return disk_posix.fdatasync(fd);
}

static int setup(void **state)
{
    struct store_fixture *fixture = malloc(sizeof *fixture);

    watching = disk_posix;
    watching.openat = watch_openat;
    watching.preadv2 = watch_preadv2;
    watching.pwritev = watch_pwritev;
    watching.fdatasync = watch_fdatasync;
    disk_replace(&watching);
    fixture_init(fixture);
    fixture_open(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    disk_replace(NULL);
    return 0;
}

/* Stores all, and starts anew: nothing but the journal has been looked at since, once the last batch is proven. */
static void fill(struct store_fixture *fixture, const struct run_key *run)
{
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(fixture_put(fixture, run, i, SIZE, NULL), STATUS_OK);
    assert_true(touched > COUNT); /* the eye sees */
    fixture_close(fixture);
    fixture_open(fixture);
    touched = others = 0;
}

static void what_is_known_is_found_without_a_look_at_its_file(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    fill(fixture, &run);
    for (uint64_t i = 0; i < 2 * COUNT; i++) {
        struct store_place place;
        struct digest digest;

        fixture_digest(i, SIZE, &digest);
        assert_int_equal(store_find(fixture->store, &run, &digest, true, &place, NULL),
                         i < COUNT ? STATUS_OK : STATUS_NOT_FOUND);
    }
    assert_int_equal(touched, 0);
    assert_true(others >= COUNT);
}

static void a_message_sent_again_touches_no_file(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);

    fill(fixture, &run);
    for (uint64_t i = 0; i < COUNT; i++) {
        struct fixture_append *append = fixture_append_new(fixture, &run, i, SIZE);

        store_append(fixture->store, &append->append);
        fixture_wait(fixture, &append->is_done);
        assert_int_equal(append->status, STATUS_OK);
        assert_false(append->append.is_new);
        fixture_append_free(append);
    }
    assert_int_equal(touched, 0);
    assert_true(others >= COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_known_is_found_without_a_look_at_its_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_sent_again_touches_no_file, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
