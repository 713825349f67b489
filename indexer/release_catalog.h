/* release_catalog.h: what a release asks of the catalog: run, cursor and map as they are now, locks, and what the index names. Blocks: the pool only. */
#ifndef INDEXER_RELEASE_CATALOG_H
#define INDEXER_RELEASE_CATALOG_H

#include "indexer/release_judge.h"

/* A file's lock: of each file of a request one. */
struct release_hold {
    bool taken;
    bool met;   /* another holds it, as lock says */
    bool freed; /* its holder is done with it: it may be taken away */
    struct catalog_lock lock;
};

/* The newest map: a reference, the caller's. NOT_READY: there is none. */
enum status release_map(struct catalog *catalog, struct cluster_map **map, struct error *err);
/* The index reads no journal of a node that is out, has no cursor there, and names nothing of it. */
bool release_is_out(const struct cluster_map *map, const char *node);

/* The conditions that the catalog alone decides. epoch_known: the highest that anybody has shown: NOT_READY when the catalog's map is
 * older than that. */
enum status release_look(struct catalog *catalog, struct release_judge *judge, uint64_t epoch_known,
                         struct error *err);
/* Takes the lock of each file that stands, and refuses it where its own request has that shard already. Holds that are `freed` are taken
 * away from their holders first, if it is still that taking. */
enum status release_take(struct catalog *catalog, struct release_judge *judge,
                         struct release_hold *holds, struct error *err);
/* Gives back those that were taken here: of refused files, or of all. Taken again since by the same node: it stays. */
enum status release_give_back(struct catalog *catalog, const struct release_judge *judge,
                              struct release_hold *holds, bool all, struct error *err);
/* A file whose lock is not held any more by the taking that it was judged on is refused: who judged has slept. */
enum status release_confirm(struct catalog *catalog, struct release_judge *judge,
                            const struct release_hold *holds, struct error *err);
/* One scan of the run. */
enum status release_scan(struct catalog *catalog, struct release_judge *judge, struct error *err);
/* The run ends, or begins anew: nobody gives up a copy of it any more. Before the state is written, so that a crash leaves none behind. */
enum status release_locks_remove(struct catalog *catalog, const struct run_key *run, struct error *err);

#endif
