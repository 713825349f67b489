/* writer.h: the one writer: take a batch, write, flush data and journal at once, acknowledge.
 *
 * A queue and a thread. Requests are done in the order they came: appends that stand side by side make a batch
 * (batch.h), bad messages of one run another (damage.h), a change of a run's state (run_change.h) or a step of giving up
 * files (drop.h) stands alone between two. While a batch is flushed, the next one gathers. */
#ifndef STORAGED_STORE_WRITER_H
#define STORAGED_STORE_WRITER_H

#include "storaged/store/store.h"

struct batch;

struct writer {
    struct store *store; /* borrowed */
    struct batch *batch; /* owned; the thread's */
    uv_thread_t thread;
    bool running;
    uv_mutex_t mutex;
    uv_cond_t cond;
    struct list queue; /* of struct store_request */
    uint64_t queued;
    bool stopping;
};

enum status writer_start(struct writer *writer, struct store *store, struct error *err);
void writer_stop(struct writer *writer); /* when the queue is empty; safe when it never ran */

/* False: the queue is full. */
bool writer_queue(struct writer *writer, struct store_request *request);

#endif
