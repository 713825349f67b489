/* bench_decode.c: heads through the indexer's decoders, and through ecCodes in a plain loop.
 *
 *     bench_decode plain FILE             every key that a document takes from ecCodes, in this process, of every field of a GRIB file
 *     bench_decode pool FILE CHILDREN     the same heads through so many decoders, none remembered
 *     bench_decode memo FILE NEXT         FILE is decoded and remembered; measured is NEXT: the same fields of another run
 *
 * Prints one line of JSON. Definitions are loaded, and decoders up, before the clock starts. */
#include "indexer/decoders.h"
#include "proto/base/clock.h"
#include "proto/grib_frame.h"
#include "proto/grib_head.h"

#include <assert.h>
#include <eccodes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum {
    BATCH = 1000,      /* UPSERT_BATCH_MAX */
    BATCHES_AHEAD = 4, /* TAIL_WINDOW_MAX */
    HEADS_SIZE_MAX = 1 << 30,
    MEMO_SIZE = 1 << 30,
    MEMO_CHECK = 1000, /* the indexer's */
    WARM_MAX = 200,
};

struct heads {
    struct buf bytes; /* as /cluster/heads gives them */
    struct decode_item *items;
    size_t count;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_decode: %s: %s\n", what, why);
    exit(1);
}

/* --- heads of a file --- */

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die(path, "can't be read");
    long end = ftell(file);
    rewind(file);
    uint8_t *data = end > 0 ? malloc((size_t)end) : NULL;
    if (data == NULL || fread(data, 1, (size_t)end, file) != (size_t)end)
        die(path, "can't be read");
    fclose(file);
    *size = (size_t)end;
    return data;
}

/* The heads of the messages of a file that begin one behind the other. */
static void cut_messages(const uint8_t *data, size_t size, struct buf *heads)
{
    struct error err;

    for (size_t at = 0; at < size;) {
        struct grib_frame frame;
        struct grib_memory memory;
        size_t used;

        grib_frame_init(&frame);
        if (grib_frame_feed(&frame, data + at, size - at, &used, NULL) != STATUS_OK)
            die("the file", "not one GRIB message behind the other");
        grib_memory_init(&memory, data + at, used);
        error_init(&err);
        if (grib_heads(&memory.source, heads, &err) != STATUS_OK)
            die("a message", err.text);
        at += used;
    }
}

static void list_heads(struct heads *heads)
{
    const uint8_t *data = heads->bytes.data;
    size_t capacity = 0;

    for (size_t at = 0; at < heads->bytes.size;) {
        unsigned fields = get_u16(data + at);
        at += 2;
        for (unsigned i = 0; i < fields; i++) {
            if (heads->count == capacity) {
                capacity = capacity == 0 ? 1024 : 2 * capacity;
                heads->items = realloc(heads->items, capacity * sizeof *heads->items);
                assert(heads->items != NULL);
            }
            size_t size = get_u32(data + at);
            heads->items[heads->count++] = (struct decode_item){ .head = data + at + 4, .size = size };
            at += 4 + size;
        }
    }
}

static void heads_open(struct heads *heads, const char *path)
{
    size_t size;
    uint8_t *data = read_file(path, &size);

    *heads = (struct heads){ .count = 0 };
    buf_init(&heads->bytes, HEADS_SIZE_MAX);
    cut_messages(data, size, &heads->bytes);
    list_heads(heads);
    free(data);
}

static void heads_close(struct heads *heads)
{
    free(heads->items);
    buf_fini(&heads->bytes);
}

/* --- what it cost --- */

