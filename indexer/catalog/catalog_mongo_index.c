/* catalog_mongo_index.c: which secondary indexes there are: those of a table here, and none that earlier forms had.
 *
 * What is missing where there are documents is made in the background, on a thread and a client of its own, while the catalog is in
 * use: queries are slower meanwhile, nobody waits. The server goes on building when its client leaves, and whoever asks for the same
 * index again waits for that; so it is asked for in short calls until it is there, and a killed indexer's successor takes over.
 * Only then do the old ones go. */
#include "indexer/catalog/catalog_mongo.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <string.h>

enum {
    INDEX_KEYS_MAX = 5,
    INDEX_CALL_MS = 3000, /* so long may closing have to wait */
    INDEX_PAUSE_MS = 1000,
    MONGO_NAMESPACE_NOT_FOUND = 26,
    MONGO_INDEX_NOT_FOUND = 27,
};

/* Another list of keys takes another name, and the old one a line below. What queries need, as their explain shows (ARCHITECTURE.md):
 * a field by its keys is one look-up, a parameter's step range one range of the first. Runs and sources are ranges of _id; a
 * source beside a param is looked at in the documents: few sources have the same at one base_time. */
static const struct mongo_index {
    const char *name;
    const char *keys[INDEX_KEYS_MAX + 1];
    const char *only; /* documents that have this key, others have no place in it; NULL: all */
} indexes[] = {
    { "field", { "param", "base_time", "step_seconds", "levelist", "number" }, NULL },
    { "paramId", { "paramId", "base_time", "step_seconds" }, NULL },
    { "idTable", { "idTable", "base_time", "step_seconds" }, "idTable" },
    { "digest", { "digest" }, NULL },
};

/* Of earlier forms. */
static const char *const indexes_gone[] = { "param", "run", NULL };

static bool is_gone(const char *name)
{
    for (const char *const *gone = indexes_gone; *gone != NULL; gone++)
        if (strcmp(*gone, name) == 0)
            return true;
    return false;
}

static void append_only(bson_t *spec, const char *key)
{
    bson_t filter, exists;

    bson_append_document_begin(spec, "partialFilterExpression", -1, &filter);
    bson_append_document_begin(&filter, key, -1, &exists);
    bson_append_bool(&exists, "$exists", -1, true);
    bson_append_document_end(&filter, &exists);
    bson_append_document_end(spec, &filter);
}

static void append_index(bson_t *list, uint32_t at, const struct mongo_index *index)
{
    bson_t spec, keys;
    char space[16];
    const char *key;

    bson_uint32_to_string(at, &key, space, sizeof space);
    bson_append_document_begin(list, key, -1, &spec);
    bson_append_utf8(&spec, "name", -1, index->name, -1);
    bson_append_document_begin(&spec, "key", -1, &keys);
    for (const char *const *name = index->keys; *name != NULL; name++)
        bson_append_int32(&keys, *name, -1, 1);
    bson_append_document_end(&spec, &keys);
    if (index->only != NULL)
        append_only(&spec, index->only);
    bson_append_document_end(list, &spec);
}

static enum status indexes_make(mongoc_client_t *client, const char *database, struct error *err)
{
    bson_t command = BSON_INITIALIZER, list;
    bson_error_t failure;
    enum status status = STATUS_OK;

    BSON_APPEND_UTF8(&command, "createIndexes", mongo_collection_name(CATALOG_FIELDS));
    bson_append_array_begin(&command, "indexes", -1, &list);
    for (uint32_t i = 0; i < ARRAY_COUNT(indexes); i++)
        append_index(&list, i, &indexes[i]);
    bson_append_array_end(&command, &list);
    if (!mongoc_client_write_command_with_opts(client, database, &command, NULL, NULL, &failure))
        status = mongo_failed(&failure, err, "indexes");
    bson_destroy(&command);
    return status;
}

/* Those there are: how many of ours, and whether some are gone by now. */
static enum status indexes_look(mongoc_collection_t *collection, unsigned *ours, bool *old,
                                struct error *err)
{
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(collection, NULL);
    const bson_t *found;
    bson_error_t failure;
    enum status status = STATUS_OK;
    bson_iter_t at;

    *ours = 0;
    *old = false;
    while (mongoc_cursor_next(cursor, &found)) {
        if (!bson_iter_init_find(&at, found, "name") || !BSON_ITER_HOLDS_UTF8(&at))
            continue;
        const char *name = bson_iter_utf8(&at, NULL);
        *old = *old || is_gone(name);
        for (unsigned i = 0; i < ARRAY_COUNT(indexes); i++)
            *ours += strcmp(indexes[i].name, name) == 0;
    }
    if (mongoc_cursor_error(cursor, &failure) && failure.code != MONGO_NAMESPACE_NOT_FOUND)
        status = mongo_failed(&failure, err, "indexes");
    mongoc_cursor_destroy(cursor);
    return status;
}

