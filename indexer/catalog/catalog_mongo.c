/* catalog_mongo.c: the catalog in MongoDB, for clusters: the driver, its pool of clients, the indexes. */
#include "indexer/catalog/catalog_mongo.h"
#include "indexer/catalog/catalog_health.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const collection_names[] = {
    [CATALOG_FIELDS] = "fields", [CATALOG_QUARANTINE] = "quarantine", [CATALOG_CURSORS] = "cursors",
    [CATALOG_RUNS] = "runs",     [CATALOG_SETTINGS] = "settings",
};

const char *mongo_collection_name(enum catalog_table table)
{
    assert(table < CATALOG_TABLES_COUNT);
    return collection_names[table];
}

/* --- the driver, once a process --- */

static void mongo_log(mongoc_log_level_t level, const char *domain, const char *message, void *data)
{
    (void)data;
    if (level <= MONGOC_LOG_LEVEL_WARNING)
        log_msg(LOG_WARN, "catalog.driver", "%s: %s", domain, message);
}

static void mongo_start(void)
{
    mongoc_log_set_handler(mongo_log, NULL);
    mongoc_init();
    atexit(mongoc_cleanup);
}

/* --- failures --- */

static enum status status_of_server(uint32_t code)
{
    switch (code) {
    case 13: /* Unauthorized */
        return STATUS_FORBIDDEN;
    case 18: /* AuthenticationFailed */
        return STATUS_UNAUTHORIZED;
    case 24:  /* LockTimeout */
    case 50:  /* MaxTimeMSExpired */
    case 64:  /* WriteConcernFailed: wtimeout */
    case 100: /* UnsatisfiableWriteConcern */
    case 112: /* WriteConflict */
    case 262: /* ExceededTimeLimit */
        return STATUS_TIMEOUT;
    case 6:  /* HostUnreachable */
    case 7:  /* HostNotFound */
    case 43: /* CursorNotFound: what was being read began on a server that has started again since */
    case 63:    /* StaleShardVersion */
    case 89:    /* NetworkTimeout */
    case 91:    /* ShutdownInProgress */
    case 133:   /* FailedToSatisfyReadPreference */
    case 134:   /* ReadConcernMajorityNotAvailableYet */
    case 150:   /* StaleEpoch */
    case 175:   /* QueryPlanKilled */
    case 189:   /* PrimarySteppedDown */
    case 202:   /* NetworkInterfaceExceededTimeLimit */
    case 237:   /* CursorKilled */
    case 9001:  /* SocketException */
    case 10107: /* NotWritablePrimary */
    case 10058: /* LegacyNotPrimary */
    case 11600: /* InterruptedAtShutdown */
    case 11602: /* InterruptedDueToReplStateChange */
    case 13435: /* NotPrimaryNoSecondaryOk */
    case 13388: /* StaleConfig */
    case 13436: /* NotPrimaryOrSecondary */
        return STATUS_UNREACHABLE;
    case 10334: /* BSONObjectTooLarge */
        return STATUS_TOO_LARGE;
    case 14031: /* OutOfDiskSpace */
        return STATUS_FULL;
    case 371: /* UserWritesBlocked */
        return STATUS_READ_ONLY;
    default:
        return STATUS_INTERNAL;
    }
}

enum status mongo_failed(const bson_error_t *failure, struct error *err, const char *what)
{
    enum status status;

    switch (failure->domain) {
    case MONGOC_ERROR_SERVER_SELECTION:
    case MONGOC_ERROR_STREAM:
    case MONGOC_ERROR_PROTOCOL: /* an answer that was cut off */
        status = STATUS_UNREACHABLE;
        break;
    case MONGOC_ERROR_CLIENT:
        status = failure->code == MONGOC_ERROR_CLIENT_AUTHENTICATE ? STATUS_UNAUTHORIZED
                                                                   : STATUS_INTERNAL;
        break;
    case MONGOC_ERROR_WRITE_CONCERN:
        status = STATUS_TIMEOUT;
        break;
    case MONGOC_ERROR_BSON:
        status = STATUS_TOO_LARGE;
        break;
    default:
        status = status_of_server(failure->code);
    }
    error_set(err, status, "MongoDB: %s: %s", what, failure->message);
    catalog_health_failed(status, err->text);
    return status;
}

enum status mongo_unconfirmed(struct error *err)
{
    error_set(err, STATUS_TIMEOUT, "MongoDB: the majority did not confirm in time");
    catalog_health_failed(STATUS_TIMEOUT, err->text);
    return STATUS_TIMEOUT;
}

/* --- calls --- */

void mongo_begin(struct mongo_call *call, struct catalog *catalog, const char *collection)
{
    call->mongo = container_of(catalog, struct catalog_mongo, catalog);
    call->client = mongoc_client_pool_pop(call->mongo->pool);
    call->collection = mongoc_client_get_collection(call->client, call->mongo->database, collection);
}

void mongo_end(struct mongo_call *call)
{
    mongoc_collection_destroy(call->collection);
    mongoc_client_pool_push(call->mongo->pool, call->client);
}

/* What is asked for is the number of the form: a database that was dropped, or set up anew, under a running indexer has none. Records come
 * again from the nodes; indexes and the number are made here, as at a start. */
