/* metric.h: counters, gauges and histograms, printed as Prometheus text (exposition format 0.0.4).
 *
 * Metrics are static objects registered once at start; updates are relaxed atomics from any
 * thread. Labels are fixed at registration: one object a combination
 * (`{method="GET",code="206"}`), so their number is bounded by the code. */
#ifndef PROTO_BASE_METRIC_H
#define PROTO_BASE_METRIC_H

#include "proto/base/buf.h"

#include <stdatomic.h>

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
enum { METRIC_BUCKETS_MAX = 20 };

struct metric {
    const char *name; /* "gribstore_put_bytes_total" */
    const char *help;
    const char *labels; /* "source=\"hres\"" or NULL; borrowed for good */
    enum metric_kind kind;
    double scale; /* printed is value * scale; 0 means 1 (1e-6: counted in us, printed in s) */
    _Atomic int64_t value;
    /* histograms only: upper bounds in the unit of observe(), ascending; +Inf is implied */
    const uint64_t *bounds;
    unsigned bounds_count;
    _Atomic uint64_t buckets[METRIC_BUCKETS_MAX + 1];
    _Atomic uint64_t sum;
    struct metric *next; /* the registry's */
};

/* Once an object. The same name with other labels: HELP and TYPE are printed once. */
void metric_register(struct metric *metric);

static inline void metric_add(struct metric *metric, int64_t by)
{
    atomic_fetch_add_explicit(&metric->value, by, memory_order_relaxed);
}
static inline void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}
void metric_observe(struct metric *metric, uint64_t value);

/* Everything registered, grouped by name, then process_* (cpu seconds, resident bytes, open and
 * max fds, start time). */
void metric_print(struct buf *buf);

/* For what is known only when asked (counts a run, free disk): adds one sample under a HELP/TYPE
 * head of its own. */
void metric_head(struct buf *buf, const char *name, const char *help, enum metric_kind kind);
void metric_sample(struct buf *buf, const char *name, const char *labels, double value);

#endif
