/* locations_route.h: every place that the index names in a run, line by line: what a check holds against the nodes, and a mirror fetches by. */
#ifndef INDEXER_LOCATIONS_ROUTE_H
#define INDEXER_LOCATIONS_ROUTE_H

#include "indexer/indexer.h"

/* GET /v1/runs/{source}/{base_time}/locations: NDJSON, a line a place, then {"end": true, "locations": N}. */
void locations_route(struct http_exchange *ex);

#endif
