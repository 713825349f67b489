/* run_tell.h: tell the nodes a run's state, or have them delete a retired run: one request a node, all at once. */
#ifndef INDEXER_RUN_TELL_H
#define INDEXER_RUN_TELL_H

#include "indexer/indexer.h"
#include "proto/run.h"

enum run_order {
    RUN_TELL_STATE, /* PUT /cluster/runs/{source}/{base_time} */
    RUN_DELETE,     /* DELETE /data/{source}/{base_time}/?incarnation=&version= */
};

/* Every node of the map that is not out. on_done, later, with how many did not do it (they are told when they show a lower
 * state); NULL: nobody waits. */
void run_tell_all(struct indexer *indexer, enum run_order order, const struct run_key *run,
                  const struct run_info *info, void (*on_done)(void *data, unsigned failed), void *data);

/* One node; nobody waits. */
void run_tell_node(struct indexer *indexer, const char *node_url, const struct run_key *run,
                   const struct run_info *info);

#endif
