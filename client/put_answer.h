/* put_answer.h: what nodes answer to /have and to a PUT, held against what was meant. Pure. */
#ifndef CLIENT_PUT_ANSWER_H
#define CLIENT_PUT_ANSWER_H

#include "client/put_scan.h"
#include "proto/base/buf.h"

/* Marks which messages are missing, a digest that stands there twice only once. MALFORMED: not such an answer. */
enum status put_answer_have(const struct buf *answer, struct put_message *messages, size_t count,
                            struct error *err);

/* What became of a message, as one node says. */
struct put_line {
    bool is_new;
    uint64_t copies;                    /* 1 where it is not said */
    uint64_t stored_at_us, incarnation; /* 0 where it is not said */
};

/* The answer to a body that held messages[picks[0]], messages[picks[1]], ...: a line each, in that order. CORRUPT: the node
 * names another digest, so the file changed while it was read. */
enum status put_answer_lines(const struct buf *answer, const struct put_message *messages,
                             const uint32_t *picks, size_t count, struct put_line *lines,
                             struct error *err);

#endif
