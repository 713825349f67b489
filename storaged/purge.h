/* purge.h: DELETE of a run: renamed, then unlinked in the background. Works only on a run that is retired at exactly the
 * incarnation and version that the request names. */
#ifndef STORAGED_PURGE_H
#define STORAGED_PURGE_H

#include "proto/http/http_exchange.h"

void purge_handle(struct http_exchange *ex);

#endif
