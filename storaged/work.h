/* work.h: jobs of an event loop that may wait for the disk, on the thread pool, a bounded number at once.
 *
 * A job is embedded in its owner. run() is called on a pool thread and must touch only the job's own; done() follows on
 * the loop, exactly once. */
#ifndef STORAGED_WORK_H
#define STORAGED_WORK_H

#include "proto/base/status.h"

#include <stdbool.h>
#include <uv.h>

struct http_exchange;
struct node_loop;

enum { WORKS_MAX = 256 }; /* of a loop, running or waiting; one more is OVERLOADED */

struct work {
    uv_work_t request;
    struct node_loop *loop;
    void (*run)(struct work *work);
    void (*done)(struct work *work);
};

/* OVERLOADED: too many are under way; nothing was started. */
enum status work_start(struct work *work, struct node_loop *loop, void (*run)(struct work *work),
                       void (*done)(struct work *work), struct error *err);

/* Jobs of the process itself, of which there are few: not counted against WORKS_MAX. */
void work_start_own(struct work *work, struct node_loop *loop, void (*run)(struct work *work),
                    void (*done)(struct work *work));

#endif
