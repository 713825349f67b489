/* lease.h: named leases over HTTP, kept in the catalog: who rotates a source. They save work; safety is in versions. */
#ifndef INDEXER_LEASE_H
#define INDEXER_LEASE_H

#include "indexer/indexer.h"

enum { LEASE_NAME_MAX = 128, LEASE_TTL_MS_MAX = 3600 * 1000 };

void lease_take_route(struct http_exchange *ex); /* POST /v1/leases/{name} {"owner", "ttl_ms"} -> the same; 409 names the holder */
void lease_release_route(struct http_exchange *ex); /* DELETE /v1/leases/{name}?owner= -> 204 */

#endif
