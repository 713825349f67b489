/* test_data_file.c: what storaged/store/data_file.h and unlink.h promise of files and their holders. */
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"
#include "storaged/store/unlink.h"
#include "tests/lib/store_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct file_fixture {
    char dir[64];
    int dir_fd, purged_fd;
    struct unlinker unlinker;
    struct file_cache cache;
};

static int setup(void **state)
{
    struct file_fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->dir, "/tmp/gribstore-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    fixture->dir_fd = open(fixture->dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(fixture->dir_fd, "purged", 0700), 0);
    fixture->purged_fd = openat(fixture->dir_fd, "purged", O_RDONLY | O_DIRECTORY);
    assert_int_equal(unlinker_start(&fixture->unlinker, fixture->purged_fd, NULL), STATUS_OK);
    file_cache_init(&fixture->cache, &fixture->unlinker);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct file_fixture *fixture = *state;

    unlinker_stop(&fixture->unlinker);
    file_cache_fini(&fixture->cache);
    close(fixture->purged_fd);
    close(fixture->dir_fd);
    fixture_remove_tree(fixture->dir);
    free(fixture);
    return 0;
}

/* A file of size bytes that nobody holds. */
static struct store_file *make_file(struct file_fixture *fixture, uint64_t birth, off_t size)
{
    struct store_file *file = data_file_new(&fixture->cache, 3, birth);

    assert_int_equal(data_file_make(file, fixture->dir_fd, NULL), STATUS_OK);
    assert_int_equal(ftruncate(store_file_fd(file), size), 0);
    data_file_release(file);
    return file;
}

static void names_are_read_as_they_are_written(void **state)
{
    static const char *const others[] = {
        "",
        "journal",
        "3-00000000000000ff.grib",
        "0003-00000000000000ff",
        "0003-00000000000000FF.grib",
        "0003-0000000000000000.grib",
        "0003-00000000000000ff.grib2",
        "00003-00000000000000ff.grib",
        "0003-00000000000000ff.grib.damaged",
        "-00000000000000ff.grib",
        "99999-00000000000000ff.grib",
    };
    char name[DATA_FILE_NAME_SIZE];
    unsigned shard;
    uint64_t birth;

    (void)state;
    data_file_name(3, 255, name);
    assert_string_equal(name, "0003-00000000000000ff.grib");
    assert_true(data_file_parse_name(name, &shard, &birth));
    assert_int_equal(shard, 3);
    assert_int_equal(birth, 255);
    data_file_name(16383, UINT64_MAX, name);
    assert_true(data_file_parse_name(name, &shard, &birth));
    assert_int_equal(shard, 16383);
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        assert_false(data_file_parse_name(others[i], &shard, &birth));
}

static void a_file_is_made_once(void **state)
{
    struct file_fixture *fixture = *state;
    struct store_file *file = make_file(fixture, 7, 0);
    struct store_file *twin = data_file_new(&fixture->cache, 3, 7);

    assert_int_equal(data_file_make(twin, fixture->dir_fd, NULL), STATUS_EXISTS);
    data_file_unref(twin);
    data_file_unref(file);
}

