/* sync_pull.h: messages that another node has and this one lacks, a stretch of one data file at a time.
 *
 * Neighbours come in one range request; each is proven by its digest before it is appended, with the stamp it has there. What
 * does not hold is told to the peer, which reads it again. A message larger than SYNC_READ_MAX comes by itself
 * (repair_message.h). On loop 0. */
#ifndef STORAGED_SYNC_PULL_H
#define STORAGED_SYNC_PULL_H

#include "storaged/repair_message.h"

enum {
    SYNC_READ_MAX = 4 << 20,  /* bytes of a request */
    SYNC_PULL_COUNT = 512,    /* messages of a request */
    SYNC_GAP_MAX = 256 << 10, /* bytes between two messages that are read and thrown away */
};

/* As the peer has it. */
struct sync_message {
    struct digest digest;
    uint64_t stored_at_us, birth, offset, length;
};

struct pull_append;

struct sync_pull {
    /* in: borrowed until on_done */
    struct node_loop *loop;
    struct cluster_view *view;
    struct peer *peer;
    struct run_key run;
    uint64_t incarnation;
    const struct sync_message *messages; /* of one file, ascending by offset: sync_pull_count() of them */
    unsigned count, shard;
    /* Once, maybe from within the start. OK: `stored` of them are here now, `count` - `stored` did not hold. */
    void (*on_done)(struct sync_pull *pull, enum status status, const struct error *err);
    void *user;
    /* out */
    unsigned stored;
    uint64_t bytes;
    /* its own */
    struct fsm fsm;
    struct transfer_request request;
    struct work work;
    struct pull_append *appends; /* owned: of those that held */
    unsigned appends_count;
    bool *held;     /* owned */
    bool damaged;   /* the stretch was refused for a message in it */
    unsigned alone; /* so many were asked for by themselves */
    struct repair_message large;
    char url[URL_SIZE_MAX + 160];
    char range[64];
};

/* How many of the first messages one pull takes; `messages` ascend by birth and offset. */
unsigned sync_pull_count(const struct sync_message *messages, size_t count);
void sync_pull_start(struct sync_pull *pull);

#endif
