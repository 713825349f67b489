/* run_tell.h: what this node is told of a run's state, and what it knows. */
#ifndef STORAGED_RUN_TELL_H
#define STORAGED_RUN_TELL_H

#include "proto/http/http_exchange.h"

void run_tell_handle(struct http_exchange *ex); /* PUT /cluster/runs/{source}/{base_time}: only a higher one is taken */
void run_tell_get(struct http_exchange *ex); /* GET of the same */

#endif
