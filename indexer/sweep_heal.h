/* sweep_heal.h: the last part of a sweep: what the index says that each node holds of a run is held against what the node says. Where they differ,
 * and stay different over a pause in which nothing moved, the run's cursor on that node is removed: whoever tails it reads the
 * journal from its beginning, which brings what is missing and takes away what is too much.
 *
 * A pair of run and node that differs in the same way after it was read again is left alone and told: reading it a third time would
 * change nothing. At most HEAL_DOUBTS_MAX pairs at once; the rest is for the next sweep. */
#ifndef INDEXER_SWEEP_HEAL_H
#define INDEXER_SWEEP_HEAL_H

#include "indexer/run_holdings.h"
#include "indexer/tail_node.h"

enum {
    HEAL_DOUBTS_MAX = 64,  /* pairs of run and node that are looked at twice, in one sweep */
    HEAL_KNOWN_MAX = 1024, /* pairs that were read again, remembered */
};

/* What the index has of a run, as of when the sweep collected it. */
struct heal_run {
    struct catalog_run run;
    struct run_holdings holdings; /* owned by whoever made it */
};

struct heal_result {
    uint64_t differ; /* pairs of run and node */
    uint64_t reread; /* of those: cursors removed now */
    uint64_t unhealed; /* pairs known to differ as they did before they were read again, of this sweep or before */
    bool more; /* there were more than could be looked at */
};

struct sweep_heal;

struct sweep_heal *sweep_heal_new(struct indexer *indexer);
void sweep_heal_free(struct sweep_heal *heal); /* not while it is at work */

/* What a node's full listing said of a run, before sweep_heal_start(). */
void sweep_heal_listed(struct sweep_heal *heal, const char *node, const struct tail_listing *listing);

/* runs: borrowed until on_done, which is called once, later. on_reread: for each run that will be read again on some node, or was
 * and is not at its end yet: to be looked at a little later. The timer is borrowed too. When the indexer drains it ends soon. */
struct heal_caller {
    void *data;
    void (*on_reread)(void *data, const struct run_key *run);
    void (*on_done)(void *data, enum status status, const struct heal_result *result,
                    const struct error *err);
};
void sweep_heal_start(struct sweep_heal *heal, const struct heal_run *runs, size_t count,
                      uv_timer_t *timer, const struct heal_caller *caller);

#endif
