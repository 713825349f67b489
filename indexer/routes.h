/* routes.h: the query and admin API as one table; indexer/openapi.json says the same. */
#ifndef INDEXER_ROUTES_H
#define INDEXER_ROUTES_H

#include "proto/http/http_router.h"

extern const struct http_route indexer_routes[];

#endif
