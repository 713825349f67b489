/* test_catalog_sqlite_place.c: a file that is changed for another under an open catalog: nothing is written into either, and no log of the one
 * gets into the other. */
#include "catalog_file.h"
#include "field_make.h"
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_sqlite.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64], path[128], uri[160];
    struct run_key run;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    snprintf(fixture->folder, sizeof fixture->folder, "/tmp/gribstore-place-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof fixture->path, "%s/index.sqlite", fixture->folder);
    snprintf(fixture->uri, sizeof fixture->uri, "sqlite:%s", fixture->path);
    fixture->run = make_run("hres", "20130408T0000Z");
    *state = fixture;
    return 0;
}

static const char *beside(const struct fixture *fixture, const char *suffix)
{
    static char paths[4][160];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s%s", fixture->path, suffix);
    return path;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    catalog_file_remove(fixture->path);
    catalog_file_remove(beside(fixture, ".backup"));
    unlink(beside(fixture, ".away"));
    assert_int_equal(rmdir(fixture->folder), 0);
    free(fixture);
    return 0;
}

static struct catalog *open_catalog(const struct fixture *fixture)
{
    struct catalog *catalog;
    struct error err;

    assert_int_equal(catalog_open(fixture->uri, &catalog, &err), STATUS_OK);
    return catalog;
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    ssize_t size;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(in >= 0 && out >= 0);
    while ((size = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)size), size);
    close(in);
    close(out);
}

/* A backup with ten documents, and a closed file that is the same. */
static void make_backup(const struct fixture *fixture)
{
    struct catalog *catalog = open_catalog(fixture);

    assert_int_equal(catalog_file_add(catalog, &fixture->run, 0, 10), STATUS_OK);
    catalog_close(catalog);
    assert_int_not_equal(access(beside(fixture, "-wal"), F_OK), 0);
    copy_file(fixture->path, beside(fixture, ".backup"));
}

static void sound(const struct fixture *fixture)
{
    sqlite3 *db;
    sqlite3_stmt *statement;

    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal(sqlite3_column_text(statement, 0), "ok");
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

/* A process that writes and dies: its log stays. */
static void write_and_die(const struct fixture *fixture, unsigned first, unsigned count)
{
    int how;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct catalog *catalog = NULL;
        struct error err;
        bool good = catalog_open(fixture->uri, &catalog, &err) == STATUS_OK &&
                    catalog_file_add(catalog, &fixture->run, first, count) == STATUS_OK;
        _exit(good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    assert_int_equal(access(beside(fixture, "-wal"), F_OK), 0);
}

static void a_file_that_was_changed_for_another_is_written_no_more_and_the_other_stays_as_it_is(void **state)
{
    struct fixture *fixture = *state;
    char trouble[CATALOG_TROUBLE_SIZE];
    struct error err;

    make_backup(fixture);
    struct catalog *catalog = open_catalog(fixture);
    assert_int_equal(catalog_file_add(catalog, &fixture->run, 10, 500), STATUS_OK);
    assert_int_equal(catalog_ping(catalog, &err), STATUS_OK);
    assert_int_equal(rename(beside(fixture, ".backup"), fixture->path), 0);
    assert_int_equal(catalog_ping(catalog, &err), STATUS_EXISTS);
    assert_true(catalog_health_trouble(trouble));
    assert_non_null(strstr(trouble, "another file"));
    assert_int_equal(catalog_file_add(catalog, &fixture->run, 1000, 10), STATUS_READ_ONLY);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 510); /* it reads on */
    catalog_close(catalog);
    catalog = open_catalog(fixture);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 10);
    assert_int_equal(catalog_file_add(catalog, &fixture->run, 2000, 5), STATUS_OK);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 15);
    catalog_close(catalog);
    sound(fixture);
}

static bool goes_on(void *data, const struct field_document *document)
{
    (void)data;
    (void)document;
    return true;
}

