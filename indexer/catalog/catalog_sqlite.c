/* catalog_sqlite.c: the catalog in one file, for one machine: opening, the readers, reading.
 *
 * There is exactly one indexer to a file: an exclusive lock on FILE.lock, held from open to close. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_sqlite.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static struct catalog_sqlite *sqlite_of(struct catalog *catalog)
{
    return container_of(catalog, struct catalog_sqlite, catalog);
}

/* --- open, close --- */

static void sqlite_close(struct catalog *catalog)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);

    while (sqlite->readers != NULL) {
        struct sqlite_link *link = sqlite->readers;
        sqlite->readers = link->next;
        sqlite_link_close(link);
        free(link);
        sqlite->readers_count--;
    }
    assert(sqlite->readers_count == 0); /* nobody reads any more */
    sqlite_link_close(&sqlite->writer);
    if (sqlite->lock >= 0)
        close(sqlite->lock);
    pthread_mutex_destroy(&sqlite->write_mutex);
    pthread_mutex_destroy(&sqlite->readers_mutex);
    pthread_cond_destroy(&sqlite->reader_free);
    free(sqlite->path);
    free(sqlite);
}

/* Beside the file and not on it: SQLite's own locks on it would go when any descriptor of it is closed. */
static enum status sqlite_lock(struct catalog_sqlite *sqlite, struct error *err)
{
    char *real = realpath(sqlite->path, NULL); /* the same lock by whatever link it is reached */
    char *name = NULL;

    if (asprintf(&name, "%s.lock", real != NULL ? real : sqlite->path) < 0) {
        free(real);
        return error_set(err, STATUS_NO_MEMORY, "a path");
    }
    free(real);
    sqlite->lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    enum status status = STATUS_OK;
    if (sqlite->lock < 0)
        status = error_set_errno(err, errno, "%s", name);
    else if (flock(sqlite->lock, LOCK_EX | LOCK_NB) != 0)
        status = errno == EWOULDBLOCK
                     ? error_set(err, STATUS_LOCKED, "%s: another indexer holds it", name)
                     : error_set_errno(err, errno, "%s", name);
    free(name);
    return status;
}

static enum status sqlite_open(const char *uri, struct catalog **catalog, struct error *err)
{
    const char *path = uri + strlen("sqlite:");
    struct catalog_sqlite *sqlite = calloc(1, sizeof *sqlite);

    if (sqlite == NULL)
        return error_set(err, STATUS_NO_MEMORY, "SQLite");
    *catalog = &sqlite->catalog; /* closed by the caller from here on, whatever happens */
    sqlite->catalog.ops = &catalog_sqlite_ops;
    sqlite->lock = -1;
    pthread_mutex_init(&sqlite->write_mutex, NULL);
    pthread_mutex_init(&sqlite->readers_mutex, NULL);
    pthread_cond_init(&sqlite->reader_free, NULL);
    sqlite->path = strdup(path);
    if (sqlite->path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "SQLite");
    /* ":memory:" would be another database for every connection. */
    if (path[0] == '\0' || path[0] == ':')
        return error_set(err, STATUS_BAD_VALUE, "sqlite:FILE needs the path of a file");
    enum status status = sqlite_lock(sqlite, err);
    if (status == STATUS_OK)
        status = sqlite_place_begin(sqlite, err);
    if (status == STATUS_OK)
        status = sqlite_link_open(sqlite, &sqlite->writer, true, err);
    if (status == STATUS_OK)
        sqlite_place_take(sqlite);
    return status;
}

/* --- readers --- */

static enum status reader_open(struct catalog_sqlite *sqlite, struct sqlite_link **link, struct error *err)
{
    enum status status = STATUS_NO_MEMORY;

