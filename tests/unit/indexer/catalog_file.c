/* catalog_file.c: a catalog in a file, for tests. */
#include "catalog_file.h"

#include "field_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct catalog *catalog_file_open(char *folder)
{
    struct catalog *catalog;
    struct error err;
    char uri[512];

    assert_non_null(mkdtemp(folder));
    snprintf(uri, sizeof uri, "sqlite:%s/index.sqlite", folder);
    if (catalog_open(uri, &catalog, &err) != STATUS_OK)
        fail_msg("%s", err.text);
    return catalog;
}

void catalog_file_close(struct catalog *catalog, const char *folder)
{
    char path[512];

    catalog_close(catalog);
    snprintf(path, sizeof path, "%s/index.sqlite", folder);
    catalog_file_remove(path);
    assert_int_equal(rmdir(folder), 0);
}

enum status catalog_file_add(struct catalog *catalog, const struct run_key *run, unsigned first,
                             unsigned count)
{
    struct field_event *events = calloc(count, sizeof *events);
    struct error err;

    for (unsigned i = 0; i < count; i++)
        events[i] = make_add(run, first + i, 1, 1000, "n1", 1);
    enum status status = catalog_apply(catalog, events, count, &err);
    for (unsigned i = 0; i < count; i++)
        field_event_fini(&events[i]);
    free(events);
    return status;
}

static bool count_one(void *data, const struct field_document *document)
{
    (void)document;
    ++*(unsigned *)data;
    return true;
}

unsigned catalog_file_count(struct catalog *catalog, const struct run_key *run)
{
    struct error err;
    unsigned count = 0;

    assert_int_equal(catalog_scan_run(catalog, run, count_one, &count, &err), STATUS_OK);
    return count;
}

void catalog_file_remove(const char *path)
{
    static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
    char name[512];

    for (unsigned i = 0; i < ARRAY_COUNT(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}
