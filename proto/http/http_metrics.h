/* http_metrics.h: what the servers of a process count. Labels are bounded: handlers of the route
 * tables, our methods, and at most HTTP_CODES_MAX different codes a handler. */
#ifndef PROTO_HTTP_METRICS_H
#define PROTO_HTTP_METRICS_H

#include "proto/base/metric.h"
#include "proto/http/http_exchange.h"

enum { HTTP_CODES_MAX = 32 };

struct http_handler_metrics;

/* A server's way to its handler's metrics; only used on its loop. */
struct http_counters {
    struct http_handler_metrics *handler; /* borrowed for good */
    unsigned count;
    struct {
        unsigned method;
        int code;
        struct metric *requests; /* borrowed for good */
    } known[HTTP_CODES_MAX];
};

extern struct metric http_metric_connections, http_metric_accepted, http_metric_accept_errors,
    http_metric_aborted, http_metric_malformed, http_metric_timeouts, http_metric_received,
    http_metric_sent, http_metric_tls_handshakes, http_metric_tls_failed;

void http_counters_init(struct http_counters *counters, const char *handler);
void http_counters_add(struct http_counters *counters, unsigned method, int code, uint64_t duration_us);

#endif