    *link = calloc(1, sizeof **link);
    if (*link != NULL)
        status = sqlite_place_check(sqlite, err);
    else
        error_set(err, status, "SQLite");
    if (status == STATUS_OK)
        status = sqlite_link_open(sqlite, *link, false, err);
    if (status != STATUS_OK) {
        if (*link != NULL)
            sqlite_link_close(*link);
        free(*link);
        pthread_mutex_lock(&sqlite->readers_mutex);
        sqlite->readers_count--;
        pthread_cond_signal(&sqlite->reader_free);
        pthread_mutex_unlock(&sqlite->readers_mutex);
    }
    return status;
}

enum status sqlite_reader_take(struct catalog_sqlite *sqlite, struct sqlite_link **link, struct error *err)
{
    pthread_mutex_lock(&sqlite->readers_mutex);
    while (sqlite->readers == NULL && sqlite->readers_count == SQLITE_READERS_MAX)
        pthread_cond_wait(&sqlite->reader_free, &sqlite->readers_mutex);
    *link = sqlite->readers;
    if (*link != NULL)
        sqlite->readers = (*link)->next;
    else
        sqlite->readers_count++;
    pthread_mutex_unlock(&sqlite->readers_mutex);
    return *link != NULL ? STATUS_OK : reader_open(sqlite, link, err);
}

void sqlite_reader_give(struct catalog_sqlite *sqlite, struct sqlite_link *link)
{
    pthread_mutex_lock(&sqlite->readers_mutex);
    link->next = sqlite->readers;
    sqlite->readers = link;
    pthread_cond_signal(&sqlite->reader_free);
    pthread_mutex_unlock(&sqlite->readers_mutex);
}

/* --- reading --- */

static enum status record_of_row(sqlite3_stmt *row, struct record *record, struct error *err)
{
    size_t id_size = (size_t)sqlite3_column_bytes(row, 0);

    *record = (struct record){ .rev = (uint64_t)sqlite3_column_int64(row, 1) };
    if (id_size == 0 || id_size > RECORD_ID_SIZE_MAX)
        return error_set(err, STATUS_CORRUPT, "SQLite: an id of %zu bytes", id_size);
    record_id_set(&record->id, sqlite3_column_blob(row, 0), id_size);
    const void *doc = sqlite3_column_text(row, 2);
    record->size = (size_t)sqlite3_column_bytes(row, 2);
    enum status status = json_parse(doc != NULL ? doc : "", record->size, &record->doc, err);
    if (status == STATUS_BAD_VALUE)
        return error_set(err, STATUS_CORRUPT, "SQLite: a document that is no JSON");
    return status;
}

enum status sqlite_each(struct sqlite_link *link, sqlite3_stmt *statement, record_each *each,
                        void *data, bool *more, struct error *err)
{
    int step;

    *more = true;
    while (*more && (step = sqlite3_step(statement)) != SQLITE_DONE) {
        struct record record;
        if (step != SQLITE_ROW)
            return sqlite_failed(link, err, "reading");
        enum status status = record_of_row(statement, &record, err);
        if (status != STATUS_OK)
            return status;
        *more = each(data, &record);
        json_decref(record.doc);
    }
    catalog_health_read();
    return STATUS_OK;
}

static enum status sqlite_read(struct catalog *catalog, enum catalog_table table,
                               const struct record_id *ids, size_t count, record_each *each,
                               void *data, struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    struct sqlite_link *link;
    bool more = true;
    enum status status = sqlite_reader_take(sqlite, &link, err);

    if (status != STATUS_OK)
        return status;
    sqlite3_stmt *statement = sqlite_prepared(link, table, STATEMENT_READ, err);
    if (statement == NULL)
        status = STATUS_INTERNAL;
    for (size_t i = 0; status == STATUS_OK && more && i < count; i++) {
        sqlite3_bind_blob(statement, 1, ids[i].bytes, (int)ids[i].size, SQLITE_STATIC);
        status = sqlite_each(link, statement, each, data, &more, err);
        sqlite_done(statement);
    }
    sqlite_reader_give(sqlite, link);
    return status;
}

