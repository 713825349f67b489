/* message_reader.h: the bytes of one message in order, piece by piece, out of a data file here or from another node. */
#ifndef STORAGED_MESSAGE_READER_H
#define STORAGED_MESSAGE_READER_H

#include "storaged/cluster.h"
#include "storaged/store/store.h"
#include "storaged/work.h"

#include "proto/transfer/transfer.h"

enum {
    MESSAGE_PIECE_MAX = 16 << 20,  /* most that one read may bring */
    MESSAGE_CHUNK_SIZE = 1 << 20, /* what it is asked for where a message goes by piece by piece */
};

struct message_reader {
    struct node_loop *loop;
    struct digest digest;
    const char *sources; /* whose messages a peer may give; borrowed for the reader's life; NULL: all */
    struct store_file *file; /* held; NULL: a peer's */
    struct peer *peer;
    uint64_t offset;  /* of the message in the file */
    uint64_t size;    /* of the message; known once the first piece is here */
    uint64_t at;      /* the next byte */
    int64_t modified; /* seconds since 1970 */
    struct buf piece; /* what the last read brought; the caller may take it */
    /* Later, once for each message_reader_next(). OK: piece holds bytes. NOT_FOUND: the peer has no such message. */
    void (*on_piece)(struct message_reader *reader, enum status status, const struct error *err);
    void *user; /* of who set on_piece */
    /* its own */
    struct work work;
    enum status status;
    struct error err;
    struct transfer_request request;
    struct cluster_view *view;
    size_t wanted;
    char url[URL_SIZE_MAX + 96];
    char range[64];
};

void message_reader_init(struct message_reader *reader, struct node_loop *loop,
                         const struct digest *digest);
void message_reader_close(struct message_reader *reader); /* nothing is under way; it can be opened again */

/* A message of this node: takes over the hold on file. */
void message_reader_open_file(struct message_reader *reader, struct store_file *file,
                              const struct store_place *place);
void message_reader_open_peer(struct message_reader *reader, struct peer *peer);

/* At most max bytes from `at` on. */
void message_reader_next(struct message_reader *reader, size_t max);
/* The same without waiting: false when the page cache has not got them (or it is a peer's), nothing was started. */
bool message_reader_try(struct message_reader *reader, size_t max);

/* Is it there? on_piece with an empty piece: OK, or NOT_FOUND. Peers only. */
void message_reader_probe(struct message_reader *reader);

#endif
