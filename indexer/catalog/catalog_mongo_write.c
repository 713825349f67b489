/* catalog_mongo_write.c: one unordered bulk a call: inserts, replacements and deletions by (_id, rev).
 *
 * No transactions over several documents: each write stands for itself, and what is not there is made again by the caller. The
 * server names the inserts that met a document; of replacements and deletions it tells only how many met theirs, so
 * when one did not, all of their kind are told as lost. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_mongo.h"

#include <assert.h>
#include <stdlib.h>

enum { MONGO_REMOVE_MAX = 20000 }; /* in one command, so that others get their turn */

enum write_kind { WRITE_INSERT, WRITE_REPLACE, WRITE_DELETE, WRITE_KINDS };

static enum write_kind kind_of(const struct record_write *write)
{
    if (write->doc == NULL && write->document == NULL)
        return WRITE_DELETE;
    return write->rev_was == 0 ? WRITE_INSERT : WRITE_REPLACE;
}

struct bulk {
    mongoc_bulk_operation_t *operation;
    enum catalog_table table;
    struct record_write *writes;
    size_t count;
    size_t *order; /* the operation's i-th write is writes[order[i]] */
    bson_t *selector,
        *document; /* owned, used again for each write; by pointer, for a bson_t wants 128 bytes of alignment */
    bson_t *insert_opts; /* nothing to prove: keys are UTF-8 since they were parsed, the rest is ours */
    int64_t counts[WRITE_KINDS];
};

static void append_selector(bson_t *selector, enum catalog_table table, const struct record_write *write)
{
    mongo_append_id(selector, "_id", table, &write->id);
    bson_append_int64(selector, "rev", -1, (int64_t)write->rev_was);
}

static bool append_document(bson_t *bson, enum catalog_table table, const struct record_write *write)
{
    const struct record_id *id = write->rev_was == 0 ? &write->id : NULL;

    return write->document != NULL ? mongo_field_document(bson, id, write->rev, write->document)
                                   : mongo_document(bson, table, id, write->rev, write->doc);
}

static enum status bulk_add(struct bulk *bulk, const struct record_write *write, struct error *err)
{
    enum write_kind kind = kind_of(write);
    bson_error_t failure;
    enum status status = STATUS_OK;
    bool good = false;

    bson_reinit(bulk->selector);
    bson_reinit(bulk->document);
    if (kind != WRITE_INSERT)
        append_selector(bulk->selector, bulk->table, write);
    if (kind != WRITE_DELETE && !append_document(bulk->document, bulk->table, write))
        status = error_set(err, STATUS_TOO_LARGE, "a document that is no BSON");
    else if (kind == WRITE_INSERT)
        good = mongoc_bulk_operation_insert_with_opts(bulk->operation, bulk->document,
                                                      bulk->insert_opts, &failure);
    else if (kind == WRITE_REPLACE)
        good = mongoc_bulk_operation_replace_one_with_opts(bulk->operation, bulk->selector,
                                                           bulk->document, NULL, &failure);
    else
        good = mongoc_bulk_operation_remove_one_with_opts(bulk->operation, bulk->selector, NULL, &failure);
    if (status == STATUS_OK && !good)
        status = mongo_failed(&failure, err, "a document");
    return status;
}

/* Kind by kind, so that each kind is one command. */
static enum status bulk_fill(struct bulk *bulk, struct error *err)
{
    size_t added = 0;

    for (int kind = 0; kind < WRITE_KINDS; kind++) {
        for (size_t i = 0; i < bulk->count; i++) {
            if (kind_of(&bulk->writes[i]) != (enum write_kind)kind)
                continue;
            enum status status = bulk_add(bulk, &bulk->writes[i], err);
            if (status != STATUS_OK)
                return status;
            bulk->order[added++] = i;
            bulk->counts[kind]++;
        }
    }
    return STATUS_OK;
}