static enum status mongo_ping(struct catalog *catalog, struct error *err)
{
    uint64_t format;
    enum status status = mongo_format_read(catalog, &format, err);

    if (status != STATUS_OK || format != 0)
        return status == STATUS_OK ? STATUS_OK : error_wrap(err, "ping");
    log_msg(LOG_WARN, "catalog.lost", "MongoDB: the database is an empty one now: it is set up anew");
    mongo_indexes_stop(container_of(catalog, struct catalog_mongo, catalog));
    return catalog_format_settle(catalog, err);
}

/* --- open, close --- */

static void uri_default(mongoc_uri_t *uri, const char *option, int32_t value)
{
    if (!mongoc_uri_has_option(uri, option))
        mongoc_uri_set_option_as_int32(uri, option, value);
}

/* How sure reads and writes are is not the URI's to say. */
static void uri_settle(mongoc_uri_t *uri)
{
    mongoc_write_concern_t *write = mongoc_write_concern_new();
    mongoc_read_concern_t *read = mongoc_read_concern_new();
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);

    mongoc_write_concern_set_wmajority(write, MONGO_WTIMEOUT_MS);
    mongoc_write_concern_set_journal(write, true);
    mongoc_uri_set_write_concern(uri, write);
    mongoc_read_concern_set_level(read, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_uri_set_read_concern(uri, read);
    mongoc_uri_set_read_prefs_t(uri, primary);
    mongoc_write_concern_destroy(write);
    mongoc_read_concern_destroy(read);
    mongoc_read_prefs_destroy(primary);

    uri_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, MONGO_SELECTION_MS);
    uri_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, MONGO_CONNECT_MS);
    uri_default(uri, MONGOC_URI_SOCKETTIMEOUTMS, MONGO_SOCKET_MS);
    if (!mongoc_uri_has_option(uri, MONGOC_URI_APPNAME))
        mongoc_uri_set_appname(uri, "gribstore");
}

static void mongo_close(struct catalog *catalog)
{
    struct catalog_mongo *mongo = container_of(catalog, struct catalog_mongo, catalog);

    mongo_indexes_stop(mongo);
    if (mongo->pool != NULL)
        mongoc_client_pool_destroy(mongo->pool);
    mongoc_uri_destroy(mongo->builder_uri);
    pthread_mutex_destroy(&mongo->builder_mutex);
    pthread_cond_destroy(&mongo->builder_wakes);
    free(mongo->database);
    free(mongo);
}

/* The parser's own words may quote the URI, so they are left out where it may hold a password. */
static mongoc_uri_t *uri_parse(const char *text, struct error *err)
{
    bson_error_t failure;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &failure);

    if (uri == NULL)
        error_set(err, STATUS_BAD_VALUE, "not a MongoDB URI%s%s", strchr(text, '@') == NULL ? ": " : "",
                  strchr(text, '@') == NULL ? failure.message : "");
    return uri;
}

static enum status mongo_open(const char *text, struct catalog **catalog, struct error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    bson_error_t failure;

    pthread_once(&once, mongo_start);
    mongoc_uri_t *uri = uri_parse(text, err);
    if (uri == NULL)
        return STATUS_BAD_VALUE;
    struct catalog_mongo *mongo = calloc(1, sizeof *mongo);
    if (mongo == NULL) {
        mongoc_uri_destroy(uri);
        return error_set(err, STATUS_NO_MEMORY, "MongoDB");
    }
    *catalog = &mongo->catalog; /* closed by the caller from here on, whatever happens */
    mongo->catalog.ops = &catalog_mongo_ops;
    pthread_mutex_init(&mongo->builder_mutex, NULL);
    pthread_cond_init(&mongo->builder_wakes, NULL);
    const char *database = mongoc_uri_get_database(uri);
    mongo->database = strdup(database != NULL ? database : "gribstore");
    uri_settle(uri);
    mongo->pool = mongoc_client_pool_new_with_error(uri, &failure);
    mongo->builder_uri = uri;
    if (mongo->database == NULL)
        return error_set(err, STATUS_NO_MEMORY, "MongoDB");
    if (mongo->pool == NULL)
        return mongo_failed(&failure, err, "clients");
    mongoc_client_pool_set_error_api(mongo->pool, MONGOC_ERROR_API_VERSION_2);
    return STATUS_OK;
}

const struct catalog_ops catalog_mongo_ops = {
    .name = "mongodb",
    .open = mongo_open,
    .close = mongo_close,
    .format_read = mongo_format_read,
    .format_make = mongo_format_make,
    .format_step = mongo_format_step,
    .settle = mongo_indexes_settle,
    .ping = mongo_ping,
    .read = mongo_read,
    .write = mongo_write,
    .scan = mongo_scan,
    .remove = mongo_remove,
    .find = mongo_find,
    .find_rows = mongo_find_rows,
    .count = mongo_count,
    .lease_take = mongo_lease_take,
    .lease_release = mongo_lease_release,
    .lease_renew = mongo_lease_renew,
    .lease_release_all = mongo_lease_release_all,
    .lease_scan = mongo_lease_scan,
    .shared = true,
};
