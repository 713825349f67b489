/* sweep.h: what no node has any more leaves the index: locations in files that no full listing names, and documents of runs that are purged, or of
 * an incarnation before this one.
 *
 * Per run: first the files that documents name are collected, then the nodes' full listings are taken, then what no listing has is removed, by
 * name. In this order a file that comes meanwhile can't go; and as a file's name is never used again, a removal that comes late does no harm. Nodes that
 * do not answer are skipped. Who is no member (any more), or out, is not asked: his places go from what has another one, and what has none stays, for
 * `gribstore check` to tell. Then index and nodes are compared, run by run, and what differs is read again (sweep_heal.h). Once a day (a
 * setting), when a node's lease is taken over, and when asked for. One sweep at a time, by a lease. */
#ifndef INDEXER_SWEEP_H
#define INDEXER_SWEEP_H

#include "indexer/indexer.h"

enum status sweeps_start(struct indexer *indexer, struct error *err);
void sweeps_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));
void sweep_wanted(struct indexer *indexer, const char *why); /* soon; one that is under way is followed by another */
void sweep_differs(struct indexer *indexer,
                   const struct run_key *run); /* this run is swept by itself a little later */

struct sweep_status {
    bool running;
    char run[RUN_TEXT_SIZE]; /* being swept */
    uint64_t runs_done, runs_count;
    uint64_t started_us, ended_us;                 /* wall clock; 0: none yet */
    uint64_t locations_removed, documents_removed; /* by this process, ever */
    uint64_t nodes_skipped;                        /* of the last one */
    uint64_t kept; /* of the last one: fields and messages named on nodes alone that are no members */
    uint64_t differing; /* of the last one: runs that differed on a node */
    uint64_t unhealed; /* that differ as they did before they were read again, whichever sweep found it */
    uint64_t reread; /* by this process, ever: runs read again from a node for it */
};
void sweep_status(const struct indexer *indexer, struct sweep_status *status);

#endif
