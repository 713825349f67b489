/* test_catalog.c: the suite of catalogs on SQLite, and what only a file can do: be locked, be garbage, survive a kill. */
#include "catalog_suite.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- a file for each case --- */

static char folder[] = "/tmp/gribstore-catalog-XXXXXX";

static void sqlite_uri(char uri[SUITE_URI_SIZE])
{
    static unsigned number;

    snprintf(uri, SUITE_URI_SIZE, "sqlite:%s/%u.sqlite", folder, number++);
}

/* --- the lock --- */

static void a_second_indexer_is_kept_out(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *second;
    struct error err;
    char link_uri[SUITE_URI_SIZE];

    assert_int_equal(catalog_open(fixture->uri, &second, &err), STATUS_LOCKED);
    assert_null(second);
    sqlite_uri(link_uri); /* the same file by another name */
    assert_int_equal(symlink(fixture->uri + strlen("sqlite:"), link_uri + strlen("sqlite:")), 0);
    assert_int_equal(catalog_open(link_uri, &second, &err), STATUS_LOCKED);
    suite_forget_sqlite(link_uri);
    catalog_close(fixture->catalog);
    assert_ok(catalog_open(fixture->uri, &fixture->catalog, &suite_err));
}

/* --- files of others --- */

static void what_is_no_catalog_is_refused(void **state)
{
    static const char *const uris[] = { "",
                                        "sqlite:",
                                        "sqlite::memory:",
                                        "postgres://x",
                                        "sqlite",
                                        "sqlite:/nonexistent/folder/x.sqlite" };
    struct catalog *catalog;
    struct error err;
    char uri[SUITE_URI_SIZE];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(uris); i++) {
        assert_int_not_equal(catalog_open(uris[i], &catalog, &err), STATUS_OK);
        assert_null(catalog);
    }
    sqlite_uri(uri);
    FILE *file = fopen(uri + strlen("sqlite:"), "w");
    for (int i = 0; i < 5000; i++)
        fputs("GRIB", file);
    fclose(file);
    assert_int_equal(catalog_open(uri, &catalog, &err), STATUS_CORRUPT);
    suite_forget_sqlite(uri);
}

