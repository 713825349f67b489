/* put_job.h: one request of a push: a question what is missing, a body for a coordinator, a body of copies for an owner.
 *
 * It is made once and sent until it is answered; bodies are read from their files while they are sent. */
#ifndef CLIENT_PUT_JOB_H
#define CLIENT_PUT_JOB_H

#include "client/put_answer.h"
#include "client/put_place.h"
#include "client/session.h"

enum { PUT_URL_MAX = 512 };

enum put_kind {
    PUT_ASK,  /* POST /have?scope=cluster: messages first .. first + count */
    PUT_BODY, /* PUT /ingest/: whoever takes it copies it to the owners, and to others in the place of those that are down */
    PUT_COPY, /* PUT /replica/: to one owner, for itself */
};

struct put_push;
struct put_window;

struct put_job {
    struct list list;
    struct put_push *push;
    struct put_window *window;
    const struct put_message *messages; /* the window's */
    enum put_kind kind;
    char owner[NODE_ID_SIZE_MAX + 1]; /* whom it is for; "": any node. Copies are for nobody else */
    unsigned rank;                    /* of a copy: 0 gives the stamp */
    size_t first, count;
    uint32_t *picks; /* owned: of a body or copies, which messages */
    uint64_t size;   /* of the body */
    struct transfer_request request;
    struct watch watch; /* of it */
    struct node *node;
    char url[PUT_URL_MAX];
    char incarnation[24];
    struct buf text;          /* of an ask its body, of copies their stamps */
    size_t at;                /* the message being sent */
    uint64_t at_offset;       /* and how much of it was */
    uint64_t retry_at_ms;     /* not before */
    uint64_t failed_since_ms; /* 0: did not fail yet */
    unsigned failures;
    struct error read_err; /* why its file could not be read */
};

/* Takes picks over (malloc'ed; NULL for an ask) also when it fails: NULL, when memory runs out. */
struct put_job *put_job_new(struct put_window *window, enum put_kind kind, uint32_t *picks, size_t count);
void put_job_free(struct put_job *job);

/* To node, now; on_done comes. Other than OK: it can't be sent at all. */
enum status put_job_send(struct put_job *job, struct node *node,
                         void (*on_done)(struct transfer_request *request, enum status status,
                                         const struct error *err),
                         struct error *err);

/* What its answer says: OK, and of a body or copies a line each (lines holds count); or what it failed with, whose place in the
 * body is then one in a file. */
enum status put_job_result(struct put_job *job, struct put_message *messages,
                           struct put_line *lines, struct error *err);

/* The epoch of its node's map, where the answer says it and the cluster is this one; 0. *other: it is of another cluster. */
uint64_t put_job_epoch(const struct put_job *job, const char *cluster, bool *other);

#endif
