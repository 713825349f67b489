/* transfer.h: HTTP requests to others: libcurl multi behind a door; connection pool, deadlines, keep-alive.
 *
 * The same requests run with a loop (transfer_uv.h) and without (transfer_run). Redirects are off, protocols are http and
 * https only, a fresh easy handle state per request. A request is embedded in its owner and belongs to the transfer from
 * transfer_start() until on_done, which is called exactly once, never from within transfer_start(). Not thread-safe: one
 * transfer a thread. */
#ifndef PROTO_TRANSFER_H
#define PROTO_TRANSFER_H

#include "proto/base/buf.h"
#include "proto/base/list.h"

enum { TRANSFER_HEADERS_MAX = 8, TRANSFER_ANSWER_HEADERS_MAX = 16, TRANSFER_BODY_LATER = -2 };

struct transfer;
struct transfer_secret;

struct transfer_options {
    unsigned connections_max;          /* in all [64] */
    unsigned connections_per_host_max; /* [16]; more requests wait */
    const char *user_agent;            /* "gribstore" */
    const char *ca_file;               /* PEM; whom to trust with https [the system's] */
    const char *cert_file, *key_file;  /* PEM; what to show when asked */
    struct transfer_secret *secret;    /* what every request shows; borrowed for the transfer's life [none] */
};

struct transfer_header {
    const char *name, *value; /* borrowed until on_done */
};

struct transfer_request {
    /* --- set before transfer_start(); borrowed until on_done --- */
    const char *method; /* "GET", "PUT", ... */
    const char *url;
    struct transfer_header headers[TRANSFER_HEADERS_MAX]; /* ended by name == NULL */
    struct slice body;                                    /* or: */
    /* pull: fills up to size bytes, returns how many, 0 at the end, -1 to fail, TRANSFER_BODY_LATER: transfer_body_ready()
     * will tell when to ask again. body_size: in all, or UINT64_MAX: chunked. */
    int64_t (*body_read)(struct transfer_request *request, uint8_t *data, size_t size);
    int (*body_rewind)(struct transfer_request *request); /* back to its first byte; 0, or -1: can't */
    uint64_t body_size;
    uint64_t connect_timeout_ms; /* [2 s] */
    uint64_t timeout_ms;         /* the whole request; 0: none */
    uint64_t stall_timeout_ms;   /* no byte either way for so long [10 s] */
    size_t answer_max;           /* answer larger than this fails with TOO_LARGE [1 MiB] */
    /* Instead of gathering the answer: takes all bytes, returns 0, or -1 to fail. Called only for 2xx answers. */
    int (*on_data)(struct transfer_request *request, struct slice data);
    /* OK: an answer came, whatever its HTTP status. UNREACHABLE (refused, reset, no route),
     * UNTRUSTED (a certificate does not hold, or its file can't be read), TIMEOUT, CANCELLED, TOO_LARGE... */
    void (*on_done)(struct transfer_request *request, enum status status, const struct error *err);
    void *user;
    /* --- results --- */
    int http_status;   /* 0: no answer */
    struct buf answer; /* the request's until transfer_request_fini() */
    /* --- the transfer's --- */
    struct transfer *transfer;
    void *handle;
    void *sent_headers;
    struct list list;
    size_t body_sent;
    struct buf answer_headers; /* "name\0value\0"... */
    struct error err;
};

enum status transfer_new(const struct transfer_options *options, struct transfer **transfer,
                         struct error *err);
void transfer_free(struct transfer *transfer); /* what is under way is cancelled: on_done(CANCELLED) */

void transfer_request_init(struct transfer_request *request); /* zeroed, defaults */
void transfer_request_fini(struct transfer_request *request); /* frees answers; not while under way */
void transfer_start(struct transfer *transfer, struct transfer_request *request);
void transfer_cancel(struct transfer_request *request); /* on_done(CANCELLED) follows, later */
void transfer_body_ready(struct transfer_request *request); /* not from within body_read; harmless when it is done */
/* How long no byte has moved, either way; 0: it has no connection yet, or is not under way. */
uint64_t transfer_silent_ms(const struct transfer_request *request);
const char *transfer_answer_header(const struct transfer_request *request, const char *name); /* or NULL */

/* The failure that a problem+json answer (or any status outside 2xx) tells: status by its code, err with its detail.
 * OK for 2xx. */
enum status transfer_answer_status(const struct transfer_request *request, struct error *err);

/* Without a loop: run until nothing is under way, or for at most timeout_ms (UINT64_MAX: no limit), or until an on_done
 * called transfer_break(). Returns how many are still under way. */
unsigned transfer_run(struct transfer *transfer, uint64_t timeout_ms);
void transfer_break(struct transfer *transfer);

/* One blocking request: start, run, and the status of the answer as transfer_answer_status(). */
enum status transfer_perform(struct transfer *transfer, struct transfer_request *request,
                             struct error *err);

#endif
