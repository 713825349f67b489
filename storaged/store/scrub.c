/* scrub.c: the thread that reads everything again: its pace, what it does next, what it has found. */
#include "storaged/store/scrub.h"

#include "proto/base/clock.h"
#include "storaged/store/scrub_parts.h"
#include "storaged/store/store_metrics.h"
#include "storaged/store/store_state.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { IOPRIO_WHO_PROCESS = 1, IOPRIO_CLASS_IDLE = 3, IOPRIO_CLASS_SHIFT = 13, THREAD_NICE = 19 };
#define SCRUB_WAIT_MAX_US (UINT64_C(3600) * 1000000) /* the wall clock may be set meanwhile */

/* --- pace --- */

uint64_t scrub_pace_wait(struct scrub_pace *pace, uint64_t now_us, size_t size)
{
    if (pace->rate == 0)
        return 0;
    if (pace->next_us + SCRUB_BURST_US < now_us)
        pace->next_us = now_us - SCRUB_BURST_US;
    pace->next_us += (uint64_t)((double)size * 1e6 / (double)pace->rate);
    return pace->next_us > now_us ? pace->next_us - now_us : 0;
}

/* Rests so long; false: stop. A suspect, or a pass that is asked for, ends the rest. */
static bool scrub_rest(struct scrub *scrub, uint64_t us)
{
    uint64_t until = clock_monotonic_us() + us;

    uv_mutex_lock(&scrub->mutex);
    for (uint64_t now; !scrub->stopping && !scrub->asked && scrub->suspects_count == 0 &&
                       (now = clock_monotonic_us()) < until;)
        uv_cond_timedwait(&scrub->cond, &scrub->mutex, (until - now) * 1000);
    bool goes_on = !scrub->stopping;
    uv_mutex_unlock(&scrub->mutex);
    return goes_on;
}

static bool scrub_on_read(void *user, size_t size)
{
    struct scrub *scrub = user;

    metric_add(&store_metric_scrub_bytes, (int64_t)size);
    return scrub_rest(scrub,
                      scrub->urgent ? 0 : scrub_pace_wait(&scrub->pace, clock_monotonic_us(), size));
}

/* --- findings --- */

void scrub_note(struct scrub *scrub, const struct store_scrub_finding *finding)
{
    uv_mutex_lock(&scrub->mutex);
    struct store_scrub_info *info = &scrub->info;
    info->findings[scrub->findings_next] = *finding;
    scrub->findings_next = (scrub->findings_next + 1) % STORE_SCRUB_FINDINGS;
    if (info->findings_count < STORE_SCRUB_FINDINGS)
        info->findings_count++;
    info->findings_total++;
    if (info->is_running)
        info->pass.found++;
    uv_mutex_unlock(&scrub->mutex);
}

/* --- the thread --- */

/* Microseconds until the next pass is due. With the mutex held. */
static uint64_t scrub_due_in(const struct scrub *scrub)
{
    uint64_t now = clock_wall_us();
    uint64_t begun = scrub->info.last.begun_us;

    if (scrub->store->options.scrub_rate == 0)
        return SCRUB_WAIT_MAX_US;
    if (begun == 0 || begun > now || now - begun >= SCRUB_PERIOD_US)
        return 0;
    uint64_t left = SCRUB_PERIOD_US - (now - begun);
    return left < SCRUB_WAIT_MAX_US ? left : SCRUB_WAIT_MAX_US;
}

/* One step of whatever is most wanted; with the mutex held, which is let go meanwhile. */
static void scrub_step(struct scrub *scrub)
{
    uint64_t due_in = scrub->info.is_running ? 0 : scrub_due_in(scrub);

    if (scrub->suspects_count > 0) {
        struct scrub_suspect suspect = scrub_suspect_take(scrub);

        uv_mutex_unlock(&scrub->mutex);
        scrub_suspect_read(scrub, &suspect);
    } else if (scrub->asked || (!scrub->info.is_running && due_in == 0)) {
        uint64_t rate = scrub->asked ? scrub->asked_rate : scrub->store->options.scrub_rate;

        uv_mutex_unlock(&scrub->mutex);
        scrub_pass_begin(scrub, rate);
    } else if (scrub->info.is_running) {
        uv_mutex_unlock(&scrub->mutex);
        scrub_pass_step(scrub);
    } else {
        uv_cond_timedwait(&scrub->cond, &scrub->mutex, due_in * 1000);
        return;
    }
    uv_mutex_lock(&scrub->mutex);
}

/* Behind everybody else, for the processor and for the disk. */
static void scrub_yield(void)
{
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), THREAD_NICE);
}

static void scrub_main(void *data)
{
    struct scrub *scrub = data;

    scrub_yield();
    uv_mutex_lock(&scrub->mutex);
    while (!scrub->stopping)
        scrub_step(scrub);
    bool is_running = scrub->info.is_running;
    uv_mutex_unlock(&scrub->mutex);
    if (is_running)
        scrub_pass_save(scrub);
    scrub_pass_leave(scrub);
}

enum status scrub_start(struct scrub *scrub, struct store *store, struct error *err)
{
    *scrub = (struct scrub){ .store = store };
    uv_mutex_init(&scrub->mutex);
    uv_cond_init(&scrub->cond);
    medium_init(&scrub->medium);
    scrub->medium.on_read = scrub_on_read;
    scrub->medium.user = scrub;
    scrub->items = calloc(SCRUB_CHUNK, sizeof *scrub->items);
    assert(scrub->items != NULL);
    scrub->saved_us = clock_monotonic_us();
    scrub_pass_restore(scrub);
    int failed = uv_thread_create(&scrub->thread, scrub_main, scrub);
    scrub->running = true; /* what there is, scrub_stop() takes down */
    if (failed == 0)
        return STATUS_OK;
    scrub->stopping = true;
    return error_set(err, STATUS_IO, "thread: %s", uv_strerror(failed));
}

void scrub_stop(struct scrub *scrub)
{
    if (!scrub->running)
        return;
    if (!scrub->stopping) {
        uv_mutex_lock(&scrub->mutex);
        scrub->stopping = true;
        uv_cond_broadcast(&scrub->cond);
        uv_mutex_unlock(&scrub->mutex);
        uv_thread_join(&scrub->thread);
    }
    medium_fini(&scrub->medium);
    free(scrub->items);
    uv_cond_destroy(&scrub->cond);
    uv_mutex_destroy(&scrub->mutex);
    scrub->running = false;
}

/* --- what others ask --- */

void store_scrub(struct store *store, uint64_t rate)
{
    struct scrub *scrub = &store->scrub;

    uv_mutex_lock(&scrub->mutex);
    scrub->asked = true;
    scrub->asked_rate = rate;
    uv_cond_signal(&scrub->cond);
    uv_mutex_unlock(&scrub->mutex);
}

void store_scrub_status(struct store *store, struct store_scrub_info *info)
{
    struct scrub *scrub = &store->scrub;

    uv_mutex_lock(&scrub->mutex);
    *info = scrub->info;
    info->is_asked = scrub->asked;
    info->suspects = scrub->suspects_count;
    /* The newest first. */
    for (unsigned i = 0; i < info->findings_count; i++)
        info->findings[i] = scrub->info.findings[(scrub->findings_next + STORE_SCRUB_FINDINGS - 1 - i) % STORE_SCRUB_FINDINGS];
    uv_mutex_unlock(&scrub->mutex);
}
