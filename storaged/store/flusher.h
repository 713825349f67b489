/* flusher.h: threads that flush files side by side, for a writer that waits for all of them.
 *
 * One caller at a time. A flush is not tried again. */
#ifndef STORAGED_STORE_FLUSHER_H
#define STORAGED_STORE_FLUSHER_H

#include "proto/base/status.h"

#include <uv.h>

struct flush {
    int fd; /* borrowed until flusher_run() returns */
    bool is_dir;
    enum status status; /* out */
};

enum { FLUSH_THREADS_MAX = 64 };

struct flusher {
    uv_thread_t threads[FLUSH_THREADS_MAX];
    unsigned threads_count;
    uv_mutex_t mutex;
    uv_cond_t work, done;
    struct flush *flushes; /* borrowed: of the call under way */
    unsigned count, taken, finished;
    struct error err; /* of the first that failed */
    bool stopping;
};

enum status flusher_start(struct flusher *flusher, unsigned threads, struct error *err);
void flusher_stop(struct flusher *flusher); /* safe when it never ran */

/* Begins all, then flushes all, the caller's thread helping. The first failure. */
enum status flusher_run(struct flusher *flusher, struct flush *flushes, unsigned count,
                        struct error *err);

#endif
