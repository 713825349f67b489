/* catalog_mongo.h: between the files of the catalog in MongoDB; nobody else includes it, or mongoc.h.
 *
 * Collections are named as the tables. `_id` of fields, quarantine, cursors and runs is binary, as in FORMATS.md section 9; `rev` stands
 * beside the members. Every write waits for the majority's journals, every read sees what a majority has: what was read can't be
 * rolled back. A write that was not confirmed in time is unknown, not failed: TIMEOUT, and it is made again. */
#ifndef INDEXER_CATALOG_MONGO_H
#define INDEXER_CATALOG_MONGO_H

#include "indexer/catalog/catalog_ops.h"

#include <mongoc/mongoc.h>
#include <pthread.h>

enum {
    MONGO_SELECTION_MS = 5000, /* to find a primary */
    MONGO_CONNECT_MS = 5000,
    MONGO_SOCKET_MS = 20000, /* a primary that hangs: what was asked of it then is asked again of the next; within 30 s in all */
    MONGO_WTIMEOUT_MS = 15000, /* the server gives up first */
    MONGO_QUERY_MS = 15000,    /* a query of a client, the same */
    MONGO_DUPLICATE = 11000,
};

struct catalog_mongo {
    struct catalog catalog;
    mongoc_client_pool_t *pool;
    char *database; /* owned */
    /* Who makes indexes in the background (catalog_mongo_index.c). */
    mongoc_uri_t *builder_uri; /* owned */
    pthread_t builder;
    bool builder_runs, builder_stops; /* stops: under the mutex */
    pthread_mutex_t builder_mutex;
    pthread_cond_t builder_wakes;
};

/* One call's client and collection. */
struct mongo_call {
    struct catalog_mongo *mongo;
    mongoc_client_t *client;
    mongoc_collection_t *collection;
};
void mongo_begin(struct mongo_call *call, struct catalog *catalog, const char *collection);
void mongo_end(struct mongo_call *call);
const char *mongo_collection_name(enum catalog_table table);

/* A failure of the driver as a status. */
enum status mongo_failed(const bson_error_t *failure, struct error *err, const char *what);
/* A write that the majority did not confirm in time: TIMEOUT, and perhaps it is there. */
enum status mongo_unconfirmed(struct error *err);

/* --- catalog_mongo_format.c --- */
enum status mongo_format_read(struct catalog *catalog, uint64_t *format, struct error *err);
enum status mongo_format_make(struct catalog *catalog, struct error *err);
enum status mongo_format_step(struct catalog *catalog, unsigned format, struct error *err);

/* --- catalog_mongo_index.c --- */
/* What is missing is made: at once where there is no document, else in the background. */
enum status mongo_indexes_settle(struct catalog *catalog, struct error *err);
void mongo_indexes_stop(struct catalog_mongo *mongo);

/* --- catalog_mongo_bson.c --- */

/* The id as `key` of a document. */
void mongo_append_id(bson_t *bson, const char *key, enum catalog_table table, const struct record_id *id);
/* base_time, valid_time: a date, when the text is one. */
void mongo_append_time(bson_t *bson, const char *key, int64_t seconds);
/* _id (unless id is NULL), rev, and the members of doc. false: too large, or nested too deep. */
bool mongo_document(bson_t *bson, enum catalog_table table, const struct record_id *id,
                    uint64_t rev, const json_t *doc);
/* Names whose texts are dates, whose integers always have 64 bits. */
bool mongo_name_is_time(struct slice name);
bool mongo_name_is_wide(struct slice name);
/* The _id of a document; false when it is none of ours. */
bool mongo_id(const bson_t *bson, struct record_id *id);
/* Id and revision, and nothing else. CORRUPT: it has none of ours. */
enum status mongo_record_begin(const bson_t *bson, struct record *record, struct error *err);
/* doc is a new reference. CORRUPT: not what mongo_document() makes. */
enum status mongo_record(const bson_t *bson, struct record *record, struct error *err);

/* --- catalog_mongo_field.c --- */
/* BSON under way; data is owned, and used again. */
struct mongo_bytes {
    uint8_t *data;
    size_t size, capacity;
};
/* What mongo_document() makes of field_to_json(), without the tree. */
void mongo_field_document(struct mongo_bytes *to, const struct record_id *id, uint64_t rev,
                          const struct field_document *document);
/* The update that makes the stored document this one where its locations, stamp and rev alone differ. */
void mongo_field_places(struct mongo_bytes *to, uint64_t rev, const struct field_document *document);

/* The document with its keys as text, without a tree; text is used on the way. False: it has older issues, or is unusual; mongo_record()
 * tells what it is. */
bool mongo_field_read(const bson_t *bson, struct field_document *document, struct buf *text);

/* --- catalog_mongo_read.c --- */
enum status mongo_read(struct catalog *catalog, enum catalog_table table, const struct record_id *ids,
                       size_t count, record_each *each, void *data, struct error *err);
enum status mongo_scan(struct catalog *catalog, enum catalog_table table,
                       const struct record_range *range, record_each *each, void *data,
                       struct error *err);
void mongo_append_range(bson_t *filter, enum catalog_table table, const struct record_range *range);
/* Every document of a find, then the cursor is destroyed. */
enum status mongo_each(mongoc_cursor_t *cursor, record_each *each, void *data, struct error *err);

/* --- catalog_mongo_filter.c --- */
/* Issues that are not current count as well. */
bool mongo_query_older(const struct catalog_query *query);
/* The query's terms and where to look; paged: behind query->after. */
void mongo_append_query(bson_t *filter, const struct catalog_query *query, bool paged);
void mongo_append_order(bson_t *opts, const struct catalog_query *query);

/* --- catalog_mongo_find.c --- */
enum status mongo_find(struct catalog *catalog, const struct catalog_query *query,
                       record_each *each, void *data, struct error *err);

enum { MONGO_TEXT_SIZE_MAX = 64 << 20 }; /* a document of 16 MiB as text */
enum status mongo_find_rows(struct catalog *catalog, const struct catalog_query *query,
                            const struct catalog_rows *rows, struct error *err);
enum status mongo_count(struct catalog *catalog, const struct catalog_query *query, uint64_t *count,
                        struct error *err);

/* --- catalog_mongo_text.c --- */
/* The document as JSON behind text (where rows ask for it), as mongo_record() and json_print() would, and the values of rows->keys;
 * they borrow from bson. false: a type that is never written here. */
bool mongo_row(const bson_t *bson, const struct catalog_rows *rows, struct buf *text,
               struct catalog_value *values);

/* --- catalog_mongo_write.c --- */
enum status mongo_write(struct catalog *catalog, enum catalog_table table,
                        struct record_write *writes, size_t count, struct error *err);
enum status mongo_remove(struct catalog *catalog, enum catalog_table table,
                         const struct record_range *range, uint64_t incarnation, size_t limit,
                         size_t *removed, struct error *err);

/* --- catalog_mongo_lease.c --- */
enum status mongo_lease_take(struct catalog *catalog, const char *name, const char *owner,
                             uint64_t ttl_ms, char holder[64], struct error *err);
enum status mongo_lease_release(struct catalog *catalog, const char *name, const char *owner,
                                struct error *err);
enum status mongo_lease_renew(struct catalog *catalog, const char *owner, uint64_t ttl_ms,
                              struct error *err);
enum status mongo_lease_release_all(struct catalog *catalog, const char *owner, struct error *err);
enum status mongo_lease_scan(struct catalog *catalog,
                             bool (*each)(void *data, const struct catalog_lease *lease),
                             void *data, struct error *err);

#endif
