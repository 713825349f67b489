/* routes.h: the query and admin API as one table; indexer/openapi.json says the same. */
#ifndef INDEXER_ROUTES_H
#define INDEXER_ROUTES_H

#include "proto/http/http_router.h"

extern const struct http_route indexer_routes[];

/* Before each of them: another cluster is 409, a key of the query that the route does not take 400. false: it has replied. */
bool indexer_routes_before(struct http_exchange *ex, const struct http_route *route);

#endif
