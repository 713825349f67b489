/* work.h: a blocking piece of work on a thread of the loop's pool, embedded in its owner. Catalog calls are made here only.
 *
 *     static void put_cursor(struct work *work)      on a pool thread: may block, may not touch what the loop touches
 *     static void cursor_is_put(struct work *work)   on the loop: work->status and work->err are set by run
 *
 * A process has one loop with such a pool. Its threads begin when there is work for them and stay. Work beyond WORK_THREADS_MAX waits in the
 * order it came; how much may wait is for those who start it to bound. */
#ifndef INDEXER_WORK_H
#define INDEXER_WORK_H

#include "proto/base/list.h"
#include "proto/base/status.h"

#include <stdbool.h>
#include <uv.h>

enum { WORK_THREADS_MAX = 16 };

struct work {
    struct list link; /* in the pool's lists */
    bool active;      /* from work_start() until just before on_done: it can't be started twice */
    void (*run)(struct work *work);
    void (*on_done)(struct work *work);
    enum status status; /* set by run */
    struct error err;   /* set by run */
};

/* On the loop. on_done is called there, exactly once, later; until then the loop has something to run for. */
void work_start(uv_loop_t *loop, struct work *work, void (*run)(struct work *work),
                void (*on_done)(struct work *work));

/* On the loop: when all that is under way, and what follows from it, is done, the threads end and their handle closes; then uv_loop_close()
 * may follow. Without a pool nothing happens. Work that is started once it has closed makes a new one. */
void work_stop(uv_loop_t *loop);

/* What a client is told of work that failed: a database that does not answer is 503, try again, whatever the driver calls it. */
enum status work_status_shown(enum status status, const struct error *err, struct error *shown);

#endif
