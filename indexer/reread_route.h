/* reread_route.h: a run is read anew from one node's journal: what the index lacks of it comes, what it has too much goes. */
#ifndef INDEXER_REREAD_ROUTE_H
#define INDEXER_REREAD_ROUTE_H

#include "indexer/indexer.h"

/* POST /v1/runs/{source}/{base_time}/reread?node=N, body none or {"digests": [...]}: 202 once the cursor is gone; whoever tails the node begins within a lease. */
void reread_route(struct http_exchange *ex);

#endif
