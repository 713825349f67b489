/* have.h: which of these digests are stored: POST /have, on this node or (scope=cluster) on all owners. */
#ifndef STORAGED_HAVE_H
#define STORAGED_HAVE_H

#include "proto/http/http_exchange.h"

void have_handle(struct http_exchange *ex);

#endif
