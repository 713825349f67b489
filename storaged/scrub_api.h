/* scrub_api.h: begin a pass of the scrub; see how it goes and what it found. */
#ifndef STORAGED_SCRUB_API_H
#define STORAGED_SCRUB_API_H

#include "proto/http/http_exchange.h"

void scrub_api_start(struct http_exchange *ex); /* POST /cluster/scrub[?rate=BYTES a second] */
void scrub_api_get(struct http_exchange *ex);   /* GET /cluster/scrub */

#endif
