/* retire.h: runs past retention: records first, grace, then the nodes.
 *
 * Steps, kept with the run in the catalog so that a crash goes on where it was; each may be done twice:
 *   1 TELL      every node that answers refuses appends
 *   2 REMOVE    tails settle; documents and quarantine of this incarnation and older are deleted in paced batches
 *   3 GRACE     until retired_at + grace; undone by state = ready up to its end
 *   4 DELETE    DELETE on the nodes that answer
 *   5 AGAIN     records removed once more
 *   6 PURGED    state = purged, cursors removed, nodes told */
#ifndef INDEXER_RETIRE_H
#define INDEXER_RETIRE_H

#include "indexer/run_state.h"

enum retire_step {
    RETIRE_TELL = 1,
    RETIRE_REMOVE,
    RETIRE_GRACE,
    RETIRE_DELETE,
    RETIRE_AGAIN,
    RETIRE_PURGED
};

/* Starts, or goes on with, the retirement of a run that is retired in the catalog. Ends by itself, in purged. */
void retire_start(struct indexer *indexer, const struct catalog_run *run);
/* Ends it before DELETE (undo): on_ended, later: true: nothing of it is under way any more; false: too late, it goes on. */
void retire_undo(struct indexer *indexer, const struct run_key *run,
                 void (*on_ended)(void *data, bool undone), void *data);
void retire_stop_all(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

#endif
