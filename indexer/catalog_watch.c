/* catalog_watch.c: a timer asks, the answer sets the timer.
 *
 * A file that is another one, or has been gone for a while, is not opened again: a start does all that has to be done then, so the
 * indexer leaves as on SIGTERM, and its supervisor starts it. */
#include "indexer/catalog_watch.h"

#include "proto/base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WATCH_GONE_MAX = 3 }; /* who changes files by hand gets so many questions' time */

struct catalog_watch {
    struct indexer *indexer;
    uv_timer_t timer;
    struct work work;
    bool asking, stopping;
    unsigned gone;        /* questions in a row that found no file */
    uint64_t asked_at_ms; /* by the loop's clock */
    void (*on_stopped)(struct indexer *indexer);
};

static void watch_on_closed(uv_handle_t *handle)
{
    struct catalog_watch *watch = container_of((uv_timer_t *)handle, struct catalog_watch, timer);
    struct indexer *indexer = watch->indexer;
    void (*on_stopped)(struct indexer *) = watch->on_stopped;

    indexer->catalog_watch = NULL;
    free(watch);
    on_stopped(indexer);
}

static void watch_ask(struct work *work)
{
    struct catalog_watch *watch = container_of(work, struct catalog_watch, work);

    work->status = catalog_ping(watch->indexer->catalog, &work->err);
    if (work->status == STATUS_OK)
        catalog_health_read(); /* a failure has told of itself */
}

static void watch_on_timer(uv_timer_t *timer);

static void watch_give_up(struct catalog_watch *watch, const struct error *err)
{
    struct indexer *indexer = watch->indexer;

    if (!indexer->draining)
        log_msg(LOG_ERROR, "catalog.gone",
                "%s; leaving: with the next start what the file lacks is read again from the nodes",
                err->text);
    if (!indexer->draining)
        kill(getpid(), SIGTERM);
    indexer->failed = true;
}

static void watch_on_answer(struct work *work)
{
    struct catalog_watch *watch = container_of(work, struct catalog_watch, work);

    watch->asking = false;
    watch->gone = work->status == STATUS_NOT_FOUND ? watch->gone + 1 : 0;
    if (watch->stopping) {
        uv_close((uv_handle_t *)&watch->timer, watch_on_closed);
        return;
    }
    if (work->status == STATUS_EXISTS || watch->gone > WATCH_GONE_MAX)
        watch_give_up(watch, &work->err);
    uv_timer_start(&watch->timer, watch_on_timer, CATALOG_WATCH_MS, 0);
}

static void watch_on_timer(uv_timer_t *timer)
{
    struct catalog_watch *watch = container_of(timer, struct catalog_watch, timer);

    assert(!watch->asking);
    watch->asking = true;
    watch->asked_at_ms = uv_now(watch->indexer->loop);
    error_init(&watch->work.err);
    work_start(watch->indexer->loop, &watch->work, watch_ask, watch_on_answer);
}

enum status catalog_watch_start(struct indexer *indexer, struct error *err)
{
    struct catalog_watch *watch = calloc(1, sizeof *watch);

    if (watch == NULL)
        return error_set(err, STATUS_NO_MEMORY, "the watch of the catalog");
    indexer->catalog_watch = watch;
    watch->indexer = indexer;
    uv_timer_init(indexer->loop, &watch->timer);
    return uv_timer_start(&watch->timer, watch_on_timer, CATALOG_WATCH_MS, 0) == 0
               ? STATUS_OK
               : error_set(err, STATUS_INTERNAL, "the watch of the catalog");
}

bool catalog_watch_trouble(const struct indexer *indexer, char text[CATALOG_TROUBLE_SIZE])
{
    const struct catalog_watch *watch = indexer->catalog_watch;

    if (catalog_health_trouble(text))
        return true;
    if (watch == NULL || !watch->asking ||
        uv_now(indexer->loop) - watch->asked_at_ms <= CATALOG_WATCH_LATE_MS)
        return false;
    snprintf(text, CATALOG_TROUBLE_SIZE, "the database does not answer");
    return true;
}

void catalog_watch_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct catalog_watch *watch = indexer->catalog_watch;

    watch->stopping = true;
    watch->on_stopped = on_stopped;
    if (!watch->asking)
        uv_close((uv_handle_t *)&watch->timer, watch_on_closed);
}
