/* test_catalog_plans.c: how SQLite looks up each form of a query: by which index, and how much it looks at. The statements are those that
 * the catalog prepares itself, seen by a trace of its connections. */
#include "catalog_suite.h"
#include "indexer/query.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIELDS = 600, PLAN_SIZE = 4096, SQL_SIZE = 8192 };

static char folder[] = "/tmp/gribstore-plans-XXXXXX";

/* Three runs of 600 fields: four parameters, five steps, 30 members. */
static const char *const plan_runs[][2] = { { "hres", "20130408T0000Z" },
                                            { "hres", "20130408T1200Z" },
                                            { "gfs", "20130408T0000Z" } };

/* --- what connections do --- */

/* The last query of fields that came to its end. */
static struct {
    char sql[SQL_SIZE];
    int steps, walked, sorts;
} seen;

static int on_trace(unsigned kind, void *context, void *statement, void *unused)
{
    const char *sql = sqlite3_sql(statement);

    (void)context;
    (void)unused;
    if (kind != SQLITE_TRACE_PROFILE || strstr(sql, "FROM fields") == NULL)
        return 0;
    assert_true(snprintf(seen.sql, sizeof seen.sql, "%s", sql) < (int)sizeof seen.sql);
    seen.steps = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    seen.walked = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
    seen.sorts = sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_SORT, 1);
    return 0;
}

/* Of every connection that is opened from now on. */
static int trace_connection(sqlite3 *db, const char **error, const void *unused)
{
    (void)error;
    (void)unused;
    return sqlite3_trace_v2(db, SQLITE_TRACE_PROFILE, on_trace, NULL);
}

/* What the planner says of the statement, a line a step. */
static void plan_of(const char *uri, const char *sql, char plan[PLAN_SIZE])
{
    char explain[SQL_SIZE + 32];
    sqlite3_stmt *statement;
    sqlite3 *db;
    size_t size = 0;

    snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_open(uri + strlen("sqlite:"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &statement, NULL), SQLITE_OK);
    plan[0] = '\0';
    while (sqlite3_step(statement) == SQLITE_ROW)
        size += (size_t)snprintf(plan + size, PLAN_SIZE - size, "%s\n",
                                 (const char *)sqlite3_column_text(statement, 3));
    assert_true(size > 0 && size < PLAN_SIZE);
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

/* --- queries as clients write them --- */

static void read_query(const char *text, struct query_request *request)
{
    char copy[1024], *rest = copy;
    struct error err;

    error_init(&err);
    query_init(request);
    snprintf(copy, sizeof copy, "%s", text);
    for (char *pair = strsep(&rest, "&"); pair != NULL; pair = strsep(&rest, "&")) {
        char *value = strchr(pair, '=');
        *value++ = '\0';
        if (query_add(request, slice_text(pair), slice_text(value), &err) != STATUS_OK)
            fail_msg("%s: %s", text, err.text);
    }
    assert_int_equal(query_finish(request, &err), STATUS_OK);
    if (request->query.all || request->whole)
        request->query.limit = 0;
}

static bool count_row(void *data, const struct catalog_row *row)
{
    (void)row;
    ++*(size_t *)data;
    return true;
}

static size_t ask(struct catalog *catalog, const struct query_request *request)
{
    size_t given = 0;
    struct catalog_rows rows = { .text = true, .each = count_row, .data = &given };
    uint64_t count;

    seen.sql[0] = '\0';
    if (request->count) {
        assert_ok(catalog_count(catalog, &request->query, &count, &suite_err));
        return (size_t)count;
    }
    assert_ok(catalog_find_rows(catalog, &request->query, &rows, &suite_err));
    return given;
}

/* --- the forms --- */

#define RUN "source=hres&base_time=20130408T0000Z&"
#define DIGEST(c) "digest=" c c c c c c c c c c c c c c c c

/* index: as the plan names it, with the terms that it is searched by. given: rows. looked_at: rows that are read for them, at most, of which
 * each takes some 25 instructions of SQLite's machine, and each that is given some 15 more. */
static const struct form {
    const char *query, *index;
    size_t given, looked_at;
    bool sorts; /* what was found has to be brought into the order asked for */
} forms[] = {
    { RUN "param=msl&step=6&number=3&limit=1",
      "fields_field (param=? AND base_time=? AND step_seconds=?)", 1, 60, true },
    { RUN "param=t&step=6&number=3&levelist=500&limit=1",
      "fields_field (param=? AND base_time=? AND step_seconds=? AND levelist=? AND number=?)", 1, 2,
      false },
    { RUN "param=t/u&step=0/to/12/by/6&number=3&levelist=500",
      "fields_field (param=? AND base_time=? AND step_seconds=? AND levelist=? AND number=?)", 6, 8, true },
    { "base_time=20130408T0000Z&param=msl&limit=1", "fields_field (param=? AND base_time=?)", 1, 300, true },
    { RUN "param=msl", "fields_field (param=? AND base_time=?)", 150, 300, true },
    { RUN "param=msl/t", "fields_field (param=? AND base_time=?)", 300, 600, true },
    { RUN "param=151&step=6", "fields_paramid (paramId=? AND base_time=? AND step_seconds=?)", 30,
      60, false },
    { RUN "param=msl/130&step=6", "fields_paramid (paramId=? AND base_time=? AND step_seconds=?)",
      60, 180, true },
    { RUN "param=151.128&step=6", "fields_idtable (idTable=? AND base_time=? AND step_seconds=?)",
      30, 120, true },
    { RUN "param=msl&count=1", "fields_field (param=? AND base_time=?)", 150, 300, false },
    { "param=msl&source=gfs", "fields_field (param=?)", 150, 450, true },
    { DIGEST("0000"), "fields_digest (digest=?)", 0, 1, true },
    { DIGEST("0000") "/"
                     "1111111111111111111111111111111111111111111111111111111111111111",
      "fields_digest (digest=?)", 0, 2, true },
    { RUN "limit=50", "sqlite_autoindex_fields_1 (id>? AND id<?)", 50, 50, false },
    { "source=hres&limit=50", "sqlite_autoindex_fields_1 (id>? AND id<?)", 50, 50, false },
    { RUN "number=3", "sqlite_autoindex_fields_1 (id>? AND id<?)", 20, 600, false },
    { "source=gfs&number=3", "sqlite_autoindex_fields_1 (id>? AND id<?)", 20, 600, false },
    { RUN "number=3&sort=-step&limit=10", "sqlite_autoindex_fields_1 (id>? AND id<?)", 10, 600, true },
    { RUN "count=1", "sqlite_autoindex_fields_1 (id>? AND id<?)", 600, 600, false },
    { RUN "limit=all", "sqlite_autoindex_fields_1 (id>? AND id<?)", 600, 600, false },
    { RUN "param=msl&all=1", "sqlite_autoindex_fields_1 (id>? AND id<?)", 150, 600, false },
    { RUN "param=msl&as_of=2013-04-09T00:00:00Z", "sqlite_autoindex_fields_1 (id>? AND id<?)", 150,
      600, false },
    { "limit=50", "sqlite_autoindex_fields_1", 50, 50, false },
};

static void check_form(struct catalog_fixture *fixture, const struct form *form)
{
    struct query_request request;
    char plan[PLAN_SIZE], wanted[256];

    read_query(form->query, &request);
    size_t given = ask(fixture->catalog, &request);
    plan_of(fixture->uri, seen.sql, plan);
    snprintf(wanted, sizeof wanted, "INDEX %s", form->index);
    bool all = strcmp(form->query, "limit=50") == 0; /* what is asked for is everything */
    if (given != form->given || strstr(plan, wanted) == NULL ||
        (!all && (strstr(plan, "SCAN fields") != NULL || seen.walked > (int)form->looked_at)) ||
        seen.steps > (int)(25 * form->looked_at + 15 * form->given + 150) ||
        (seen.sorts > 0 && !form->sorts))
        fail_msg("%s: %zu rows, %d steps, %d walked, %d sorts, by\n%s%s", form->query, given,
                 seen.steps, seen.walked, seen.sorts, plan, seen.sql);
    query_fini(&request);
}

static void each_form_of_a_query_is_looked_up_by_an_index(void **state)
{
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++)
        check_form(*state, &forms[i]);
}

