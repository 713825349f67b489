/* catalog_sqlite_schema.c: connections to the file: its tables, its settings, the statements that are used again and again. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_sqlite.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ANY keeps what the decoder gave as it is: 0 is not "0". */
const struct sqlite_column sqlite_columns[] = {
    { "source", "TEXT", false },
    { "base_time", "INTEGER", true },
    { "incarnation", "INTEGER", false },
    { "digest", "TEXT", false },
    { "param", "ANY", false },
    { "paramId", "ANY", false },
    { "idTable", "ANY", false },
    { "levtype", "ANY", false },
    { "level", "ANY", false },
    { "levelist", "ANY", false },
    { "number", "ANY", false },
    { "step", "ANY", false },
    { "step_seconds", "ANY", false },
    { "valid_time", "INTEGER", true },
    { NULL, NULL, false },
};

static const char *const table_names[] = {
    [CATALOG_FIELDS] = "fields", [CATALOG_QUARANTINE] = "quarantine", [CATALOG_CURSORS] = "cursors",
    [CATALOG_RUNS] = "runs",     [CATALOG_SETTINGS] = "settings",
};

const struct sqlite_column *sqlite_column_find(const char *name)
{
    for (const struct sqlite_column *column = sqlite_columns; column->name != NULL; column++)
        if (strcmp(column->name, name) == 0)
            return column;
    return NULL;
}

enum status sqlite_failed(const struct sqlite_link *link, struct error *err, const char *what)
{
    enum status status;

    switch (sqlite3_errcode(link->db) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        status = STATUS_TIMEOUT;
        break;
    case SQLITE_FULL:
        status = STATUS_FULL;
        break;
    case SQLITE_READONLY:
        status = STATUS_READ_ONLY;
        break;
    case SQLITE_NOMEM:
        status = STATUS_NO_MEMORY;
        break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        status = STATUS_CORRUPT;
        break;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        status = STATUS_IO;
        break;
    case SQLITE_TOOBIG:
        status = STATUS_TOO_LARGE;
        break;
    default:
        status = STATUS_INTERNAL;
    }
    error_set(err, status, "SQLite: %s: %s", what, sqlite3_errmsg(link->db));
    catalog_health_failed(status, err->text);
    return status;
}