static void a_descriptor_rests_for_the_next_holder(void **state)
{
    struct file_fixture *fixture = *state;
    struct store_file *file = make_file(fixture, 7, 10);
    int fd = store_file_fd(file);

    assert_true(fd >= 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(data_file_hold(file, fixture->dir_fd, NULL), STATUS_OK);
    assert_int_equal(store_file_fd(file), fd);
    data_file_unref(file); /* the run is gone, its readers are not */
    for (int i = 0; i < 3; i++)
        data_file_release(file);
}

static void only_so_many_descriptors_rest(void **state)
{
    enum { MORE = FILE_CACHE_IDLE_MAX + 20 };
    struct file_fixture *fixture = *state;
    struct store_file *files[MORE];
    unsigned open_count = 0;

    for (unsigned i = 0; i < MORE; i++)
        files[i] = make_file(fixture, 1 + i, 0);
    for (unsigned i = 0; i < MORE; i++)
        open_count += store_file_fd(files[i]) >= 0;
    assert_int_equal(open_count, FILE_CACHE_IDLE_MAX);
    assert_int_equal(store_file_fd(files[0]), -1); /* the longest idle */
    assert_int_equal(data_file_hold(files[0], fixture->dir_fd, NULL), STATUS_OK);
    assert_true(store_file_fd(files[0]) >= 0);
    data_file_release(files[0]);
    for (unsigned i = 0; i < MORE; i++)
        data_file_unref(files[i]);
}

static void a_missing_file_is_not_found(void **state)
{
    struct file_fixture *fixture = *state;
    struct store_file *file = data_file_new(&fixture->cache, 3, 7);

    assert_int_equal(data_file_hold(file, fixture->dir_fd, NULL), STATUS_NOT_FOUND);
    data_file_unref(file);
}

static void damage_is_what_touches_a_bad_range(void **state)
{
    struct file_fixture *fixture = *state;
    struct store_file *file = make_file(fixture, 7, 1000);

    assert_false(store_file_damaged(file, 0, 1000));
    data_file_add_damage(file, 100, 50);
    data_file_add_damage(file, 500, 1);
    assert_true(store_file_damaged(file, 0, 1000));
    assert_true(store_file_damaged(file, 149, 1));
    assert_true(store_file_damaged(file, 499, 2));
    assert_false(store_file_damaged(file, 0, 100));
    assert_false(store_file_damaged(file, 150, 350));
    assert_false(store_file_damaged(file, 501, 499));
    assert_false(store_file_damaged(file, 120, 0));
    data_file_unref(file);
}

/* Purged while one reads it: its name goes at once, its bytes when the reader has left, in steps. */
static void a_purged_file_is_whole_until_its_last_reader_leaves(void **state)
{
    struct file_fixture *fixture = *state;
    off_t size = 5 * (off_t)UNLINK_STEP_SIZE + 77;
    struct store_file *file = make_file(fixture, 7, size);
    struct stat stat_;
    char name[DATA_FILE_NAME_SIZE], purged[64];

    assert_int_equal(data_file_hold(file, fixture->dir_fd, NULL), STATUS_OK);
    int watcher = dup(store_file_fd(file));
    data_file_purge(file);
    assert_int_equal(data_file_hold(file, fixture->dir_fd, NULL), STATUS_PURGED);
    data_file_name(3, 7, name);
    snprintf(purged, sizeof purged, "hres-20130408T0000Z@%s", name);
    assert_int_equal(renameat(fixture->dir_fd, name, fixture->purged_fd, purged), 0);
    unlinker_add(&fixture->unlinker, purged);
    do
        assert_int_equal(fstat(watcher, &stat_), 0);
    while (stat_.st_nlink > 0);
    assert_int_equal(stat_.st_size, size);
    data_file_unref(file);
    data_file_release(file);
    do
        assert_int_equal(fstat(watcher, &stat_), 0);
    while (stat_.st_size > (off_t)UNLINK_STEP_SIZE);
    close(watcher);
}

static void what_an_earlier_process_left_goes_away(void **state)
{
    struct file_fixture *fixture = *state;
    struct stat stat_;

    unlinker_stop(&fixture->unlinker);
    assert_int_equal(mkdirat(fixture->purged_fd, "hres-20130408T0000Z-77", 0700), 0);
    int fd = openat(fixture->purged_fd, "hres-20130408T0000Z-77/journal", O_CREAT | O_WRONLY, 0600);
    close(fd);
    fd = openat(fixture->purged_fd, "hres-20130408T0000Z@0001-0000000000000001.grib",
                O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(unlinker_start(&fixture->unlinker, fixture->purged_fd, NULL), STATUS_OK);
    while (fstatat(fixture->purged_fd, "hres-20130408T0000Z-77", &stat_, 0) == 0 ||
           fstatat(fixture->purged_fd, "hres-20130408T0000Z@0001-0000000000000001.grib", &stat_, 0) == 0)
        uv_sleep(1); /* the unlinker tells nobody */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_read_as_they_are_written),
        TEST(a_file_is_made_once),
        TEST(a_descriptor_rests_for_the_next_holder),
        TEST(only_so_many_descriptors_rest),
        TEST(a_missing_file_is_not_found),
        TEST(damage_is_what_touches_a_bad_range),
        TEST(a_purged_file_is_whole_until_its_last_reader_leaves),
        TEST(what_an_earlier_process_left_goes_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
