/* lease.h: a named lease at the indexer, taken once and renewed while the session waits. It keeps two rotators from doing the
 * same work; safety is in the runs' versions. */
#ifndef CLIENT_LEASE_H
#define CLIENT_LEASE_H

#include "client/session.h"

enum { LEASE_PATH_SIZE = 256, LEASE_BODY_SIZE = 256, LEASE_OWNER_SIZE = 64 };

struct lease {
    struct gs_session *session;
    char path[LEASE_PATH_SIZE], owner[LEASE_OWNER_SIZE], body[LEASE_BODY_SIZE];
    uint64_t renew_at_ms;
    unsigned turn; /* which indexer is asked next */
    char url[URL_SIZE_MAX + LEASE_PATH_SIZE];
    struct transfer_request request;
};

/* Waits for a holder whose time runs out soon (as a rotator that crashed), no longer than the session tries again what is
 * temporary; LOCKED names who holds it for longer. */
enum status lease_take(struct lease *lease, struct gs_session *session, const char *name,
                       struct error *err);
void lease_release(struct lease *lease);

#endif
