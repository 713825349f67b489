/* catalog_mongo_write.c: an unordered bulk a call: inserts, replacements, updates of locations and deletions by (_id, rev).
 *
 * The driver keeps a copy of a bulk until it is answered, so one that has CATALOG_BATCH_SIZE_MAX bytes goes, and the next begins.
 *
 * No transactions over several documents: each write stands for itself, and what is not there is made again by the caller. The
 * server names the inserts that met a document; of replacements and deletions it tells only how many met theirs, so
 * when one did not, all of their kind in the bulk are told as lost. */
#include "indexer/catalog/catalog_health.h"
#include "indexer/catalog/catalog_mongo.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { MONGO_REMOVE_MAX = 20000 }; /* in one command, so that others get their turn */

enum write_kind { WRITE_INSERT, WRITE_REPLACE, WRITE_DELETE, WRITE_KINDS };

static enum write_kind kind_of(const struct record_write *write)
{
    if (write->doc == NULL && write->document == NULL)
        return WRITE_DELETE;
    return write->rev_was == 0 ? WRITE_INSERT : WRITE_REPLACE;
}

/* A bulk, and how far those of the call have come: kind by kind, so that each kind is one command. */
struct bulk {
    mongoc_bulk_operation_t *operation;
    enum catalog_table table;
    struct record_write *writes;
    size_t count;
    enum write_kind kind;
    size_t next;        /* of this kind */
    size_t *order;      /* owned; the operation's i-th write is writes[order[i]] */
    size_t added, size; /* to the operation; in bytes */
    bson_t *selector,
        *other; /* owned, used again for each write; by pointer, for a bson_t wants 128 bytes of alignment */
    struct mongo_bytes bytes; /* owned: of a document of a field */
    bson_t *opts; /* nothing to prove: keys are UTF-8 since they were parsed, the rest is ours */
    int64_t counts[WRITE_KINDS];
};

static void append_selector(bson_t *selector, enum catalog_table table, const struct record_write *write)
{
    mongo_append_id(selector, "_id", table, &write->id);
    bson_append_int64(selector, "rev", -1, (int64_t)write->rev_was);
}

/* As what is to be written, borrowed from the bulk until the next. */
static bool make_document(struct bulk *bulk, const struct record_write *write, bson_t *document)
{
    const struct record_id *id = write->rev_was == 0 ? &write->id : NULL;

    if (write->document == NULL) {
        bson_reinit(bulk->other);
        return mongo_document(bulk->other, bulk->table, id, write->rev, write->doc) &&
               bson_init_static(document, bson_get_data(bulk->other), bulk->other->len);
    }
    if (write->places_only)
        mongo_field_places(&bulk->bytes, write->rev, write->document);
    else
        mongo_field_document(&bulk->bytes, id, write->rev, write->document);
    return bson_init_static(document, bulk->bytes.data, bulk->bytes.size);
}

/* What is in selector and document, to the operation. */
static bool bulk_append(struct bulk *bulk, const struct record_write *write, const bson_t *document,
                        bson_error_t *failure)
{
    switch (kind_of(write)) {
    case WRITE_INSERT:
        return mongoc_bulk_operation_insert_with_opts(bulk->operation, document, bulk->opts, failure);
    case WRITE_REPLACE:
        if (write->places_only)
            return mongoc_bulk_operation_update_one_with_opts(bulk->operation, bulk->selector,
                                                              document, bulk->opts, failure);
        return mongoc_bulk_operation_replace_one_with_opts(bulk->operation, bulk->selector,
                                                           document, bulk->opts, failure);
    default:
        return mongoc_bulk_operation_remove_one_with_opts(bulk->operation, bulk->selector, NULL, failure);
    }
}

static enum status bulk_add(struct bulk *bulk, size_t i, struct error *err)
{
    struct record_write *write = &bulk->writes[i];
    bson_t document = BSON_INITIALIZER; /* of a deletion: nothing */
    bson_error_t failure;

    bson_reinit(bulk->selector);
    if (bulk->kind != WRITE_INSERT)
        append_selector(bulk->selector, bulk->table, write);
    if (bulk->kind != WRITE_DELETE && !make_document(bulk, write, &document))
        return error_set(err, STATUS_TOO_LARGE, "a document that is no BSON");
    write->too_large = write->document != NULL && document.len > CATALOG_DOCUMENT_SIZE_MAX;
    if (write->too_large)
        return STATUS_OK;
    if (!bulk_append(bulk, write, &document, &failure))
        return mongo_failed(&failure, err, "a document");
    bulk->order[bulk->added++] = i;
    bulk->counts[bulk->kind]++;
    bulk->size += document.len;
    return STATUS_OK;
}

/* Until it is full, or nothing is left. */
static enum status bulk_fill(struct bulk *bulk, struct error *err)
{
    enum status status = STATUS_OK;

    for (; bulk->kind < WRITE_KINDS; bulk->kind++, bulk->next = 0) {
        while (bulk->next < bulk->count) {
            if (status != STATUS_OK || bulk->size >= CATALOG_BATCH_SIZE_MAX)
                return status;
            size_t i = bulk->next++;
            if (kind_of(&bulk->writes[i]) == bulk->kind)
                status = bulk_add(bulk, i, err);
        }
    }
    return status;
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

static void bulk_lose(struct bulk *bulk, enum write_kind kind)
{
    for (size_t i = 0; i < bulk->added; i++)
        if (kind_of(&bulk->writes[bulk->order[i]]) == kind)
            bulk->writes[bulk->order[i]].lost = true;
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

/* The next bulk of the call, answered. */
static enum status bulk_write(struct bulk *bulk, mongoc_collection_t *collection, struct error *err)
{
    bson_t *opts = BCON_NEW("ordered", BCON_BOOL(false));

    bulk->operation = mongoc_collection_create_bulk_operation_with_opts(collection, opts);
    bulk->added = bulk->size = 0;
    memset(bulk->counts, 0, sizeof bulk->counts);
    enum status status = bulk_fill(bulk, err);
    if (status == STATUS_OK && bulk->added > 0)
        status = bulk_execute(bulk, err);
    mongoc_bulk_operation_destroy(bulk->operation);
    bson_destroy(opts);
    return status;
}

enum status mongo_write(struct catalog *catalog, enum catalog_table table,
                        struct record_write *writes, size_t count, struct error *err)
{
    struct bulk bulk = { .table = table, .writes = writes, .count = count };
    struct mongo_call call;
    enum status status = STATUS_OK;

    for (size_t i = 0; i < count; i++)
        writes[i].lost = writes[i].too_large = false;
    bulk.order = calloc(count, sizeof *bulk.order);
    if (bulk.order == NULL)
        return error_set(err, STATUS_NO_MEMORY, "a batch");
    bulk.selector = bson_new();
    bulk.other = bson_new();
    bulk.opts = BCON_NEW("validate", BCON_BOOL(false));
    mongo_begin(&call, catalog, mongo_collection_name(table));
    while (status == STATUS_OK && bulk.kind < WRITE_KINDS)
        status = bulk_write(&bulk, call.collection, err);
    if (status == STATUS_OK)
        catalog_health_wrote();
    free(bulk.order);
    bson_destroy(bulk.selector);
    bson_destroy(bulk.other);
    free(bulk.bytes.data);
    bson_destroy(bulk.opts);
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
