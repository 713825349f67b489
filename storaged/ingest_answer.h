/* ingest_answer.h: the answer to a body: a line for each stored message in the body's order, what was skipped, how many.
 *
 * It is gathered while the body is read (gather.h) and sent after its last message; an error carries the same keys. */
#ifndef STORAGED_INGEST_ANSWER_H
#define STORAGED_INGEST_ANSWER_H

#include "storaged/gather.h"
#include "storaged/put.h"

#include "proto/http/http_exchange.h"

struct ingest_answer {
    const char *source; /* borrowed */
    bool summary;       /* without the messages */
    struct gather messages;
    struct gather skipped;
    uint64_t stored, known;
    uint64_t count; /* messages in all; with one: */
    struct digest digest;
    void (*on_written)(struct ingest_answer *answer); /* it may be neither full nor busy any more */
};

void ingest_answer_init(struct ingest_answer *answer, struct node_loop *loop, const char *source,
                        bool summary, void (*on_written)(struct ingest_answer *answer));
void ingest_answer_fini(struct ingest_answer *answer); /* not while it is busy */

bool ingest_answer_is_full(const struct ingest_answer *answer); /* nothing is added before on_written */
bool ingest_answer_is_busy(const struct ingest_answer *answer); /* it is not sent before on_written */

void ingest_answer_add(struct ingest_answer *answer, const struct put *put); /* one that was stored, or known */
void ingest_answer_skip(struct ingest_answer *answer, uint64_t offset, uint64_t length);

/* Replies: 201 or 200 with status OK, else err as problem+json. url: of this node. The files of the answer are the
 * caller's to close (ingest_answer_fini) when the exchange is over. */
void ingest_answer_reply(struct ingest_answer *answer, struct http_exchange *ex, const char *url,
                         enum status status, const struct error *err);

#endif
