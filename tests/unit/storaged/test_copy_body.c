/* test_copy_body.c: the bytes of several messages as one body, while the page cache has them and when it has not. */
#include "storaged/node_loop.h"
#include "storaged/peers/copy_body.h"
#include "storaged/store/disk.h"

#include "proto/transfer/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 4, BODY_SIZE = 1000 + 700000 + 5 + 300000 };

static const size_t sizes[MESSAGES] = { 1000, 700000, 5, 300000 };

struct fixture {
    struct node_loop loop;
    struct list members;
    struct body_message messages[MESSAGES]; /* the second and the last in files */
    struct copy copies[MESSAGES];
    struct copy_body body;
    uint8_t *bytes, *got;
    size_t size;
    unsigned ready;
};

static struct disk_ops cold;
static bool fails;

/* A page cache that never has anything. */
static ssize_t cold_preadv2(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    if ((flags & RWF_NOWAIT) != 0) {
        errno = EAGAIN;
        return -1;
    }
    if (fails) {
        errno = EIO;
        return -1;
    }
    return preadv2(fd, vec, count, offset, flags);
}

static void on_ready(struct copy_body *body)
{
    container_of(body, struct fixture, body)->ready++;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    size_t at = 0;

    fixture->bytes = malloc(BODY_SIZE);
    fixture->got = malloc(BODY_SIZE);
    for (size_t i = 0; i < BODY_SIZE; i++)
        fixture->bytes[i] = (uint8_t)(i * 2654435761u >> 11);
    assert_int_equal(uv_loop_init(&fixture->loop.uv), 0);
    list_init(&fixture->members);
    for (unsigned i = 0; i < MESSAGES; at += sizes[i++]) {
        struct body_message *message = &fixture->messages[i];
        char name[] = "/tmp/gribstore-test-XXXXXX";

        *message = (struct body_message){ .fd = -1, .size = sizes[i], .data = fixture->bytes + at };
        fixture->copies[i].message = message;
        list_append(&fixture->members, &fixture->copies[i].list);
        if (i % 2 == 0)
            continue;
        message->in_file = true;
        message->data = NULL;
        message->fd = mkstemp(name);
        unlink(name);
        assert_int_equal(disk_write(message->fd, 0, fixture->bytes + at, sizes[i], NULL), STATUS_OK);
    }
    copy_body_init(&fixture->body, &fixture->loop, &fixture->members, on_ready);
    copy_body_rewind(&fixture->body);
    fails = false;
    *state = fixture;
    return 0;
}

static int setup_cold(void **state)
{
    cold = disk_posix;
    cold.preadv2 = cold_preadv2;
    disk_replace(&cold);
    return setup(state);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    copy_body_fini(&fixture->body);
    for (unsigned i = 1; i < MESSAGES; i += 2)
        close(fixture->messages[i].fd);
    fixture->loop.drained = fixture->loop.closing = true;
    uv_run(&fixture->loop.uv, UV_RUN_DEFAULT);
    assert_int_equal(fixture->loop.under_way, 0);
    assert_int_equal(uv_loop_close(&fixture->loop.uv), 0);
    disk_replace(NULL);
    free(fixture->bytes);
    free(fixture->got);
    free(fixture);
    return 0;
}

/* Reads in pieces of at most so many until the end, a failure, or size bytes; how many waits it took, or -1. */
static int read_some(struct fixture *fixture, size_t piece, size_t size)
{
    int waits = 0;

    while (fixture->size < size) {
        size_t room = BODY_SIZE - fixture->size < piece ? BODY_SIZE - fixture->size : piece;
        int64_t got = copy_body_read(&fixture->body, fixture->got + fixture->size, room);

        if (got == 0 || got == -1)
            return got == 0 ? waits : -1;
        if (got != TRANSFER_BODY_LATER) {
            assert_true(got > 0 && (size_t)got <= room);
            fixture->size += (size_t)got;
            continue;
        }
        waits++;
        for (unsigned before = fixture->ready; fixture->ready == before;)
            uv_run(&fixture->loop.uv, UV_RUN_ONCE);
    }
    return waits;
}

static void check_all(struct fixture *fixture)
{
    uint8_t more;

    assert_int_equal(fixture->size, BODY_SIZE);
    assert_memory_equal(fixture->got, fixture->bytes, BODY_SIZE);
    assert_int_equal(copy_body_read(&fixture->body, &more, 1), 0);
}

static void what_the_page_cache_has_is_taken_at_once(void **state)
{
    struct fixture *fixture = *state;

    assert_true(read_some(fixture, 70001, BODY_SIZE) >= 0);
    check_all(fixture);
}

static void what_it_has_not_is_read_on_the_pool_chunk_by_chunk(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(read_some(fixture, 70001, BODY_SIZE), 3 + 2);
    check_all(fixture);
}

static void a_rewound_body_begins_anew_while_a_chunk_is_read(void **state)
{
    struct fixture *fixture = *state;

    assert_true(read_some(fixture, 5000, 400000) > 0);
    while (copy_body_read(&fixture->body, fixture->got, 5000) != TRANSFER_BODY_LATER)
        ;
    assert_true(fixture->body.reading);
    copy_body_rewind(&fixture->body);
    fixture->size = 0;
    assert_true(read_some(fixture, 100000, BODY_SIZE) > 0);
    check_all(fixture);
}

static void a_file_that_cant_be_read_fails_the_body(void **state)
{
    struct fixture *fixture = *state;

    fails = true;
    assert_int_equal(read_some(fixture, 70001, BODY_SIZE), -1);
    assert_int_equal(fixture->size, sizes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_page_cache_has_is_taken_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(what_it_has_not_is_read_on_the_pool_chunk_by_chunk,
                                        setup_cold, teardown),
        cmocka_unit_test_setup_teardown(a_rewound_body_begins_anew_while_a_chunk_is_read,
                                        setup_cold, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cant_be_read_fails_the_body, setup_cold, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
