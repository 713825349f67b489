/* metric.c: the registry of metrics and their printed form. */
#include "proto/base/metric.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static pthread_mutex_t metric_mutex = PTHREAD_MUTEX_INITIALIZER;
/* Names in the order of first registration, a name's metrics together. Guarded by the mutex. */
static struct metric *metric_list;

void metric_register(struct metric *metric)
{
    struct metric **place = &metric_list;

    assert(metric->bounds_count <= METRIC_BUCKETS_MAX);
    for (unsigned i = 1; i < metric->bounds_count; i++)
        assert(metric->bounds[i - 1] < metric->bounds[i]);
    pthread_mutex_lock(&metric_mutex);
    for (struct metric **at = &metric_list; *at != NULL; at = &(*at)->next) {
        assert(*at != metric);
        if (strcmp((*at)->name, metric->name) == 0) {
            assert((*at)->kind == metric->kind);
            place = &(*at)->next; /* behind the last of its name: a name's samples stand together */
        }
    }
    if (place == &metric_list)
        while (*place != NULL)
            place = &(*place)->next;
    metric->next = *place;
    *place = metric;
    pthread_mutex_unlock(&metric_mutex);
}

void metric_observe(struct metric *metric, uint64_t value)
{
    unsigned bucket = 0;

    while (bucket < metric->bounds_count && value > metric->bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->sum, value, memory_order_relaxed);
}

/* 1e-6 has no exact double, 1e6 has: dividing by it prints 0.000123 where multiplying prints
 * 0.00012299999999999998. */
static double metric_scaled(const struct metric *metric, double value)
{
    double scale = metric->scale != 0 ? metric->scale : 1;

    if (scale < 1e-12 || scale >= 1)
        return value * scale;
    double inverse = (double)(uint64_t)(1 / scale + 0.5);
    if (fabs(inverse * scale - 1) < 1e-12)
        return value / inverse;
    return value * scale;
}

static void metric_number(struct buf *buf, double value)
{
    if (isnan(value))
        buf_text(buf, "NaN");
    else if (isinf(value))
        buf_text(buf, value > 0 ? "+Inf" : "-Inf");
    else
        buf_double(buf, value);
}

void metric_head(struct buf *buf, const char *name, const char *help, enum metric_kind kind)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };

    buf_format(buf, "# HELP %s ", name);
    for (; *help != '\0'; help++) {
        if (*help == '\\')
            buf_text(buf, "\\\\");
        else if (*help == '\n')
            buf_text(buf, "\\n");
        else
            buf_append(buf, help, 1);
    }
    buf_format(buf, "\n# TYPE %s %s\n", name, kinds[kind]);
}

void metric_sample(struct buf *buf, const char *name, const char *labels, double value)
{
    buf_text(buf, name);
    if (labels != NULL && labels[0] != '\0') {
        buf_text(buf, "{");
        buf_text(buf, labels);
        buf_text(buf, "}");
    }
    buf_text(buf, " ");
    metric_number(buf, value);
    buf_text(buf, "\n");
}

/* name_bucket{labels,le="0.005"} count: how many were at most so much. */
static void metric_print_bucket(const struct metric *metric, unsigned i, uint64_t count, struct buf *buf)
{
    bool labelled = metric->labels != NULL && metric->labels[0] != '\0';

    buf_format(buf, "%s_bucket{%s%sle=\"", metric->name, labelled ? metric->labels : "",
               labelled ? "," : "");
    if (i < metric->bounds_count)
        metric_number(buf, metric_scaled(metric, (double)metric->bounds[i]));
    else
        buf_text(buf, "+Inf");
    buf_text(buf, "\"} ");
    buf_decimal(buf, count);
    buf_text(buf, "\n");
}

static void metric_print_histogram(struct metric *metric, struct buf *buf)
{
    uint64_t count = 0;
    char name[128];

    for (unsigned i = 0; i <= metric->bounds_count; i++) {
        count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        metric_print_bucket(metric, i, count, buf);
    }
    snprintf(name, sizeof name, "%s_sum", metric->name);
    uint64_t sum = atomic_load_explicit(&metric->sum, memory_order_relaxed);
    metric_sample(buf, name, metric->labels, metric_scaled(metric, (double)sum));
    snprintf(name, sizeof name, "%s_count", metric->name);
    metric_sample(buf, name, metric->labels, (double)count); /* agrees with the buckets */
}

