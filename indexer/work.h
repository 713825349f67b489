/* work.h: a blocking piece of work on the loop's thread pool, embedded in its owner. Catalog calls are made here only.
 *
 *     static void put_cursor(struct work *work)      on a pool thread: may block, may not touch what the loop touches
 *     static void cursor_is_put(struct work *work)   on the loop: work->status and work->err are set by run
 */
#ifndef INDEXER_WORK_H
#define INDEXER_WORK_H

#include "proto/base/status.h"

#include <uv.h>

struct work {
    uv_work_t request;
    void (*run)(struct work *work);
    void (*on_done)(struct work *work);
    enum status status; /* set by run */
    struct error err;   /* set by run */
};

void work_start(uv_loop_t *loop, struct work *work, void (*run)(struct work *work),
                void (*on_done)(struct work *work));

/* What a client is told of work that failed: a database that does not answer is 503, try again, whatever the driver calls it. */
enum status work_status_shown(enum status status, const struct error *err, struct error *shown);

#endif
