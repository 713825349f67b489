/* copy_batch.h: one request to a peer for several copies: POST /have, or PUT /replica.
 *
 * All are of one run, because the header names one incarnation, and in the order they were added in. */
#ifndef STORAGED_PEERS_COPY_BATCH_H
#define STORAGED_PEERS_COPY_BATCH_H

#include "storaged/peers/copies.h"
#include "storaged/peers/copy_body.h"

#include "proto/transfer/transfer.h"

enum { COPY_URL_SIZE = URL_SIZE_MAX + SOURCE_SIZE_MAX + 16, COPY_NUMBER_SIZE = 24 };

struct copy_batch {
    struct transfer_request request;
    struct node_loop *loop;
    struct peer *peer;
    struct cluster_view *view; /* owned */
    struct list members;       /* struct copy */
    unsigned count;
    uint64_t size; /* of their messages */
    bool mixed;    /* they came with several bodies */
    bool asks;
    unsigned lane;   /* the owner's */
    bool answered;   /* the peer has said all it wanted to, good or bad */
    bool over_quota; /* failed: the run has what its source may hold there */
    struct copy_body body;
    bool over; /* the transfer is, but not what the body reads: */
    enum status over_status;
    struct error over_err;
    struct buf text; /* of a question, or the stamps */
    char url[COPY_URL_SIZE];
    char incarnation[COPY_NUMBER_SIZE];
    /* Once: what the answer named is `done`, the others have failed with status, or, asked for with OK, are missing. */
    void (*on_done)(struct copy_batch *batch, enum status status, const struct error *err);
    void *user;
};

struct copy_batch *copy_batch_new(struct node_loop *loop, struct peer *peer, bool asks);
void copy_batch_free(struct copy_batch *batch); /* not while under way; members are nobody's by then */

/* Moves copies from the front of a list into the batch: the first, and others of its run that fit. */
void copy_batch_fill(struct copy_batch *batch, struct list *from, unsigned count_max, uint64_t size_max);

void copy_batch_start(struct copy_batch *batch); /* with members */

#endif
