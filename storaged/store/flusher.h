/* flusher.h: threads that write and flush files side by side, for a writer that waits for all of them.
 *
 * One caller at a time. A job that failed is not tried again. */
#ifndef STORAGED_STORE_FLUSHER_H
#define STORAGED_STORE_FLUSHER_H

#include "storaged/store/stage.h"

#include <uv.h>

/* Embedded in what it is about. */
struct flush_job {
    enum status (*run)(struct flush_job *job, struct stage *stage, struct error *err);
    enum status status; /* out */
};

/* A job that flushes a file or a directory; flush_init() makes it one. */
struct flush {
    struct flush_job job;
    int fd; /* borrowed until flusher_run() returns */
    bool is_dir;
};
void flush_init(struct flush *flush, int fd, bool is_dir);

enum { FLUSH_THREADS_MAX = 64 };

struct flusher {
    uv_thread_t threads[FLUSH_THREADS_MAX];
    unsigned threads_count;
    struct stage stage; /* the caller's; each thread has another */
    uv_mutex_t mutex;
    uv_cond_t work, done;
    struct flush_job **jobs; /* borrowed: of the call under way */
    unsigned count, taken, finished;
    struct error err; /* what flusher_run() will say */
    bool stopping;
};

enum status flusher_start(struct flusher *flusher, unsigned threads, struct error *err);
void flusher_stop(struct flusher *flusher); /* safe when it never ran */

/* The calling thread writes or flushes: from now on it does not take the processor from an event loop in the middle of a
 * turn, but waits for its own share of it (SCHED_BATCH, sched(7)). A batch of PUTs is milliseconds of copying, and reads
 * that came before would wait for it (figures: ARCHITECTURE.md section 8). */
void flusher_yield(void);

/* Does all, the caller's thread helping; returns when all are done. The first failure: FULL only when there was no other. */
enum status flusher_run(struct flusher *flusher, struct flush_job **jobs, unsigned count,
                        struct error *err);

#endif
