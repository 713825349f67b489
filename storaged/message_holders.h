/* message_holders.h: in which order other nodes are asked for a message, and who could not be.
 *
 * The shard's owners in every era, the newest first, then all others. Two rounds: the first without those whose copy was
 * found damaged lately (damaged_list.h), the second with those alone, as it may have been healed. A node that is down is passed
 * over and named. For one loop. */
#ifndef STORAGED_MESSAGE_HOLDERS_H
#define STORAGED_MESSAGE_HOLDERS_H

#include "storaged/cluster.h"
#include "storaged/node_loop.h"

#include "proto/base/buf.h"
#include "proto/digest.h"

enum {
    MESSAGE_SILENT_MAX_MS = 60000, /* a node that has been silent for longer no longer makes a 404 a 503 */
    MESSAGE_UNASKED_SIZE_MAX = 128 << 10,
};

struct message_holders {
    struct node_loop *loop;    /* borrowed */
    struct cluster_view *view; /* a reference */
    struct digest digest;
    uint16_t *nodes; /* owned: in order; NULL: nobody was asked for yet */
    unsigned count, next;
    bool last_resort;   /* the second round */
    struct buf unasked; /* names of those that gave no answer, quoted, with commas */
    bool silent_lately; /* one of those answered not long ago */
};

void message_holders_init(struct message_holders *holders, struct node_loop *loop,
                          const struct digest *digest);
void message_holders_fini(struct message_holders *holders);

/* Whom to ask next, as long as the view is held; NULL: nobody is left. */
struct peer *message_holders_next(struct message_holders *holders);

/* The peer was asked and gave no answer. */
void message_holders_no_answer(struct message_holders *holders, const struct peer *peer);

#endif