static void no_connection_is_opened_to_another_file(void **state)
{
    struct fixture *fixture = *state;
    struct error err;

    make_backup(fixture);
    struct catalog *catalog = open_catalog(fixture); /* no reader yet */
    assert_int_equal(catalog_file_add(catalog, &fixture->run, 10, 500), STATUS_OK);
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);
    while (sqlite->readers != NULL) { /* as if all were in use */
        struct sqlite_link *link = sqlite->readers;
        sqlite->readers = link->next;
        sqlite->readers_count--;
        sqlite_link_close(link);
        free(link);
    }
    assert_int_equal(rename(beside(fixture, ".backup"), fixture->path), 0);
    assert_int_equal(catalog_scan_run(catalog, &fixture->run, goes_on, NULL, &err), STATUS_EXISTS);
    catalog_close(catalog);
    catalog = open_catalog(fixture);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 10);
    catalog_close(catalog);
    sound(fixture);
}

static void a_file_that_is_gone_is_told_and_all_goes_on_when_it_is_back(void **state)
{
    struct fixture *fixture = *state;
    struct catalog *catalog = open_catalog(fixture);
    char trouble[CATALOG_TROUBLE_SIZE];
    struct error err;

    assert_int_equal(catalog_file_add(catalog, &fixture->run, 0, 10), STATUS_OK);
    assert_int_equal(rename(fixture->path, beside(fixture, ".away")), 0);
    assert_int_equal(catalog_ping(catalog, &err), STATUS_NOT_FOUND);
    assert_int_equal(catalog_file_add(catalog, &fixture->run, 10, 10), STATUS_READ_ONLY);
    assert_true(catalog_health_trouble(trouble));
    assert_int_equal(rename(beside(fixture, ".away"), fixture->path), 0);
    assert_int_equal(catalog_ping(catalog, &err), STATUS_OK);
    assert_int_equal(catalog_file_add(catalog, &fixture->run, 10, 10), STATUS_OK);
    assert_false(catalog_health_trouble(trouble));
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 20);
    catalog_close(catalog);
}

static void the_log_of_a_process_that_died_does_not_get_into_a_restored_file(void **state)
{
    struct fixture *fixture = *state;

    make_backup(fixture);
    write_and_die(fixture, 10, 500);
    assert_int_equal(rename(beside(fixture, ".backup"), fixture->path), 0);
    struct catalog *catalog = open_catalog(fixture);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 10);
    catalog_close(catalog);
    sound(fixture);
}

static void the_log_of_a_process_that_died_is_read_where_the_file_is_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct catalog *catalog;

    write_and_die(fixture, 0, 500);
    catalog = open_catalog(fixture);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 500);
    catalog_close(catalog);
    /* File and log were copied together: neither is what it was, and they belong together. */
    write_and_die(fixture, 500, 500);
    copy_file(fixture->path, beside(fixture, ".backup"));
    copy_file(beside(fixture, "-wal"), beside(fixture, ".backup-wal"));
    assert_int_equal(rename(beside(fixture, ".backup"), fixture->path), 0);
    assert_int_equal(rename(beside(fixture, ".backup-wal"), beside(fixture, "-wal")), 0);
    assert_int_equal(unlink(beside(fixture, "-shm")), 0);
    catalog = open_catalog(fixture);
    assert_int_equal(catalog_file_count(catalog, &fixture->run), 1000);
    catalog_close(catalog);
    sound(fixture);
}

static void a_lock_with_another_text_is_no_trouble(void **state)
{
    static const char *const texts[] = { "", "file", "file 1 2 3 log 4 5", "\377\376 nonsense",
                                         "file -1 -1 -1 log 99999999999999999999 0 0" };
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < ARRAY_COUNT(texts); i++) {
        write_and_die(fixture, i * 10, 10);
        FILE *lock = fopen(beside(fixture, ".lock"), "w");
        assert_non_null(lock);
        fputs(texts[i], lock);
        fclose(lock);
        struct catalog *catalog = open_catalog(fixture);
        assert_int_equal(catalog_file_count(catalog, &fixture->run), (i + 1) * 10);
        catalog_close(catalog);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest tests[] = {
        CASE(a_file_that_was_changed_for_another_is_written_no_more_and_the_other_stays_as_it_is),
        CASE(no_connection_is_opened_to_another_file),
        CASE(a_file_that_is_gone_is_told_and_all_goes_on_when_it_is_back),
        CASE(the_log_of_a_process_that_died_does_not_get_into_a_restored_file),
        CASE(the_log_of_a_process_that_died_is_read_where_the_file_is_its_own),
        CASE(a_lock_with_another_text_is_no_trouble),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
