/* test_tail_debts.c: what a tail wrote before it ended without having looked at its cursor. */
#include "field_make.h"
#include "indexer/catalog/catalog_ops.h"
#include "indexer/tail_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { JOURNAL = 0x1234 };

static char folder[] = "/tmp/gribstore-debts-XXXXXX";
static struct run_key run;

struct fixture {
    uv_loop_t loop;
    struct indexer indexer;
    struct catalog_cursor was; /* stored, at record 100 */
    bool stopped;
};

/* --- a database that does not answer so many times --- */

static struct {
    const struct catalog_ops *ops;
    struct catalog_ops own;
    unsigned failures;
    atomic_uint calls; /* on threads of the pool */
} away;

static enum status away_read(struct catalog *catalog, enum catalog_table table,
                             const struct record_id *ids, size_t count, record_each *each,
                             void *data, struct error *err)
{
    if (atomic_fetch_add(&away.calls, 1) < away.failures)
        return error_set(err, STATUS_UNREACHABLE, "it is away");
    return away.ops->read(catalog, table, ids, count, each, data, err);
}

static void go_away(struct fixture *fixture, unsigned failures)
{
    away.ops = fixture->indexer.catalog->ops;
    away.own = *away.ops;
    away.own.read = away_read;
    away.failures = failures;
    atomic_store(&away.calls, 0);
    fixture->indexer.catalog->ops = &away.own;
}

/* --- the cursor --- */

static struct catalog_cursor make_cursor(uint64_t record)
{
    return (struct catalog_cursor){
        .node = "n1", .run = run, .journal_id = JOURNAL, .record = record, .check = 7, .complete = true
    };
}

static bool take_cursor(void *data, const struct catalog_cursor *cursor)
{
    *(struct catalog_cursor *)data = *cursor;
    return true;
}

static struct catalog_cursor stored_cursor(const struct fixture *fixture)
{
    struct catalog_cursor cursor = { .rev = 0 };
    struct error err;

    assert_int_equal(catalog_cursor_scan(fixture->indexer.catalog, "n1", take_cursor, &cursor, &err),
                     STATUS_OK);
    return cursor;
}

static void move_cursor(struct fixture *fixture, uint64_t record)
{
    struct catalog_cursor to = make_cursor(record), was = stored_cursor(fixture);

    assert_int_equal(catalog_cursor_put(fixture->indexer.catalog, &to, &was, NULL), STATUS_OK);
}

static void run_until_settled(struct fixture *fixture)
{
    while (!list_empty(&fixture->indexer.tails->debts))
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* --- a loop, a catalog, no tail --- */

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    static unsigned number;
    char uri[128];

    assert_non_null(fixture);
    snprintf(uri, sizeof uri, "sqlite:%s/%u.sqlite", folder, number++);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->indexer.loop = &fixture->loop;
    assert_int_equal(catalog_open(uri, &fixture->indexer.catalog, NULL), STATUS_OK);
    assert_int_equal(tails_start(&fixture->indexer, NULL), STATUS_OK);
    fixture->was = make_cursor(100);
    assert_int_equal(catalog_cursor_put(fixture->indexer.catalog, &fixture->was,
                                        &(struct catalog_cursor){ .rev = 0 }, NULL),
                     STATUS_OK);
    *state = fixture;
    return 0;
}

static void on_stopped(struct indexer *indexer)
{
    container_of(indexer, struct fixture, indexer)->stopped = true;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    if (!fixture->stopped)
        tails_stop(&fixture->indexer, on_stopped);
    work_stop(&fixture->loop);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(fixture->stopped);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    catalog_close(fixture->indexer.catalog);
    free(fixture);
    return 0;
}

/* --- cases --- */

static void a_cursor_that_others_moved_is_set_back(void **state)
{
    struct fixture *fixture = *state;

    move_cursor(fixture, 200);
    tail_debt_add(&fixture->indexer, &fixture->was, false);
    run_until_settled(fixture);
    struct catalog_cursor stored = stored_cursor(fixture);
    assert_int_equal(stored.record, 100);
    assert_false(stored.complete);
}

