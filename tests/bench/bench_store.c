/* bench_store.c: how fast the store takes messages from one thread, starts, and what memory it needs.
 *
 *     bench_store append DIR SIZE COUNT IN_FLIGHT   appends a second, bytes a second
 *     bench_store make DIR COUNT [RUNS]             journals of COUNT messages over sparse data files
 *     bench_store open DIR                          how long the store takes to open, its heap then
 *
 * DIR is made, and stays. */
#include "proto/base/clock.h"
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"
#include "storaged/store/journal.h"
#include "storaged/store/store.h"

#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BENCH_SHARDS = 32, BENCH_SPARSE_LENGTH = 1000 };

struct bench {
    uv_loop_t loop;
    struct store *store;
    struct store_port port;
    uint64_t size, count, started, done;
    struct run_key run;
    bool failed;
};

struct bench_append {
    struct append append;
    struct bench *bench;
    uint8_t *bytes;
};

static void bench_die(const struct error *err)
{
    fprintf(stderr, "bench_store: %s\n", err->text);
    exit(1);
}

static void bench_open(struct bench *bench, const char *dir)
{
    struct store_options options = { .dir = dir, .shards = BENCH_SHARDS };
    struct error err = { 0 };

    uv_loop_init(&bench->loop);
    if (store_open(&options, &bench->store, &err) != STATUS_OK)
        bench_die(&err);
    bench->port = (struct store_port){ 0 };
    if (store_port_open(&bench->port, bench->store, &bench->loop, &err) != STATUS_OK)
        bench_die(&err);
}

static void bench_close(struct bench *bench)
{
    store_port_close(&bench->port, NULL);
    uv_run(&bench->loop, UV_RUN_DEFAULT);
    store_close(bench->store);
    uv_loop_close(&bench->loop);
}

/* The digest is made up: hashing is the caller's work, not the store's. */
static void bench_start(struct bench_append *mine)
{
    struct bench *bench = mine->bench;
    uint64_t words[4];

    random_bytes(words, sizeof words);
    memcpy(mine->append.digest.bytes, words, sizeof words);
    mine->append.stored_at_us = store_stamp(bench->store, 1);
    bench->started++;
    store_append(bench->store, &mine->append);
}

static void bench_on_done(struct append *append, enum status status)
{
    struct bench_append *mine = container_of(append, struct bench_append, append);
    struct bench *bench = mine->bench;

    bench->done++;
    if (status != STATUS_OK) {
        fprintf(stderr, "bench_store: %s\n", append->err.text);
        bench->failed = true;
    }
    if (bench->started < bench->count && !bench->failed)
        bench_start(mine);
}

static int bench_append(const char *dir, uint64_t size, uint64_t count, unsigned in_flight)
{
    struct bench bench = { .size = size, .count = count };
    struct bench_append *appends = calloc(in_flight, sizeof *appends);

    bench_open(&bench, dir);
    strcpy(bench.run.source, "bench");
    uint64_t begun = clock_monotonic_us();
    for (unsigned i = 0; i < in_flight && i < count; i++) {
        appends[i].bench = &bench;
        appends[i].bytes = malloc(size);
        memset(appends[i].bytes, (int)i, size);
        appends[i].append = (struct append){
            .run = bench.run,
            .data = slice_of(appends[i].bytes, size),
            .fd = -1,
            .length = size,
            .port = &bench.port,
            .on_done = bench_on_done,
        };
        bench_start(&appends[i]);
    }
    while (bench.done < bench.started)
        uv_run(&bench.loop, UV_RUN_ONCE);
    double seconds = (double)(clock_monotonic_us() - begun) / 1e6;
    printf("append size=%" PRIu64 " in_flight=%u count=%" PRIu64 " seconds=%.3f per_second=%.0f "
           "MB_per_second=%.1f\n",
           size, in_flight, bench.done, seconds, (double)bench.done / seconds,
           (double)bench.done * (double)size / seconds / 1e6);
    bench_close(&bench);
    for (unsigned i = 0; i < in_flight; i++)
        free(appends[i].bytes);
    free(appends);
    return bench.failed;
}