static void metric_print_registered(struct buf *buf)
{
    const char *name = "";

    pthread_mutex_lock(&metric_mutex);
    for (struct metric *metric = metric_list; metric != NULL; metric = metric->next) {
        if (strcmp(name, metric->name) != 0)
            metric_head(buf, name = metric->name, metric->help, metric->kind);
        if (metric->kind == METRIC_HISTOGRAM) {
            metric_print_histogram(metric, buf);
            continue;
        }
        int64_t value = atomic_load_explicit(&metric->value, memory_order_relaxed);
        metric_sample(buf, metric->name, metric->labels, metric_scaled(metric, (double)value));
    }
    pthread_mutex_unlock(&metric_mutex);
}

/* The file's first bytes, terminated; false when it can't be read. */
static bool metric_read_proc(const char *path, char *text, size_t text_size)
{
    FILE *file = fopen(path, "re");
    size_t size = 0;

    if (file == NULL)
        return false;
    size = fread(text, 1, text_size - 1, file);
    fclose(file);
    text[size] = '\0';
    return size > 0;
}

static double metric_cpu_seconds(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return NAN;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double metric_resident_bytes(void)
{
    char text[256];
    unsigned long long pages;

    if (!metric_read_proc("/proc/self/statm", text, sizeof text) || sscanf(text, "%*u %llu", &pages) != 1)
        return NAN;
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double metric_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double count = -1; /* the one that dir itself has open */

    if (dir == NULL)
        return NAN;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            count++;
    closedir(dir);
    return count;
}

static double metric_max_fds(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return NAN;
    return limit.rlim_cur == RLIM_INFINITY ? INFINITY : (double)limit.rlim_cur;
}

static double metric_boot_seconds(void)
{
    FILE *file = fopen("/proc/stat", "re");
    char text[256];
    unsigned long long seconds;
    double boot = NAN;

    if (file == NULL)
        return NAN;
    while (isnan(boot) && fgets(text, sizeof text, file) != NULL)
        if (sscanf(text, "btime %llu", &seconds) == 1)
            boot = (double)seconds;
    fclose(file);
    return boot;
}

/* The 22nd word of /proc/self/stat: clock ticks after boot. The 2nd is the program's name, which
 * may hold blanks and brackets, so words are counted from its last bracket. */
static double metric_start_seconds(void)
{
    char text[1024];
    unsigned long long ticks;

    if (!metric_read_proc("/proc/self/stat", text, sizeof text))
        return NAN;
    const char *at = strrchr(text, ')');
    for (int word = 2; word < 22 && at != NULL; word++)
        at = strchr(at + 1, ' ');
    if (at == NULL || sscanf(at, " %llu", &ticks) != 1)
        return NAN;
    return metric_boot_seconds() + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void metric_print_process(struct buf *buf)
{
    static const struct {
        const char *name;
        const char *help;
        enum metric_kind kind;
        double (*read)(void);
    } rows[] = {
        { "process_cpu_seconds_total", "User and system CPU time spent in seconds.", METRIC_COUNTER,
          metric_cpu_seconds },
        { "process_resident_memory_bytes", "Resident memory size in bytes.", METRIC_GAUGE,
          metric_resident_bytes },
        { "process_open_fds", "Number of open file descriptors.", METRIC_GAUGE, metric_open_fds },
        { "process_max_fds", "Maximum number of open file descriptors.", METRIC_GAUGE, metric_max_fds },
        { "process_start_time_seconds", "Start time of the process since 1970 in seconds.",
          METRIC_GAUGE, metric_start_seconds },
    };

    for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
        double value = rows[i].read();

        if (isnan(value)) /* no /proc: no sample rather than a wrong one */
            continue;
        metric_head(buf, rows[i].name, rows[i].help, rows[i].kind);
        metric_sample(buf, rows[i].name, NULL, value);
    }
}

void metric_print(struct buf *buf)
{
    metric_print_registered(buf);
    metric_print_process(buf);
}
