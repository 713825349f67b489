/* listing.h: the data files of a run, and its shards, on this node. */
#ifndef STORAGED_LISTING_H
#define STORAGED_LISTING_H

#include "proto/http/http_exchange.h"

void listing_handle(struct http_exchange *ex); /* GET /data/{source}/{base_time}/: JSON, or HTML by Accept or ?format= */
void listing_shards(struct http_exchange *ex); /* GET /cluster/shards/{source}/{base_time}[?shard=S] */

#endif
