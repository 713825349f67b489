/* test_store_direct.c: writes around the page cache on a real file system, beside readers and a scrub, on a disk that cuts
 * them short, refuses them and fills up: what was acknowledged is read whole by everybody, now and after a restart. */
#include "storaged/store/disk.h"
#include "tests/lib/store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    READERS = 2,
    ROUNDS = 60,
    BATCH = 6,
    MESSAGES = ROUNDS * BATCH,
    SIZE_MAX_ = 60000,
    TAIL = 64 << 10
};

static _Atomic bool stop;
static _Atomic unsigned acknowledged; /* messages below are stored */
static _Atomic unsigned writes, hits; /* of pwritev, and those that were played with */
static _Atomic bool playing;

/* Off a page's border as often as on it. */
static size_t size_of(uint64_t number)
{
    return number % 5 == 0 ? 4096 * (1 + number % 9) : 100 + (number * 7919) % SIZE_MAX_;
}

/* Shorter, refused, or out of room; each of them now and then, whichever way the bytes go. */
static ssize_t pwritev_played(int fd, const struct iovec *vec, int count, off_t offset)
{
    unsigned n = atomic_fetch_add(&writes, 1);
    bool direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
    struct iovec first = vec[0];

    if (!atomic_load(&playing) || n % 3 != 0)
        return disk_posix.pwritev(fd, vec, count, offset);
    atomic_fetch_add(&hits, direct);
    if (n % 7 == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (direct && n % 11 == 0) {
        errno = EINVAL;
        return -1;
    }
    if (direct)
        first.iov_len = (first.iov_len / 2 + 4095) / 4096 * 4096;
    else if (first.iov_len > 1)
        first.iov_len /= 2;
    return disk_posix.pwritev(fd, &first, 1, offset);
}

struct reader {
    struct store_fixture *fixture;
    uv_thread_t thread;
    uint8_t *want, *got;
    _Atomic unsigned read;
    unsigned wrong;
};

/* The message, then the file's last bytes at once: what the page cache brings beside them is what the writer writes next. */
static void read_one(struct reader *reader, const struct run_key *run, uint64_t number)
{
    struct store *store = reader->fixture->store;
    size_t size = size_of(number);
    struct store_place place;
    struct store_file *file;
    struct digest digest;

    fixture_message(number, size, reader->want);
    digest_of(reader->want, size, &digest);
    if (store_find(store, run, &digest, true, &place, NULL) != STATUS_OK ||
        store_file_open(store, run, place.shard, place.birth, &file, NULL) != STATUS_OK) {
        reader->wrong++;
        return;
    }
    uint64_t end = store_file_size(file);
    bool is_right = pread(store_file_fd(file), reader->got, size, (off_t)place.offset) == (ssize_t)size &&
                    memcmp(reader->want, reader->got, size) == 0;
    reader->read++;
    reader->wrong += !is_right;
    uint64_t begin = end > TAIL ? end - TAIL : 0;
    reader->wrong += pread(store_file_fd(file), reader->got, end - begin, (off_t)begin) !=
                     (ssize_t)(end - begin);
    /* The last message of the file ends with its trailer. */
    reader->wrong += memcmp(reader->got + (end - begin) - 4, "7777", 4) != 0;
    store_file_release(file);
}

static void reader_main(void *data)
{
    struct reader *reader = data;
    struct run_key run = fixture_run(0);

    for (uint64_t number = 0; !atomic_load(&stop); number++) {
        unsigned known = atomic_load(&acknowledged);

        if (known > 0) /* the newest more often than others */
            read_one(reader, &run, number % 2 == 0 ? known - 1 - number % BATCH : number % known);
    }
}

/* A batch, again until each has its place: what found no room left nothing behind. */
static void put_batch(struct store_fixture *fixture, const struct run_key *run, uint64_t first)
{
    struct fixture_append *appends[BATCH];
    bool again = true;

    while (again) {
        again = false;
        for (unsigned i = 0; i < BATCH; i++) {
            appends[i] = fixture_append_new(fixture, run, first + i, size_of(first + i));
            store_append(fixture->store, &appends[i]->append);
        }
        for (unsigned i = 0; i < BATCH; i++) {
            fixture_wait(fixture, &appends[i]->is_done);
            assert_true(appends[i]->status == STATUS_OK || appends[i]->status == STATUS_FULL);
            again |= appends[i]->status == STATUS_FULL;
            fixture_append_free(appends[i]);
        }
    }
    atomic_store(&acknowledged, (unsigned)first + BATCH);
}

static void all_is_read_whole_beside_writes_around_the_page_cache(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct reader readers[READERS] = { 0 };
    struct disk_ops ops = disk_posix;
    struct store_scrub_info info;

    ops.pwritev = pwritev_played;
    disk_replace(&ops);
    fixture->options.direct_size = 8192;
    fixture_open(fixture);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].fixture = fixture;
        readers[i].want = malloc(SIZE_MAX_ + TAIL);
        readers[i].got = malloc(SIZE_MAX_ + TAIL);
        assert_int_equal(uv_thread_create(&readers[i].thread, reader_main, &readers[i]), 0);
    }
    for (uint64_t i = 0; i < ROUNDS; i++) {
        atomic_store(&playing, i % 4 != 0);
        if (i % 8 == 0)
            store_scrub(fixture->store, 0);
        put_batch(fixture, &run, i * BATCH);
        for (unsigned reader = 0; reader < READERS; reader++)
            while (atomic_load(&readers[reader].read) == 0)
                uv_sleep(1); /* else all might be over before it has its turn */
    }
    atomic_store(&playing, false);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        uv_thread_join(&readers[i].thread);
        assert_true(readers[i].read > 0);
        assert_int_equal(readers[i].wrong, 0);
        free(readers[i].want);
        free(readers[i].got);
    }
    store_scrub(fixture->store, 0);
    do {
        uv_sleep(1); /* a thread of its own: it tells nobody */
        store_scrub_status(fixture->store, &info);
    } while (info.is_asked || info.is_running);
    assert_int_equal(info.findings_total, 0);
    assert_int_equal(info.last.messages, MESSAGES);
    if (atomic_load(&hits) == 0)
        print_message("no writes around the page cache here\n");
    fixture_close(fixture);
    disk_replace(NULL);
    fixture_open(fixture);
    for (uint64_t i = 0; i < MESSAGES; i++)
        assert_true(fixture_has(fixture, &run, i, size_of(i)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_is_read_whole_beside_writes_around_the_page_cache,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