enum status sqlite_execute(struct sqlite_link *link, const char *sql, struct error *err)
{
    return sqlite3_exec(link->db, sql, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK
                                                                      : sqlite_failed(link, err, sql);
}

enum status sqlite_link_open(struct catalog_sqlite *sqlite, struct sqlite_link *link, bool writes,
                             struct error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (writes ? SQLITE_OPEN_CREATE : 0);

    if (sqlite3_open_v2(sqlite->path, &link->db, flags, NULL) != SQLITE_OK)
        return link->db != NULL ? sqlite_failed(link, err, sqlite->path)
                                : error_set(err, STATUS_NO_MEMORY, "SQLite");
    sqlite3_busy_timeout(link->db, SQLITE_BUSY_MS);
    /* What lies in the log is the writer's to bring into the file: a reader may have been opened while the file was changed for another. */
    if (!writes)
        sqlite3_db_config(link->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return sqlite_execute(link,
                          writes ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                   "PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536"
                                 : "PRAGMA query_only = 1; PRAGMA cache_size = -16384",
                          err);
}

void sqlite_link_close(struct sqlite_link *link)
{
    for (int table = 0; table < CATALOG_TABLES_COUNT; table++)
        for (int which = 0; which < STATEMENTS_COUNT; which++)
            sqlite3_finalize(link->statements[table][which]);
    for (unsigned i = 0; i < SQLITE_QUERIES_MAX; i++) {
        sqlite3_finalize(link->queries[i].statement);
        free(link->queries[i].sql);
    }
    sqlite3_close(link->db);
    *link = (struct sqlite_link){ .db = NULL };
}

/* --- the schema --- */

/* With the id at its end an index gives a page in order, and stops where the page ends. */
#define SCHEMA_PARAMS                                                                              \
    "CREATE INDEX IF NOT EXISTS fields_field ON fields "                                           \
    "(param, base_time, step_seconds, levelist, number, id);"                                      \
    "CREATE INDEX IF NOT EXISTS fields_paramid ON fields (paramId, base_time, step_seconds, id);"
/* Few documents have it. */
#define SCHEMA_ID_TABLE                                                                            \
    "CREATE INDEX IF NOT EXISTS fields_idtable ON fields (idTable, base_time, step_seconds, id) "  \
    "WHERE idTable IS NOT NULL;"
static const char schema_rest[] = SCHEMA_PARAMS SCHEMA_ID_TABLE
    "CREATE INDEX IF NOT EXISTS fields_digest ON fields (digest);"
    "CREATE TABLE IF NOT EXISTS quarantine (id BLOB NOT NULL PRIMARY KEY, rev INTEGER NOT NULL,"
    " incarnation INTEGER GENERATED ALWAYS AS (json_extract(doc, '$.incarnation')) VIRTUAL,"
    " doc TEXT NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS cursors (id BLOB NOT NULL PRIMARY KEY, rev INTEGER NOT NULL,"
    " doc TEXT NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS runs (id BLOB NOT NULL PRIMARY KEY, rev INTEGER NOT NULL,"
    " doc TEXT NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS settings (id BLOB NOT NULL PRIMARY KEY, rev INTEGER NOT NULL,"
    " doc TEXT NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS leases (name TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL,"
    " expires_us INTEGER NOT NULL) STRICT;";

/* Of a new file, all at once. */
static void schema_print(struct buf *sql)
{
    buf_text(sql, "CREATE TABLE IF NOT EXISTS fields "
                  "(id BLOB NOT NULL PRIMARY KEY, rev INTEGER NOT NULL");
    for (const struct sqlite_column *column = sqlite_columns; column->name != NULL; column++)
        buf_format(sql, ", %s %s", column->name, column->type);
    buf_format(sql, ", doc TEXT NOT NULL) STRICT; %s", schema_rest);
}

/* What leads from the form before to this one. Programs of form 1 look into `settings`, all later ones at user_version. */
static const char *const schema_steps[CATALOG_FORMAT + 1] = {
    [2] = "DROP INDEX IF EXISTS fields_param; " SCHEMA_PARAMS,
    /* A run is a range of ids. Beside fields_field fields_run was taken for every query of a run's parameter, and walked. */
    [3] = "ALTER TABLE fields ADD COLUMN idTable ANY; " SCHEMA_ID_TABLE
          "DROP INDEX IF EXISTS fields_run; ",
};

/* One transaction with its number: a file is in one form or in the other. */
static enum status schema_execute(struct sqlite_link *link, unsigned format, const char *steps,
                                  struct error *err)
{
    struct buf sql;

    buf_init(&sql, 16384);
    buf_format(&sql,
               "BEGIN IMMEDIATE; %s "
               "INSERT INTO settings (id, rev, doc) VALUES (CAST('format' AS BLOB), 1, json_object('format', %u)) "
               "ON CONFLICT (id) DO UPDATE SET rev = rev + 1, doc = excluded.doc; "
               "PRAGMA user_version = %u; COMMIT",
               steps, format, format);
    assert(buf_status(&sql) == STATUS_OK);
    enum status status = sqlite_execute(link, buf_string(&sql), err);
    if (status != STATUS_OK && sqlite3_get_autocommit(link->db) == 0)
        sqlite3_exec(link->db, "ROLLBACK", NULL, NULL, NULL);
    buf_fini(&sql);
    return status;
}

enum status sqlite_format_make(struct catalog *catalog, struct error *err)
{
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);
    struct buf sql;

    buf_init(&sql, 8192);
    schema_print(&sql);
    assert(buf_status(&sql) == STATUS_OK);
    enum status status = schema_execute(&sqlite->writer, CATALOG_FORMAT, buf_string(&sql), err);
    buf_fini(&sql);
    return status;
}

enum status sqlite_format_step(struct catalog *catalog, unsigned format, struct error *err)
{
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);

    assert(format <= CATALOG_FORMAT && schema_steps[format] != NULL);
    return schema_execute(&sqlite->writer, format, schema_steps[format], err);
}

/* The number that a statement of one row and one column gives; 0: no row. */
static enum status schema_number(struct sqlite_link *link, const char *sql, uint64_t *number,
                                 struct error *err)
{
    sqlite3_stmt *statement = NULL;
    enum status status = STATUS_OK;