static double seconds_of(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static double own_cpu(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(&usage);
}

static void report(size_t count, double seconds, double cpu)
{
    printf("{\"count\": %zu, \"seconds\": %.3f, \"rate\": %.1f, \"cpu_us\": %.2f}\n", count,
           seconds, (double)count / seconds, cpu * 1e6 / (double)count);
}

static double now_s(void)
{
    return (double)clock_monotonic_ms() / 1000;
}

/* --- ecCodes in a loop --- */

static const char *const plain_texts[] = { "shortName",   "name",     "units",
                                           "typeOfLevel", "centre",   "dataType",
                                           "stepType",    "gridType", "packingType" };
static const char *const plain_wholes[] = { "paramId", "edition", "subCentre",
                                            "Ni",      "Nj",      "numberOfDataPoints" };
static const char *const plain_wholes_edition[2][16] = {
    { "table2Version", "indicatorOfParameter", "indicatorOfTypeOfLevel", "timeRangeIndicator" },
    { "discipline", "parameterCategory", "parameterNumber", "tablesVersion", "localTablesVersion",
      "productDefinitionTemplateNumber", "typeOfStatisticalProcessing", "typeOfFirstFixedSurface",
      "scaleFactorOfFirstFixedSurface", "scaledValueOfFirstFixedSurface", "typeOfSecondFixedSurface",
      "scaleFactorOfSecondFixedSurface", "scaledValueOfSecondFixedSurface", "perturbationNumber",
      "numberOfForecastsInEnsemble", "typeOfEnsembleForecast" },
};
static const char *const plain_reals[] = {
    "latitudeOfFirstGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
    "iDirectionIncrementInDegrees",
    "jDirectionIncrementInDegrees",
    "DxInMetres",
    "DyInMetres",
    "level",
};

static void plain_mars(codes_handle *handle)
{
    codes_keys_iterator *iterator = codes_keys_iterator_new(handle, 0, "mars");
    char text[256];

    while (iterator != NULL && codes_keys_iterator_next(iterator)) {
        size_t size = sizeof text;
        codes_keys_iterator_get_string(iterator, text, &size);
    }
    if (iterator != NULL)
        codes_keys_iterator_delete(iterator);
}

static void plain_decode(const struct decode_item *item)
{
    codes_handle *handle = codes_handle_new_from_partial_message(NULL, item->head, item->size);
    long edition = 0, whole;
    double real;
    char text[256];

    if (handle == NULL || codes_get_long(handle, "edition", &edition) != 0)
        die("ecCodes", "a head that it can't read");
    for (size_t i = 0; i < ARRAY_COUNT(plain_texts); i++) {
        size_t size = sizeof text;
        codes_get_string(handle, plain_texts[i], text, &size);
    }
    for (size_t i = 0; i < ARRAY_COUNT(plain_wholes); i++)
        codes_get_long(handle, plain_wholes[i], &whole);
    const char *const *others = plain_wholes_edition[edition == 2];
    for (size_t i = 0; i < ARRAY_COUNT(plain_wholes_edition[0]) && others[i] != NULL; i++)
        codes_get_long(handle, others[i], &whole);
    for (size_t i = 0; i < ARRAY_COUNT(plain_reals); i++)
        codes_get_double(handle, plain_reals[i], &real);
    plain_mars(handle);
    codes_handle_delete(handle);
}

static void run_plain(const char *path)
{
    struct heads heads;

    heads_open(&heads, path);
    for (size_t i = 0; i < heads.count && i < WARM_MAX; i++)
        plain_decode(&heads.items[i]);
    double begun = now_s(), cpu = own_cpu();
    for (size_t i = 0; i < heads.count; i++)
        plain_decode(&heads.items[i]);
    report(heads.count, now_s() - begun, own_cpu() - cpu);
    heads_close(&heads);
}

/* --- the pool --- */

struct pool {
    uv_loop_t loop;
    struct decoders *decoders;
    struct heads *heads;
    size_t next, done;
    struct pool_batch {
        struct decode_batch batch;
        struct pool *pool;
    } batches[BATCHES_AHEAD];
};

static void pool_submit(struct pool *pool, struct pool_batch *batch);

static void pool_on_done(struct decode_batch *decode, enum status status)
{
    struct pool_batch *batch = container_of(decode, struct pool_batch, batch);

    if (status != STATUS_OK)
        die("the decoders", status_title(status));
    for (size_t i = 0; i < decode->count; i++) {
        if (decode->items[i].keys == NULL)
            die("a head", decode->items[i].reason);
        free(decode->items[i].keys);
    }
    batch->pool->done += decode->count;
    pool_submit(batch->pool, batch);
}

static void pool_submit(struct pool *pool, struct pool_batch *batch)
{
    size_t left = pool->heads->count - pool->next, count = left < BATCH ? left : BATCH;

    if (count == 0)
        return;
    batch->pool = pool;
    batch->batch = (struct decode_batch){ .items = pool->heads->items + pool->next,
                                          .count = count,
                                          .on_done = pool_on_done };
    pool->next += count;
    decoders_submit(pool->decoders, &batch->batch);
}

static void pool_decode(struct pool *pool, struct heads *heads)
{
    pool->heads = heads;
    pool->next = pool->done = 0;
    for (unsigned i = 0; i < BATCHES_AHEAD; i++)
        pool_submit(pool, &pool->batches[i]);
    while (pool->done < heads->count)
        uv_run(&pool->loop, UV_RUN_ONCE);
}

static bool pool_is_up(const struct pool *pool, unsigned children)
{
    struct decoders_stats stats;

    decoders_stats(pool->decoders, &stats);
    return decoders_ready(pool->decoders) && stats.alive == children;
}

static void pool_open(struct pool *pool, unsigned children, size_t memo_size)
{
    struct decoders_options options = {
        .children = children, .memo_size = memo_size, .memo_check_every = MEMO_CHECK, .loop = &pool->loop
    };
    struct error err;

    error_init(&err);
    uv_loop_init(&pool->loop);
    if (decoders_start(&options, &pool->decoders, &err) != STATUS_OK)
        die("the decoders", err.text);
    while (!pool_is_up(pool, children))
        uv_run(&pool->loop, UV_RUN_ONCE);
}

static void pool_close(struct pool *pool)
{
    decoders_stop(pool->decoders, NULL, NULL);
    uv_run(&pool->loop, UV_RUN_DEFAULT);
    uv_loop_close(&pool->loop);
}

/* The children's CPU time is known when they have ended. What they need to come up is in it. */
static void run_pool(const char *path, unsigned children)
{
    struct heads heads, warm;
    struct pool pool;

    heads_open(&heads, path);
    warm = heads;
    warm.count = heads.count < (size_t)WARM_MAX * children ? heads.count : (size_t)WARM_MAX * children;
    pool_open(&pool, children, 0);
    pool_decode(&pool, &warm);
    double begun = now_s(), cpu = own_cpu();
    pool_decode(&pool, &heads);
    double seconds = now_s() - begun;
    cpu = own_cpu() - cpu;
    pool_close(&pool);
    report(heads.count, seconds, cpu);
    heads_close(&heads);
}

static void run_memo(const char *path, const char *next)
{
    struct heads heads, others;
    struct decoders_stats stats;
    struct pool pool;

    heads_open(&heads, path);
    heads_open(&others, next);
    pool_open(&pool, uv_available_parallelism(), MEMO_SIZE);
    pool_decode(&pool, &heads);
    double begun = now_s(), cpu = own_cpu();
    pool_decode(&pool, &others);
    double seconds = now_s() - begun;
    cpu = own_cpu() - cpu;
    decoders_stats(pool.decoders, &stats);
    if (stats.memo.mismatches > 0 || stats.memo.hits < others.count / 2)
        die("the memory", "most of the second run was decoded in full");
    pool_close(&pool);
    report(others.count, seconds, cpu);
    heads_close(&heads);
    heads_close(&others);
}

int main(int argc, char **argv)
{
    unsigned children = argc == 4 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;

    if (argc == 3 && strcmp(argv[1], "plain") == 0)
        run_plain(argv[2]);
    else if (argc == 4 && strcmp(argv[1], "pool") == 0 && children > 0)
        run_pool(argv[2], children);
    else if (argc == 4 && strcmp(argv[1], "memo") == 0)
        run_memo(argv[2], argv[3]);
    else
        die("usage", "plain FILE | pool FILE CHILDREN | memo FILE NEXT");
    return 0;
}
