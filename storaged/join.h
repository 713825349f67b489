/* join.h: a node with an empty disk takes the map and the runs' states of its cluster before any PUT: because its settings say
 * so (`join`), or because it began as a cluster of one and another cluster's map was told to it. */
#ifndef STORAGED_JOIN_H
#define STORAGED_JOIN_H

#include "proto/base/status.h"

#include <stdbool.h>
#include <stddef.h>

enum { JOIN_DELAY_MIN_MS = 200, JOIN_DELAY_MAX_MS = 5000 };

struct join;
struct node_loop;

/* The file that says that joining was begun and not ended: a map that came meanwhile does not make a node ready. */
extern const char join_marker[];

/* urls: comma-separated, who may have the map; "": it is told. On loop 0. */
struct join *join_start(struct node_loop *loop, const char *urls);
void join_stop(struct join *join); /* on its loop */
void join_free(struct join *join); /* the loop has ended */

/* What it waits for, for /readyz. From any thread. */
void join_describe(struct join *join, char *text, size_t size);

#endif
