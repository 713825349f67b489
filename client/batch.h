/* batch.h: many messages of one data file in one request of many ranges.
 *
 * Each part goes to the fetch that asked for these octets, which checks its digest. What the answer did not bring, or brought wrong, is
 * fetched alone afterwards (fetch.h), from its other places too: a batch only saves requests. */
#ifndef CLIENT_BATCH_H
#define CLIENT_BATCH_H

#include "client/fetch.h"
#include "client/multipart.h"

enum {
    BATCH_RANGES_MAX = 1000,
    BATCH_SIZE_MAX = 32 << 20,       /* bytes of one answer, one larger message excepted */
    BATCH_RANGE_TEXT_MAX = 24 << 10, /* servers take lines of 32 KiB */
};

struct batch_item {
    struct fetch *fetch; /* NULL: served, or on its own */
    uint64_t offset, length;
};

struct batch {
    struct list list; /* the owner's */
    struct gs_session *session;
    struct node *node;
    unsigned count, room;
    struct batch_item *items; /* owned; by offset once started */
    uint64_t size;
    struct buf range, part;     /* part: octets of the one under way */
    struct batch_item *current; /* whose they are */
    struct multipart multipart;
    bool multipart_begun, done;
    char url[FETCH_URL_MAX];
    struct transfer_request request;
};

/* The batch of a file; NULL: no memory. */
struct batch *batch_new(struct gs_session *session, const char *url);
void batch_free(struct batch *batch); /* cancels; its fetches go on alone */
/* Takes one in, by the location of its that is in this file; false: the batch is full, or it is no such. */
bool batch_add(struct batch *batch, struct fetch *fetch);
void batch_start(struct batch *batch);
/* A list of them: of those that wait as many are started as may be under way; those that are over go. */
void batches_step(struct list *batches, unsigned parallel);

#endif