static enum status indexes_drop_old(mongoc_collection_t *collection, struct error *err)
{
    bson_error_t failure;

    for (const char *const *gone = indexes_gone; *gone != NULL; gone++)
        if (!mongoc_collection_drop_index_with_opts(collection, *gone, NULL, &failure) &&
            failure.code != MONGO_INDEX_NOT_FOUND)
            return mongo_failed(&failure, err, "indexes");
    return STATUS_OK;
}

/* --- in the background --- */

static enum status build_once(struct catalog_mongo *mongo, mongoc_client_t *client, struct error *err)
{
    mongoc_collection_t *collection = mongoc_client_get_collection(
        client, mongo->database, mongo_collection_name(CATALOG_FIELDS));
    enum status status = indexes_make(client, mongo->database, err);

    if (status == STATUS_OK)
        status = indexes_drop_old(collection, err);
    mongoc_collection_destroy(collection);
    return status;
}

/* Waits, unless the catalog is being closed; whether to go on. */
static bool build_pause(struct catalog_mongo *mongo)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += INDEX_PAUSE_MS / 1000;
    pthread_mutex_lock(&mongo->builder_mutex);
    if (!mongo->builder_stops)
        pthread_cond_timedwait(&mongo->builder_wakes, &mongo->builder_mutex, &until);
    bool goes_on = !mongo->builder_stops;
    pthread_mutex_unlock(&mongo->builder_mutex);
    return goes_on;
}

static void *build(void *data)
{
    struct catalog_mongo *mongo = data;
    mongoc_client_t *client = mongoc_client_new_from_uri(mongo->builder_uri);
    struct error err;

    if (client == NULL)
        return NULL; /* the next start makes them */
    mongoc_client_set_error_api(client, MONGOC_ERROR_API_VERSION_2);
    log_msg(LOG_INFO, "catalog.indexes", "made in the background; queries may be slow meanwhile");
    for (bool goes_on = true; goes_on; goes_on = build_pause(mongo)) {
        enum status status = build_once(mongo, client, &err);
        if (status == STATUS_OK) {
            log_msg(LOG_INFO, "catalog.indexes", "all are there");
            break;
        }
        if (status != STATUS_UNREACHABLE && status != STATUS_TIMEOUT) {
            log_msg(LOG_ERROR, "catalog.indexes", "not made: %s", err.text);
            break;
        }
        log_msg(LOG_DEBUG, "catalog.indexes", "not yet: %s", err.text);
    }
    mongoc_client_destroy(client);
    return NULL;
}

static enum status build_start(struct catalog_mongo *mongo, struct error *err)
{
    mongoc_uri_set_option_as_int32(mongo->builder_uri, MONGOC_URI_SOCKETTIMEOUTMS, INDEX_CALL_MS);
    mongoc_uri_set_option_as_int32(mongo->builder_uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, INDEX_CALL_MS);
    mongo->builder_stops = false; /* there is none yet, or it has ended */
    mongo->builder_runs = pthread_create(&mongo->builder, NULL, build, mongo) == 0;
    return mongo->builder_runs ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "a thread for indexes");
}

void mongo_indexes_stop(struct catalog_mongo *mongo)
{
    if (!mongo->builder_runs)
        return;
    pthread_mutex_lock(&mongo->builder_mutex);
    mongo->builder_stops = true;
    pthread_cond_signal(&mongo->builder_wakes);
    pthread_mutex_unlock(&mongo->builder_mutex);
    pthread_join(mongo->builder, NULL);
    mongo->builder_runs = false;
}

/* --- at the start --- */

static enum status is_empty(mongoc_collection_t *collection, bool *empty, struct error *err)
{
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("limit", BCON_INT64(1), "projection", "{", "_id", BCON_INT32(1), "}");
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &filter, opts, NULL);
    const bson_t *found;
    bson_error_t failure;
    enum status status = STATUS_OK;

    *empty = !mongoc_cursor_next(cursor, &found);
    if (mongoc_cursor_error(cursor, &failure))
        status = mongo_failed(&failure, err, "reading");
    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(&filter);
    return status;
}

enum status mongo_indexes_settle(struct catalog *catalog, struct error *err)
{
    struct mongo_call call;
    unsigned ours;
    bool old, empty = false;

    mongo_begin(&call, catalog, mongo_collection_name(CATALOG_FIELDS));
    enum status status = indexes_look(call.collection, &ours, &old, err);
    bool whole = status == STATUS_OK && ours == ARRAY_COUNT(indexes) && !old;
    if (status == STATUS_OK && !whole)
        status = is_empty(call.collection, &empty, err);
    if (status == STATUS_OK && !whole && empty)
        status = indexes_make(call.client, call.mongo->database, err);
    if (status == STATUS_OK && !whole && empty)
        status = indexes_drop_old(call.collection, err);
    else if (status == STATUS_OK && !whole)
        status = build_start(call.mongo, err);
    mongo_end(&call);
    return status;
}
