/* sync.h: this node catches up with the others: what they have of its shards, and it lacks, is pulled. On loop 0.
 *
 * One mechanism for repair, rebalance, replacement and the return after an outage: look at a peer (sync_look.h), rest for
 * `sync-period`, look at what has changed there since. Everything is looked at anew at the start and with another map; a peer
 * that comes back is looked at at once. One peer at a time, at most `sync-rate` bytes a second. */
#ifndef STORAGED_SYNC_H
#define STORAGED_SYNC_H

#include "storaged/sync_look.h"

enum {
    SYNC_TICK_MS = 500,
    SYNC_MORE_MS = 1000, /* until the next look, when the last one did not take all on */
};

struct http_exchange;
struct sync;

struct sync *sync_start(struct node_loop *loop);
void sync_stop(struct sync *sync); /* on its loop; a look under way ends soon. NULL is fine, and twice */
void sync_free(struct sync *sync); /* the loop has ended; NULL is fine */

void sync_handle(struct http_exchange *ex); /* GET /cluster/sync: how far it is, in all and with each peer */
void sync_ask(struct http_exchange *ex); /* POST /cluster/sync: all of each peer is looked at anew, now */

#endif
