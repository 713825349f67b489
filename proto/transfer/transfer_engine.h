/* transfer_engine.h: what transfer.c, transfer_handle.c and transfer_uv.c share. Nobody else includes it.
 *
 * A request is on one of three lists: starting (not yet libcurl's), running, finished (its result stands in request->err,
 * on_done is still to be called). libcurl forbids most calls from within its callbacks, where owners may well start and
 * cancel; so those only move a request from list to list, and the next turn, outside of libcurl, does the rest. */
#ifndef PROTO_TRANSFER_ENGINE_H
#define PROTO_TRANSFER_ENGINE_H

#include "proto/transfer/transfer.h"

#include <curl/curl.h>

enum {
    TRANSFER_IDLE_HANDLES_MAX = 64,
    TRANSFER_ERROR_ANSWER_MAX = 1 << 20, /* answers outside 2xx are gathered up to this size */
    TRANSFER_ANSWER_HEADERS_SIZE_MAX = 16 << 10,
};

/* An easy handle and the request that uses it now. */
struct transfer_handle {
    CURL *easy; /* owned */
    struct transfer_request *request;
    bool finished;       /* the result stands; callbacks refuse further bytes */
    bool in_head;        /* of the answer: behind its status line, before its empty line */
    unsigned headers;    /* of the answer, so far */
    uint64_t started_ms; /* monotonic */
    uint64_t moved_ms;   /* when a byte last moved; 0: not connected yet */
    uint64_t moved;      /* libcurl's counts of body bytes, both ways */
    char text[CURL_ERROR_SIZE];
};

struct transfer {
    CURLM *multi;                    /* owned */
    struct transfer_options options; /* texts owned */
    struct list starting, running, finished;
    unsigned under_way; /* on any of the lists */
    unsigned idle_count;
    struct transfer_handle *idle[TRANSFER_IDLE_HANDLES_MAX]; /* owned */
    uint64_t check_ms; /* no running request can have run out of time before; UINT64_MAX: none ever */
    bool closing;      /* what is started now is cancelled at once */
    bool broken;       /* transfer_break() */
    bool delivering;   /* an on_done is on the stack */
    void (*wake)(struct transfer *transfer); /* ask for a turn soon; NULL without a loop */
};

/* The members common to both drivers; transfer_teardown() frees them, nothing may be under way then. */
enum status transfer_setup(struct transfer *transfer, const struct transfer_options *options,
                           struct error *err);
void transfer_teardown(struct transfer *transfer);

/* Outside of libcurl: admit what was started, expire, take results, call back. */
void transfer_turn(struct transfer *transfer);
void transfer_cancel_all(struct transfer *transfer);

/* transfer_handle.c: a handle set up for a request; its texts are copied by libcurl or live as long as the request. */
struct transfer_handle *transfer_handle_new(void);
void transfer_handle_free(struct transfer_handle *handle);
enum status transfer_handle_prepare(struct transfer_handle *handle,
                                    struct transfer_request *request, struct error *err);
void transfer_handle_result(struct transfer_handle *handle, CURLcode code); /* into request->err and http_status */

/* When the request has run out of time, monotonic; UINT64_MAX: never, as things stand. */
uint64_t transfer_handle_deadline(const struct transfer_handle *handle);

#endif
