/* decoder_parent.h: the process that decodes, forked from a warm one, and a new one in its place when a head kills it.
 *
 *     indexer --- frames ---> worker ---> answers        the pipes are the parent's and the worker's
 *                               ^ fork, wait
 *                             parent                     warm; never sees a byte from outside, but to hand it to a worker again
 *
 * A new worker takes a millisecond, where a new program takes tens to learn ecCodes' definitions. A head whose worker dies or takes too long is
 * tried again in a fresh worker, as the damage may be an earlier one's; a head that kills a fresh one is answered for by the parent
 * (DECODER_DIED, DECODER_TIMED_OUT); one that was only late by the clock is tried twice, whatever its worker had before. After a death a worker is given one head, the next one two, then four, as long as none dies: so
 * of many killers each costs little more than one death. */
#ifndef INDEXER_DECODER_PARENT_H
#define INDEXER_DECODER_PARENT_H

#include "proto/base/buf.h"

#include <stdbool.h>

struct decoder_parent_options {
    uint64_t timeout_ms; /* of one head, by the clock */
    uint64_t cpu_ms;     /* of one head, of CPU time */
    uint64_t heads_max;  /* of one worker */
    /* In a new worker, before it reads: for good. */
    enum status (*enter)(struct error *err);
    /* Answers one frame (what follows its length) into an empty buffer. False: it is none. */
    bool (*answer)(uint8_t *frame, size_t size, struct buf *answer);
};

/* Until the input ends. False: it ended inside a frame, what came was none, or a worker died where no head is to blame. */
bool decoder_parent_run(const struct decoder_parent_options *options);

#endif
