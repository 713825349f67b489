/* flusher.c: a pool that takes jobs from one array. */
#include "storaged/store/flusher.h"

#include "storaged/store/disk.h"
#include "storaged/store/store_metrics.h"

#include "proto/base/clock.h"

#include <assert.h>
#include <sched.h>

static enum status flush_run(struct flush_job *job, struct stage *stage, struct error *err)
{
    struct flush *flush = container_of(job, struct flush, job);
    uint64_t begun = clock_monotonic_us();

    (void)stage;
    enum status status = flush->is_dir ? disk_flush_dir(flush->fd, err) : disk_flush(flush->fd, err);
    metric_observe(&store_metric_flush, clock_monotonic_us() - begun);
    return status;
}

void flush_init(struct flush *flush, int fd, bool is_dir)
{
    *flush = (struct flush){ .job.run = flush_run, .fd = fd, .is_dir = is_dir };
}

/* With the mutex held, which is let go meanwhile; false: nothing to take. */
static bool flusher_take_one(struct flusher *flusher, struct stage *stage)
{
    struct error err;

    if (flusher->taken == flusher->count)
        return false;
    struct flush_job *job = flusher->jobs[flusher->taken++];
    uv_mutex_unlock(&flusher->mutex);
    job->status = job->run(job, stage, &err);
    uv_mutex_lock(&flusher->mutex);
    if (job->status != STATUS_OK &&
        (flusher->err.status == STATUS_OK || flusher->err.status == STATUS_FULL))
        flusher->err = err;
    if (++flusher->finished == flusher->count)
        uv_cond_signal(&flusher->done);
    return true;
}

void flusher_yield(void)
{
    struct sched_param none = { 0 };

    sched_setscheduler(0, SCHED_BATCH, &none); /* of this thread; where it is forbidden, nothing is lost but speed */
}

static void flusher_main(void *data)
{
    struct flusher *flusher = data;
    struct stage stage;

    flusher_yield();
    stage_init(&stage);
    uv_mutex_lock(&flusher->mutex);
    while (!flusher->stopping)
        if (!flusher_take_one(flusher, &stage))
            uv_cond_wait(&flusher->work, &flusher->mutex);
    uv_mutex_unlock(&flusher->mutex);
    stage_fini(&stage);
}

enum status flusher_start(struct flusher *flusher, unsigned threads, struct error *err)
{
    assert(threads <= FLUSH_THREADS_MAX);
    *flusher = (struct flusher){ 0 };
    stage_init(&flusher->stage);
    uv_mutex_init(&flusher->mutex);
    uv_cond_init(&flusher->work);
    uv_cond_init(&flusher->done);
    for (unsigned i = 0; i < threads; i++) {
        int failed = uv_thread_create(&flusher->threads[i], flusher_main, flusher);

        if (failed != 0) {
            flusher_stop(flusher);
            return error_set(err, STATUS_IO, "thread: %s", uv_strerror(failed));
        }
        flusher->threads_count++;
    }
    return STATUS_OK;
}

void flusher_stop(struct flusher *flusher)
{
    stage_fini(&flusher->stage);
    if (flusher->threads_count == 0)
        return;
    uv_mutex_lock(&flusher->mutex);
    flusher->stopping = true;
    uv_cond_broadcast(&flusher->work);
    uv_mutex_unlock(&flusher->mutex);
    for (unsigned i = 0; i < flusher->threads_count; i++)
        uv_thread_join(&flusher->threads[i]);
    uv_cond_destroy(&flusher->done);
    uv_cond_destroy(&flusher->work);
    uv_mutex_destroy(&flusher->mutex);
    flusher->threads_count = 0;
}

enum status flusher_run(struct flusher *flusher, struct flush_job **jobs, unsigned count,
                        struct error *err)
{
    uv_mutex_lock(&flusher->mutex);
    assert(flusher->taken == flusher->count && flusher->finished == flusher->count);
    flusher->jobs = jobs;
    flusher->count = count;
    flusher->taken = flusher->finished = 0;
    flusher->err.status = STATUS_OK;
    for (unsigned i = 1; i < count && i <= flusher->threads_count; i++)
        uv_cond_signal(&flusher->work);
    while (flusher_take_one(flusher, &flusher->stage))
        ;
    while (flusher->finished < flusher->count)
        uv_cond_wait(&flusher->done, &flusher->mutex);
    enum status status = flusher->err.status;
    if (status != STATUS_OK && err != NULL)
        *err = flusher->err;
    uv_mutex_unlock(&flusher->mutex);
    return status;
}
