/* test_catalog_health.c: a database that is full or read-only is told apart, keeps what it has, and is well again by itself. */
#include "catalog_file.h"
#include "field_make.h"
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], path[128];
    struct catalog *catalog;
    struct run_key run;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char uri[160];
    struct error err;

    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/gribstore-health-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/index.sqlite", fixture->folder);
    snprintf(uri, sizeof uri, "sqlite:%s", fixture->path);
    assert_int_equal(catalog_open(uri, &fixture->catalog, &err), STATUS_OK);
    fixture->run = make_run("hres", "20130408T0000Z");
    catalog_health_wrote(); /* whatever the case before left */
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    catalog_close(fixture->catalog);
    catalog_file_remove(fixture->path);
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

/* The writing connection is the only one that changes the file: what it is told here is what a disk or a mount would do. */
static void writer_execute(struct fixture *fixture, const char *sql)
{
    struct catalog_sqlite *sqlite = container_of(fixture->catalog, struct catalog_sqlite, catalog);

    assert_int_equal(sqlite3_exec(sqlite->writer.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void fails_until(struct fixture *fixture, const char *breaks, const char *mends, enum status wanted)
{
    char text[CATALOG_TROUBLE_SIZE];

    assert_int_equal(catalog_file_add(fixture->catalog, &fixture->run, 0, 10), STATUS_OK);
    assert_false(catalog_health_trouble(text));
    writer_execute(fixture, breaks);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(catalog_file_add(fixture->catalog, &fixture->run, 10, 3000), wanted);
        assert_int_equal(catalog_file_count(fixture->catalog, &fixture->run),
                         10);                      /* all or nothing, and it reads on */
        assert_true(catalog_health_trouble(text)); /* which is no sign that it writes */
        assert_true(text[0] != '\0');
    }
    writer_execute(fixture, mends);
    assert_int_equal(catalog_file_add(fixture->catalog, &fixture->run, 10, 3000), STATUS_OK);
    assert_int_equal(catalog_file_count(fixture->catalog, &fixture->run), 3010);
    assert_false(catalog_health_trouble(text));
}

static void a_full_database_keeps_what_it_has_and_goes_on_when_there_is_room(void **state)
{
    fails_until(*state, "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", STATUS_FULL);
}

static void a_database_that_takes_no_writes_is_told_apart(void **state)
{
    fails_until(*state, "PRAGMA query_only = 1", "PRAGMA query_only = 0", STATUS_READ_ONLY);
}

static void trouble_of_reading_ends_with_whatever_goes_well(void **state)
{
    char text[CATALOG_TROUBLE_SIZE];

    (void)state;
    catalog_health_failed(STATUS_UNREACHABLE, "no primary");
    assert_true(catalog_health_trouble(text));
    assert_string_equal(text, "no primary");
    catalog_health_read();
    assert_false(catalog_health_trouble(text));
    catalog_health_failed(STATUS_FULL, "full");
    catalog_health_failed(STATUS_TIMEOUT, "a reader waited"); /* hides nothing */
    catalog_health_read();
    assert_true(catalog_health_trouble(text));
    assert_string_equal(text, "full");
    catalog_health_wrote();
    assert_false(catalog_health_trouble(text));
    catalog_health_failed(STATUS_TOO_LARGE, "a document"); /* is no trouble of the database */
    assert_false(catalog_health_trouble(text));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(a_full_database_keeps_what_it_has_and_goes_on_when_there_is_room),
        CASE(a_database_that_takes_no_writes_is_told_apart),
        CASE(trouble_of_reading_ends_with_whatever_goes_well),
    };
#undef CASE

    return cmocka_run_group_tests(tests, NULL, NULL);
}
