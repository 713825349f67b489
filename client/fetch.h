/* fetch.h: one message, from the first of its copies whose bytes have its digest.
 *
 * Candidates in order: the locations given, then /sha256/ on each node known. A candidate that does not answer is left behind
 * for now; when none is left, and one of them was only not there at the moment, all are tried again after a while, as long
 * as the session retries. */
#ifndef CLIENT_FETCH_H
#define CLIENT_FETCH_H

#include "client/session.h"
#include "proto/digest.h"

enum { FETCH_LOCATIONS_MAX = 16, FETCH_URL_MAX = 512 };

struct fetch_location {
    char url[FETCH_URL_MAX];
    uint64_t offset, length;
};

struct fetch {
    struct list list; /* the owner's */
    struct gs_session *session;
    struct digest digest;
    unsigned locations_count;
    struct fetch_location locations[FETCH_LOCATIONS_MAX];
    /* results */
    bool done;
    enum status status;
    struct error err;
    struct buf data; /* the message, checked */
    unsigned bad_copies;
    /* the batch's (batch.h) */
    bool batched; /* one has it under way: it does not go on alone */
    /* the fetch's */
    unsigned next;        /* step of the round: a candidate, or one that was put off */
    uint32_t put_off;     /* bits of locations whose node is down: last of all */
    bool asked;           /* a node was asked by digest in this round; it asks the others itself */
    uint64_t want;        /* bytes of the candidate under way; 0: not known */
    bool corrupt, absent; /* what candidates said so far */
    uint64_t started_ms, retry_at_ms;
    unsigned rounds;
    struct node *node;
    struct transfer_request request;
    char url[FETCH_URL_MAX], range[64];
};

void fetch_init(struct fetch *fetch, struct gs_session *session, const struct digest *digest);
/* OK; BAD_VALUE: no such location can be; one more than FETCH_LOCATIONS_MAX is left out. */
enum status fetch_add(struct fetch *fetch, const char *url, uint64_t offset, uint64_t length);
void fetch_fini(struct fetch *fetch); /* cancels; nothing of it is under way then */

/* These bytes were brought by somebody else, from this URL: the end when they have the digest; their memory may be taken. */
void fetch_offer(struct fetch *fetch, struct buf *bytes, const char *url);
/* The first location whose node is not known to be down; NULL: none is given. */
const struct fetch_location *fetch_first(const struct fetch *fetch);
/* The node that a URL is of; NULL. */
struct node *fetch_node_of(struct gs_session *session, const char *url);

/* Starts the next candidate if none is under way and the time has come. Called until done; wait with session_wait(). */
void fetch_step(struct fetch *fetch);
/* How long session_wait() may take before the next step. */
uint64_t fetch_wait_ms(const struct fetch *fetch);

#endif
