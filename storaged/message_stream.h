/* message_stream.h: a large message on its way to a client in one pass, proven before its last bytes leave.
 *
 * It is read piece by piece as the client takes it and hashed as it is read. What of a piece was asked for is withheld until
 * the next one is here, and the last of it until the hash holds; where that does not, or the bytes end, the connection is
 * cut. Costs what is read, withheld and being sent (MESSAGE_STREAM_MEMORY). For one loop.
 *
 *     http_stream_start(ex, ..., on_ready)     on_ready() calls message_stream_ready() */
#ifndef STORAGED_MESSAGE_STREAM_H
#define STORAGED_MESSAGE_STREAM_H

#include "storaged/message_reader.h"

#include "proto/digest.h"
#include "proto/http/http_exchange.h"
#include "proto/http/http_range.h"

enum { MESSAGE_STREAM_MEMORY = 3 * MESSAGE_CHUNK_SIZE }; /* read, withheld, being sent */

struct message_stream {
    struct http_exchange *ex;      /* borrowed */
    struct message_reader *reader; /* borrowed; its first piece may be here already */
    struct http_range range;       /* what was asked for: set before it starts */
    /* Before the connection is cut. damaged: it has another digest; else it can't be read to its end. */
    void (*on_bad)(struct message_stream *stream, bool damaged);
    /* Nothing is under way any more; only after message_stream_leave() that returned false. */
    void (*on_left)(struct message_stream *stream);
    /* its own */
    struct digest_stream *digests; /* owned; NULL: not begun */
    struct buf held;               /* withheld */
    bool reading, left;
};

void message_stream_init(struct message_stream *stream, struct http_exchange *ex,
                         struct message_reader *reader);
void message_stream_fini(struct message_stream *stream); /* nothing is under way */

/* The exchange can take more. */
void message_stream_ready(struct message_stream *stream);

/* The exchange is over. True: nothing is under way. False: a piece is; on_left is called when it has come. */
bool message_stream_leave(struct message_stream *stream);

#endif
