/* node_loop.h: one event loop of a node: a listener, a port of the store, a transfer, memory for bodies.
 *
 * A request lives wholly on one loop. Whatever is started that outlives a call (a job, a transfer, a body) stands between
 * node_loop_begin() and node_loop_end(); a draining loop closes its handles when the server has drained and nothing is
 * under way, and then its thread ends. */
#ifndef STORAGED_NODE_LOOP_H
#define STORAGED_NODE_LOOP_H

#include "storaged/body_budget.h"
#include "storaged/damaged_list.h"
#include "storaged/file_open.h"
#include "storaged/open_files.h"
#include "storaged/peers/copies.h"
#include "storaged/store/store.h"

#include "proto/http/http_server.h"
#include "proto/transfer/transfer_uv.h"

struct node;

struct node_loop {
    struct node *node;
    unsigned number;
    uv_loop_t uv;
    uv_thread_t thread;
    bool opened, threaded;
    struct http_server *server;
    struct transfer *transfer;
    struct store_port port;
    bool port_opened;
    uv_async_t wake; /* drain, or (loop 0) a higher epoch was heard of */
    struct body_budget budget;
    struct copies copies;         /* messages on their way to other owners */
    struct open_files open_files; /* data files that are being read */
    struct file_opens file_opens; /* those that are being opened */
    struct damaged_list damaged;  /* copies that message_get.c cut short */
    struct list feed_waiting;     /* long polls of /cluster/runs (journal_feed.c) */
    uv_timer_t feed_timer;
    uint64_t message_memory; /* that messages hold on their way out (message_get.c) */
    uint64_t proof_spool;    /* bytes in unnamed files (message_proof.c) */
    uint64_t whole_bodies;   /* bytes of bodies that are gathered (request.c) */
    unsigned works;
    unsigned under_way;
    bool draining, drained, closing;
    struct store_stats stats;
    uint64_t stats_at_ms;
};

enum status node_loop_open(struct node_loop *loop, struct node *node, unsigned number,
                           const char *listen, struct error *err);
void node_loop_close(struct node_loop *loop); /* its thread has ended; safe on one that was not opened */

enum status node_loop_start(struct node_loop *loop, struct error *err); /* a thread of its own */
void node_loop_run(struct node_loop *loop); /* this thread, to its end */
void node_loop_join(struct node_loop *loop);
void node_loop_wake(struct node_loop *loop);  /* from any thread */
void node_loop_drain(struct node_loop *loop); /* on its thread: it ends when all under way is done */

void node_loop_begin(struct node_loop *loop);
void node_loop_end(struct node_loop *loop);

/* What the store says of itself, at most a second old. */
const struct store_stats *node_loop_stats(struct node_loop *loop);

#endif
