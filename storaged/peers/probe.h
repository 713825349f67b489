/* probe.h: asks the other nodes of the map how they are: those that are down after their back-off, the others now and
 * then. So a peer that comes back is found without a client's request, epochs get around, and a clock that is off is seen. */
#ifndef STORAGED_PEERS_PROBE_H
#define STORAGED_PEERS_PROBE_H

#include "proto/base/status.h"

enum {
    PROBE_TICK_MS = 100,
    PROBE_PERIOD_MS = 5000, /* of a peer that is up */
    PROBES_MAX = 32,        /* under way */
    PROBE_TIMEOUT_MS = 2000,
    CLOCK_OFF_MAX_S = 10, /* further apart: a warning */
};

struct node_loop;
struct probe;

struct probe *probe_start(struct node_loop *loop);
void probe_stop(struct probe *probe); /* on its loop; probes under way end by themselves */
void probe_free(struct probe *probe); /* the loop has ended */

#endif
