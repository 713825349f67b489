/* catalog_sqlite.h: between the files of the catalog in one SQLite file; nobody else includes it, or sqlite3.h.
 *
 * One connection writes, under a mutex; readers have connections of their own, as many as read at once. The write-ahead log lets
 * readers go on while a batch is written; every transaction is flushed before it is answered. */
#ifndef INDEXER_CATALOG_SQLITE_H
#define INDEXER_CATALOG_SQLITE_H

#include "indexer/catalog/catalog_ops.h"

#include <pthread.h>
#include <sqlite3.h>

enum {
    SQLITE_READERS_MAX = 32,
    SQLITE_QUERIES_MAX = 16, /* remembered by a connection */
    SQLITE_BUSY_MS = 10000, /* somebody looks at the file with the sqlite3 shell */
};

enum sqlite_statement {
    STATEMENT_READ,
    STATEMENT_SCAN,
    STATEMENT_SCAN_HINT,
    STATEMENT_SCAN_BRIEF,
    STATEMENT_INSERT,
    STATEMENT_UPDATE,
    STATEMENT_PLACES,
    STATEMENT_DELETE,
    STATEMENT_REMOVE,
    STATEMENTS_COUNT
};

/* A connection with the statements it has prepared so far; used by one thread at a time. */
struct sqlite_link {
    sqlite3 *db;
    sqlite3_stmt *statements[CATALOG_TABLES_COUNT][STATEMENTS_COUNT];
    /* Queries by their text, which differs by keys and not by values: the same few come again and again. */
    struct {
        char *sql; /* owned */
        sqlite3_stmt *statement;
    } queries[SQLITE_QUERIES_MAX];
    unsigned queries_next; /* the one that makes room */
    struct sqlite_link *next; /* among the free ones */
};

/* Which file it is, whatever it is called. */
struct sqlite_place {
    uint64_t device, inode, born_ns; /* inode 0: there is none */
};

struct catalog_sqlite {
    struct catalog catalog;
    char *path; /* owned */
    int lock;   /* of the one indexer */
    struct sqlite_place place; /* of the file that is open */
    pthread_mutex_t write_mutex;
    struct sqlite_link writer;
    pthread_mutex_t readers_mutex;
    pthread_cond_t reader_free;
    struct sqlite_link *readers; /* free ones; owned */
    unsigned readers_count;      /* free and in use */
};

/* Members of a document that have a column beside it; the others are looked up in the document itself. */
struct sqlite_column {
    const char *name;
    const char *type;
    bool is_time; /* text in the document, seconds since 1970 in the column */
};
extern const struct sqlite_column sqlite_columns[]; /* ends with .name == NULL */
enum { SQLITE_COLUMN_FIRST = 4 }; /* their parameters in INSERT and UPDATE, in this order; before them ?1 id, ?2 rev, ?3 doc */
const struct sqlite_column *sqlite_column_find(const char *name);

/* --- catalog_sqlite_place.c --- */
/* Behind the lock, before anything is opened: a log that belongs to another file goes. */
enum status sqlite_place_begin(struct catalog_sqlite *sqlite, struct error *err);
/* The file that was just opened is the one. */
void sqlite_place_take(struct catalog_sqlite *sqlite);
/* Notes the file and its log for the next start. */
enum status sqlite_place_settle(struct catalog *catalog, struct error *err);
/* NOT_FOUND: nothing lies at the path any more; EXISTS: another file does. Health is told. Any thread. */
enum status sqlite_place_check(const struct catalog_sqlite *sqlite, struct error *err);
enum status sqlite_place_writable(const struct catalog_sqlite *sqlite, struct error *err); /* the same as READ_ONLY */

/* The writing connection, then the schema (catalog_sqlite_schema.c). */
enum status sqlite_link_open(struct catalog_sqlite *sqlite, struct sqlite_link *link, bool writes,
                             struct error *err);
void sqlite_link_close(struct sqlite_link *link);
enum status sqlite_format_read(struct catalog *catalog, uint64_t *format, struct error *err);
enum status sqlite_format_make(struct catalog *catalog, struct error *err);
enum status sqlite_format_step(struct catalog *catalog, unsigned format, struct error *err);

/* A statement ready to be bound, or NULL and err. Given back with sqlite3_reset() and clear_bindings. */
sqlite3_stmt *sqlite_prepared(struct sqlite_link *link, enum catalog_table table,
                              enum sqlite_statement which, struct error *err);
void sqlite_done(sqlite3_stmt *statement);
/* A query's statement, remembered by its text until others make it leave; given back with sqlite_done(). */
enum status sqlite_query_prepare(struct sqlite_link *link, const char *sql, sqlite3_stmt **statement,
                                 struct error *err);
enum status sqlite_execute(struct sqlite_link *link, const char *sql, struct error *err);
/* The connection's last failure as a status. */
enum status sqlite_failed(const struct sqlite_link *link, struct error *err, const char *what);

/* A reader for this thread; waits while SQLITE_READERS_MAX are in use. */
enum status sqlite_reader_take(struct catalog_sqlite *sqlite, struct sqlite_link **link,
                               struct error *err);
void sqlite_reader_give(struct catalog_sqlite *sqlite, struct sqlite_link *link);

/* Steps a statement that selects id, rev, doc. *more: each() wants more. */
enum status sqlite_each(struct sqlite_link *link, sqlite3_stmt *statement, record_each *each,
                        void *data, bool *more, struct error *err);

enum status sqlite_find(struct catalog *catalog, const struct catalog_query *query,
                        record_each *each, void *data, struct error *err); /* catalog_sqlite_find.c */
enum status sqlite_find_rows(struct catalog *catalog, const struct catalog_query *query,
                             const struct catalog_rows *rows, struct error *err);
enum status sqlite_count(struct catalog *catalog, const struct catalog_query *query,
                         uint64_t *count, struct error *err);
enum status sqlite_write(struct catalog *catalog, enum catalog_table table, struct record_write *writes,
                         size_t count, struct error *err); /* catalog_sqlite_write.c */
enum status sqlite_remove(struct catalog *catalog, enum catalog_table table,
                          const struct record_range *range, uint64_t incarnation, size_t limit,
                          size_t *removed, struct error *err);
enum status sqlite_lease_take(struct catalog *catalog, const char *name, const char *owner,
                              uint64_t ttl_ms, char holder[64], struct error *err);
enum status sqlite_lease_release(struct catalog *catalog, const char *name, const char *owner,
                                 struct error *err);
enum status sqlite_lease_renew(struct catalog *catalog, const char *owner, uint64_t ttl_ms,
                               struct error *err);
enum status sqlite_lease_release_all(struct catalog *catalog, const char *owner, struct error *err);
enum status sqlite_lease_scan(struct catalog *catalog,
                              bool (*each)(void *data, const struct catalog_lease *lease),
                              void *data, struct error *err);

#endif
