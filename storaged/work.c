/* work.c: uv_queue_work with a limit. */
#include "storaged/work.h"

#include "storaged/node_loop.h"

#include <assert.h>

static void work_run(uv_work_t *request)
{
    struct work *work = container_of(request, struct work, request);

    work->run(work);
}

static void work_done(uv_work_t *request, int uv_status)
{
    struct work *work = container_of(request, struct work, request);
    struct node_loop *loop = work->loop;

    (void)uv_status; /* jobs are never cancelled */
    loop->works--;
    work->done(work); /* may free the job */
    node_loop_end(loop);
}

void work_start_own(struct work *work, struct node_loop *loop, void (*run)(struct work *work),
                    void (*done)(struct work *work))
{
    work->loop = loop;
    work->run = run;
    work->done = done;
    loop->works++;
    node_loop_begin(loop);
    int result = uv_queue_work(&loop->uv, &work->request, work_run, work_done);
    assert(result == 0); /* fails only without a callback */
    (void)result;
}

enum status work_start(struct work *work, struct node_loop *loop, void (*run)(struct work *work),
                       void (*done)(struct work *work), struct error *err)
{
    if (loop->works >= WORKS_MAX)
        return error_set(err, STATUS_OVERLOADED, "%d jobs wait for the disk already", WORKS_MAX);
    work_start_own(work, loop, run, done);
    return STATUS_OK;
}