/* What a document's text holds when it has such a location; "": nothing that can be said. Documents are printed compactly. */
static void hint_print(const struct record_range *range, char *hint, size_t size)
{
    const char *name = range->file != NULL ? range->file : range->node;

    hint[0] = '\0';
    if (name == NULL)
        return;
    for (const char *at = name; *at != '\0'; at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            return;
    if (snprintf(hint, size, "\"%s\":\"%s\"", range->file != NULL ? "file" : "node", name) >= (int)size)
        hint[0] = '\0';
}

static void range_bind(sqlite3_stmt *statement, const struct record_range *range)
{
    static const uint8_t last[RECORD_ID_SIZE_MAX] = { [0 ... RECORD_ID_SIZE_MAX - 1] = 0xff };

    if (range->whole) {
        sqlite3_bind_blob(statement, 1, "", 0, SQLITE_STATIC);
        sqlite3_bind_blob(statement, 2, last, sizeof last, SQLITE_STATIC);
    } else {
        sqlite3_bind_blob(statement, 1, range->from.bytes, (int)range->from.size, SQLITE_STATIC);
        sqlite3_bind_blob(statement, 2, range->to.bytes, (int)range->to.size, SQLITE_STATIC);
    }
}

struct sqlite_scan {
    const struct record_range *range;
    record_each *each;
    void *data;
};

static bool scan_on_record(void *data, const struct record *record)
{
    struct sqlite_scan *scan = data;

    if (scan->range->behind && record_id_compare(&record->id, &scan->range->from) == 0)
        return true;
    return scan->each(scan->data, record);
}

static enum status sqlite_scan(struct catalog *catalog, enum catalog_table table,
                               const struct record_range *range, record_each *each, void *data,
                               struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    struct sqlite_scan scan = { .range = range, .each = each, .data = data };
    struct sqlite_link *link;
    char hint[128];
    bool more;
    enum status status = sqlite_reader_take(sqlite, &link, err);

    if (status != STATUS_OK)
        return status;
    assert(!range->brief || table == CATALOG_FIELDS);
    hint_print(range, hint, sizeof hint);
    enum sqlite_statement which = hint[0] != '\0' ? STATEMENT_SCAN_HINT
                                  : range->brief  ? STATEMENT_SCAN_BRIEF
                                                  : STATEMENT_SCAN;
    sqlite3_stmt *statement = sqlite_prepared(link, table, which, err);
    if (statement != NULL) {
        range_bind(statement, range);
        if (hint[0] != '\0')
            sqlite3_bind_text(statement, 3, hint, -1, SQLITE_STATIC);
        status = sqlite_each(link, statement, scan_on_record, &scan, &more, err);
        sqlite_done(statement);
    } else {
        status = STATUS_INTERNAL;
    }
    sqlite_reader_give(sqlite, link);
    return status;
}

static enum status sqlite_ping(struct catalog *catalog, struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    struct sqlite_link *link;
    enum status status = sqlite_place_check(sqlite, err);

    if (status == STATUS_OK)
        status = sqlite_reader_take(sqlite, &link, err);
    if (status != STATUS_OK)
        return status;
    status = sqlite_execute(link, "SELECT count(*) FROM settings", err);
    sqlite_reader_give(sqlite, link);
    return status;
}

const struct catalog_ops catalog_sqlite_ops = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .format_read = sqlite_format_read,
    .format_make = sqlite_format_make,
    .format_step = sqlite_format_step,
    .settle = sqlite_place_settle,
    .ping = sqlite_ping,
    .read = sqlite_read,
    .write = sqlite_write,
    .scan = sqlite_scan,
    .remove = sqlite_remove,
    .find = sqlite_find,
    .find_rows = sqlite_find_rows,
    .count = sqlite_count,
    .lease_take = sqlite_lease_take,
    .lease_release = sqlite_lease_release,
    .lease_renew = sqlite_lease_renew,
    .lease_release_all = sqlite_lease_release_all,
    .lease_scan = sqlite_lease_scan,
};
