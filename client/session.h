/* session.h: what gs_open() gives: settings, connections, the nodes known, and the way to wait.
 *
 * All requests of a session run on its one transfer. on_done of each calls session_wake(), so that who waits in
 * session_wait() gets to look. */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "client/error.h"
#include "client/nodes.h"
#include "client/watch.h"
#include "proto/transfer/transfer.h"

#include <stdatomic.h>

enum {
    SESSION_RETRY_MS = 60000,
    SESSION_WAIT_STEP_MS = 200, /* a cancel is seen after so long at the latest */
    SESSION_MAP_RETRY_MS = 1000,
    SESSION_SAY_RETRY_MS = 2000,
    SESSION_MAP_TIMEOUT_MS = 10000,
    SESSION_TOKEN_MAX = 4096,
};

struct gs_session {
    struct transfer *transfer; /* owned */
    struct nodes indexers;
    struct nodes nodes;      /* those given, then those of the map */
    struct cluster_map *map; /* owned; NULL: not asked for yet */
    char *authorization;     /* owned: "Bearer ..."; NULL: none */
    char *ca_file;           /* owned */
    uint64_t retry_ms;
    struct list watches, probes;  /* requests that are looked after; questions about them */
    uint64_t silent_ms, probe_ms; /* as watch.h says; tests are quicker */
    unsigned given_up;            /* requests whose node did not answer a probe either */
    bool woken;
    atomic_bool cancelled;
    /* Told once in a session's life that somebody who is needed does not answer, and is tried again for so long; NULL: nobody. */
    void (*on_retry)(void *data, const char *why, uint64_t retry_ms);
    void *retry_data;
    /* Called while waiting, every SESSION_WAIT_STEP_MS or so; NULL: none. */
    void (*on_tick)(struct gs_session *session, void *data);
    void *tick_data;
};

/* Sets the headers that every request carries. BAD_VALUE: the token must not travel to that URL in the clear. */
enum status session_sign(struct gs_session *session, struct transfer_request *request, struct error *err);

void session_wake(struct gs_session *session);
/* Until something is done or the time is over. CANCELLED after gs_cancel(). */
enum status session_wait(struct gs_session *session, uint64_t timeout_ms, struct error *err);

/* Who waits for somebody to come back, until then: on_retry, once it has taken SESSION_SAY_RETRY_MS. */
void session_say_retry(struct gs_session *session, uint64_t until_ms, const struct error *why);

/* The cluster map: asked for once, of the nodes given, then of the indexers; session->nodes are its nodes from then on. */
enum status session_map(struct gs_session *session, struct error *err);
/* The same without waiting for anybody to come back. */
enum status session_map_once(struct gs_session *session, struct error *err);
/* The node at url has a newer one: asked for it, once. False: it gave none that is of this cluster and newer; the old one stays.
 * Not while requests to nodes are under way. */
bool session_map_again(struct gs_session *session, const char *url);

#endif
