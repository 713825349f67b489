/* bench_measure.c: threads, processor time, samples. */
#include "bench_measure.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

double bench_cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void bench_threads(unsigned threads, void *(*run)(void *data), void *data)
{
    pthread_t ids[BENCH_THREADS_MAX];

    assert(threads > 0 && threads <= BENCH_THREADS_MAX);
    for (unsigned i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, run, data);
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

static void print_rate(size_t count, double seconds, double cpu_seconds)
{
    printf("{\"count\": %zu, \"seconds\": %.3f, \"rate\": %.1f, \"cpu_us\": %.2f", count, seconds,
           (double)count / seconds, cpu_seconds * 1e6 / (double)count);
}

void bench_report(size_t count, double seconds, double cpu_seconds)
{
    print_rate(count, seconds, cpu_seconds);
    printf("}\n");
}

void bench_samples_init(struct bench_samples *samples)
{
    *samples = (struct bench_samples){ .us = calloc(BENCH_SAMPLES_MAX, sizeof *samples->us) };
    assert(samples->us != NULL);
    pthread_mutex_init(&samples->mutex, NULL);
}

void bench_samples_add(struct bench_samples *samples, uint64_t us)
{
    pthread_mutex_lock(&samples->mutex);
    if (samples->count < BENCH_SAMPLES_MAX)
        samples->us[samples->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    pthread_mutex_unlock(&samples->mutex);
}

static int sample_compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

void bench_samples_report(struct bench_samples *samples, double seconds, double cpu_seconds)
{
    assert(samples->count > 0);
    qsort(samples->us, samples->count, sizeof *samples->us, sample_compare);
    print_rate(samples->count, seconds, cpu_seconds);
    printf(", \"p50_us\": %u, \"p99_us\": %u}\n", samples->us[samples->count / 2],
           samples->us[samples->count * 99 / 100]);
    free(samples->us);
    pthread_mutex_destroy(&samples->mutex);
}
