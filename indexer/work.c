/* work.c: a blocking piece of work on the loop's thread pool. */
#include "indexer/work.h"
#include "proto/base/bytes.h"

#include <assert.h>

static void work_on_pool(uv_work_t *request)
{
    struct work *work = container_of(request, struct work, request);

    work->run(work);
}

static void work_on_loop(uv_work_t *request, int cancelled)
{
    struct work *work = container_of(request, struct work, request);

    assert(cancelled == 0); /* nobody cancels: what runs on the pool has to end before its owner does */
    work->on_done(work);
}

void work_start(uv_loop_t *loop, struct work *work, void (*run)(struct work *work),
                void (*on_done)(struct work *work))
{
    work->run = run;
    work->on_done = on_done;
    work->status = STATUS_OK;
    error_init(&work->err);
    int failed = uv_queue_work(loop, &work->request, work_on_pool, work_on_loop);
    assert(failed == 0); /* only without a callback */
    (void)failed;
}

enum status work_status_shown(enum status status, const struct error *err, struct error *shown)
{
    if (status == STATUS_UNREACHABLE || status == STATUS_TIMEOUT)
        return error_set(shown, STATUS_OVERLOADED,
                         "the index database does not answer in time: %.300s", err->text);
    if (status == STATUS_FULL || status == STATUS_READ_ONLY)
        return error_set(shown, STATUS_OVERLOADED, "the index database takes no writes: %.300s", err->text);
    if (status == STATUS_UNAUTHORIZED || status == STATUS_FORBIDDEN) /* the indexer, not who asks */
        return error_set(shown, STATUS_OVERLOADED, "the index database refuses the indexer: %.300s", err->text);
    if (status == STATUS_IO)
        return error_set(shown, STATUS_OVERLOADED, "the index database fails: %.300s", err->text);
    *shown = *err;
    return status;
}
