/* bench_catalog.c: how fast a catalog takes, gives and drops the fields of a run; raw.c beside it is the same without us.
 *
 *     bench_catalog insert URI COUNT THREADS BATCH [FIRST NODES]   fields 0 to COUNT - 1 with NODES locations (2) from node FIRST (0) on
 *     bench_catalog remove URI                                     the run, as a retirement does
 *     bench_catalog scan URI                                       what a census reads
 *
 * Prints one line of JSON. Making the events is not measured: they are made in pieces, between which the clock stands still; small
 * ones, since an upsert too makes them just before. */
#include "bench_fields.h"
#include "bench_measure.h"
#include "indexer/catalog/catalog.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 4000, REMOVE_BATCH = 20000 /* RETIRE_BATCH */ };

struct bench {
    struct catalog *catalog;
    struct run_key run;
    struct field_event *events; /* of the piece */
    size_t count, batch, next;
    pthread_mutex_t mutex;
};

static void die(const char *what, const struct error *err)
{
    fprintf(stderr, "bench_catalog: %s: %s\n", what, err->text);
    exit(1);
}

static void *insert_thread(void *data)
{
    struct bench *bench = data;
    struct error err;

    pthread_setname_np(pthread_self(), "apply"); /* perf report --comm apply */
    for (;;) {
        pthread_mutex_lock(&bench->mutex);
        size_t at = bench->next;
        bench->next += bench->batch;
        pthread_mutex_unlock(&bench->mutex);
        if (at >= bench->count)
            return NULL;
        size_t count = bench->count - at < bench->batch ? bench->count - at : bench->batch;
        error_init(&err);
        if (catalog_apply(bench->catalog, bench->events + at, count, &err) != STATUS_OK)
            die("insert", &err);
    }
}

static void insert_piece(struct bench *bench, unsigned threads)
{
    bench->next = 0;
    bench_threads(threads, insert_thread, bench);
}

static void bench_insert(struct bench *bench, size_t total, unsigned threads, unsigned first,
                         unsigned nodes)
{
    double seconds = 0, cpu = 0;

    bench->events = calloc(PIECE, sizeof *bench->events);
    assert(bench->events != NULL);
    for (size_t at = 0; at < total; at += PIECE) {
        bench->count = total - at < PIECE ? total - at : PIECE;
        for (size_t i = 0; i < bench->count; i++)
            bench->events[i] = bench_event(&bench->run, at + i, first, nodes);
        double cpu_before = bench_cpu_seconds();
        uint64_t begun = clock_monotonic_us();
        insert_piece(bench, threads);
        seconds += (double)(clock_monotonic_us() - begun) / 1e6;
        cpu += bench_cpu_seconds() - cpu_before;
        for (size_t i = 0; i < bench->count; i++)
            field_event_fini(&bench->events[i]);
    }
    free(bench->events);
    bench_report(total, seconds, cpu);
}

static void bench_remove(struct bench *bench)
{
    struct error err;
    size_t total = 0, removed;
    uint64_t begun = clock_monotonic_us();
    double cpu = bench_cpu_seconds();

    do {
        error_init(&err);
        if (catalog_remove_run(bench->catalog, &bench->run, UINT64_MAX, REMOVE_BATCH, &removed,
                               &err) != STATUS_OK)
            die("remove", &err);
        total += removed;
    } while (removed >= REMOVE_BATCH);
    bench_report(total, (double)(clock_monotonic_us() - begun) / 1e6, bench_cpu_seconds() - cpu);
}

static bool scan_each(void *data, const struct catalog_issue *issues, unsigned count)
{
    (void)issues;
    *(size_t *)data += count;
    return true;
}

static void bench_scan(struct bench *bench)
{
    struct error err;
    size_t total = 0;
    uint64_t begun = clock_monotonic_us();
    double cpu = bench_cpu_seconds();

    error_init(&err);
    if (catalog_scan_issues(bench->catalog, &bench->run, scan_each, &total, &err) != STATUS_OK)
        die("scan", &err);
    bench_report(total, (double)(clock_monotonic_us() - begun) / 1e6, bench_cpu_seconds() - cpu);
}

int main(int argc, char **argv)
{
    struct bench bench = { .mutex = PTHREAD_MUTEX_INITIALIZER, .run = bench_run("20261120T0000Z") };
    struct error err;

    if (argc < 3) {
        fprintf(stderr, "bench_catalog insert|remove|scan URI [COUNT THREADS BATCH [FIRST NODES]]\n");
        return 2;
    }
    error_init(&err);
    if (catalog_open(argv[2], &bench.catalog, &err) != STATUS_OK)
        die("open", &err);
    if (strcmp(argv[1], "insert") == 0 && argc >= 6) {
        unsigned threads = (unsigned)atoi(argv[4]);
        bench.batch = (size_t)atol(argv[5]);
        bench_insert(&bench, (size_t)atol(argv[3]), threads, argc > 7 ? (unsigned)atoi(argv[6]) : 0,
                     argc > 7 ? (unsigned)atoi(argv[7]) : BENCH_NODES);
    } else if (strcmp(argv[1], "remove") == 0) {
        bench_remove(&bench);
    } else {
        bench_scan(&bench);
    }
    catalog_close(bench.catalog);
    return 0;
}
