/* node_status.h: metrics, healthz, readyz, and the API's description. */
#ifndef STORAGED_NODE_STATUS_H
#define STORAGED_NODE_STATUS_H

#include "proto/base/metric.h"
#include "proto/http/http_exchange.h"

void node_status_metrics(struct http_exchange *ex); /* GET /metrics */
void node_status_health(struct http_exchange *ex);  /* GET /healthz: the process answers */
void node_status_ready(struct http_exchange *ex); /* GET /readyz: it takes requests of every kind, or why not */
void node_status_openapi(struct http_exchange *ex); /* GET /openapi.json, built into the program */

#endif
