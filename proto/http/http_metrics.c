/* http_metrics.c: the static metrics, and those of handlers, made when they first count
 * something. */
#include "proto/http/http_metrics.h"

#include "proto/http/http_head.h"
#include "proto/http/http_server.h"
#include "proto/http/tls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct metric http_metric_connections = {
    .name = "gribstore_http_connections",
    .help = "Connections of clients now open.",
    .kind = METRIC_GAUGE,
};
struct metric http_metric_accepted = {
    .name = "gribstore_http_connections_total",
    .help = "Connections of clients accepted.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_accept_errors = {
    .name = "gribstore_http_accept_errors_total",
    .help = "Connections that could not be accepted, for want of descriptors or memory.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_aborted = {
    .name = "gribstore_http_aborted_total",
    .help = "Requests whose client left before the answer was written.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_malformed = {
    .name = "gribstore_http_malformed_total",
    .help = "Requests refused because their head or body was malformed.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_timeouts = {
    .name = "gribstore_http_timeouts_total",
    .help = "Requests cut because the client was too slow to send or to read.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_received = {
    .name = "gribstore_http_request_bytes_total",
    .help = "Bytes received from clients.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_sent = {
    .name = "gribstore_http_response_bytes_total",
    .help = "Bytes sent to clients.",
    .kind = METRIC_COUNTER,
};

struct metric http_metric_tls_handshakes = {
    .name = "gribstore_http_tls_handshakes_total",
    .help = "TLS handshakes that came to an end, resumed ones too.",
    .kind = METRIC_COUNTER,
};
struct metric http_metric_tls_failed = {
    .name = "gribstore_http_tls_handshakes_failed_total",
    .help = "TLS handshakes that failed: no common version or cipher, a certificate that does not hold, no TLS at all.",
    .kind = METRIC_COUNTER,
};

static const uint64_t durations_us[] = { 100,     250,     500,     1000,     2500,    5000,
                                         10000,   25000,   50000,   100000,   250000,  500000,
                                         1000000, 2500000, 5000000, 10000000, 30000000 };

/* One a handler name and process; servers on several loops share it. */
struct http_handler_metrics {
    struct http_handler_metrics *next;
    char name[64];
    char labels[80];
    struct metric duration;
    unsigned count;
    struct {
        unsigned method;
        int code;
        char labels[128];
        struct metric requests;
    } known[HTTP_CODES_MAX];
};

static pthread_mutex_t handlers_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct http_handler_metrics *handlers; /* guarded by the mutex; never freed: metrics are for good */

void http_metrics_register(void)
{
    static struct metric *const all[] = {
        &http_metric_connections, &http_metric_accepted,  &http_metric_accept_errors,
        &http_metric_aborted,     &http_metric_malformed, &http_metric_timeouts,
        &http_metric_received,    &http_metric_sent,      &http_metric_tls_handshakes,
        &http_metric_tls_failed,  &tls_metric_expires,
    };

    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        metric_register(all[i]);
    http_auth_metrics_register();
}

static struct http_handler_metrics *handler_make(const char *name)
{
    struct http_handler_metrics *handler = calloc(1, sizeof *handler);

    if (handler == NULL)
        return NULL;
    snprintf(handler->name, sizeof handler->name, "%s", name);
    snprintf(handler->labels, sizeof handler->labels, "handler=\"%s\"", handler->name);
    handler->duration = (struct metric){
        .name = "gribstore_http_request_duration_seconds",
        .help = "From the last byte of a request's head to the last byte of its answer.",
        .labels = handler->labels,
        .kind = METRIC_HISTOGRAM,
        .scale = 1e-6,
        .bounds = durations_us,
        .bounds_count = ARRAY_COUNT(durations_us),
    };
    metric_register(&handler->duration);
    return handler;
}

void http_counters_init(struct http_counters *counters, const char *name)
{
    struct http_handler_metrics *handler;

    memset(counters, 0, sizeof *counters);
    pthread_mutex_lock(&handlers_mutex);
    for (handler = handlers; handler != NULL && strcmp(handler->name, name) != 0;)
        handler = handler->next;
    if (handler == NULL && (handler = handler_make(name)) != NULL) {
        handler->next = handlers;
        handlers = handler;
    }
    pthread_mutex_unlock(&handlers_mutex);
    counters->handler = handler;
}

static struct metric *handler_make_requests(struct http_handler_metrics *handler, unsigned method, int code)
{
    static const char *const methods[] = { "GET",    "HEAD",    "PUT",  "POST",
                                           "DELETE", "OPTIONS", "other" };
    unsigned at = handler->count;

    if (at == HTTP_CODES_MAX)
        return NULL;
    handler->count++;
    handler->known[at].method = method;
    handler->known[at].code = code;
    snprintf(handler->known[at].labels, sizeof handler->known[at].labels,
             "handler=\"%s\",method=\"%s\",code=\"%d\"", handler->name, methods[method], code);
    handler->known[at].requests = (struct metric){
        .name = "gribstore_http_requests_total",
        .help = "Requests answered.",
        .labels = handler->known[at].labels,
        .kind = METRIC_COUNTER,
    };
    metric_register(&handler->known[at].requests);
    return &handler->known[at].requests;
}

static struct metric *handler_requests(struct http_handler_metrics *handler, unsigned method, int code)
{
    struct metric *requests = NULL;

    pthread_mutex_lock(&handlers_mutex);
    for (unsigned i = 0; i < handler->count && requests == NULL; i++)
        if (handler->known[i].method == method && handler->known[i].code == code)
            requests = &handler->known[i].requests;
    if (requests == NULL)
        requests = handler_make_requests(handler, method, code);
    pthread_mutex_unlock(&handlers_mutex);
    return requests;
}

void http_counters_add(struct http_counters *counters, unsigned method, int code, uint64_t duration_us)
{
    struct metric *requests = NULL;

    if (counters->handler == NULL)
        return;
    metric_observe(&counters->handler->duration, duration_us);
    for (unsigned i = 0; i < counters->count && requests == NULL; i++)
        if (counters->known[i].method == method && counters->known[i].code == code)
            requests = counters->known[i].requests;
    if (requests == NULL) {
        requests = handler_requests(counters->handler, method, code);
        if (requests == NULL)
            return;
        counters->known[counters->count].method = method;
        counters->known[counters->count].code = code;
        counters->known[counters->count++].requests = requests;
    }
    metric_add(requests, 1);
}
