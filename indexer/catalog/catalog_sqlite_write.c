/* catalog_sqlite_write.c: changes: one transaction each, on the one writing connection; several where they have more than
 * CATALOG_BATCH_SIZE_MAX bytes, so that the log does not grow with them. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_sqlite.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct catalog_sqlite *sqlite_of(struct catalog *catalog)
{
    return container_of(catalog, struct catalog_sqlite, catalog);
}

/* Starts a transaction with the mutex held; transaction_end() commits what went well, and lets go. */
static enum status transaction_begin(struct catalog_sqlite *sqlite, struct error *err)
{
    pthread_mutex_lock(&sqlite->write_mutex);
    enum status status = sqlite_place_writable(sqlite, err);
    return status == STATUS_OK ? sqlite_execute(&sqlite->writer, "BEGIN IMMEDIATE", err) : status;
}

static enum status transaction_end(struct catalog_sqlite *sqlite, enum status status, struct error *err)
{
    if (status == STATUS_OK)
        status = sqlite_execute(&sqlite->writer, "COMMIT", err);
    if (status == STATUS_OK)
        catalog_health_wrote();
    /* A failed commit may or may not have ended it. */
    if (sqlite3_get_autocommit(sqlite->writer.db) == 0)
        sqlite3_exec(sqlite->writer.db, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&sqlite->write_mutex);
    return status;
}

/* --- records --- */

static void text_bind(sqlite3_stmt *statement, int at, const struct field_key *key)
{
    if (!key->escaped) {
        sqlite3_bind_text(statement, at, (const char *)key->value.data, (int)key->value.size,
                          SQLITE_TRANSIENT);
        return;
    }
    char *text = malloc(key->value.size);
    assert(text != NULL);
    sqlite3_bind_text(statement, at, text, (int)field_key_text(key, text), free);
}

static void column_bind(sqlite3_stmt *statement, int at, const struct sqlite_column *column,
                        const struct field_key *key)
{
    int64_t time;

    if (column->is_time) {
        if (key->type == FIELD_KEY_TEXT && base_time_parse(key->value, &time, NULL) == STATUS_OK)
            sqlite3_bind_int64(statement, at, time);
    } else if (key->type == FIELD_KEY_TEXT) {
        text_bind(statement, at, key);
    } else if (key->type == FIELD_KEY_INTEGER) {
        sqlite3_bind_int64(statement, at, field_key_integer(key));
    } else if (key->type == FIELD_KEY_REAL) {
        sqlite3_bind_double(statement, at, field_key_number(key));
    }
}

/* What is no key of a decoder's. */
static void own_bind(sqlite3_stmt *statement, int at, const char *name,
                     const struct field_document *document)
{
    const struct field_issue *current = &document->issues[0];
    char digest[DIGEST_TEXT_SIZE];

    if (strcmp(name, "source") == 0) {
        sqlite3_bind_text(statement, at, document->run.source, -1, SQLITE_STATIC);
    } else if (strcmp(name, "base_time") == 0) {
        sqlite3_bind_int64(statement, at, document->run.base_time);
    } else if (strcmp(name, "incarnation") == 0) {
        sqlite3_bind_int64(statement, at, (sqlite3_int64)current->incarnation);
    } else if (strcmp(name, "digest") == 0) {
        digest_print(&current->digest, digest);
        sqlite3_bind_text(statement, at, digest, -1, SQLITE_TRANSIENT);
    }
}

/* Columns' values from the parts of a document; what it lacks stays NULL. */
static void columns_bind(sqlite3_stmt *statement, const struct field_document *document)
{
    struct field_key key;

    for (int i = 0; sqlite_columns[i].name != NULL; i++)
        own_bind(statement, SQLITE_COLUMN_FIRST + i, sqlite_columns[i].name, document);
    for (size_t at = 0; field_keys_next(document->issues[0].keys, &at, &key);)
        for (int i = 0; sqlite_columns[i].name != NULL; i++)
            if (slice_equals(key.name, sqlite_columns[i].name))
                column_bind(statement, SQLITE_COLUMN_FIRST + i, &sqlite_columns[i], &key);
}

/* *size: of its text. TOO_LARGE: nothing is bound. */
static enum status document_bind(sqlite3_stmt *statement, const struct record_write *write,
                                 size_t *size, struct error *err)
{
    struct json_writer json;
    struct buf text;

    buf_init(&text, CATALOG_DOCUMENT_SIZE_MAX);
    json_init(&json, &text);
    catalog_document_print(&json, write->document);
    enum status status = buf_status(&text);
    if (status != STATUS_OK) {
        buf_fini(&text);
        return error_set(err, status, "a document");
    }
    uint8_t *data = buf_take(&text, size);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)write->rev);
    sqlite3_bind_text(statement, 3, (char *)data, (int)*size, free);
    if (!write->places_only)
        columns_bind(statement, write->document);
    return STATUS_OK;
}

