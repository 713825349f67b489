/* store_fixture.c: a store, its loop and its directory for tests. */
#include "tests/lib/store_fixture.h"

#include "proto/base/clock.h"

#include <assert.h>
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fixture_init(struct store_fixture *fixture)
{
    const char *tmp = getenv("GRIBSTORE_TEST_DIR");

    if (tmp == NULL) /* in memory where that can be had: thousands of stores are made */
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    *fixture = (struct store_fixture){ 0 };
    snprintf(fixture->dir, sizeof fixture->dir, "%s/gribstore-test-XXXXXX", tmp);
    if (mkdtemp(fixture->dir) == NULL)
        abort();
    fixture->options = (struct store_options){
        .shards = FIXTURE_SHARDS,
        .batch_count_max = 64,
        .flush_threads = 2,
    };
    uv_loop_init(&fixture->loop);
}

static int fixture_remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void fixture_remove_tree(const char *path)
{
    nftw(path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_fini(struct store_fixture *fixture)
{
    fixture_close(fixture);
    int busy = uv_loop_close(&fixture->loop);
    assert(busy == 0);
    (void)busy;
    fixture_remove_tree(fixture->dir);
}

int fixture_setup(void **state)
{
    struct store_fixture *fixture = malloc(sizeof *fixture);

    if (fixture == NULL)
        abort();
    fixture_init(fixture);
    *state = fixture;
    return 0;
}

int fixture_setup_open(void **state)
{
    fixture_setup(state);
    fixture_open(*state);
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

static void fixture_on_change(struct store_port *port)
{
    container_of(port, struct store_fixture, port)->changes++;
}

enum status fixture_try_open(struct store_fixture *fixture, struct error *err)
{
    fixture->options.dir = fixture->dir;
    enum status status = store_open(&fixture->options, &fixture->store, err);
    if (status != STATUS_OK) {
        fixture->store = NULL;
        return status;
    }
    fixture->port = (struct store_port){ .on_change = fixture_on_change };
    return store_port_open(&fixture->port, fixture->store, &fixture->loop, err);
}

void fixture_open(struct store_fixture *fixture)
{
    struct error err = { 0 };

    if (fixture_try_open(fixture, &err) != STATUS_OK) {
        fprintf(stderr, "open: %s\n", err.text);
        abort();
    }
}

void fixture_close(struct store_fixture *fixture)
{
    if (fixture->store == NULL)
        return;
    store_port_close(&fixture->port, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    store_close(fixture->store);
    fixture->store = NULL;
}

struct run_key fixture_run(int hours)
{
    struct run_key run = { .source = "hres" };

    run.base_time = INT64_C(1365379200) + hours * 3600;
    return run;
}

void fixture_message(uint64_t number, size_t size, uint8_t *bytes)
{
    static const uint8_t head[8] = "GRIB\0\0\0\2";

    assert(size >= 20);
    memcpy(bytes, head, sizeof head);
    put_u64(bytes + 8, size);
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 16; i < size - 4; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state & 0x3f); /* never an upper-case letter: no GRIB within */
    }
    memcpy(bytes + size - 4, "7777", 4);
}

void fixture_digest(uint64_t number, size_t size, struct digest *digest)
{
    uint8_t *bytes = malloc(size);

    fixture_message(number, size, bytes);
    digest_of(bytes, size, digest);
    free(bytes);
}

static void fixture_on_appended(struct append *append, enum status status)
{
    struct fixture_append *mine = container_of(append, struct fixture_append, append);

    assert(!mine->is_done);
    mine->is_done = true;
    mine->status = status;
}

struct fixture_append *fixture_append_new(struct store_fixture *fixture, const struct run_key *run,
                                          uint64_t number, size_t size)
{
    struct fixture_append *append = calloc(1, sizeof *append);

    append->bytes = malloc(size);
    append->number = number;
    fixture_message(number, size, append->bytes);
    append->append = (struct append){
        .run = *run,
        .data = slice_of(append->bytes, size),
        .fd = -1,
        .length = size,
        .stored_at_us = store_stamp(fixture->store, 1),
        .port = &fixture->port,
        .on_done = fixture_on_appended,
    };
    digest_of(append->bytes, size, &append->append.digest);
    return append;
}

void fixture_append_free(struct fixture_append *append)
{
    free(append->bytes);
    free(append);
}

void fixture_wait(struct store_fixture *fixture, const bool *is_done)
{
    while (!*is_done)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

enum status fixture_put(struct store_fixture *fixture, const struct run_key *run, uint64_t number,
                        size_t size, struct store_place *place)
{
    struct fixture_append *append = fixture_append_new(fixture, run, number, size);

    store_append(fixture->store, &append->append);
    fixture_wait(fixture, &append->is_done);
    enum status status = append->status;
    if (place != NULL)
        *place = append->append.place;
    fixture_append_free(append);
    return status;
}

void fixture_fill(struct store_fixture *fixture, const struct run_key *run, unsigned count,
                  size_t size, struct store_place *places)
{
    for (unsigned i = 0; i < count; i++) {
        enum status status = fixture_put(fixture, run, i, size, &places[i]);

        assert(status == STATUS_OK);
        (void)status;
    }
}

struct fixture_change {
    struct run_change change;
    bool is_done;
    enum status status;
};

static void fixture_on_changed(struct run_change *change, enum status status)
{
    struct fixture_change *mine = container_of(change, struct fixture_change, change);

    mine->is_done = true;
    mine->status = status;
}

static enum status fixture_do_change(struct store_fixture *fixture, const struct run_key *run,
                                     struct run_info info,
                                     void (*start)(struct store *, struct run_change *))
{
    struct fixture_change change = {
        .change = {
            .run = *run,
            .info = info,
            .port = &fixture->port,
            .on_done = fixture_on_changed,
        },
    };

    start(fixture->store, &change.change);
    fixture_wait(fixture, &change.is_done);
    return change.status;
}

enum status fixture_tell(struct store_fixture *fixture, const struct run_key *run,
                         uint64_t incarnation, uint64_t version, enum run_state state)
{
    struct run_info info = { .incarnation = incarnation, .version = version, .state = state };

    return fixture_do_change(fixture, run, info, store_run_tell);
}

enum status fixture_purge(struct store_fixture *fixture, const struct run_key *run,
                          uint64_t incarnation, uint64_t version)
{
    struct run_info info = {
        .incarnation = incarnation,
        .version = version,
        .state = RUN_RETIRED,
    };

    return fixture_do_change(fixture, run, info, store_run_purge);
}

struct fixture_drop {
    struct store_drop drop;
    struct store_drop_file file;
    bool is_done;
    enum status status;
};

static void fixture_on_dropped(struct store_drop *drop, enum status status)
{
    struct fixture_drop *mine = container_of(drop, struct fixture_drop, drop);

    mine->is_done = true;
    mine->status = status;
}

enum status fixture_give_up(struct store_fixture *fixture, const struct run_key *run,
                            const struct store_place *place,
                            void (*step)(struct store *, struct store_drop *), struct store_drop *drop)
{
    struct fixture_drop mine = {
        .file = { .shard = place->shard, .birth = place->birth },
        .drop = {
            .run = *run,
            .files = &mine.file,
            .count = 1,
            .deadline_us = clock_monotonic_us() + 60000000,
            .port = &fixture->port,
            .on_done = fixture_on_dropped,
        },
    };

    step(fixture->store, &mine.drop);
    fixture_wait(fixture, &mine.is_done);
    if (drop != NULL)
        *drop = mine.drop;
    return mine.status == STATUS_OK ? mine.file.status : mine.status;
}

bool fixture_has(struct store_fixture *fixture, const struct run_key *run, uint64_t number, size_t size)
{
    struct store_place place;
    struct store_file *file;
    struct digest digest;
    uint8_t *want = malloc(size), *got = malloc(size);
    bool has = false;

    fixture_message(number, size, want);
    digest_of(want, size, &digest);
    if (store_find(fixture->store, run, &digest, true, &place, NULL) == STATUS_OK && place.length == size &&
        store_file_open(fixture->store, run, place.shard, place.birth, &file, NULL) == STATUS_OK) {
        has = place.offset + size <= store_file_size(file) &&
              pread(store_file_fd(file), got, size, (off_t)place.offset) == (ssize_t)size &&
              memcmp(want, got, size) == 0;
        store_file_release(file);
    }
    free(want);
    free(got);
    return has;
}

static bool fixture_dir_is_empty(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    if (dir == NULL)
        return true;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.' || (entry->d_name[1] != '.' && entry->d_name[1] != '\0');
    closedir(dir);
    return count == 0;
}

void fixture_wait_purged(struct store_fixture *fixture)
{
    char path[FIXTURE_PATH_SIZE + 16];

    snprintf(path, sizeof path, "%s/purged", fixture->dir);
    while (!fixture_dir_is_empty(path))
        uv_sleep(1); /* the unlinker tells nobody */
}
