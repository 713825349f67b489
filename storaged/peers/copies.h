/* copies.h: messages of an event loop's bodies on their way to other owners.
 *
 * A copy is one message for one peer. Those for the same peer travel together, whichever bodies they came with: what was
 * added in a turn of the loop leaves at its end; while a few requests are under way the next gather. Nothing is copied:
 * a request pulls its body out of the messages' own memory or files, which stay until on_done.
 *
 * A copy that is to `ask` is first looked up by the peer's POST /have, and sent only when it is missing there. What a peer
 * refuses for the sake of one message costs no other body's: those are sent again, each body's by themselves. */
#ifndef STORAGED_PEERS_COPIES_H
#define STORAGED_PEERS_COPIES_H

#include "storaged/body_message.h"
#include "storaged/cluster.h"

#include <uv.h>

enum {
    COPIES_BATCH_COUNT = 512, /* messages in a request: their stamps are one header line */
    COPIES_BATCH_SIZE = 4 << 20, /* of their bytes; a larger message, or one in a file, travels alone */
    COPIES_ASK_COUNT = 4096,     /* digests in a POST /have */
};

struct node_loop;

struct copy {
    /* in: borrowed until on_done */
    struct peer *peer;
    const struct run_key *run;
    const struct digest *digest;
    const struct body_message *message;
    const char *request_id; /* of its body */
    uint64_t stored_at_us;  /* out, too: the one that the peer has it under */
    uint64_t incarnation;
    /* OK: the peer has committed it, or had it. Otherwise err tells the story. Called later, once. */
    void (*on_done)(struct copy *copy, enum status status, const struct error *err);
    /* out, with OK; shard, birth and offset when has_place */
    uint64_t birth, offset;
    unsigned shard;
    bool has_place, is_new;
    /* in: */
    bool ask;
    /* the engine's */
    bool over_quota; /* failed: the run has what its source may hold on that node */
    bool apart;      /* travels with copies of its own body only */
    bool done;
    struct list list;
};

/* One a loop. */
struct copies {
    struct node_loop *loop;
    uv_timer_t turn_end;
    struct list channels; /* one a peer */
};

void copies_init(struct copies *copies, struct node_loop *loop);
void copies_close(struct copies *copies); /* nothing is under way; its timer closes with the loop's other handles */
void copies_fini(struct copies *copies); /* behind that */

void copies_add(struct copies *copies, struct copy *copy);

#endif
