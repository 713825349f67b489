/* test_open_files.c: what storaged/open_files.h promises of files found by path, with a real store under it. */
#include "storaged/open_files.h"
#include "storaged/store/data_file.h"
#include "tests/lib/store_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGE_SIZE = 100, PATHS = OPEN_FILES_SETS * OPEN_FILES_WAYS * 2 };

/* The data file of message `number` of a run, held. */
static struct store_file *file_of(struct store_fixture *fixture, const struct run_key *run,
                                  uint64_t number, uint64_t *birth)
{
    struct store_place place;
    struct store_file *file;

    assert_int_equal(fixture_put(fixture, run, number, MESSAGE_SIZE, &place), STATUS_OK);
    assert_int_equal(store_file_open(fixture->store, run, place.shard, place.birth, &file, NULL),
                     STATUS_OK);
    *birth = place.birth;
    return file;
}

static struct open_file *add(struct store_fixture *fixture, struct open_files *files,
                             const struct run_key *run, const char *path, uint64_t *birth)
{
    struct store_file *file = file_of(fixture, run, 1, birth);

    return open_files_add(files, slice_text(path), file, *birth);
}

static void check_entity(const struct open_file *file, uint64_t birth, uint64_t size)
{
    char etag[OPEN_FILES_ETAG_SIZE];

    snprintf(etag, sizeof etag, "\"%016llx-%llu\"", (unsigned long long)birth, (unsigned long long)size);
    assert_string_equal(file->entity.etag, etag);
    assert_int_equal(file->entity.size, size);
    assert_int_equal(file->entity.fields_size, strlen(file->entity.fields));
    assert_memory_equal(file->entity.fields, "ETag: ", 6);
    assert_memory_equal(file->entity.fields + 6, etag, strlen(etag));
}

static void what_was_opened_is_found_by_its_path_and_by_no_other(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct open_files files = { 0 };
    uint64_t birth;

    assert_null(open_files_find(&files, slice_text("/data/a")));
    struct store_file *held = file_of(fixture, &run, 1, &birth);
    struct open_file *file = open_files_add(&files, slice_text("/data/a"), held, birth);
    check_entity(file, birth, MESSAGE_SIZE);
    assert_ptr_equal(open_files_find(&files, slice_text("/data/a")), file);
    assert_ptr_equal(file->file, held);
    assert_null(open_files_find(&files, slice_text("/data/b")));
    assert_null(open_files_find(&files, slice_text("/data/")));
    open_files_release(file);
    open_files_release(file);
    assert_ptr_equal(open_files_find(&files, slice_text("/data/a")), file);
    open_files_release(file);
    open_files_clear(&files);
    assert_null(open_files_find(&files, slice_text("/data/a")));
}

/* Its ETag names its flushed size. */
static void a_file_that_grew_is_described_anew(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct open_files files = { 0 };
    struct store_place place;
    uint64_t birth, number = 1;

    struct open_file *file = add(fixture, &files, &run, "/data/a", &birth);
    open_files_release(file);
    do /* until a message comes into the same shard */
        assert_int_equal(fixture_put(fixture, &run, ++number, MESSAGE_SIZE, &place), STATUS_OK);
    while (place.birth != birth);
    assert_ptr_equal(open_files_find(&files, slice_text("/data/a")), file);
    check_entity(file, birth, 2 * MESSAGE_SIZE);
    open_files_release(file);
    open_files_clear(&files);
}

static void a_purged_file_is_not_found_and_let_go_of(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0), other = fixture_run(6);
    struct open_files files = { 0 };
    uint64_t birth, other_birth;

    struct open_file *read = add(fixture, &files, &run, "/data/read", &birth);
    struct open_file *idle = add(fixture, &files, &run, "/data/idle", &birth);
    struct open_file *stays = add(fixture, &files, &other, "/data/stays", &other_birth);
    open_files_release(idle);
    open_files_release(stays);
    assert_int_equal(fixture_tell(fixture, &run, 1, 5, RUN_RETIRED), STATUS_OK);
    assert_int_equal(fixture_purge(fixture, &run, 1, 5), STATUS_OK);
    assert_null(open_files_find(&files, slice_text("/data/read")));
    assert_int_equal(read->file->holders, 2); /* what is being read stays open, and here it was not yet asked for */
    open_files_sweep(&files, fixture->store);
    assert_int_equal(read->file->holders, 1);
    open_files_release(read);
    fixture_wait_purged(fixture);
    assert_ptr_equal(open_files_find(&files, slice_text("/data/stays")), stays);
    open_files_release(stays);
    open_files_clear(&files);
}

static void more_paths_than_places_push_out_those_not_asked_for(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct open_files files = { 0 };
    unsigned found = 0;
    uint64_t birth;
    char path[32];

    for (unsigned i = 0; i < PATHS; i++) {
        snprintf(path, sizeof path, "/data/%u", i);
        open_files_release(add(fixture, &files, &run, path, &birth));
        struct open_file *first = open_files_find(&files, slice_text("/data/0"));
        assert_non_null(first); /* it is asked for again and again */
        open_files_release(first);
    }
    for (unsigned i = 0; i < PATHS; i++) {
        snprintf(path, sizeof path, "/data/%u", i);
        struct open_file *file = open_files_find(&files, slice_text(path));
        if (file == NULL)
            continue;
        found++;
        open_files_release(file);
    }
    assert_true(found > PATHS / 4 && found <= PATHS / 2);
    open_files_clear(&files);
}

/* A request that outlives its place; a path too long to be kept. */
static void the_last_user_of_what_has_no_place_lets_it_go(void **state)
{
    struct store_fixture *fixture = *state;
    struct run_key run = fixture_run(0);
    struct open_files files = { 0 };
    static char path[OPEN_FILES_PATH_MAX + 2];
    uint64_t birth;

    struct open_file *file = add(fixture, &files, &run, "/data/a", &birth);
    struct store_file *held = file_of(fixture, &run, 1, &birth);
    open_files_clear(&files);
    assert_int_equal(held->holders, 2); /* this test, the request */
    open_files_release(file);
    assert_int_equal(held->holders, 1);
    memset(path, 'a', sizeof path - 1);
    file = open_files_add(&files, slice_text(path), held, birth);
    assert_null(open_files_find(&files, slice_text(path)));
    open_files_release(file);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_opened_is_found_by_its_path_and_by_no_other,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_grew_is_described_anew, fixture_setup_open,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_purged_file_is_not_found_and_let_go_of,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(more_paths_than_places_push_out_those_not_asked_for,
                                        fixture_setup_open, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_last_user_of_what_has_no_place_lets_it_go,
                                        fixture_setup_open, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
