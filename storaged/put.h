/* put.h: one message: digest, place, store on its owners (this node only if it is one), answer. */
#ifndef STORAGED_PUT_H
#define STORAGED_PUT_H

#include "storaged/body_message.h"
#include "storaged/peers/copies.h"
#include "storaged/peers/run_fetch.h"
#include "storaged/sources.h"
#include "storaged/store/store.h"
#include "storaged/work.h"

#include "proto/base/fsm.h"

struct put;

enum { CLOCK_AHEAD_MAX_S = 300 }; /* a stamp further ahead of this node's clock is refused */

/* What the messages of a body have in common. */
struct put_body {
    struct node_loop *loop;
    const char *request_id; /* borrowed */
    char source[SOURCE_SIZE_MAX + 1];
    bool here;       /* /replica: stored on this node and nowhere else */
    bool has_digest; /* /sha256/: the digest that was declared */
    struct digest digest;
    uint64_t incarnation;      /* of the run, as the sender knows it; 0: it did not say */
    struct source_rules rules; /* what may come in of the source */
    bool has_run;              /* with an incarnation there is one run only: */
    int64_t base_time;
};

/* Where a copy lies; url is of the node. */
struct put_place {
    const char *url; /* borrowed: as long as the put */
    bool has_place;
    unsigned shard;
    uint64_t birth, offset;
};

/* A node that is asked to keep the message, or was. */
enum put_target_state { TARGET_FREE, TARGET_BUSY, TARGET_KEPT, TARGET_FAILED };
struct put_target {
    struct put *put;
    enum put_target_state state;
    bool self;
    enum status status;
    bool over_quota; /* of its node */
    struct copy copy;
    struct put_place place;
};

struct put {
    struct fsm fsm;
    struct put_body *body; /* borrowed */
    struct body_message message;
    struct list list; /* the body's, in order */
    uint64_t offset;  /* in the body */
    uint64_t length;
    struct digest digest;
    struct run_key run;
    uint64_t stored_at_us; /* 0: not given yet */
    bool has_stamp;        /* it came with one */
    unsigned shard;
    struct cluster_view *view;
    struct append append;
    struct work find;                    /* is it here: of the pool */
    struct run_fetch *fetch;             /* owned */
    struct peer *stale;                  /* knows a higher incarnation */
    unsigned next;                       /* candidate: owners, then handoffs */
    uint16_t refusing[MAP_REPLICAS_MAX]; /* passed over because they took no PUT lately: asked last */
    unsigned refusing_count;
    uint16_t *handoffs; /* owned */
    unsigned handoffs_count;
    unsigned targets_count;
    struct put_target *targets; /* owned */
    uint64_t incarnation;
    bool known_here, is_kept, is_new, caught_up, all_full, over_quota;
    unsigned copies_count;
    enum status failure; /* the first that made a node fall out, and its story */
    struct error failure_err;
    bool done;
    void (*on_done)(struct put *put);
};

/* A put whose message is about to arrive. */
struct put *put_new(struct put_body *body, uint64_t offset, enum body_class class);
void put_free(struct put *put);

/* Its message is whole. on_done comes once, now or later: fsm.status says how it went, with OK the places of its copies
 * are in targets (TARGET_KEPT). The message's memory has been given back by then. */
void put_start(struct put *put, void (*on_done)(struct put *put));

#endif
