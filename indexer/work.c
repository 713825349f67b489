/* work.c: blocking work on threads, the one that was free last first: its stack, its memory and its processor are warm.
 *
 * A thread says that it is free in the same breath as that its work is done, before the loop is told: what the loop starts next finds it.
 * Nobody is woken with the mutex held, or who wakes would wait once more. Both are why this is not libuv's pool, whose threads take turns
 * (ARCHITECTURE.md has the figures). Work is nobody's until it is taken: a thread that gets done before the one that was called is awake
 * takes it, and who was called finds nothing and is free again. */
#include "indexer/work.h"
#include "proto/base/bytes.h"

#include <assert.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct work_pool;

struct work_thread {
    struct work_pool *pool;
    uv_thread_t thread;
    uv_cond_t wakes;
    bool called;              /* there was work for it; false: it is free */
    struct work_thread *next; /* of the free ones, the one that was free before it */
};

struct work_pool {
    uv_loop_t *loop; /* NULL: there is no pool */
    uv_poll_t done_poll;
    int done_fd;
    size_t under_way; /* touched on the loop only, as stops */
    bool stops;

    uv_mutex_t mutex; /* of what follows */
    struct work_thread threads[WORK_THREADS_MAX];
    unsigned threads_count;
    struct work_thread *free;
    struct list waiting, done;
    bool ended;
};

static struct work_pool work_pool;

/* --- on a thread of the pool --- */

static struct work *work_take(struct list *list)
{
    struct work *work = list_first(list, struct work, link);

    list_remove(&work->link);
    return work;
}

/* What has waited longest; NULL: nothing does, and the thread is free. With the mutex held. */
static struct work *work_thread_take(struct work_thread *thread)
{
    struct work_pool *pool = thread->pool;

    if (!list_empty(&pool->waiting))
        return work_take(&pool->waiting);
    thread->called = false;
    thread->next = pool->free;
    pool->free = thread;
    return NULL;
}

/* NULL: there will be none any more. */
static struct work *work_thread_wait(struct work_thread *thread)
{
    struct work_pool *pool = thread->pool;
    struct work *work = NULL;

    uv_mutex_lock(&pool->mutex);
    while (work == NULL && !pool->ended) {
        if (thread->called)
            work = work_thread_take(thread);
        else
            uv_cond_wait(&thread->wakes, &pool->mutex);
    }
    uv_mutex_unlock(&pool->mutex);
    return work;
}

/* Returns what the thread does next, if there is something. The loop is told once of all that is done since it looked. */
static struct work *work_run(struct work_thread *thread, struct work *work)
{
    struct work_pool *pool = thread->pool;

    work->run(work);
    uv_mutex_lock(&pool->mutex);
    bool first = list_empty(&pool->done);
    list_append(&pool->done, &work->link);
    struct work *next = work_thread_take(thread);
    uv_mutex_unlock(&pool->mutex);
    if (first) {
        int failed = eventfd_write(pool->done_fd, 1);
        assert(failed == 0);
        (void)failed;
    }
    return next;
}

static void work_thread_main(void *data)
{
    struct work_thread *thread = data;
    struct work *work = NULL;

    while (work != NULL || (work = work_thread_wait(thread)) != NULL)
        work = work_run(thread, work);
}

/* --- on the loop --- */

static void work_pool_close(struct work_pool *pool)
{
    uv_mutex_lock(&pool->mutex);
    pool->ended = true;
    uv_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->threads_count; i++) {
        uv_cond_signal(&pool->threads[i].wakes);
        uv_thread_join(&pool->threads[i].thread);
        uv_cond_destroy(&pool->threads[i].wakes);
    }
    uv_mutex_destroy(&pool->mutex);
    close(pool->done_fd);
    pool->loop = NULL;
}

static void work_on_closed(uv_handle_t *handle)
{
    work_pool_close(handle->data);
}

static void work_settle(struct work_pool *pool)
{
    if (pool->under_way > 0)
        return;
    uv_unref((uv_handle_t *)&pool->done_poll);
    if (pool->stops)
        uv_close((uv_handle_t *)&pool->done_poll, work_on_closed);
}