static int64_t reply_count(const bson_t *reply, const char *name)
{
    bson_iter_t at;

    return bson_iter_init_find(&at, reply, name) && BSON_ITER_HOLDS_INT(&at) ? bson_iter_as_int64(&at)
                                                                             : 0;
}

static int64_t member_integer(const bson_iter_t *parent, const char *name)
{
    bson_iter_t at;

    return bson_iter_recurse(parent, &at) && bson_iter_find(&at, name) && BSON_ITER_HOLDS_INT(&at)
               ? bson_iter_as_int64(&at)
               : -1;
}

/* Marks the inserts that met a document. Any other write error is a failure. */
static enum status bulk_take_write_errors(struct bulk *bulk, const bson_t *reply, struct error *err)
{
    bson_iter_t at, list;

    if (!bson_iter_init_find(&at, reply, "writeErrors") || !bson_iter_recurse(&at, &list))
        return STATUS_OK;
    while (bson_iter_next(&list)) {
        int64_t code = member_integer(&list, "code");
        int64_t index = member_integer(&list, "index");
        if (code != MONGO_DUPLICATE) {
            bson_error_t failure = { .domain = MONGOC_ERROR_SERVER, .code = (uint32_t)code };
            bson_strncpy(failure.message, "a write was refused", sizeof failure.message);
            return mongo_failed(&failure, err, "writing");
        }
        if (index < 0 || index >= bulk->counts[WRITE_INSERT])
            return error_set(err, STATUS_INTERNAL, "MongoDB: a write error of no write");
        bulk->writes[bulk->order[index]].lost = true;
    }
    return STATUS_OK;
}

static bool has_write_concern_errors(const bson_t *reply)
{
    bson_iter_t at, list;

    return bson_iter_init_find(&at, reply, "writeConcernErrors") && bson_iter_recurse(&at, &list) &&
           bson_iter_next(&list);
}

static enum status mongo_unconfirmed(struct error *err)
{
    error_set(err, STATUS_TIMEOUT, "MongoDB: the majority did not confirm in time");
    catalog_health_failed(STATUS_TIMEOUT, err->text);
    return STATUS_TIMEOUT;
}

static void bulk_lose(struct bulk *bulk, enum write_kind kind)
{
    for (size_t i = 0; i < bulk->count; i++)
        if (kind_of(&bulk->writes[i]) == kind)
            bulk->writes[i].lost = true;
}

static enum status bulk_execute(struct bulk *bulk, struct error *err)
{
    bson_error_t failure = { .code = 0 };
    bson_t reply;
    bool good = mongoc_bulk_operation_execute(bulk->operation, &reply, &failure) != 0;
    enum status status = STATUS_OK;

    /* First of all: unconfirmed is unknown, whatever else the reply says. */
    if (has_write_concern_errors(&reply))
        status = mongo_unconfirmed(err);
    else if (!good && failure.code != MONGO_DUPLICATE)
        status = mongo_failed(&failure, err, "writing");
    if (status == STATUS_OK)
        status = bulk_take_write_errors(bulk, &reply, err);
    if (reply_count(&reply, "nMatched") < bulk->counts[WRITE_REPLACE])
        bulk_lose(bulk, WRITE_REPLACE);
    if (reply_count(&reply, "nRemoved") < bulk->counts[WRITE_DELETE])
        bulk_lose(bulk, WRITE_DELETE);
    bson_destroy(&reply);
    return status;
}

enum status mongo_write(struct catalog *catalog, enum catalog_table table,
                        struct record_write *writes, size_t count, struct error *err)
{
    struct bulk bulk = { .table = table, .writes = writes, .count = count };
    struct mongo_call call;
    bson_t *opts = BCON_NEW("ordered", BCON_BOOL(false));

