/* suspect.h: tell a peer that its copy of a message did not have its digest when it came here: it reads it again. */
#ifndef STORAGED_PEERS_SUSPECT_H
#define STORAGED_PEERS_SUSPECT_H

#include "storaged/peers/peer.h"

#include "proto/digest.h"

struct node_loop;

/* Sent and forgotten: who is not told finds it by its own scrub. */
void suspect_tell(struct node_loop *loop, struct peer *peer, const struct digest *digest);

#endif
