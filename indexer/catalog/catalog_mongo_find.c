/* catalog_mongo_find.c: documents that answer a query, and how many they are. */
#include "indexer/catalog/catalog_mongo.h"

#include <stdlib.h>
#include <string.h>

enum { FEW_MAX = 1001 }; /* a page of 1,000 */

/* --- finding --- */

/* Filter and options by pointer: a bson_t wants 128 bytes of alignment of whatever holds it. */
struct find {
    struct mongo_call call;
    bson_t *filter, *opts; /* owned */
};

/* What a find is asked for beside its filter and its order. */
static void append_bounds(bson_t *opts, const struct catalog_query *query, const struct catalog_rows *rows)
{
    BSON_APPEND_INT64(opts, "maxTimeMS", MONGO_QUERY_MS);
    if (query->limit != 0 && !mongo_query_older(query)) {
        BSON_APPEND_INT64(opts, "limit", (int64_t)query->limit);
        /* All in one answer, as far as 16 MiB go: each further one is a round trip. */
        BSON_APPEND_INT64(opts, "batchSize", (int64_t)query->limit + 1);
    }
    if (rows != NULL && !rows->text) {
        bson_t projection;
        bson_append_document_begin(opts, "projection", -1, &projection);
        for (size_t i = 0; i < rows->keys_count; i++)
            bson_append_int32(&projection, rows->keys[i], -1, 1);
        if (rows->keys_count == 0)
            bson_append_int32(&projection, "_id", -1, 1);
        bson_append_document_end(opts, &projection);
    }
}

static mongoc_cursor_t *find_open(struct find *find, struct catalog *catalog,
                                  const struct catalog_query *query, const struct catalog_rows *rows)
{
    find->filter = bson_new();
    find->opts = bson_new();
    mongo_begin(&find->call, catalog, mongo_collection_name(CATALOG_FIELDS));
    mongo_append_query(find->filter, query, true);
    mongo_append_order(find->opts, query);
    BSON_APPEND_BOOL(find->opts, "allowDiskUse", true);
    append_bounds(find->opts, query, rows);
    return mongoc_collection_find_with_opts(find->call.collection, find->filter, find->opts, NULL);
}

static void find_close(struct find *find)
{
    bson_destroy(find->filter);
    bson_destroy(find->opts);
    mongo_end(&find->call);
}

enum status mongo_find(struct catalog *catalog, const struct catalog_query *query,
                       record_each *each, void *data, struct error *err)
{
    struct find find;
    enum status status = mongo_each(find_open(&find, catalog, query, NULL), each, data, err);

    find_close(&find);
    return status;
}

static enum status row_give(const bson_t *bson, const struct catalog_rows *rows, struct buf *text,
                            bool *more, struct error *err)
{
    struct catalog_value values[CATALOG_KEYS_MAX];
    struct catalog_row row = { .values = values };
    struct record_id id;

    if (!mongo_id(bson, &id))
        return error_set(err, STATUS_CORRUPT, "MongoDB: a document with another kind of _id");
    buf_clear(text);
    if (!mongo_row(bson, rows, text, values))
        return error_set(err, STATUS_CORRUPT, "MongoDB: a document with members of other types");
    if (buf_status(text) != STATUS_OK)
        return error_set(err, buf_status(text), "a document");
    row.id = slice_of(id.bytes, id.size);
    row.text = slice_of(text->data, text->size);
    *more = rows->each(rows->data, &row);
    return STATUS_OK;
}

/* --- a few --- */

/* Documents of an answer that is put in order here. */
struct few {
    struct few_document {
        struct record_id id;
        const uint8_t *bytes; /* borrowed: while the answer is there */
        uint32_t size;
    } * documents; /* owned */
    size_t count, room;
};