static void run_sql(const char *uri, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(uri + strlen("sqlite:"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static int sql_number(const char *uri, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_open(uri + strlen("sqlite:"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

/* As the first releases left it: a record of settings says the form, and there is no user_version. */
static void a_file_of_the_first_form_is_brought_to_this_one(void **state)
{
    struct catalog_fixture *fixture = *state;

    suite_add_fields(fixture->catalog, &suite_run, 0, 20, "n1", 1);
    catalog_close(fixture->catalog);
    run_sql(fixture->uri, "DROP INDEX fields_idtable; ALTER TABLE fields DROP COLUMN idTable");
    run_sql(fixture->uri,
            "PRAGMA user_version = 0; UPDATE settings SET doc = '{\"format\":1}' WHERE id = CAST('format' AS BLOB)");
    assert_ok(catalog_open(fixture->uri, &fixture->catalog, &suite_err));
    assert_int_equal(suite_count(fixture->catalog, &suite_run).documents, 20);
    int format = sql_number(fixture->uri, "PRAGMA user_version");
    assert_true(format > 1);
    assert_int_equal(
        sql_number(fixture->uri,
                   "SELECT json_extract(doc, '$.format') FROM settings WHERE id = CAST('format' AS BLOB)"),
        format);
}

static void a_newer_format_is_refused(void **state)
{
    struct catalog_fixture *fixture = *state;
    struct catalog *catalog;
    struct error err;

    catalog_close(fixture->catalog);
    fixture->catalog = NULL;
    run_sql(fixture->uri, "PRAGMA user_version = 1000");
    assert_int_equal(catalog_open(fixture->uri, &catalog, &err), STATUS_UNSUPPORTED);
    assert_null(catalog);
    assert_non_null(strstr(err.text, "form 1000"));
    /* Nothing was changed. */
    assert_int_equal(sql_number(fixture->uri, "PRAGMA user_version"), 1000);
}

static bool take_any(void *data, const struct field_document *document)
{
    (void)data;
    (void)document;
    return true;
}

static void a_damaged_document_is_an_error_and_not_a_gap(void **state)
{
    static const char *const damages[] = {
        "UPDATE fields SET doc = substr(doc, 2)",
        "UPDATE fields SET doc = '[]'",
        "UPDATE fields SET doc = json_remove(doc, '$.digest')",
        "UPDATE fields SET doc = json_set(doc, '$.source', 'gfs')",
        "UPDATE fields SET id = x'00'",
    };
    struct catalog_fixture *fixture = *state;
    struct catalog_query query = { .limit = 10 };
    struct error err;

    for (unsigned i = 0; i < ARRAY_COUNT(damages); i++) {
        run_sql(fixture->uri, "DELETE FROM fields");
        suite_add_fields(fixture->catalog, &suite_run, 0, 1, "n1", 1);
        run_sql(fixture->uri, damages[i]);
        assert_int_equal(catalog_find(fixture->catalog, &query, take_any, NULL, &err), STATUS_CORRUPT);
    }
}

/* --- kill -9 --- */

enum { KILLS = 8, BATCH = 60, BATCHES_MAX = 10000 };

/* In the child: batch after batch, each told to the parent when it is applied. Ends by being killed. */
static void apply_until_killed(const char *uri, unsigned first, int told)
{
    struct field_event events[BATCH];
    struct catalog *catalog;

    if (catalog_open(uri, &catalog, NULL) != STATUS_OK)
        _exit(1);
    for (unsigned batch = first; batch < first + BATCHES_MAX; batch++) {
        for (unsigned i = 0; i < BATCH; i++)
            events[i] = make_add(&suite_run, batch * BATCH + i, 1, 1000, "n1", 1);
        if (catalog_apply(catalog, events, BATCH, NULL) != STATUS_OK)
            _exit(2);
        for (unsigned i = 0; i < BATCH; i++)
            field_event_fini(&events[i]);
        if (write(told, "", 1) != 1)
            _exit(3);
    }
    _exit(4);
}

/* Kills the child after some batches; returns how many it told. */
static unsigned kill_after(const char *uri, unsigned first, unsigned wanted)
{
    int told[2], ended;
    unsigned count = 0;
    char one;

    assert_int_equal(pipe(told), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(told[0]);
        apply_until_killed(uri, first, told[1]);
    }
    close(told[1]);
    while (count < wanted && read(told[0], &one, 1) == 1)
        count++;
    kill(child, SIGKILL);
    while (read(told[0], &one, 1) == 1)
        count++;
    close(told[0]);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFSIGNALED(ended));
    return count;
}

static void a_kill_leaves_whole_transactions_only(void **state)
{
    struct catalog_fixture *fixture = *state;
    unsigned batches = 0;

    catalog_close(fixture->catalog);
    for (unsigned i = 0; i < KILLS; i++) {
        unsigned told = batches + kill_after(fixture->uri, batches, 1 + i * 3);
        assert_ok(catalog_open(fixture->uri, &fixture->catalog, &suite_err));
        size_t documents = suite_count(fixture->catalog, &suite_run).documents;
        assert_int_equal(documents % BATCH, 0);
        assert_in_range(documents / BATCH, told, told + 1); /* what was told is there; one may be untold */
        batches = (unsigned)(documents / BATCH);
        if (i + 1 < KILLS)
            catalog_close(fixture->catalog);
    }
    assert_true(batches >= KILLS);
}

static int run_files(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
    static const struct CMUnitTest files[] = {
        CASE(a_second_indexer_is_kept_out),
        cmocka_unit_test(what_is_no_catalog_is_refused),
        CASE(a_file_of_the_first_form_is_brought_to_this_one),
        CASE(a_newer_format_is_refused),
        CASE(a_damaged_document_is_an_error_and_not_a_gap),
        CASE(a_kill_leaves_whole_transactions_only),
    };
#undef CASE

    return cmocka_run_group_tests(files, NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--be-killed") == 0)
        return suite_be_killed(argv[2], argv[3]);
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    suite_make_uri = sqlite_uri;
    suite_forget = suite_forget_sqlite;
    int failed = suite_run_fields() + suite_run_rows() + suite_run_write() + suite_run_faults() +
                 suite_run_state() + suite_run_quarantine() + suite_run_lock() + suite_run_guard() +
                 run_files();
    if (rmdir(folder) != 0 && failed == 0) {
        fprintf(stderr, "%s: something was left behind\n", folder);
        failed = 1;
    }
    return failed != 0;
}