/* A journal as if COUNT messages had come in batches of 1,000, the last batch of *file* records only. */
static void bench_make_records(struct journal *journal, uint64_t count, const uint64_t *births)
{
    static uint8_t bytes[1024 * JOURNAL_RECORD_SIZE];
    uint64_t ends[BENCH_SHARDS] = { 0 };
    unsigned used = 0;
    uint64_t total = count + 2 * BENCH_SHARDS;

    for (uint64_t n = 0; n < total; n++) {
        struct journal_record record = {
            .kind = n < BENCH_SHARDS || n >= total - BENCH_SHARDS ? JOURNAL_FILE : JOURNAL_STORED,
            .batch_first = n % 1000 == 0 || n == total - BENCH_SHARDS,
            .shard = (uint16_t)(n % BENCH_SHARDS),
            .stored_at_us = 1 + n,
        };

        if (record.kind == JOURNAL_FILE) {
            record.birth = births[record.shard] + (n < BENCH_SHARDS ? 0 : 1);
        } else {
            random_bytes(record.digest.bytes, sizeof record.digest.bytes);
            record.shard = (uint16_t)digest_shard(&record.digest, BENCH_SHARDS);
            record.offset = ends[record.shard];
            record.length = BENCH_SPARSE_LENGTH;
            ends[record.shard] += BENCH_SPARSE_LENGTH;
        }
        journal_record_encode(&record, journal->header.journal_id, journal->written + used,
                              bytes + (size_t)used * JOURNAL_RECORD_SIZE);
        if (++used == 1024 || n + 1 == total) {
            struct error err;

            if (journal_write(journal, bytes, used, &err) != STATUS_OK)
                bench_die(&err);
            journal_wrote(journal, used);
            used = 0;
        }
    }
}

/* One run of count messages. */
static int bench_make_run(const char *dir, uint64_t count, unsigned number)
{
    struct journal_header header = { .incarnation = 1, .journal_id = 77 + number, .made_at_us = 1 };
    struct journal journal;
    struct error err;
    uint64_t births[BENCH_SHARDS];
    char path[512], name[DATA_FILE_NAME_SIZE], base_time[BASE_TIME_TEXT_SIZE];

    base_time_print(INT64_C(1767225600) + 3600 * (int64_t)number, base_time);
    snprintf(path, sizeof path, "%s/runs/bench/%s", dir, base_time);
    mkdir(path, 0750);
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY);
    if (journal_make(&journal, dir_fd, JOURNAL_NAME, &header, &err) != STATUS_OK)
        bench_die(&err);
    for (unsigned i = 0; i < BENCH_SHARDS; i++) {
        births[i] = 1000 + 2 * i;
        data_file_name(i, births[i], name);
        int fd = openat(dir_fd, name, O_RDWR | O_CREAT, 0640);
        if (fd < 0 || ftruncate(fd, (off_t)(count * BENCH_SPARSE_LENGTH)) != 0)
            return 1;
        close(fd);
    }
    bench_make_records(&journal, count, births);
    journal_close(&journal);
    close(dir_fd);
    return 0;
}

static int bench_make(const char *dir, uint64_t count, unsigned runs)
{
    static const char *const below[] = { "", "/runs", "/runs/bench" };
    char path[512];

    for (size_t i = 0; i < ARRAY_COUNT(below); i++) {
        snprintf(path, sizeof path, "%s%s", dir, below[i]);
        mkdir(path, 0750);
    }
    for (unsigned i = 0; i < runs; i++)
        if (bench_make_run(dir, count / runs, i) != 0)
            return 1;
    return 0;
}

static int bench_start_time(const char *dir)
{
    struct bench bench = { 0 };
    struct store_stats stats;
    struct mallinfo2 before = mallinfo2();
    uint64_t begun = clock_monotonic_us();

    bench_open(&bench, dir);
    uint64_t us = clock_monotonic_us() - begun;
    struct mallinfo2 after = mallinfo2();
    size_t heap = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    store_stats(bench.store, &stats);
    printf("open messages=%" PRIu64 " seconds=%.3f heap=%zu heap_per_message=%.2f\n",
           stats.messages, (double)us / 1e6, heap, (double)heap / (double)stats.messages);
    bench_close(&bench);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "append") == 0)
        return bench_append(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                            (unsigned)strtoul(argv[5], NULL, 10));
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "make") == 0)
        return bench_make(argv[2], strtoull(argv[3], NULL, 10),
                          argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 1);
    if (argc == 3 && strcmp(argv[1], "open") == 0)
        return bench_start_time(argv[2]);
    fprintf(stderr, "usage: bench_store append DIR SIZE COUNT IN_FLIGHT | make DIR COUNT [RUNS] | open "
                    "DIR\n");
    return 2;
}
