/* cluster_api.h: GET and PUT /cluster/map: only a higher epoch is taken. */
#ifndef STORAGED_CLUSTER_API_H
#define STORAGED_CLUSTER_API_H

#include "proto/http/http_exchange.h"

void cluster_api_get(struct http_exchange *ex);
void cluster_api_put(struct http_exchange *ex);

#endif
