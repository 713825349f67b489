/* test_run_state.c: changes of one run wait for each other, whoever asks for them and when. */
#include "catalog_file.h"
#include "indexer/run_state.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gribstore-run-state-XXXXXX";

struct fixture {
    uv_loop_t loop;
    struct indexer indexer;
    struct run_key run;
    unsigned told, chain; /* answers so far; how many more are asked for from within them */
    bool stopped;
};

static void on_stopped(struct indexer *indexer)
{
    container_of(indexer, struct fixture, indexer)->stopped = true;
}

/* Draining: what would follow a change (telling nodes, retirement) does not begin. */
static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    static unsigned number;
    char uri[128];

    assert_non_null(fixture);
    snprintf(uri, sizeof uri, "sqlite:%s/%u.sqlite", folder, number++);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->indexer.loop = &fixture->loop;
    fixture->indexer.draining = true;
    assert_int_equal(catalog_open(uri, &fixture->indexer.catalog, NULL), STATUS_OK);
    assert_int_equal(run_states_start(&fixture->indexer, NULL), STATUS_OK);
    fixture->run = (struct run_key){ .source = "hres", .base_time = 1357000000 };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    run_states_stop(&fixture->indexer, on_stopped);
    work_stop(&fixture->loop);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(fixture->stopped);
    catalog_close(fixture->indexer.catalog);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

static void see(struct fixture *fixture, uint64_t version);

static void on_known(void *data, enum status status)
{
    struct fixture *fixture = data;

    assert_int_equal(status, STATUS_OK);
    fixture->told++;
    if (fixture->chain == 0)
        return;
    fixture->chain--;
    see(fixture, 100 + fixture->told);
}

static void see(struct fixture *fixture, uint64_t version)
{
    struct run_info info = { .incarnation = 1, .version = version, .state = RUN_READY };

    run_state_seen(&fixture->indexer, "http://127.0.0.1:1", &fixture->run, &info, on_known, fixture);
}

static void run_until_told(struct fixture *fixture, unsigned count)
{
    while (fixture->told < count)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    uv_run(&fixture->loop, UV_RUN_NOWAIT); /* what came twice would come now */
    assert_int_equal(fixture->told, count);
}

static uint64_t stored_version(struct fixture *fixture)
{
    struct catalog_run run;

    assert_int_equal(catalog_run_get(fixture->indexer.catalog, &fixture->run, &run, NULL), STATUS_OK);
    return run.info.version;
}

static void a_change_asked_for_from_within_an_answer_is_made_once(void **state)
{
    struct fixture *fixture = *state;

    fixture->chain = 5;
    see(fixture, 1);
    run_until_told(fixture, 6);
    assert_int_equal(stored_version(fixture), 105);
}

static void changes_that_wait_are_made_in_the_order_they_came_with_those_of_answers_behind_them(void **state)
{
    struct fixture *fixture = *state;

    fixture->chain = 1;
    see(fixture, 1);
    see(fixture, 2);
    see(fixture, 3);
    run_until_told(fixture, 4);
    assert_int_equal(stored_version(fixture), 101);
}

static void on_changed(struct run_state_change *change, enum status status,
                       const struct catalog_run *run, const struct error *err)
{
    struct fixture *fixture = change->user;
    (void)run;
    (void)err;

    assert_int_equal(status, STATUS_OK);
    fixture->told++;
}

static void retire(struct fixture *fixture, struct run_state_change *change)
{
    *change = (struct run_state_change){
        .run = fixture->run, .to = RUN_RETIRED, .grace_ms = 1000, .on_done = on_changed, .user = fixture
    };
    run_state_change(&fixture->indexer, change);
}

/* Else it is told that it is done, and the run stays as the other indexer made it. */
static void what_another_indexer_undid_is_done_again_though_it_seems_done(void **state)
{
    struct fixture *fixture = *state;
    struct run_state_change change;
    struct catalog_run run;

    see(fixture, 1);
    run_until_told(fixture, 1);
    retire(fixture, &change);
    run_until_told(fixture, 2);
    assert_int_equal(catalog_run_get(fixture->indexer.catalog, &fixture->run, &run, NULL), STATUS_OK);
    assert_int_equal(run.info.state, RUN_RETIRED);
    retire(fixture, &change); /* it is so */
    run_until_told(fixture, 3);
    assert_int_equal(stored_version(fixture), 2);

    struct run_info was = run.info;
    run.info.state = RUN_READY;
    run.info.version++;
    assert_int_equal(catalog_run_put_before(fixture->indexer.catalog, &run, &was, UINT_MAX, NULL),
                     STATUS_OK);
    retire(fixture, &change);
    run_until_told(fixture, 4);
    assert_int_equal(catalog_run_get(fixture->indexer.catalog, &fixture->run, &run, NULL), STATUS_OK);
    assert_int_equal(run.info.state, RUN_RETIRED);
    assert_int_equal(run.info.version, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_asked_for_from_within_an_answer_is_made_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            changes_that_wait_are_made_in_the_order_they_came_with_those_of_answers_behind_them,
            setup, teardown),
        cmocka_unit_test_setup_teardown(what_another_indexer_undid_is_done_again_though_it_seems_done,
                                        setup, teardown),
    };

    if (mkdtemp(folder) == NULL)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (unsigned i = 0; i < ARRAY_COUNT(tests); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%u.sqlite", folder, i);
        catalog_file_remove(path);
    }
    return rmdir(folder) != 0 || failed != 0;
}