static struct few_document *few_add(struct few *few)
{
    if (few->count == few->room) {
        size_t room = few->room == 0 ? 4 : 2 * few->room;
        struct few_document *grown = realloc(few->documents, room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        few->documents = grown;
        few->room = room;
    }
    return &few->documents[few->count];
}

static bool names(const struct catalog_query *query, const char *key)
{
    for (size_t i = 0; i < query->terms_count; i++)
        if (strcmp(query->terms[i].key, key) == 0)
            return !query->terms[i].alternative &&
                   (i + 1 == query->terms_count || !query->terms[i + 1].alternative);
    return false;
}

/* Whether all of it is likely to fit a page: the keys of a field, but for member and level, which not every one has. */
static bool few_likely(const struct catalog_query *query)
{
    return query->limit > 0 && query->limit <= FEW_MAX && query->sorts_count == 0 &&
           query->after.size == 0 && !mongo_query_older(query) &&
           (names(query, "digest") ||
            (names(query, "param") && names(query, "base_time") && names(query, "step_seconds")));
}

/* As the server orders _id: binary values by their sizes first. */
static int few_compare(const void *left, const void *right)
{
    const struct record_id *a = &((const struct few_document *)left)->id;
    const struct record_id *b = &((const struct few_document *)right)->id;

    return a->size != b->size ? (a->size > b->size) - (a->size < b->size)
                              : memcmp(a->bytes, b->bytes, a->size);
}

/* The documents of the answer {cursor: {firstBatch: [...], id}}; *more: it has not all of them. */
static enum status few_take(struct few *few, const bson_t *answer, int64_t *more, struct error *err)
{
    bson_iter_t at, batch;

    if (!bson_iter_init(&at, answer) || !bson_iter_find_descendant(&at, "cursor.id", &batch))
        return error_set(err, STATUS_CORRUPT, "MongoDB: an answer without a cursor");
    *more = bson_iter_as_int64(&batch);
    if (!bson_iter_init(&at, answer) || !bson_iter_find_descendant(&at, "cursor.firstBatch", &batch) ||
        !bson_iter_recurse(&batch, &at))
        return error_set(err, STATUS_CORRUPT, "MongoDB: an answer without documents");
    while (bson_iter_next(&at)) {
        struct few_document *document = few_add(few);
        bson_t bson;
        if (document == NULL)
            return error_set(err, STATUS_NO_MEMORY, "documents");
        bson_iter_document(&at, &document->size, &document->bytes);
        if (document->bytes == NULL || !bson_init_static(&bson, document->bytes, document->size) ||
            !mongo_id(&bson, &document->id))
            return error_set(err, STATUS_CORRUPT, "MongoDB: a document with another kind of _id");
        few->count++;
    }
    return STATUS_OK;
}

static enum status few_give(struct few *few, const struct catalog_rows *rows, struct error *err)
{
    enum status status = STATUS_OK;
    bool more = true;
    struct buf text;

