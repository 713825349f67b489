/* share.h: several indexers on one database: which nodes this one follows, and what the others changed.
 *
 * Each announces itself by a lease `indexer/{name}` and holds a lease `node/{id}` for every node that it tails; all run out `lease` (10 s) after the
 * last renewal by the database's clock, and are renewed at a third of that. An indexer's share is nodes / indexers alive, the rest goes to the
 * first by name. Who has more gives up, who has less takes what is free. Leases save work; nothing is safe by them: see ARCHITECTURE.md, section 4.
 *
 * With each renewal the runs' states and the cursors are read again: what another indexer wrote is taken over, and so is what a
 * database shows that came back as it was before. A database for one indexer (SQLite) has no leases: all nodes are its own. */
#ifndef INDEXER_SHARE_H
#define INDEXER_SHARE_H

#include "indexer/indexer.h"

enum { SHARE_NAME_MAX = 48 };

enum status share_start(struct indexer *indexer, struct error *err);
/* Nodes are given up: tails end, then the leases go at once, not when they run out. */
void share_leave(struct indexer *indexer);
void share_stop(struct indexer *indexer,
                void (*on_stopped)(struct indexer *indexer)); /* after tails and retirements */

bool share_holds(const struct indexer *indexer, const char *node);
void share_look(struct indexer *indexer); /* now, not when the time has come: nodes, states, cursors */
void share_on_tail_closed(struct indexer *indexer);
/* The owner's name in leases of this process. */
const char *share_owner(const struct indexer *indexer);
void share_give_back(struct indexer *indexer, const char *lease); /* soon */
unsigned share_alive(const struct indexer *indexer);              /* indexers, this one too */
/* The leases as of the last look, borrowed until the next return to the loop. */
const struct catalog_lease *share_leases(const struct indexer *indexer, size_t *count);

#endif
