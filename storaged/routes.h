/* routes.h: the node's HTTP API as one table, and what every request passes first. */
#ifndef STORAGED_ROUTES_H
#define STORAGED_ROUTES_H

#include "proto/http/http_router.h"

extern const struct http_route routes_node[];

/* Cluster and epoch of whoever asks: another cluster is 409, a higher epoch is fetched; the answer carries ours. */
bool routes_before(struct http_exchange *ex, const struct http_route *route);

#endif
