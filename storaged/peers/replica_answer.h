/* replica_answer.h: what a peer said of each message of a batch. Pure. */
#ifndef STORAGED_PEERS_REPLICA_ANSWER_H
#define STORAGED_PEERS_REPLICA_ANSWER_H

#include "proto/base/list.h"
#include "proto/base/status.h"

/* Reads the answer of PUT /replica (`messages`, also inside a problem+json), or of POST /have with places (`known`), and
 * marks those members (struct copy, in the order sent) that it names as done, with their place. Names that are no
 * member's, and members that are not named, are passed over. BAD_VALUE: it is no such answer. */
enum status replica_answer_match(struct slice answer, bool asked, struct list *members,
                                 struct error *err);

#endif
