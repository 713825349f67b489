/* catalog_health.c: the last failure of the database, and how many there were of each kind. */
#include "indexer/catalog/catalog_health.h"

#include "proto/base/clock.h"
#include "proto/base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

/* What failed is tried again within seconds; if nobody does, nobody needs it. */
enum { HEALTH_FORGET_MS = 60000 };

#define FAILURES(what)                                                                             \
    {                                                                                              \
        .name = "gribstore_catalog_failures_total",                                                \
        .help = "Calls of the index database that failed, by kind.",                               \
        .labels = "kind=\"" what "\"", .kind = METRIC_COUNTER                                      \
    }
static struct metric health_unreachable = FAILURES("unreachable");
static struct metric health_timeout = FAILURES("timeout");
static struct metric health_full = FAILURES("full");
static struct metric health_read_only = FAILURES("read-only");
static struct metric health_refused = FAILURES("refused");
static struct metric health_other = FAILURES("other");
static struct metric health_good = { .name = "gribstore_catalog_up",
                                     .help = "1 while the index database does what it is asked.",
                                     .kind = METRIC_GAUGE,
                                     .value = 1 };

static pthread_mutex_t health_mutex = PTHREAD_MUTEX_INITIALIZER;
static char health_text[CATALOG_TROUBLE_SIZE];
static uint64_t health_failed_ms;
/* What has to go well before all is well; looked at without the mutex by every call that went well. */
static _Atomic enum { HEALTH_GOOD, HEALTH_ANY, HEALTH_WRITE } health_wants;

void catalog_health_start(void)
{
    metric_register(&health_unreachable);
    metric_register(&health_timeout);
    metric_register(&health_full);
    metric_register(&health_read_only);
    metric_register(&health_refused);
    metric_register(&health_other);
    metric_register(&health_good);
}

static struct metric *health_metric(enum status status)
{
    switch (status) {
    case STATUS_UNREACHABLE:
        return &health_unreachable;
    case STATUS_TIMEOUT:
        return &health_timeout;
    case STATUS_FULL:
        return &health_full;
    case STATUS_READ_ONLY:
        return &health_read_only;
    case STATUS_UNAUTHORIZED:
    case STATUS_FORBIDDEN:
        return &health_refused;
    default:
        return &health_other;
    }
}

/* Reading may go well all the while: whoever may not write can't be told from whoever may do nothing, until something is written. */
static bool health_of_writes(enum status status)
{
    return status == STATUS_FULL || status == STATUS_READ_ONLY || status == STATUS_FORBIDDEN ||
           status == STATUS_IO;
}

void catalog_health_failed(enum status status, const char *text)
{
    if (status == STATUS_TOO_LARGE || status == STATUS_NO_MEMORY || status == STATUS_BAD_VALUE)
        return; /* of what was asked, not of the database */
    bool writes = health_of_writes(status);
    metric_add(health_metric(status), 1);
    pthread_mutex_lock(&health_mutex);
    /* A reader that timed out does not hide that nothing can be written. */
    if (writes || health_wants != HEALTH_WRITE) {
        snprintf(health_text, sizeof health_text, "%s", text);
        health_wants = writes ? HEALTH_WRITE : HEALTH_ANY;
        health_failed_ms = clock_monotonic_ms();
        metric_set(&health_good, 0);
    }
    pthread_mutex_unlock(&health_mutex);
}

static void health_clear(void)
{
    pthread_mutex_lock(&health_mutex);
    health_wants = HEALTH_GOOD;
    metric_set(&health_good, 1);
    pthread_mutex_unlock(&health_mutex);
}

void catalog_health_read(void)
{
    if (atomic_load_explicit(&health_wants, memory_order_relaxed) == HEALTH_ANY)
        health_clear();
}

void catalog_health_wrote(void)
{
    if (atomic_load_explicit(&health_wants, memory_order_relaxed) != HEALTH_GOOD)
        health_clear();
}

bool catalog_health_trouble(char text[CATALOG_TROUBLE_SIZE])
{
    bool trouble = false;

    text[0] = '\0';
    if (health_wants == HEALTH_GOOD)
        return false;
    pthread_mutex_lock(&health_mutex);
    if (health_wants != HEALTH_GOOD && clock_monotonic_ms() - health_failed_ms < HEALTH_FORGET_MS) {
        snprintf(text, CATALOG_TROUBLE_SIZE, "%s", health_text);
        trouble = true;
    }
    pthread_mutex_unlock(&health_mutex);
    return trouble;
}
