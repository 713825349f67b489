/* recovering.h: what a node answers while its store is opened: that it lives, how far it is, and 503 to all else.
 *
 * A server with a loop and a thread of its own, on the node's address, from the moment that the data directory is this process's.
 * It is told to stop when the node's own loops listen there, and ends by itself when who is connected has his answer. */
#ifndef STORAGED_RECOVERING_H
#define STORAGED_RECOVERING_H

#include "storaged/settings.h"
#include "storaged/store/store.h"

struct http_server;
struct security;
struct recovering;

/* All borrowed until recovering_free(). NULL: it does not listen: no port was named, or it can't be had, which the node's
 * loops will say. id: "" when it is not known yet. */
struct recovering *recovering_start(const struct settings *settings, const struct security *security,
                                    const char *id, const struct store_progress *progress);
/* For the loop that takes over its listening socket (http_server_options.shares); NULL when recovering is. */
const struct http_server *recovering_server(const struct recovering *recovering);
void recovering_stop(struct recovering *recovering); /* when it returns it takes no new connections; NULL is fine, and twice */
void recovering_free(struct recovering *recovering); /* stops it, waits for its end; NULL is fine */

#endif