/* --- pages --- */

static bool take_id(void *data, const struct catalog_row *row)
{
    struct field_id *id = data;

    id->size = row->id.size;
    memcpy(id->bytes, row->id.data, row->id.size);
    return true;
}

/* Pages of a run begin where the last one ended: none looks at what lies before. */
static void a_page_costs_the_same_wherever_it_begins(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct query_request request;
    struct catalog_rows rows = { .text = true, .each = take_id, .data = &request.query.after };

    read_query(RUN "limit=100", &request);
    for (int page = 0; page < FIELDS / 100; page++) {
        assert_ok(catalog_find_rows(fixture->catalog, &request.query, &rows, &suite_err));
        assert_true(seen.steps > 0 && seen.steps < 100 * 40);
    }
    assert_int_equal(ask(fixture->catalog, &request), 0);
    query_fini(&request);
}

/* --- the file as the form before left it --- */

static void run_sql(const char *uri, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(uri + strlen("sqlite:"), &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    sqlite3_close(db);
}

/* An index that is taken for queries it is no good for has to go from older files, too. */
static void a_file_of_the_form_before_is_looked_up_the_same_way(void **state)
{
    struct catalog_fixture *fixture = *state;

    catalog_close(fixture->catalog);
    fixture->catalog = NULL;
    run_sql(fixture->uri, "DROP INDEX fields_idtable; ALTER TABLE fields DROP COLUMN idTable;"
                          "CREATE INDEX fields_run ON fields (source, base_time, param, id);"
                          "UPDATE settings SET doc = '{\"format\":2}' WHERE id = CAST('format' AS BLOB);"
                          "PRAGMA user_version = 2");
    assert_ok(catalog_open(fixture->uri, &fixture->catalog, &suite_err));
    each_form_of_a_query_is_looked_up_by_an_index(state);
    a_page_costs_the_same_wherever_it_begins(state);
}

/* --- */

static void sqlite_uri(char uri[SUITE_URI_SIZE])
{
    snprintf(uri, SUITE_URI_SIZE, "sqlite:%s/plans.sqlite", folder);
}

static int plans_setup(void **state)
{
    struct catalog_fixture *fixture;

    if (suite_setup(state) != 0)
        return -1;
    fixture = *state;
    for (size_t i = 0; i < ARRAY_COUNT(plan_runs); i++) {
        struct run_key run = make_run(plan_runs[i][0], plan_runs[i][1]);
        suite_add_fields(fixture->catalog, &run, 0, FIELDS, "n1", 1);
    }
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_of_a_query_is_looked_up_by_an_index),
        cmocka_unit_test(a_page_costs_the_same_wherever_it_begins),
        cmocka_unit_test(a_file_of_the_form_before_is_looked_up_the_same_way),
    };

    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    suite_make_uri = sqlite_uri;
    suite_forget = suite_forget_sqlite;
    sqlite3_auto_extension((void (*)(void))(uintptr_t)trace_connection);
    int failed = cmocka_run_group_tests(tests, plans_setup, suite_teardown);
    sqlite3_cancel_auto_extension((void (*)(void))(uintptr_t)trace_connection);
    return rmdir(folder) != 0 || failed != 0;
}
