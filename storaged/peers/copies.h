/* copies.h: messages of one body on their way to other owners.
 *
 * A copy is one message for one peer. Those for the same peer and run travel together: the first leaves at once, and while
 * it is under way the next gather; they leave when it is back, or when enough have gathered. Nothing is copied: a request
 * pulls its body out of the messages' own memory or files, which stay until on_done.
 *
 * A copy that is to `ask` is first looked up by the peer's POST /have, and sent only when it is missing there. */
#ifndef STORAGED_PEERS_COPIES_H
#define STORAGED_PEERS_COPIES_H

#include "storaged/body_message.h"
#include "storaged/cluster.h"

enum {
    COPIES_BATCH_COUNT = 512,    /* messages in a request: their stamps are one header line */
    COPIES_BATCH_SIZE = 4 << 20, /* gathered bytes that leave although a request is under way */
    COPIES_REQUESTS_MAX = 4,     /* under way to one peer, of one body */
    COPIES_ASK_COUNT = 4096,     /* digests in a POST /have */
};

struct node_loop;

struct copy {
    /* in: borrowed until on_done */
    struct peer *peer;
    const struct run_key *run;
    const struct digest *digest;
    const struct body_message *message;
    uint64_t stored_at_us; /* out, too: the one that the peer has it under */
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
    bool done;
    struct list list;
};

struct copies {
    struct node_loop *loop;
    const char *request_id; /* borrowed */
    struct list channels;   /* one a peer */
};

void copies_init(struct copies *copies, struct node_loop *loop, const char *request_id);
void copies_fini(struct copies *copies); /* nothing is under way */

void copies_add(struct copies *copies, struct copy *copy); /* leaves at the next flush */
void copies_flush(struct copies *copies);

#endif