static void after_a_removal_by_list_all_is_read_again(void **state)
{
    struct fixture *fixture = *state;

    move_cursor(fixture, 200);
    tail_debt_add(&fixture->indexer, &fixture->was, true);
    run_until_settled(fixture);
    assert_int_equal(stored_cursor(fixture).record, 0);
}

static void a_cursor_that_nobody_moved_stays(void **state)
{
    struct fixture *fixture = *state;

    tail_debt_add(&fixture->indexer, &fixture->was, true);
    run_until_settled(fixture);
    assert_int_equal(stored_cursor(fixture).record, 100);
    assert_true(stored_cursor(fixture).complete);
}

static void it_is_looked_at_until_the_database_answers(void **state)
{
    struct fixture *fixture = *state;

    move_cursor(fixture, 200);
    go_away(fixture, 2);
    tail_debt_add(&fixture->indexer, &fixture->was, false);
    tail_debt_add(&fixture->indexer, &fixture->was, false); /* perhaps one that is under way is too old: one more */
    run_until_settled(fixture);
    fixture->indexer.catalog->ops = away.ops;
    assert_true(away.calls > 2);
    assert_int_equal(stored_cursor(fixture).record, 100);
}

static void who_stops_tries_once_and_goes(void **state)
{
    struct fixture *fixture = *state;

    move_cursor(fixture, 200);
    go_away(fixture, UINT32_MAX);
    tail_debt_add(&fixture->indexer, &fixture->was, false);
    while (away.calls == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    tails_stop(&fixture->indexer, on_stopped);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(fixture->stopped);
    fixture->indexer.catalog->ops = away.ops;
    assert_int_equal(stored_cursor(fixture).record, 200);
}

/* A reading that failed half way, once more, and then the tail ends. */
static void a_failed_reading_leaves_its_debt_to_the_run_and_the_run_to_the_tails(void **state)
{
    struct fixture *fixture = *state;
    struct tail *tail = calloc(1, sizeof *tail);

    assert_non_null(tail);
    tail->indexer = &fixture->indexer;
    snprintf(tail->id, sizeof tail->id, "n1");
    struct tail_run *at = tail_run_make(tail, &run);
    tail->reader.tail = tail;
    tail->reader.run = at;
    tail->reader.journal_id = JOURNAL;
    at->cursor = fixture->was;
    at->has_cursor = true;
    tail->reader.wrote = true;
    tail_run_owes(&tail->reader);
    assert_true(at->owes && !at->owes_whole);
    at->cursor.record = 150; /* as if it had got on meanwhile */
    tail->reader.whole = true;
    tail_run_owes(&tail->reader);
    assert_true(at->owes && at->owes_whole);
    assert_int_equal(at->owed.record, 100);

    move_cursor(fixture, 200);
    tail_run_free(tail, at);
    run_until_settled(fixture);
    assert_int_equal(stored_cursor(fixture).record, 0);

    at = tail_run_make(tail, &run);
    tail->reader.run = at;
    at->owes = true;
    tail->reader.wrote = false;
    tail_run_owes(&tail->reader); /* its cursor was written: nothing is owed */
    assert_false(at->owes);
    tail_run_free(tail, at);
    assert_true(list_empty(&fixture->indexer.tails->debts));
    free(tail);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(a_cursor_that_others_moved_is_set_back),
        CASE(after_a_removal_by_list_all_is_read_again),
        CASE(a_cursor_that_nobody_moved_stays),
        CASE(it_is_looked_at_until_the_database_answers),
        CASE(who_stops_tries_once_and_goes),
        CASE(a_failed_reading_leaves_its_debt_to_the_run_and_the_run_to_the_tails),
    };
#undef CASE
    char command[64];

    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    run = make_run("hres", "20130408T0000Z");
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return failed != 0 || system(command) != 0;
}