static void work_on_event(uv_poll_t *poll, int status, int events)
{
    struct work_pool *pool = poll->data;
    struct list done;
    eventfd_t unused;

    (void)status;
    (void)events;
    eventfd_read(pool->done_fd, &unused);
    list_init(&done);
    uv_mutex_lock(&pool->mutex);
    list_splice(&done, &pool->done);
    uv_mutex_unlock(&pool->mutex);
    while (!list_empty(&done)) {
        struct work *work = work_take(&done);
        pool->under_way--;
        work->active = false;
        work->on_done(work);
    }
    work_settle(pool);
}

static void work_pool_open(struct work_pool *pool, uv_loop_t *loop)
{
    *pool = (struct work_pool){ .loop = loop };
    list_init(&pool->waiting);
    list_init(&pool->done);
    uv_mutex_init(&pool->mutex);
    pool->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert(pool->done_fd >= 0);
    pool->done_poll.data = pool;
    int failed = uv_poll_init(loop, &pool->done_poll, pool->done_fd);
    assert(failed == 0);
    failed = uv_poll_start(&pool->done_poll, UV_READABLE, work_on_event);
    assert(failed == 0);
    (void)failed;
}

/* With the mutex held. None when there are enough, or the system gives no more. */
static void work_thread_new(struct work_pool *pool)
{
    if (pool->threads_count == WORK_THREADS_MAX)
        return;
    struct work_thread *thread = &pool->threads[pool->threads_count];
    *thread = (struct work_thread){ .pool = pool, .called = true };
    uv_cond_init(&thread->wakes);
    if (uv_thread_create(&thread->thread, work_thread_main, thread) == 0) {
        pool->threads_count++;
        return;
    }
    uv_cond_destroy(&thread->wakes);
    assert(pool->threads_count > 0); /* nobody would ever do it */
}

/* Calls the thread that was free last, or a new one; if there is none it waits until one is done. */
static void work_hand_out(struct work_pool *pool, struct work *work)
{
    uv_mutex_lock(&pool->mutex);
    list_append(&pool->waiting, &work->link);
    struct work_thread *thread = pool->free;
    if (thread != NULL) {
        pool->free = thread->next;
        thread->called = true;
    } else {
        work_thread_new(pool);
    }
    uv_mutex_unlock(&pool->mutex);
    if (thread != NULL)
        uv_cond_signal(&thread->wakes);
}

void work_start(uv_loop_t *loop, struct work *work, void (*run)(struct work *work),
                void (*on_done)(struct work *work))
{
    struct work_pool *pool = &work_pool;

    if (pool->loop == NULL)
        work_pool_open(pool, loop);
    assert(pool->loop == loop && !uv_is_closing((uv_handle_t *)&pool->done_poll));
    assert(!work->active);
    work->active = true;
    work->run = run;
    work->on_done = on_done;
    work->status = STATUS_OK;
    error_init(&work->err);
    list_init(&work->link);
    if (pool->under_way++ == 0)
        uv_ref((uv_handle_t *)&pool->done_poll);
    work_hand_out(pool, work);
}

void work_stop(uv_loop_t *loop)
{
    struct work_pool *pool = &work_pool;

    if (pool->loop == NULL)
        return;
    assert(pool->loop == loop && !pool->stops);
    (void)loop;
    pool->stops = true;
    work_settle(pool);
}

enum status work_status_shown(enum status status, const struct error *err, struct error *shown)
{
    if (status == STATUS_UNREACHABLE || status == STATUS_TIMEOUT)
        return error_set(shown, STATUS_OVERLOADED,
                         "the index database does not answer in time: %.300s", err->text);
    if (status == STATUS_FULL || status == STATUS_READ_ONLY)
        return error_set(shown, STATUS_OVERLOADED, "the index database takes no writes: %.300s",
                         err->text);
    if (status == STATUS_UNAUTHORIZED || status == STATUS_FORBIDDEN) /* the indexer, not who asks */
        return error_set(shown, STATUS_OVERLOADED, "the index database refuses the indexer: %.300s",
                         err->text);
    if (status == STATUS_IO)
        return error_set(shown, STATUS_OVERLOADED, "the index database fails: %.300s", err->text);
    *shown = *err;
    return status;
}
