/* tail.h: follow each node's runs, each from its cursor (ARCHITECTURE.md, section 4). */
#ifndef INDEXER_TAIL_H
#define INDEXER_TAIL_H

#include "indexer/indexer.h"
#include "proto/run.h"

enum status tails_start(struct indexer *indexer, struct error *err);
void tails_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

/* Calls back once no batch of this run is under way in any tail (those under way when called are finished); later ones look at the
 * run's state first. What a retirement waits for before it removes records. */
void tails_settle(struct indexer *indexer, const struct run_key *run,
                  void (*on_settled)(void *data), void *data);
/* The run's cursors were forgotten (undo of a retirement, reopen): read it again from every node. */
void tails_reread(struct indexer *indexer, const struct run_key *run);

/* The run's state in the catalog is another than was thought: nodes are heard, or told, again. */
void tails_weigh(struct indexer *indexer, const struct run_key *run);
/* All cursors of the catalog, read after started_ns (uv_hrtime): those that another indexer moved, or an older database brought back, are
 * taken over. */
void tails_refresh(struct indexer *indexer, const struct catalog_cursor *cursors, size_t count,
                   uint64_t started_ns);
bool tails_has(const struct indexer *indexer, const char *node); /* one is at this node, or just ends */
bool tails_ended(const struct indexer *indexer);                 /* none is at any node */

/* For readiness, status and metrics, one a node. */
struct tail_status {
    char node[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1];
    bool reachable, caught_up; /* every run listed is read to its end */
    uint64_t records_read, records_behind;
    uint64_t seconds_behind; /* since it was last caught up */
    uint64_t last_heard_us;  /* wall clock; 0: never */
    char error[256];
};
size_t tails_status(struct indexer *indexer, struct tail_status *status, size_t count_max);

#endif