    bulk.selector = bson_new();
    bulk.document = bson_new();
    bulk.insert_opts = BCON_NEW("validate", BCON_BOOL(false));
    mongo_begin(&call, catalog, mongo_collection_name(table));
    bulk.operation = mongoc_collection_create_bulk_operation_with_opts(call.collection, opts);
    bulk.order = calloc(count, sizeof *bulk.order);
    enum status status = STATUS_OK;
    if (bulk.order == NULL) {
        status = STATUS_NO_MEMORY;
        error_set(err, status, "a batch");
    }
    for (size_t i = 0; i < count; i++)
        writes[i].lost = false;
    if (status == STATUS_OK)
        status = bulk_fill(&bulk, err);
    if (status == STATUS_OK)
        status = bulk_execute(&bulk, err);
    if (status == STATUS_OK)
        catalog_health_wrote();
    mongoc_bulk_operation_destroy(bulk.operation);
    free(bulk.order);
    bson_destroy(bulk.selector);
    bson_destroy(bulk.document);
    bson_destroy(bulk.insert_opts);
    bson_destroy(opts);
    mongo_end(&call);
    return status;
}

/* --- removing a range --- */

/* The id that is `ahead` documents behind the beginning of the range, from the index alone; the range's end when there are not so
 * many, *whole then. */
static enum status find_window(struct mongo_call *call, enum catalog_table table,
                               const struct record_range *range, size_t ahead,
                               struct record_id *last, bool *whole, struct error *err)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("projection", "{", "_id", BCON_INT32(1), "}", "sort", "{", "_id",
                            BCON_INT32(1), "}", "skip", BCON_INT64((int64_t)ahead), "limit",
                            BCON_INT64(1));
    const bson_t *found;
    bson_error_t failure;
    enum status status = STATUS_OK;

    mongo_append_range(&filter, table, range);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(call->collection, &filter, opts, NULL);
    *whole = !mongoc_cursor_next(cursor, &found);
    *last = range->to;
    if (mongoc_cursor_error(cursor, &failure))
        status = mongo_failed(&failure, err, "reading");
    else if (!*whole && !mongo_id(found, last))
        status = error_set(err, STATUS_CORRUPT, "MongoDB: a document with another kind of _id");
    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    bson_destroy(opts);
    return status;
}

static enum status remove_window(struct mongo_call *call, enum catalog_table table,
                                 const struct record_range *window, uint64_t incarnation,
                                 size_t *removed, struct error *err)
{
    bson_t selector = BSON_INITIALIZER, most, reply;
    bson_error_t failure;
    enum status status = STATUS_OK;

    mongo_append_range(&selector, table, window);
    bson_append_document_begin(&selector, "incarnation", -1, &most);
    bson_append_int64(&most, "$lte", -1, (int64_t)incarnation);
    bson_append_document_end(&selector, &most);
    if (!mongoc_collection_delete_many(call->collection, &selector, NULL, &reply, &failure))
        status = mongo_failed(&failure, err, "removing");
    else if (has_write_concern_errors(&reply))
        status = mongo_unconfirmed(err);
    else
        catalog_health_wrote();
    *removed += (size_t)reply_count(&reply, "deletedCount");
    bson_destroy(&reply);
    bson_destroy(&selector);
    return status;
}

/* Window by window of the range, each of as many documents as may still go: a window may hold some of a higher incarnation. */
enum status mongo_remove(struct catalog *catalog, enum catalog_table table,
                         const struct record_range *range, uint64_t incarnation, size_t limit,
                         size_t *removed, struct error *err)
{
    struct record_range window = *range;
    struct mongo_call call;
    enum status status = STATUS_OK;
    bool whole = false;

    *removed = 0;
    mongo_begin(&call, catalog, mongo_collection_name(table));
    while (status == STATUS_OK && !whole && *removed < limit) {
        size_t wanted = limit - *removed < MONGO_REMOVE_MAX ? limit - *removed : MONGO_REMOVE_MAX;
        window.to = range->to;
        status = find_window(&call, table, &window, wanted - 1, &window.to, &whole, err);
        if (status == STATUS_OK)
            status = remove_window(&call, table, &window, incarnation, removed, err);
        window.from = window.to;
        window.behind = true;
    }
    mongo_end(&call);
    return status;
}
