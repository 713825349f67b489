/* ingest.h: a body of messages: frame them off the stream, start a put each, give one answer.
 *
 * The same for PUT /ingest/{source}/ (placed by the map), /replica/{source} (kept on this node, with the sender's stamps)
 * and /sha256/{digest} (one message, whose digest was declared). */
#ifndef STORAGED_INGEST_H
#define STORAGED_INGEST_H

#include "proto/http/http_exchange.h"

enum {
    INGEST_PUTS_MAX = 4096, /* messages of a body under way: as many as a batch of the store takes */
    INGEST_SIZE_MAX = 64 << 20, /* their bytes; a single larger one is let through */
    INGEST_HELD_MAX = 16 << 20, /* of chunks that can't be taken yet: far more than a read brings */
};

void ingest_handle(struct http_exchange *ex);
void ingest_handle_replica(struct http_exchange *ex);
void ingest_handle_digest(struct http_exchange *ex);

#endif
