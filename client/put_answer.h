/* put_answer.h: what nodes answer to /have and to a PUT, held against what was meant. Pure. */
#ifndef CLIENT_PUT_ANSWER_H
#define CLIENT_PUT_ANSWER_H

#include "client/put_scan.h"
#include "proto/base/buf.h"

/* Marks which messages are missing, a digest that stands there twice only once. MALFORMED: not such an answer. */
enum status put_answer_have(const struct buf *answer, struct put_message *messages, size_t count,
                            struct error *err);

struct put_answer {
    uint64_t stored, known;
    uint64_t copies; /* the fewest of any message */
};

/* The answer to a body that held the messages marked missing, in order. CORRUPT: the node names another digest, so the file
 * changed while it was read. */
enum status put_answer_check(const struct buf *answer, const struct put_message *messages,
                             size_t count, struct put_answer *result, struct error *err);

#endif
