/* copy_body.h: the bytes of a request to a peer: those of its copies' messages, one behind the other.
 *
 * Bytes in memory, and those of files that the page cache has, are taken at once; others are read on the thread pool, a
 * chunk at a time, and the transfer waits for them: the loop does not. */
#ifndef STORAGED_PEERS_COPY_BODY_H
#define STORAGED_PEERS_COPY_BODY_H

#include "storaged/peers/copies.h"
#include "storaged/work.h"

enum { COPY_CHUNK_SIZE = 256 << 10 };

struct copy_body {
    struct node_loop *loop;
    const struct list *members; /* of struct copy; borrowed, and so are their messages */
    const struct copy *at;      /* whose bytes go next; NULL: the end */
    uint64_t at_offset;
    uint8_t *chunk; /* owned; NULL until it is needed: */
    const struct body_message *chunk_message;
    uint64_t chunk_offset;
    size_t chunk_size;
    enum status chunk_status;
    struct work work;
    bool reading; /* the chunk, on the pool: messages and body have to stay */
    void (*on_ready)(struct copy_body *body); /* later, once for each TRANSFER_BODY_LATER */
};

void copy_body_init(struct copy_body *body, struct node_loop *loop, const struct list *members,
                    void (*on_ready)(struct copy_body *body));
void copy_body_fini(struct copy_body *body);   /* not while reading */
void copy_body_rewind(struct copy_body *body); /* to its first byte; members as they are now */

/* As transfer.h's body_read: how many bytes, 0 at the end, -1, or TRANSFER_BODY_LATER. */
int64_t copy_body_read(struct copy_body *body, uint8_t *data, size_t size);

#endif
