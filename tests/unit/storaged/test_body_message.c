/* test_body_message.c: where a message's bytes go while it arrives, for every way of cutting them. */
#include "storaged/body_message.h"

#include "storaged/store/disk.h"
#include "storaged/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static struct store *store;
static struct body_budget budget;

static int setup(void **state)
{
    struct store_options options = { .dir = dir, .shards = 4 };
    struct error err;

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_body_message.XXXXXX");
    assert_non_null(mkdtemp(dir));
    error_init(&err);
    assert_int_equal(store_open(&options, &store, &err), STATUS_OK);
    body_budget_init(&budget, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    store_close(store);
    assert_int_equal(body_budget_used(&budget), 0);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void fill(uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 31 + i / 253);
}

/* Sends size bytes in pieces of cut, the frame knowing its size from the 16th byte on, or (unknown) never. */
static void send_all(struct body_message *message, const uint8_t *data, size_t size, size_t cut,
                     bool unknown)
{
    bool planned = false;

    for (size_t at = 0; at < size;) {
        struct slice bytes = slice_of(data + at, size - at < cut ? size - at : cut);
        uint64_t frame_size = !unknown && at + bytes.size >= BODY_HEAD_SIZE ? size : 0;
        at += bytes.size;
        if (!planned && !(planned = body_message_plan(message, frame_size, bytes)))
            continue;
        if (message->reserved == 0) {
            assert_true(body_budget_take(&budget, message->class, body_message_needs(message)));
            assert_int_equal(body_message_room(message, store, NULL), STATUS_OK);
        }
        while (bytes.size > 0) {
            size_t used = body_message_take(message, bytes);
            bytes = slice_of(bytes.data + used, bytes.size - used);
            if (bytes.size > 0)
                assert_int_equal(body_message_write(message, NULL), STATUS_OK);
        }
    }
    if (message->in_file) {
        assert_int_equal(body_message_write(message, NULL), STATUS_OK);
        body_message_give_chunk(message);
    }
}

static void check(struct body_message *message, const uint8_t *data, size_t size)
{
    uint8_t *back = malloc(size);

    assert_int_equal(message->size, size);
    assert_int_equal(body_message_read(message, 0, back, size, true, NULL), STATUS_OK);
    assert_memory_equal(back, data, size);
    assert_memory_equal(message->prefix, data,
                        size < sizeof message->prefix ? size : sizeof message->prefix);
    if (size > 10) {
        assert_int_equal(body_message_read(message, size - 10, back, 10, true, NULL), STATUS_OK);
        assert_memory_equal(back, data + size - 10, 10);
    }
    free(back);
}

static void every_cut_of_a_small_message_lies_in_memory(void **state)
{
    uint8_t data[200];

    (void)state;
    fill(data, sizeof data);
    for (size_t cut = 1; cut <= sizeof data; cut++) {
        struct body_message message;

        body_message_init(&message, &budget, BODY_INGEST);
        send_all(&message, data, sizeof data, cut, false);
        assert_false(message.in_file);
        assert_int_equal(body_budget_used(&budget), sizeof data + BODY_OVERHEAD);
        check(&message, data, sizeof data);
        body_message_fini(&message);
        body_message_fini(&message); /* safe twice */
    }
}

static void an_unknown_length_goes_to_a_file_through_one_chunk(void **state)
{
    static uint8_t data[3 * BODY_CHUNK_SIZE + 77];
    static const size_t cuts[] = { 1 << 10, 65536, BODY_CHUNK_SIZE, sizeof data };

    (void)state;
    fill(data, sizeof data);
    for (unsigned i = 0; i < ARRAY_COUNT(cuts); i++) {
        struct body_message message;

        body_message_init(&message, &budget, BODY_INGEST);
        send_all(&message, data, sizeof data, cuts[i], true);
        assert_true(message.in_file);
        assert_int_equal(body_budget_used(&budget), 0);
        check(&message, data, sizeof data);
        body_message_fini(&message);
    }
}

/* What a message promises lies on the disk twice until it is stored: unnamed, and in its data file. */
static void a_file_keeps_off_the_disks_reserve(void **state)
{
    struct store_stats stats;
    struct body_message message;
    uint8_t head[BODY_HEAD_SIZE] = { 0 };

    (void)state;
    store_stats(store, &stats);
    uint64_t room = stats.disk_free > stats.disk_reserved ? stats.disk_free - stats.disk_reserved : 0;
    body_message_init(&message, &budget, BODY_INGEST);
    assert_true(body_message_plan(&message, room / 2 + (64 << 20), slice_of(head, sizeof head)));
    assert_true(message.in_file);
    assert_true(body_budget_take(&budget, message.class, body_message_needs(&message)));
    assert_int_equal(body_message_room(&message, store, NULL), STATUS_OK);
    assert_int_equal(body_message_write(&message, NULL), STATUS_FULL);
    assert_int_equal(message.fd, -1);
    body_message_fini(&message);
}

/* One that does not say its length is looked at with each chunk. */
static void a_chunk_keeps_off_the_disks_reserve(void **state)
{
    struct store_options options = { .dir = dir, .shards = 4, .reserve_size = UINT64_MAX - 1 };
    static uint8_t data[BODY_CHUNK_SIZE];
    struct body_message message;

    (void)state;
    body_message_init(&message, &budget, BODY_INGEST);
    assert_true(body_message_plan(&message, 0, slice_of(data, sizeof data)));
    assert_true(body_budget_take(&budget, message.class, body_message_needs(&message)));
    assert_int_equal(body_message_room(&message, store, NULL), STATUS_OK);
    assert_int_equal(body_message_take(&message, slice_of(data, sizeof data)), sizeof data);
    store_close(store);
    assert_int_equal(store_open(&options, &store, NULL), STATUS_OK);
    message.store = store;
    assert_int_equal(body_message_write(&message, NULL), STATUS_FULL);
    assert_int_equal(message.file_size, 0);
    body_message_fini(&message);
}

static void what_is_larger_than_memory_may_hold_is_planned_into_a_file(void **state)
{
    static const uint8_t head[BODY_HEAD_SIZE];
    static const struct {
        uint64_t size;
        enum body_class class;
        bool in_file;
    } cases[] = {
        { 100, BODY_INGEST, false },
        { BODY_MEMORY_MAX, BODY_INGEST, false },
        { BODY_MEMORY_MAX + 1, BODY_INGEST, true },
        { (16 << 20) - BODY_OVERHEAD, BODY_REPLICA, false }, /* a quarter of the budget */
        { (16 << 20) - BODY_OVERHEAD + 1, BODY_REPLICA, true },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct body_message message;

        body_message_init(&message, &budget, cases[i].class);
        assert_true(body_message_plan(&message, cases[i].size, slice_of(head, sizeof head)));
        assert_int_equal(message.in_file, cases[i].in_file);
        assert_int_equal(body_message_needs(&message),
                         BODY_OVERHEAD + (cases[i].in_file ? BODY_CHUNK_SIZE : cases[i].size));
        body_message_fini(&message);
    }
}

static void one_left_half_way_gives_all_back(void **state)
{
    static const uint8_t head[BODY_HEAD_SIZE];
    struct body_message message;

    (void)state;
    body_message_init(&message, &budget, BODY_INGEST);
    assert_false(body_message_plan(&message, 0, slice_of(head, 4)));
    body_message_fini(&message);
    body_message_init(&message, &budget, BODY_INGEST);
    assert_true(body_message_plan(&message, 0, slice_of(head, sizeof head)));
    assert_true(body_budget_take(&budget, BODY_INGEST, body_message_needs(&message)));
    assert_int_equal(body_message_room(&message, store, NULL), STATUS_OK);
    assert_int_equal(message.fd, -1); /* its loop must not wait for a file to be made */
    assert_int_equal(body_message_write(&message, NULL), STATUS_OK);
    assert_true(message.fd >= 0);
    body_message_fini(&message);
    assert_int_equal(message.fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_of_a_small_message_lies_in_memory),
        cmocka_unit_test(an_unknown_length_goes_to_a_file_through_one_chunk),
        cmocka_unit_test(what_is_larger_than_memory_may_hold_is_planned_into_a_file),
        cmocka_unit_test(one_left_half_way_gives_all_back),
        cmocka_unit_test(a_file_keeps_off_the_disks_reserve),
        cmocka_unit_test(a_chunk_keeps_off_the_disks_reserve),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
