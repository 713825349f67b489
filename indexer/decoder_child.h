/* decoder_child.h: one gribstore-decoder under way: start it, give it heads, hear its answers, know why it ended.
 *
 *     DOWN -> STARTING -> IDLE <-> BUSY        start, ready, give, idle
 *      ^---------'---------'--------'          gone: exited, its pipe read to the end, every handle closed
 *
 * What it answered before it died counts: `gone` comes only after its pipe is empty. Heads are borrowed from give until `idle`
 * or `gone`, not until their answers: a child that answers ahead of reading must not make the loop read what was freed. */
#ifndef INDEXER_DECODER_CHILD_H
#define INDEXER_DECODER_CHILD_H

#include "indexer/decoder_death.h"
#include "indexer/decoder_pipe.h"
#include "proto/base/buf.h"

#include <stdbool.h>
#include <uv.h>

enum { DECODER_JOB_MAX = 32 }; /* heads given at once: a few milliseconds of work */

enum decoder_state { DECODER_DOWN, DECODER_STARTING, DECODER_IDLE, DECODER_BUSY };

struct decoder_child;

/* All come from the loop, none from within a call. */
struct decoder_events {
    void (*on_ready)(struct decoder_child *child, struct slice about); /* JSON: its release */
    void (*on_answer)(struct decoder_child *child, unsigned at, uint32_t word, struct slice body);
    void (*on_idle)(struct decoder_child *child); /* all of a job answered */
    void (*on_gone)(struct decoder_child *child); /* DOWN; answered and count say what was left of a job */
    void (*on_closed)(struct decoder_child *child); /* after decoder_child_close() */
};

struct decoder_child {
    /* set by the owner before decoder_child_init() */
    uv_loop_t *loop;
    const char *program; /* borrowed */
    uint64_t timeout_ms; /* of one head, which it keeps itself; three times as long, and it is killed */
    uint64_t memory_max;
    const struct decoder_events *events;

    enum decoder_state state;
    bool ending; /* gets no more work: it was killed, has exited, or its pipe has ended */
    bool quiet;  /* its end was asked for */
    bool timed_out;
    bool was_ready;
    bool fresh;               /* had no job before the one under way, or before the next one */
    uint64_t heads;           /* answered by this process */
    unsigned count, answered; /* of the job under way, or of the one it died with */

    /* private */
    uv_process_t process;
    uv_pipe_t in, out;
    uv_timer_t timer; /* the head's time, the start's, or the back-off's */
    uv_write_t write;
    unsigned open; /* handles of this process */
    bool writing, exited, drained, closing;
    const char *malformed; /* what was wrong with an answer */
    int start_error;
    int64_t exit_status;
    int exit_signal;
    uint64_t tag; /* of the job's first head */
    struct buf answers;
    uint8_t fronts[DECODER_JOB_MAX][DECODER_FRAME_HEAD_SIZE];
};

void decoder_child_init(struct decoder_child *child);
void decoder_child_start(struct decoder_child *child);                          /* from DOWN */
void decoder_child_start_later(struct decoder_child *child, uint64_t delay_ms); /* from DOWN */
bool decoder_child_idle(const struct decoder_child *child); /* may be given a job */
void decoder_child_give(struct decoder_child *child, const struct slice *heads, unsigned count);
void decoder_child_end(struct decoder_child *child); /* kill; `gone` comes */

/* From DOWN; on_closed comes, then the memory is the owner's again. */
void decoder_child_close(struct decoder_child *child);

/* Why it is gone: "decoder died: signal 6 (abort)", "decoder timed out after 10 s". */
void decoder_child_reason(const struct decoder_child *child, char text[DECODER_REASON_SIZE]);

#endif
