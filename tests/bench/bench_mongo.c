/* bench_mongo.c: what mongod does without us: the same documents, the same indexes, libmongoc alone.
 *
 *     bench_mongo copy URI FROM TO THREADS BATCH       inserts the documents of database FROM into TO, with its indexes
 *     bench_mongo remove URI DATABASE                  deleteMany of the run
 *     bench_mongo find URI DATABASE COUNT THREADS SECONDS   one of COUNT fields by its keys
 *     bench_mongo range URI DATABASE COUNT THREADS SECONDS  100 fields of COUNT: steps by levels of a parameter
 *
 * Writes wait for the majority's journals. Prints one line of JSON. Reading what is copied is not measured. */
#include "bench_fields.h"
#include "bench_measure.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 4000, RANGE_LEVELS = 5 };

struct bench {
    mongoc_client_pool_t *pool;
    const char *database;
    bson_t **documents; /* of the piece */
    size_t count, batch, next;
    pthread_mutex_t mutex;
    /* find */
    size_t fields;
    bool range;
    uint64_t until_us;
    int64_t base_time;
    struct bench_samples samples;
};

static void die(const char *what, const bson_error_t *failure)
{
    fprintf(stderr, "bench_mongo: %s: %s\n", what, failure->message);
    exit(1);
}

/* --- copy --- */

static void copy_batch(struct bench *bench, mongoc_collection_t *collection, size_t at, size_t count)
{
    bson_t *opts = BCON_NEW("ordered", BCON_BOOL(false));
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(collection, opts);
    bson_error_t failure;

    for (size_t i = at; i < at + count; i++)
        if (!mongoc_bulk_operation_insert_with_opts(bulk, bench->documents[i], NULL, &failure))
            die("insert", &failure);
    if (mongoc_bulk_operation_execute(bulk, NULL, &failure) == 0)
        die("insert", &failure);
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(opts);
}

static void *copy_thread(void *data)
{
    struct bench *bench = data;
    mongoc_client_t *client = mongoc_client_pool_pop(bench->pool);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, bench->database, "fields");

    for (;;) {
        pthread_mutex_lock(&bench->mutex);
        size_t at = bench->next;
        bench->next += bench->batch;
        pthread_mutex_unlock(&bench->mutex);
        if (at >= bench->count)
            break;
        copy_batch(bench, collection, at,
                   bench->count - at < bench->batch ? bench->count - at : bench->batch);
    }
    mongoc_collection_destroy(collection);
    mongoc_client_pool_push(bench->pool, client);
    return NULL;
}

static void copy_indexes(mongoc_client_t *client, const char *from, const char *to)
{
    mongoc_collection_t *collection = mongoc_client_get_collection(client, from, "fields");
    mongoc_cursor_t *cursor = mongoc_collection_find_indexes_with_opts(collection, NULL);
    bson_t *command = BCON_NEW("createIndexes", BCON_UTF8("fields"));
    bson_error_t failure;
    const bson_t *index;
    bson_t list;
    uint32_t count = 0;

    bson_append_array_begin(command, "indexes", -1, &list);
    while (mongoc_cursor_next(cursor, &index)) {
        char space[16];
        const char *key;
        bson_uint32_to_string(count++, &key, space, sizeof space);
        bson_append_document(&list, key, -1, index);
    }
    bson_append_array_end(command, &list);
    if (!mongoc_client_write_command_with_opts(client, to, command, NULL, NULL, &failure))
        die("indexes", &failure);
    bson_destroy(command);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(collection);
}

