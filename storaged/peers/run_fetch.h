/* run_fetch.h: take over a run's state from a peer that knows a higher one: ask it, tell the store. */
#ifndef STORAGED_PEERS_RUN_FETCH_H
#define STORAGED_PEERS_RUN_FETCH_H

#include "storaged/cluster.h"
#include "storaged/store/store.h"

#include "proto/base/json_read.h"
#include "proto/transfer/transfer.h"

struct node_loop;

struct run_fetch {
    struct run_key run; /* in */
    struct peer *peer;  /* in */
    /* OK: what the peer knows holds here too. Called later, once. */
    void (*on_done)(struct run_fetch *fetch, enum status status, const struct error *err);
    void *user;
    /* its own */
    struct node_loop *loop;
    struct cluster_view *view;
    struct transfer_request request;
    struct run_change change;
    char url[URL_SIZE_MAX + RUN_TEXT_SIZE + 32];
};

void run_fetch_start(struct run_fetch *fetch, struct node_loop *loop);

/* incarnation, version and state of an object as GET /cluster/runs has them. */
enum status run_info_read(const json_t *object, struct run_info *info, struct error *err);

#endif
