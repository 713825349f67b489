/* space_watch.c: a timer, and one question at a time. */
#include "storaged/space_watch.h"

#include "storaged/node.h"
#include "storaged/work.h"

#include "proto/base/clock.h"

#include <stdlib.h>

struct space_watch {
    struct node_loop *loop;
    uv_timer_t timer;
    struct work work;
    bool asking, stopped;
};

static void watch_run(struct work *work)
{
    store_look_at_space(container_of(work, struct space_watch, work)->loop->node->store);
}

static void watch_done(struct work *work)
{
    struct space_watch *watch = container_of(work, struct space_watch, work);
    struct node *node = watch->loop->node;

    watch->asking = false;
    capacity_seen(&node->capacity, clock_monotonic_ms(), node_loop_stats(watch->loop));
}

static void on_timer(uv_timer_t *timer)
{
    struct space_watch *watch = container_of(timer, struct space_watch, timer);

    if (watch->asking)
        return;
    watch->asking = true;
    work_start_own(&watch->work, watch->loop, watch_run, watch_done);
}

struct space_watch *space_watch_start(struct node_loop *loop)
{
    struct space_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        abort();
    watch->loop = loop;
    uv_timer_init(&loop->uv, &watch->timer);
    uv_timer_start(&watch->timer, on_timer, SPACE_WATCH_MS, SPACE_WATCH_MS);
    return watch;
}

void space_watch_stop(struct space_watch *watch)
{
    if (watch == NULL || watch->stopped)
        return;
    watch->stopped = true;
    uv_close((uv_handle_t *)&watch->timer, NULL);
}

void space_watch_free(struct space_watch *watch)
{
    free(watch);
}
