/* share_status.h: who of the indexers tails what, how far behind, and whether a sweep runs. */
#ifndef INDEXER_SHARE_STATUS_H
#define INDEXER_SHARE_STATUS_H

#include "indexer/indexer.h"

void share_status_route(struct http_exchange *ex); /* GET /v1/status */
void share_sweep_route(struct http_exchange *ex);  /* POST /v1/sweep -> 202, and how far it is */

#endif
