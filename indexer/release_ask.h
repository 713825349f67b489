/* release_ask.h: what a release asks of nodes, now: of the owners what they have and that they keep it, of holders of locks whether they are done.
 *
 * Each owner is asked by itself, one request after another: which of its digests it has and in which files (POST /have, in parts), then of each of
 * those files whether it is given up there (GET /cluster/releases/...). Owners are asked at once. Answers are read on the pool. */
#ifndef INDEXER_RELEASE_ASK_H
#define INDEXER_RELEASE_ASK_H

#include "indexer/indexer.h"
#include "indexer/release_catalog.h"

enum { RELEASE_ASK_TIMEOUT_MS = 15000 };

/* Asks everybody that release_judge_share_out() names; what they say goes into the judge. on_done once, later; epoch: the highest that
 * anybody has shown, 0: none. judge and what it points to are nobody else's until then. */
void release_ask_owners(struct indexer *indexer, struct release_judge *judge, uint64_t deadline_ms,
                        void (*on_done)(void *data, uint64_t epoch), void *data);

/* Asks the nodes of those locks that were met; `freed` is set where their holders are done: the node says `none` or `gone`, or the map has it
 * not, or counts it out. on_done once, later. */
void release_ask_holders(struct indexer *indexer, const struct release_judge *judge,
                         struct release_hold *holds, void (*on_done)(void *data), void *data);

#endif