/* In the order in which they were written, so that both insert alike. */
static void bench_copy(struct bench *bench, const char *from, unsigned threads)
{
    mongoc_client_t *client = mongoc_client_pool_pop(bench->pool);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, from, "fields");
    bson_t filter = BSON_INITIALIZER, *opts = BCON_NEW("hint", "{", "$natural", BCON_INT32(1), "}");
    double seconds = 0, cpu = 0;
    size_t total = 0;

    copy_indexes(client, from, bench->database);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, &filter, opts, NULL);
    bench->documents = calloc(PIECE, sizeof *bench->documents);
    assert(bench->documents != NULL);
    do {
        const bson_t *found;
        bench->next = bench->count = 0;
        while (bench->count < PIECE && mongoc_cursor_next(cursor, &found))
            bench->documents[bench->count++] = bson_copy(found);
        double cpu_before = bench_cpu_seconds();
        uint64_t begun = clock_monotonic_us();
        bench_threads(threads, copy_thread, bench);
        seconds += (double)(clock_monotonic_us() - begun) / 1e6;
        cpu += bench_cpu_seconds() - cpu_before;
        total += bench->count;
        for (size_t i = 0; i < bench->count; i++)
            bson_destroy(bench->documents[i]);
    } while (bench->count == PIECE);
    bson_error_t failure;
    if (mongoc_cursor_error(cursor, &failure))
        die("reading", &failure);
    free(bench->documents);
    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(&filter);
    mongoc_collection_destroy(collection);
    mongoc_client_pool_push(bench->pool, client);
    bench_report(total, seconds, cpu);
}

/* --- remove --- */

/* The run by its range of _id: what else finds it among other runs. */
static bson_t *run_filter(void)
{
    static const uint8_t least[GRIB_IDENTITY_SIZE],
        most[GRIB_IDENTITY_SIZE] = { [0 ... GRIB_IDENTITY_SIZE - 1] = 0xff };
    struct run_key run = bench_run("20261120T0000Z");
    struct field_id from, to;

    field_id_make(&run, least, &from);
    field_id_make(&run, most, &to);
    return BCON_NEW("_id", "{", "$gte", BCON_BIN(BSON_SUBTYPE_BINARY, from.bytes, (uint32_t)from.size),
                    "$lte", BCON_BIN(BSON_SUBTYPE_BINARY, to.bytes, (uint32_t)to.size), "}");
}

static void bench_remove(struct bench *bench)
{
    mongoc_client_t *client = mongoc_client_pool_pop(bench->pool);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, bench->database, "fields");
    bson_t *filter = run_filter();
    bson_error_t failure;
    bson_iter_t at;
    bson_t reply;
    uint64_t begun = clock_monotonic_us();
    double cpu = bench_cpu_seconds();

    if (!mongoc_collection_delete_many(collection, filter, NULL, &reply, &failure))
        die("deleteMany", &failure);
    size_t count = bson_iter_init_find(&at, &reply, "deletedCount") ? (size_t)bson_iter_as_int64(&at)
                                                                    : 0;
    bench_report(count, (double)(clock_monotonic_us() - begun) / 1e6, bench_cpu_seconds() - cpu);
    bson_destroy(&reply);
    bson_destroy(filter);
    mongoc_collection_destroy(collection);
    mongoc_client_pool_push(bench->pool, client);
}

/* --- find --- */

static bson_t *find_filter(const struct bench *bench, size_t i)
{
    struct bench_place place = bench_place(i);

    return BCON_NEW("source", BCON_UTF8(bench_source), "base_time",
                    BCON_DATE_TIME(bench->base_time * 1000), "param", BCON_UTF8(place.param),
                    "levelist", BCON_INT32(place.level), "step_seconds",
                    BCON_INT32(place.step * 3600), "number", BCON_INT32(place.number));
}