static enum status doc_bind(sqlite3_stmt *statement, const struct record_write *write, struct error *err)
{
    char *text = json_dumps(write->doc, JSON_COMPACT);

    if (text == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a document");
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)write->rev);
    sqlite3_bind_text(statement, 3, text, -1, free);
    return STATUS_OK;
}

static enum status write_bind(sqlite3_stmt *statement, const struct record_write *write,
                              size_t *size, struct error *err)
{
    *size = 0;
    sqlite3_bind_blob(statement, 1, write->id.bytes, (int)write->id.size, SQLITE_STATIC);
    if (write->rev_was != 0)
        sqlite3_bind_int64(statement, sqlite3_bind_parameter_index(statement, ":was"),
                           (sqlite3_int64)write->rev_was);
    if (write->doc == NULL && write->document == NULL)
        return STATUS_OK;
    return write->document != NULL ? document_bind(statement, write, size, err)
                                   : doc_bind(statement, write, err);
}

static enum sqlite_statement write_statement(const struct record_write *write)
{
    if (write->doc == NULL && write->document == NULL)
        return STATEMENT_DELETE;
    if (write->rev_was == 0)
        return STATEMENT_INSERT;
    return write->places_only ? STATEMENT_PLACES : STATEMENT_UPDATE;
}

static enum status write_one(struct sqlite_link *link, enum catalog_table table,
                             struct record_write *write, size_t *size, struct error *err)
{
    sqlite3_stmt *statement = sqlite_prepared(link, table, write_statement(write), err);

    write->lost = write->too_large = false;
    if (statement == NULL)
        return STATUS_INTERNAL;
    enum status status = write_bind(statement, write, size, err);
    if (status == STATUS_TOO_LARGE) {
        write->too_large = true;
        status = STATUS_OK;
    } else if (status == STATUS_OK && sqlite3_step(statement) != SQLITE_DONE) {
        status = sqlite_failed(link, err, "writing");
    } else if (status == STATUS_OK) {
        write->lost = sqlite3_changes(link->db) == 0;
    }
    sqlite_done(statement);
    return status;
}

enum status sqlite_write(struct catalog *catalog, enum catalog_table table,
                         struct record_write *writes, size_t count, struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < count;) {
        size_t total = 0, size;
        status = transaction_begin(sqlite, err);
        for (; status == STATUS_OK && i < count && total < CATALOG_BATCH_SIZE_MAX; total += size)
            status = write_one(&sqlite->writer, table, &writes[i++], &size, err);
        status = transaction_end(sqlite, status, err);
    }
    return status;
}

enum status sqlite_remove(struct catalog *catalog, enum catalog_table table,
                          const struct record_range *range, uint64_t incarnation, size_t limit,
                          size_t *removed, struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    struct sqlite_link *link = &sqlite->writer;
    enum status status = transaction_begin(sqlite, err);

    *removed = 0;
    sqlite3_stmt *statement = status == STATUS_OK ? sqlite_prepared(link, table, STATEMENT_REMOVE, err)
                                                  : NULL;
    if (statement != NULL) {
        sqlite3_bind_blob(statement, 1, range->from.bytes, (int)range->from.size, SQLITE_STATIC);
        sqlite3_bind_blob(statement, 2, range->to.bytes, (int)range->to.size, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)incarnation);
        sqlite3_bind_int64(statement, 4, limit > INT64_MAX ? INT64_MAX : (sqlite3_int64)limit);
        if (sqlite3_step(statement) == SQLITE_DONE)
            *removed = (size_t)sqlite3_changes(link->db);
        else
            status = sqlite_failed(link, err, "removing");
        sqlite_done(statement);
    } else if (status == STATUS_OK) {
        status = STATUS_INTERNAL;
    }
    return transaction_end(sqlite, status, err);
}

/* --- leases: by this machine's clock, the only one there is --- */

