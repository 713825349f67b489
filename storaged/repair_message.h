/* repair_message.h: one bad message, stored anew from another node's copy.
 *
 * Asks the owners of its shard, then the other nodes, by digest; what comes is proven before it is appended, with the stamp
 * that the message had. On loop 0. */
#ifndef STORAGED_REPAIR_MESSAGE_H
#define STORAGED_REPAIR_MESSAGE_H

#include "storaged/message_reader.h"

#include "proto/base/fsm.h"

enum { REPAIR_MEMORY_MAX = 16 << 20 }; /* a larger one goes through an unnamed file */

struct repair_message {
    /* in */
    struct store_missing missing;
    /* OK: a good copy is here. NOT_FOUND: nobody who answers has one; others: it did not work, and may later. Once, maybe
     * from within the start (there is nobody to ask); the memory is the caller's again. */
    void (*on_done)(struct repair_message *message, enum status status, const struct error *err);
    void *user;
    /* its own */
    struct fsm fsm;
    struct node_loop *loop;
    struct cluster_view *view;
    uint16_t *nodes; /* owned: in the order they are asked */
    unsigned nodes_count, next;
    struct message_reader reader;
    enum status read_status;
    struct digest_stream *hash;
    struct buf data; /* the message, or a piece on its way to fd */
    int fd;          /* owned; -1: in memory */
    uint64_t written;
    struct work work;
    enum status work_status;
    struct error work_err;
    struct append append;
};

void repair_message_start(struct repair_message *message, struct node_loop *loop);

#endif
