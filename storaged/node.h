/* node.h: owns the store, the cluster map and peers, the event loops with their servers.
 *
 * Start: who am I (node.json), the map, the store with its recovery, the loops and listeners; then it serves. Stop: no new
 * connections, what is under way is finished, loops end, the store flushes and closes. A node that is taken into a cluster
 * with another number of shards while it is empty stops and begins anew in the same process (NODE_AGAIN). */
#ifndef STORAGED_NODE_H
#define STORAGED_NODE_H

#include "storaged/capacity.h"
#include "storaged/cluster.h"
#include "storaged/node_loop.h"
#include "storaged/settings.h"
#include "storaged/sources.h"

struct join;
struct map_sync;
struct probe;
struct recovering;
struct release;
struct repair;
struct space_watch;
struct sync;

enum node_phase {
    NODE_JOINING, /* waits for map and run states, at the start or when a cluster took it in; takes no PUT */
    NODE_SERVING,
    NODE_DRAINING,
};

struct node {
    const struct settings *settings; /* borrowed */
    struct security security;
    struct sources *sources; /* owned; NULL: no rules */
    struct store *store;
    struct store_progress progress;
    struct recovering *recovering; /* owned; NULL: it did not listen */
    struct capacity capacity;
    struct cluster cluster;
    struct node_loop *loops; /* owned */
    unsigned loops_count;
    char listen[320]; /* with the real port */
    _Atomic int state;
    _Atomic bool frozen;      /* about to begin anew with other shards: no PUT */
    _Atomic unsigned ingests; /* bodies under way */
    _Atomic bool again;
    struct join *_Atomic join;       /* owned; loop 0; any loop describes it */
    struct map_sync *map_sync;       /* owned; loop 0 */
    struct probe *probe;             /* owned; loop 0 */
    struct repair *repair;           /* owned; loop 0 */
    struct release *release;         /* owned; loop 0; NULL: nothing is given up */
    struct space_watch *space_watch; /* owned; loop 0 */
    struct sync *sync;               /* owned; loop 0; NULL: it looks at nobody */
    uv_signal_t signals[3];
    bool signals_opened;
};

enum status node_open(const struct settings *settings, struct node **node, struct error *err);

/* Serves until it has drained. NODE_AGAIN: close it and open it once more. */
enum node_result { NODE_LEFT, NODE_AGAIN };
enum node_result node_run(struct node *node);
void node_close(struct node *node);

void node_drain(struct node *node); /* from any thread */

/* Reads anew what may change while the node runs (on SIGHUP; on loop 0): each file by itself. What can't be read, or does
 * not hold, leaves the old in force and is said in the log. */
void node_reload(struct node *node);

enum node_phase node_phase(struct node *node);
void node_set_serving(struct node *node); /* it has joined */

/* An ingest begins: false when the node takes none now (err says why). Each true is paired with node_ingest_end(). */
bool node_ingest_begin(struct node *node, struct error *err);
void node_ingest_end(struct node *node);

/* A loop was woken: it drains, or (loop 0) looks for a newer map. */
void node_on_wake(struct node_loop *loop);

/* What join waits for; "" when it does not. From any loop. */
void node_describe_join(struct node *node, char *text, size_t size);

#endif
