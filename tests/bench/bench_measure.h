/* bench_measure.h: what programs that measure have in common: threads, processor time, samples, one line of JSON. */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { BENCH_THREADS_MAX = 256, BENCH_SAMPLES_MAX = 4000000 };

/* Of this process so far, user and system. */
double bench_cpu_seconds(void);
/* As many threads at once; returns when all have ended. */
void bench_threads(unsigned threads, void *(*run)(void *data), void *data);
/* {"count", "seconds", "rate", "cpu_us"} */
void bench_report(size_t count, double seconds, double cpu_seconds);

/* How long each of many things took. */
struct bench_samples {
    pthread_mutex_t mutex;
    uint32_t *us; /* owned; BENCH_SAMPLES_MAX, others are not kept */
    size_t count;
};
void bench_samples_init(struct bench_samples *samples);
void bench_samples_add(struct bench_samples *samples, uint64_t us); /* any thread */
/* The same line with p50_us and p99_us. There is at least one; they are gone behind it. */
void bench_samples_report(struct bench_samples *samples, double seconds, double cpu_seconds);

#endif
