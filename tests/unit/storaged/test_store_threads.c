/* test_store_threads.c: readers on other threads see whole messages or none, while one appends and purges. */
#include "tests/lib/store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { READERS = 2, MESSAGES = 600, SIZE = 300 };

struct reader {
    struct store_fixture *fixture;
    uv_thread_t thread;
    _Atomic unsigned read;
    unsigned missed, wrong;
};

static _Atomic bool stop;
static _Atomic unsigned acknowledged; /* messages below are in run 1 */
static _Atomic bool is_purged;        /* run 0 was here and is gone */

/* A message that was found is read through its file: right, unless the run went meanwhile. */
static void read_one(struct reader *reader, const struct run_key *run, uint64_t number)
{
    struct store *store = reader->fixture->store;
    uint8_t want[SIZE], got[SIZE];
    struct store_place place;
    struct store_file *file;
    struct digest digest;

    fixture_message(number, SIZE, want);
    digest_of(want, SIZE, &digest);
    if (store_find(store, run, &digest, true, &place, NULL) != STATUS_OK ||
        store_file_open(store, run, place.shard, place.birth, &file, NULL) != STATUS_OK) {
        reader->missed++;
        return;
    }
    bool is_right = place.offset + place.length <= store_file_size(file) &&
                    pread(store_file_fd(file), got, SIZE, (off_t)place.offset) == SIZE &&
                    memcmp(want, got, SIZE) == 0;
    reader->read += is_right;
    reader->wrong += !is_right;
    store_file_release(file);
}

/* Every record of the feed holds. */
static void read_feed(struct reader *reader, const struct run_key *run)
{
    struct store_run_info info;
    struct buf records;
    uint64_t total;

    if (store_run_get(reader->fixture->store, run, &info) != STATUS_OK)
        return;
    buf_init(&records, 1 << 20);
    if (store_journal_read(reader->fixture->store, run, info.journal_id, 0, false, 0, 10000,
                           &records, &total, NULL) == STATUS_OK)
        for (uint64_t i = 0; i < records.size / JOURNAL_RECORD_SIZE; i++) {
            struct journal_record record;

            reader->wrong += journal_record_decode(records.data + i * JOURNAL_RECORD_SIZE,
                                                   info.journal_id, i, &record, NULL) != STATUS_OK;
        }
    buf_fini(&records);
    store_run_info_fini(&info);
}

static void reader_main(void *data)
{
    struct reader *reader = data;
    struct run_key gone = fixture_run(0), stays = fixture_run(1);
    uint64_t number = 0;

    while (!atomic_load(&stop)) {
        bool was_purged = atomic_load(&is_purged);
        unsigned known = atomic_load(&acknowledged);
        unsigned read = reader->read;

        if (known > 0) {
            unsigned missed = reader->missed;
            read_one(reader, &stays, number++ % known);
            reader->wrong += reader->missed != missed; /* it was acknowledged */
            read = reader->read;
        }
        read_one(reader, &gone, number % MESSAGES);
        reader->wrong += was_purged && reader->read != read;
        if (number % 16 == 0)
            read_feed(reader, &stays);
    }
}

static void readers_see_whole_messages_or_none(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key gone = fixture_run(0), stays = fixture_run(1);
    struct reader readers[READERS] = { 0 };

    for (uint64_t i = 0; i < MESSAGES; i += 3)
        assert_int_equal(fixture_put(fixture, &gone, i, SIZE, NULL), STATUS_OK);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].fixture = fixture;
        assert_int_equal(uv_thread_create(&readers[i].thread, reader_main, &readers[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++)
        while (atomic_load(&readers[i].read) == 0)
            uv_sleep(1); /* else all might be over before it has its turn */
    for (uint64_t i = 0; i < MESSAGES; i++) {
        assert_int_equal(fixture_put(fixture, &stays, i, SIZE, NULL), STATUS_OK);
        atomic_store(&acknowledged, (unsigned)i + 1);
        if (i == MESSAGES / 2) {
            assert_int_equal(fixture_tell(fixture, &gone, 1, 1, RUN_RETIRED), STATUS_OK);
            assert_int_equal(fixture_purge(fixture, &gone, 1, 1), STATUS_OK);
            atomic_store(&is_purged, true);
        }
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        uv_thread_join(&readers[i].thread);
        assert_int_equal(readers[i].wrong, 0);
        assert_true(readers[i].read > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_see_whole_messages_or_none, fixture_setup_open,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
