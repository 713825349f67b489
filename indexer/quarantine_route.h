/* quarantine_route.h: GET /v1/quarantine: which messages don't decode, why, and how many of each kind. */
#ifndef INDEXER_QUARANTINE_ROUTE_H
#define INDEXER_QUARANTINE_ROUTE_H

#include "indexer/indexer.h"

/* ?source= &base_time= &class= &limit= [100] &cursor=. `classes` and `count` are of all entries of source and base_time. */
void quarantine_route(struct http_exchange *ex);

#endif
