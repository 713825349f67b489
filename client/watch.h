/* watch.h: requests that a node took and leaves without an answer: is anybody still there?
 *
 * A node may be silent for long because it works: it waits for copies, or for its disk. One that was stopped, hangs, or lies behind
 * a line that is cut is silent as well, its kernel takes all that is sent, and it never comes back. So while nothing moves a
 * request for WATCH_SILENT_MS its node is asked for /healthz besides, again and again; one that leaves that without an answer for
 * WATCH_PROBE_MS, or takes no connection, is given up, and with it all silent requests to it. Any answer, even a refusal, is a
 * sign of life; a request that itself waits for a connection, and a probe that gets none because all are in use, say nothing.
 *
 * To give up too early costs a body that is sent again elsewhere, and never a message twice: who has its digest keeps the one. */
#ifndef CLIENT_WATCH_H
#define CLIENT_WATCH_H

#include "proto/transfer/transfer.h"

enum { WATCH_SILENT_MS = 3000, WATCH_PROBE_MS = 4000 };

struct gs_session;

struct watch {
    struct list list;
    struct gs_session *session;
    struct transfer_request *request; /* borrowed */
    const char *url;                  /* borrowed: "http://host:port" */
    uint64_t ask_at_ms;               /* not before */
    bool given_up;
};

/* From before the request is started to its on_done. It is looked at in session_wait(). */
void watch_begin(struct watch *watch, struct gs_session *session, struct transfer_request *request,
                 const char *url);
void watch_end(struct watch *watch); /* harmless on one that is all zero, or has ended */

/* The status and error of the request: CANCELLED is TIMEOUT where it was given up here. */
enum status watch_result(const struct watch *watch, enum status status, struct error *err);

void watch_look(struct gs_session *session);

#endif
