/* test_gather.c: items come back in their order, whole, and none is written by the loop. */
#include "storaged/gather.h"

#include "storaged/node.h"
#include "storaged/store/disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct gather_fixture {
    struct store_fixture store;
    struct node node;
    struct node_loop loop;
    struct gather gather;
    struct buf want;
    unsigned written;
};

static void on_written(struct gather *gather)
{
    container_of(gather, struct gather_fixture, gather)->written++;
}

static int setup(void **state)
{
    struct gather_fixture *fixture = calloc(1, sizeof *fixture);

    fixture_init(&fixture->store);
    fixture_open(&fixture->store);
    fixture->node.store = fixture->store.store;
    fixture->loop.node = &fixture->node;
    assert_int_equal(uv_loop_init(&fixture->loop.uv), 0);
    buf_init(&fixture->want, 64 << 20);
    gather_init(&fixture->gather, &fixture->loop, on_written);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct gather_fixture *fixture = *state;

    gather_fini(&fixture->gather);
    gather_fini(&fixture->gather); /* safe twice */
    assert_int_equal(uv_loop_close(&fixture->loop.uv), 0);
    assert_int_equal(fixture->loop.under_way, 0);
    fixture_fini(&fixture->store);
    buf_fini(&fixture->want);
    free(fixture);
    return 0;
}

static void run(struct gather_fixture *fixture)
{
    while (gather_is_busy(&fixture->gather))
        uv_run(&fixture->loop.uv, UV_RUN_ONCE);
}

/* Items of all sizes, as many as make so many bytes. */
static void add_items(struct gather_fixture *fixture, size_t size)
{
    char item[5000];

    for (unsigned i = 0; fixture->want.size < size; i++) {
        size_t length = 1 + i * 37 % sizeof item;

        while (gather_is_full(&fixture->gather))
            uv_run(&fixture->loop.uv, UV_RUN_ONCE);
        memset(item, 'a' + (int)(i % 26), length);
        if (fixture->want.size > 0)
            buf_append(&fixture->want, ",", 1);
        buf_append(&fixture->want, item, length);
        gather_add(&fixture->gather, item, length);
        assert_true(fixture->gather.memory.size <= GATHER_MEMORY_MAX + GATHER_ITEM_MAX + 1);
    }
    run(fixture);
}

static void assert_is_what_was_added(struct gather_fixture *fixture)
{
    struct gather *gather = &fixture->gather;
    uint8_t *got = malloc(fixture->want.size);

    assert_int_equal(gather_end(gather), STATUS_OK);
    assert_int_equal(gather->file_size + gather->memory.size, fixture->want.size);
    if (gather->fd >= 0)
        assert_int_equal(disk_read(gather->fd, 0, got, (size_t)gather->file_size, true, NULL), STATUS_OK);
    memcpy(got + gather->file_size, gather->memory.data, gather->memory.size);
    assert_memory_equal(got, fixture->want.data, fixture->want.size);
    free(got);
}

static void a_short_answer_stays_in_memory(void **state)
{
    struct gather_fixture *fixture = *state;

    add_items(fixture, GATHER_MEMORY_MAX / 2);
    assert_is_what_was_added(fixture);
    assert_int_equal(fixture->gather.fd, -1);
    assert_int_equal(fixture->written, 0);
}

static uv_thread_t loop_thread;
static _Atomic unsigned writes;

static ssize_t pwritev_off_the_loop(int fd, const struct iovec *vec, int count, off_t offset)
{
    uv_thread_t self = uv_thread_self();

    if (uv_thread_equal(&self, &loop_thread))
        abort();
    atomic_fetch_add(&writes, 1);
    return disk_posix.pwritev(fd, vec, count, offset);
}

static int openat_off_the_loop(int dir_fd, const char *path, int flags, mode_t mode)
{
    uv_thread_t self = uv_thread_self();

    if (uv_thread_equal(&self, &loop_thread))
        abort();
    return disk_posix.openat(dir_fd, path, flags, mode);
}

static void a_long_one_goes_to_a_file_off_the_loop(void **state)
{
    struct gather_fixture *fixture = *state;
    struct disk_ops ops = disk_posix;

    ops.pwritev = pwritev_off_the_loop;
    ops.openat = openat_off_the_loop;
    loop_thread = uv_thread_self();
    disk_replace(&ops);
    add_items(fixture, 9 * GATHER_MEMORY_MAX);
    disk_replace(NULL);
    assert_is_what_was_added(fixture);
    assert_true(fixture->gather.file_size > 6 * GATHER_MEMORY_MAX);
    assert_int_equal(fixture->written, atomic_load(&writes));
}

static ssize_t pwritev_full(int fd, const struct iovec *vec, int count, off_t offset)
{
    if (offset == 0)
        return disk_posix.pwritev(fd, vec, count, offset);
    errno = ENOSPC;
    return -1;
}

/* The first write fits, the second does not. */
static void without_room_what_there_is_are_the_first_items(void **state)
{
    struct gather_fixture *fixture = *state;
    struct gather *gather = &fixture->gather;
    struct disk_ops ops = disk_posix;

    ops.pwritev = pwritev_full;
    disk_replace(&ops);
    add_items(fixture, 5 * GATHER_MEMORY_MAX);
    disk_replace(NULL);
    assert_int_equal(gather_end(gather), STATUS_FULL);
    assert_true(gather->err.text[0] != '\0');
    assert_true(gather->file_size > GATHER_MEMORY_MAX);
    assert_int_equal(gather->memory.size, 0);
    assert_int_equal(fixture->want.data[gather->file_size], ','); /* the last is whole */
}

static void an_item_too_large_is_left_out_whole(void **state)
{
    struct gather_fixture *fixture = *state;
    struct gather *gather = &fixture->gather;
    size_t size = 2 * GATHER_ITEM_MAX + 2;
    char *item = malloc(size);

    memset(item, 'x', size);
    gather_add(gather, "1", 1);
    gather_add(gather, item, size);
    gather_add(gather, "2", 1);
    free(item);
    assert_int_not_equal(gather_end(gather), STATUS_OK);
    assert_int_equal(gather->memory.size, 1);
}

static void an_item_that_could_not_be_made_fails_the_whole(void **state)
{
    struct gather_fixture *fixture = *state;

    gather_add(&fixture->gather, "1", 1);
    gather_fail(&fixture->gather, STATUS_NO_MEMORY);
    gather_add(&fixture->gather, "3", 1);
    assert_int_equal(gather_end(&fixture->gather), STATUS_NO_MEMORY);
    assert_int_equal(fixture->gather.memory.size, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_short_answer_stays_in_memory),
        TEST(a_long_one_goes_to_a_file_off_the_loop),
        TEST(without_room_what_there_is_are_the_first_items),
        TEST(an_item_too_large_is_left_out_whole),
        TEST(an_item_that_could_not_be_made_fails_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