    *number = 0;
    if (sqlite3_prepare_v2(link->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return sqlite_failed(link, err, "its form");
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        *number = (uint64_t)sqlite3_column_int64(statement, 0);
    else if (step != SQLITE_DONE)
        status = sqlite_failed(link, err, "its form");
    sqlite3_finalize(statement);
    return status;
}

enum status sqlite_format_read(struct catalog *catalog, uint64_t *format, struct error *err)
{
    struct sqlite_link *link = &container_of(catalog, struct catalog_sqlite, catalog)->writer;
    uint64_t tables;
    enum status status = schema_number(link, "PRAGMA user_version", format, err);

    if (status != STATUS_OK || *format != 0)
        return status;
    status = schema_number(link, "SELECT count(*) FROM sqlite_master WHERE name = 'settings'",
                           &tables, err);
    if (status != STATUS_OK || tables == 0)
        return status;
    /* Form 1 had no user_version. */
    return schema_number(
        link, "SELECT json_extract(doc, '$.format') FROM settings WHERE id = CAST('format' AS BLOB)",
        format, err);
}

/* --- statements --- */

/* The columns, each behind `before`; assigned: with " = :name". */
static void statement_columns(struct buf *sql, enum catalog_table table, const char *before, bool assigned)
{
    if (table != CATALOG_FIELDS)
        return;
    for (const struct sqlite_column *column = sqlite_columns; column->name != NULL; column++)
        buf_format(sql, "%s%s%s%s", before, column->name, assigned ? " = :" : "",
                   assigned ? column->name : "");
}

/* Parameters: ?1 id (or from), ?2 rev (or to), ?3 doc; columns and the rev it had by name. */
static void statement_print(struct buf *sql, enum catalog_table table, enum sqlite_statement which)
{
    const char *name = table_names[table];

    switch (which) {
    case STATEMENT_READ:
        buf_format(sql, "SELECT id, rev, doc FROM %s WHERE id = ?1", name);
        break;
    case STATEMENT_SCAN:
        buf_format(sql, "SELECT id, rev, doc FROM %s WHERE id >= ?1 AND id <= ?2 ORDER BY id", name);
        break;
    case STATEMENT_SCAN_HINT:
        buf_format(sql,
                   "SELECT id, rev, doc FROM %s WHERE id >= ?1 AND id <= ?2 "
                   "AND instr(doc, ?3) > 0 ORDER BY id",
                   name);
        break;
    case STATEMENT_SCAN_BRIEF:
        /* SQLite picks the members without making a tree of the text; what it gives is a quarter of it. */
        buf_format(sql,
                   "SELECT id, rev, json_object('digest', digest, 'length', doc -> '$.length', "
                   "'stored_at', doc -> '$.stored_at', "
                   "'locations', doc -> '$.locations', 'older', doc -> '$.older') FROM %s "
                   "WHERE id >= ?1 AND id <= ?2 ORDER BY id",
                   name);
        break;
    case STATEMENT_INSERT:
        buf_format(sql, "INSERT INTO %s (id, rev, doc", name);
        statement_columns(sql, table, ", ", false);
        buf_text(sql, ") VALUES (?1, ?2, ?3");
        statement_columns(sql, table, ", :", false);
        buf_text(sql, ") ON CONFLICT (id) DO NOTHING");
        break;
    case STATEMENT_UPDATE:
        buf_format(sql, "UPDATE %s SET rev = ?2, doc = ?3", name);
        statement_columns(sql, table, ", ", true);
        buf_text(sql, " WHERE id = ?1 AND rev = :was");
        break;
    case STATEMENT_PLACES:
        /* No column of an index is named, so no index is touched. */
        buf_format(sql, "UPDATE %s SET rev = ?2, doc = ?3 WHERE id = ?1 AND rev = :was", name);
        break;
    case STATEMENT_DELETE:
        buf_format(sql, "DELETE FROM %s WHERE id = ?1 AND rev = :was", name);
        break;
    case STATEMENT_REMOVE:
        buf_format(sql,
                   "DELETE FROM %s WHERE rowid IN (SELECT rowid FROM %s WHERE id >= ?1 AND "
                   "id <= ?2 AND incarnation <= ?3 LIMIT ?4)",
                   name, name);
        break;
    case STATEMENTS_COUNT:
        assert(false);
    }
}

sqlite3_stmt *sqlite_prepared(struct sqlite_link *link, enum catalog_table table,
                              enum sqlite_statement which, struct error *err)
{
    sqlite3_stmt **statement = &link->statements[table][which];
    struct buf sql;

    if (*statement != NULL)
        return *statement;
    buf_init(&sql, 8192);
    statement_print(&sql, table, which);
    assert(buf_status(&sql) == STATUS_OK);
    if (sqlite3_prepare_v3(link->db, buf_string(&sql), -1, SQLITE_PREPARE_PERSISTENT, statement,
                           NULL) != SQLITE_OK)
        sqlite_failed(link, err, "a statement");
    buf_fini(&sql);
    return *statement;
}

void sqlite_done(sqlite3_stmt *statement)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
}

enum status sqlite_query_prepare(struct sqlite_link *link, const char *sql,
                                 sqlite3_stmt **statement, struct error *err)
{
    for (unsigned i = 0; i < SQLITE_QUERIES_MAX; i++) {
        if (link->queries[i].sql != NULL && strcmp(link->queries[i].sql, sql) == 0) {
            *statement = link->queries[i].statement;
            return STATUS_OK;
        }
    }
    unsigned at = link->queries_next++ % SQLITE_QUERIES_MAX;
    sqlite3_finalize(link->queries[at].statement);
    free(link->queries[at].sql);
    link->queries[at].statement = NULL;
    link->queries[at].sql = NULL;
    if (sqlite3_prepare_v3(link->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) != SQLITE_OK)
        return sqlite_failed(link, err, "a query");
    link->queries[at].statement = *statement;
    link->queries[at].sql = strdup(sql);
    return link->queries[at].sql != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "a query");
}
