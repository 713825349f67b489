/* indexer_status.h: metrics, healthz, readyz, what each node's tail is doing. None of them touches the database. */
#ifndef INDEXER_INDEXER_STATUS_H
#define INDEXER_INDEXER_STATUS_H

#include "indexer/indexer.h"

void status_health_route(struct http_exchange *ex); /* GET /healthz: the process lives */
void status_ready_route(struct http_exchange *ex); /* GET /readyz: 200, or 503 with the checks that fail */
void status_metrics_route(struct http_exchange *ex); /* GET /metrics */
void status_nodes_route(struct http_exchange *ex); /* GET /v1/cluster/nodes: tails, lag, last heard */
void status_openapi_route(struct http_exchange *ex); /* GET /openapi.json */

#endif