    if (few->count > 1)
        qsort(few->documents, few->count, sizeof *few->documents, few_compare);
    buf_init(&text, MONGO_TEXT_SIZE_MAX);
    for (size_t i = 0; status == STATUS_OK && more && i < few->count; i++) {
        bson_t bson;
        bson_init_static(&bson, few->documents[i].bytes, few->documents[i].size);
        status = row_give(&bson, rows, &text, &more, err);
    }
    buf_fini(&text);
    return status;
}

static enum status few_ask(mongoc_client_t *client, const char *database,
                           const struct catalog_query *query, const struct catalog_rows *rows,
                           bson_t *answer, struct error *err)
{
    bson_t command = BSON_INITIALIZER, filter;
    bson_error_t failure;

    BSON_APPEND_UTF8(&command, "find", mongo_collection_name(CATALOG_FIELDS));
    bson_append_document_begin(&command, "filter", -1, &filter);
    mongo_append_query(&filter, query, true);
    bson_append_document_end(&command, &filter);
    append_bounds(&command, query, rows);
    bool good = mongoc_client_read_command_with_opts(client, database, &command, NULL, NULL, answer,
                                                     &failure);
    bson_destroy(&command);
    return good ? STATUS_OK : mongo_failed(&failure, err, "reading");
}

/* Nobody reads on; without this the server would keep it for ten minutes. */
static void few_forget(mongoc_client_t *client, const char *database, int64_t cursor)
{
    bson_t *command = BCON_NEW("killCursors", BCON_UTF8(mongo_collection_name(CATALOG_FIELDS)),
                               "cursors", "[", BCON_INT64(cursor), "]");

    mongoc_client_command_simple(client, database, command, NULL, NULL, NULL);
    bson_destroy(command);
}

/* Without asking for an order, which for one document is a tenth of the server's work, and without the driver's cursor, which is a fifth
 * of the driver's. *whole: all there is has been given; otherwise there is more than a page, or than 16 MiB, whose order is the server's
 * to find, and nothing was given. */
static enum status few_find(struct catalog *catalog, const struct catalog_query *query,
                            const struct catalog_rows *rows, bool *whole, struct error *err)
{
    struct catalog_mongo *mongo = container_of(catalog, struct catalog_mongo, catalog);
    mongoc_client_t *client = mongoc_client_pool_pop(mongo->pool);
    struct few few = { .count = 0 };
    int64_t more = 0;
    bson_t answer;

    enum status status = few_ask(client, mongo->database, query, rows, &answer, err);
    if (status == STATUS_OK)
        status = few_take(&few, &answer, &more, err);
    if (more != 0)
        few_forget(client, mongo->database, more);
    mongoc_client_pool_push(mongo->pool, client);
    *whole = more == 0 && few.count < query->limit;
    if (status == STATUS_OK && *whole)
        status = few_give(&few, rows, err);
    bson_destroy(&answer);
    free(few.documents);
    return status;
}

/* --- rows --- */

static enum status rows_find(struct catalog *catalog, const struct catalog_query *query,
                             const struct catalog_rows *rows, struct error *err)
{
    struct find find;
    struct buf text;
    const bson_t *bson;
    bson_error_t failure;
    enum status status = STATUS_OK;
    bool more = true;
    mongoc_cursor_t *cursor = find_open(&find, catalog, query, rows);

    buf_init(&text, MONGO_TEXT_SIZE_MAX);
    while (status == STATUS_OK && more && mongoc_cursor_next(cursor, &bson))
        status = row_give(bson, rows, &text, &more, err);
    if (status == STATUS_OK && more && mongoc_cursor_error(cursor, &failure))
        status = mongo_failed(&failure, err, "reading");
    mongoc_cursor_destroy(cursor);
    buf_fini(&text);
    find_close(&find);
    return status;
}

enum status mongo_find_rows(struct catalog *catalog, const struct catalog_query *query,
                            const struct catalog_rows *rows, struct error *err)
{
    bool whole = false;
    enum status status = STATUS_OK;

    if (few_likely(query))
        status = few_find(catalog, query, rows, &whole, err);
    return status == STATUS_OK && !whole ? rows_find(catalog, query, rows, err) : status;
}

enum status mongo_count(struct catalog *catalog, const struct catalog_query *query, uint64_t *count,
                        struct error *err)
{
    struct mongo_call call;
    bson_error_t failure;
    bson_t filter = BSON_INITIALIZER, *opts = BCON_NEW("maxTimeMS", BCON_INT64(MONGO_QUERY_MS));
    enum status status = STATUS_OK;

    mongo_begin(&call, catalog, mongo_collection_name(CATALOG_FIELDS));
    mongo_append_query(&filter, query, false);
    int64_t found = mongoc_collection_count_documents(call.collection, &filter, opts, NULL, NULL,
                                                      &failure);
    *count = found > 0 ? (uint64_t)found : 0;
    if (found < 0)
        status = mongo_failed(&failure, err, "counting");
    bson_destroy(&filter);
    bson_destroy(opts);
    mongo_end(&call);
    return status;
}