static void append_list(bson_t *filter, const char *name, int first, int by, int count)
{
    bson_t in, list;

    bson_append_document_begin(filter, name, -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (int i = 0; i < count; i++) {
        char space[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, space, sizeof space);
        bson_append_int32(&list, key, -1, first + i * by);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(filter, &in);
}

static bson_t *range_filter(const struct bench *bench, size_t i)
{
    struct bench_place place = bench_place(i);
    bson_t *filter = BCON_NEW("source", BCON_UTF8(bench_source), "base_time",
                              BCON_DATE_TIME(bench->base_time * 1000), "param",
                              BCON_UTF8(place.param), "number", BCON_INT32(place.number));

    append_list(filter, "step_seconds", 0, 6 * 3600, bench_range_steps(bench->fields));
    append_list(filter, "levelist", 40, 40, RANGE_LEVELS);
    return filter;
}

static size_t find_once(struct bench *bench, mongoc_collection_t *collection, const bson_t *opts, size_t i)
{
    bson_t *filter = bench->range ? range_filter(bench, i) : find_filter(bench, i);
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, filter, opts, NULL);
    const bson_t *found;
    bson_error_t failure;
    size_t count = 0;

    while (mongoc_cursor_next(cursor, &found))
        count++;
    if (mongoc_cursor_error(cursor, &failure))
        die("find", &failure);
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    return count;
}

static void *find_thread(void *data)
{
    struct bench *bench = data;
    mongoc_client_t *client = mongoc_client_pool_pop(bench->pool);
    mongoc_collection_t *collection = mongoc_client_get_collection(client, bench->database, "fields");
    bson_t *opts = bench->range ? bson_new()
                                : BCON_NEW("limit", BCON_INT64(1), "singleBatch", BCON_BOOL(true));
    unsigned seed = (unsigned)(uintptr_t)client ^ (unsigned)clock_monotonic_us();
    size_t wanted = bench->range ? (size_t)bench_range_steps(bench->fields) * RANGE_LEVELS : 1;

    for (uint64_t begun = clock_monotonic_us(); begun < bench->until_us;) {
        size_t count = find_once(bench, collection, opts, (size_t)rand_r(&seed) % bench->fields);
        uint64_t now = clock_monotonic_us();
        if (count != wanted) {
            fprintf(stderr, "bench_mongo: %zu documents in place of %zu\n", count, wanted);
            exit(1);
        }
        bench_samples_add(&bench->samples, now - begun);
        begun = now;
    }
    bson_destroy(opts);
    mongoc_collection_destroy(collection);
    mongoc_client_pool_push(bench->pool, client);
    return NULL;
}

static void bench_find(struct bench *bench, unsigned threads, double seconds)
{
    bench_samples_init(&bench->samples);
    uint64_t begun = clock_monotonic_us();
    double cpu = bench_cpu_seconds();
    bench->until_us = begun + (uint64_t)(seconds * 1e6);
    bench_threads(threads, find_thread, bench);
    bench_samples_report(&bench->samples, (double)(clock_monotonic_us() - begun) / 1e6,
                         bench_cpu_seconds() - cpu);
}

/* --- main --- */

static mongoc_client_pool_t *pool_open(const char *text)
{
    bson_error_t failure;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &failure);

    if (uri == NULL)
        die("URI", &failure);
    mongoc_write_concern_t *concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(concern, 60000);
    mongoc_write_concern_set_journal(concern, true);
    mongoc_uri_set_write_concern(uri, concern);
    mongoc_write_concern_destroy(concern);
    mongoc_client_pool_t *pool = mongoc_client_pool_new_with_error(uri, &failure);
    if (pool == NULL)
        die("clients", &failure);
    mongoc_uri_destroy(uri);
    return pool;
}

int main(int argc, char **argv)
{
    struct bench bench = { .mutex = PTHREAD_MUTEX_INITIALIZER };

    if (argc < 4) {
        fprintf(stderr, "bench_mongo copy URI FROM TO THREADS BATCH | remove URI DATABASE | "
                        "find|range URI DATABASE COUNT THREADS SECONDS\n");
        return 2;
    }
    mongoc_init();
    bench.pool = pool_open(argv[2]);
    bench.database = argv[3];
    bench.base_time = bench_run("20261120T0000Z").base_time;
    if (strcmp(argv[1], "copy") == 0 && argc == 7) {
        bench.database = argv[4];
        bench.batch = (size_t)atol(argv[6]);
        bench_copy(&bench, argv[3], (unsigned)atoi(argv[5]));
    } else if (strcmp(argv[1], "remove") == 0) {
        bench_remove(&bench);
    } else if (argc == 7) {
        bench.fields = (size_t)atol(argv[4]);
        bench.range = strcmp(argv[1], "range") == 0;
        bench_find(&bench, (unsigned)atoi(argv[5]), atof(argv[6]));
    }
    mongoc_client_pool_destroy(bench.pool);
    mongoc_cleanup();
    return 0;
}
