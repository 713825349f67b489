/* call.h: one request that is waited for, tried again elsewhere or later while that may help. */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/session.h"

#include <jansson.h>

enum call_to { CALL_INDEXERS, CALL_NODES, CALL_URL };

struct call {
    enum call_to to;
    const char *url; /* CALL_URL: "http://host:port" */
    const char *method;
    const char *path;              /* with its query */
    struct slice body;             /* JSON, unless */
    const char *content_type;      /* says otherwise */
    struct transfer_header header; /* one more; name NULL: none */
    size_t answer_max;             /* 0: 1 MiB */
    bool once;                     /* each server once, and no waiting */
};

struct call_answer {
    int http_status;
    struct buf body;            /* owned */
    char url[URL_SIZE_MAX + 1]; /* of the server that answered */
};

/* OK for 2xx. Otherwise what the answer tells, or why there is none; *answer is empty then, but for http_status and, for
 * 412 and 409, the body. call_answer_fini() is always safe after. */
enum status call_run(struct gs_session *session, const struct call *call,
                     struct call_answer *answer, struct error *err);
void call_answer_fini(struct call_answer *answer);

/* The same, with the answer parsed (json_decref); NULL for an answer without a body. */
enum status call_json(struct gs_session *session, const struct call *call, json_t **json,
                      struct error *err);

#endif
