/* catalog_mongo_read.c: records by id, and by ranges of ids. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_mongo.h"

#include <assert.h>

enum {
    MONGO_IDS_MAX = 50000,   /* in one find: well within the 16 MiB of a command */
    MONGO_SCAN_BATCH = 2000, /* documents an answer of a scan */
};

enum status mongo_each(mongoc_cursor_t *cursor, record_each *each, void *data, struct error *err)
{
    const bson_t *bson;
    bson_error_t failure;
    enum status status = STATUS_OK;
    bool more = true;

    while (status == STATUS_OK && more && mongoc_cursor_next(cursor, &bson)) {
        struct record record;
        status = mongo_record(bson, &record, err);
        if (status == STATUS_OK)
            more = each(data, &record);
        json_decref(record.doc);
    }
    if (status == STATUS_OK && more && mongoc_cursor_error(cursor, &failure))
        status = mongo_failed(&failure, err, "reading");
    else if (status == STATUS_OK)
        catalog_health_read();
    mongoc_cursor_destroy(cursor);
    return status;
}

/* The record of a field, without a tree where it has none but its current issue. */
static enum status give_field(const bson_t *bson, struct buf *text, record_each *each, void *data,
                              bool *more, struct error *err)
{
    struct field_document document;
    struct record record;
    bool read = mongo_field_read(bson, &document, text);
    enum status status = read ? mongo_record_begin(bson, &record, err)
                              : mongo_record(bson, &record, err);

    if (read)
        record.document = &document;
    if (status == STATUS_OK)
        *more = each(data, &record);
    json_decref(record.doc);
    if (read)
        field_document_fini(&document);
    return status;
}

static enum status each_field(mongoc_cursor_t *cursor, record_each *each, void *data, struct error *err)
{
    enum status status = STATUS_OK;
    const bson_t *bson;
    bson_error_t failure;
    bool more = true;
    struct buf text;

    buf_init(&text, FIELD_KEYS_SIZE_MAX);
    while (status == STATUS_OK && more && mongoc_cursor_next(cursor, &bson))
        status = give_field(bson, &text, each, data, &more, err);
    if (status == STATUS_OK && more && mongoc_cursor_error(cursor, &failure))
        status = mongo_failed(&failure, err, "reading");
    else if (status == STATUS_OK)
        catalog_health_read();
    buf_fini(&text);
    mongoc_cursor_destroy(cursor);
    return status;
}

static void append_ids(bson_t *filter, enum catalog_table table, const struct record_id *ids, size_t count)
{
    bson_t in, list;

    bson_append_document_begin(filter, "_id", -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (size_t i = 0; i < count; i++) {
        char space[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, space, sizeof space);
        mongo_append_id(&list, key, table, &ids[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(filter, &in);
}

enum status mongo_read(struct catalog *catalog, enum catalog_table table, const struct record_id *ids,
                       size_t count, record_each *each, void *data, struct error *err)
{
    struct mongo_call call;
    bson_t filter = BSON_INITIALIZER;
    /* All in one answer, as far as 16 MiB go: each further one is a round trip. */
    bson_t *opts = BCON_NEW("batchSize", BCON_INT32((int32_t)count + 1));

    assert(count <= MONGO_IDS_MAX);
    mongo_begin(&call, catalog, mongo_collection_name(table));
    append_ids(&filter, table, ids, count);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(call.collection, &filter, opts, NULL);
    enum status status = (table == CATALOG_FIELDS ? each_field : mongo_each)(cursor, each, data, err);
    bson_destroy(&filter);
    bson_destroy(opts);
    mongo_end(&call);
    return status;
}

void mongo_append_range(bson_t *filter, enum catalog_table table, const struct record_range *range)
{
    bson_t bounds;

    if (range->whole)
        return;
    bson_append_document_begin(filter, "_id", -1, &bounds);
    mongo_append_id(&bounds, range->behind ? "$gt" : "$gte", table, &range->from);
    mongo_append_id(&bounds, "$lte", table, &range->to);
    bson_append_document_end(filter, &bounds);
}

static void append_either(bson_t *filter, const char *top, const char *older, const char *value)
{
    bson_t either, one;

    bson_append_array_begin(filter, "$or", -1, &either);
    bson_append_document_begin(&either, "0", -1, &one);
    bson_append_utf8(&one, top, -1, value, -1);
    bson_append_document_end(&either, &one);
    bson_append_document_begin(&either, "1", -1, &one);
    bson_append_utf8(&one, older, -1, value, -1);
    bson_append_document_end(&either, &one);
    bson_append_array_end(filter, &either);
}

static void append_hint(bson_t *filter, const struct record_range *range)
{
    if (range->file != NULL)
        append_either(filter, "locations.file", "older.locations.file", range->file);
    else if (range->node != NULL)
        append_either(filter, "locations.node", "older.locations.node", range->node);
}

static void append_brief(bson_t *opts, bool places)
{
    enum { OF_PLACES = 4 };
    static const char *const members[] = { "rev", "digest", "length", "locations.node",
                                           "locations.file", "older.digest", "older.length",
                                           "older.locations.node", "older.locations.file",
                                           /* OF_PLACES */
                                           "stored_at", "locations.offset", "older.stored_at",
                                           "older.locations.offset" };
    size_t count = places ? ARRAY_COUNT(members) : ARRAY_COUNT(members) - OF_PLACES;
    bson_t projection;

    bson_append_document_begin(opts, "projection", -1, &projection);
    for (size_t i = 0; i < count; i++)
        bson_append_int32(&projection, members[i], -1, 1);
    bson_append_document_end(opts, &projection);
}

enum status mongo_scan(struct catalog *catalog, enum catalog_table table,
                       const struct record_range *range, record_each *each, void *data, struct error *err)
{
    struct mongo_call call;
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "batchSize",
                            BCON_INT32(MONGO_SCAN_BATCH));

    mongo_begin(&call, catalog, mongo_collection_name(table));
    mongo_append_range(&filter, table, range);
    if (table == CATALOG_CURSORS && range->node != NULL)
        bson_append_utf8(&filter, "node", -1, range->node, -1);
    else
        append_hint(&filter, range);
    if (range->brief)
        append_brief(opts, range->places);
    enum status status = mongo_each(
        mongoc_collection_find_with_opts(call.collection, &filter, opts, NULL), each, data, err);
    bson_destroy(&filter);
    bson_destroy(opts);
    mongo_end(&call);
    return status;
}