static enum status lease_step(struct sqlite_link *link, const char *sql, const char *name,
                              const char *owner, uint64_t ttl_ms, char *holder, struct error *err)
{
    sqlite3_stmt *statement;
    int64_t now = (int64_t)clock_wall_us();

    if (sqlite3_prepare_v2(link->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_failed(link, err, "lease");
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    if (sqlite3_bind_parameter_count(statement) >= 2)
        sqlite3_bind_text(statement, 2, owner, -1, SQLITE_STATIC);
    if (sqlite3_bind_parameter_count(statement) >= 4) {
        sqlite3_bind_int64(statement, 3, now);
        sqlite3_bind_int64(statement, 4, now + (int64_t)ttl_ms * 1000);
    }
    int step = sqlite3_step(statement);
    enum status status = STATUS_OK;
    if (step == SQLITE_ROW && holder != NULL)
        snprintf(holder, 64, "%s", (const char *)sqlite3_column_text(statement, 0));
    else if (step != SQLITE_DONE)
        status = sqlite_failed(link, err, "lease");
    sqlite3_finalize(statement);
    return status;
}

enum status sqlite_lease_take(struct catalog *catalog, const char *name, const char *owner,
                              uint64_t ttl_ms, char holder[64], struct error *err)
{
    static const char take[] = "INSERT INTO leases (name, owner, expires_us) VALUES (?1, ?2, ?4) ON CONFLICT (name) DO "
                               "UPDATE SET owner = ?2, expires_us = ?4 WHERE owner = ?2 OR expires_us <= ?3";
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    enum status status = transaction_begin(sqlite, err);

    holder[0] = '\0';
    if (status == STATUS_OK)
        status = lease_step(&sqlite->writer, take, name, owner, ttl_ms, NULL, err);
    if (status == STATUS_OK)
        status = lease_step(&sqlite->writer, "SELECT owner FROM leases WHERE name = ?1", name,
                            owner, ttl_ms, holder, err);
    status = transaction_end(sqlite, status, err);
    if (status == STATUS_OK && strcmp(holder, owner) != 0)
        status = error_set(err, STATUS_CONFLICT, "lease %s: %s holds it", name, holder);
    return status;
}

enum status sqlite_lease_release(struct catalog *catalog, const char *name, const char *owner,
                                 struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    enum status status = transaction_begin(sqlite, err);

    if (status == STATUS_OK)
        status = lease_step(&sqlite->writer, "DELETE FROM leases WHERE name = ?1 AND owner = ?2",
                            name, owner, 0, NULL, err);
    return transaction_end(sqlite, status, err);
}

enum status sqlite_lease_renew(struct catalog *catalog, const char *owner, uint64_t ttl_ms,
                               struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    enum status status = transaction_begin(sqlite, err);

    if (status == STATUS_OK)
        status = lease_step(
            &sqlite->writer,
            "UPDATE leases SET expires_us = ?4 WHERE owner = ?2 AND expires_us > ?3 AND ?1 = ''",
            "", owner, ttl_ms, NULL, err);
    return transaction_end(sqlite, status, err);
}

enum status sqlite_lease_release_all(struct catalog *catalog, const char *owner, struct error *err)
{
    struct catalog_sqlite *sqlite = sqlite_of(catalog);
    enum status status = transaction_begin(sqlite, err);

    if (status == STATUS_OK)
        status = lease_step(&sqlite->writer, "DELETE FROM leases WHERE owner = ?2 AND ?1 = ''", "",
                            owner, 0, NULL, err);
    return transaction_end(sqlite, status, err);
}

enum status sqlite_lease_scan(struct catalog *catalog,
                              bool (*each)(void *data, const struct catalog_lease *lease),
                              void *data, struct error *err)
{
    struct sqlite_link *link;
    sqlite3_stmt *statement;
    int64_t now = (int64_t)clock_wall_us();
    int step = SQLITE_DONE;
    enum status status = sqlite_reader_take(sqlite_of(catalog), &link, err);

    if (status != STATUS_OK)
        return status;
    if (sqlite3_prepare_v2(link->db, "SELECT name, owner, expires_us FROM leases ORDER BY name", -1,
                           &statement, NULL) != SQLITE_OK) {
        status = sqlite_failed(link, err, "leases");
    } else {
        bool more = true;
        while (more && (step = sqlite3_step(statement)) == SQLITE_ROW) {
            /* Rounded up: what has not run out has something left. */
            struct catalog_lease lease = { .left_ms = (sqlite3_column_int64(statement, 2) - now + 999) /
                                                      1000 };
            snprintf(lease.name, sizeof lease.name, "%s",
                     (const char *)sqlite3_column_text(statement, 0));
            snprintf(lease.owner, sizeof lease.owner, "%s",
                     (const char *)sqlite3_column_text(statement, 1));
            more = each(data, &lease);
        }
        if (more && step != SQLITE_DONE)
            status = sqlite_failed(link, err, "leases");
        sqlite3_finalize(statement);
    }
    sqlite_reader_give(sqlite_of(catalog), link);
    return status;
}
