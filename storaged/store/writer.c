/* writer.c: the queue of requests and the thread that does them. */
#include "storaged/store/writer.h"

#include "storaged/store/batch.h"
#include "storaged/store/damage.h"
#include "storaged/store/drop.h"
#include "storaged/store/run_change.h"
#include "storaged/store/store_state.h"

#include <assert.h>

static struct append *writer_append_of(struct store_request *request)
{
    assert(request->kind == STORE_APPEND);
    return container_of(request, struct append, request);
}

/* Moves the appends in front of the queue, as many as a batch takes. With the mutex held. */
static void writer_gather(struct writer *writer, struct list *gathered)
{
    const struct store_options *options = &writer->store->options;
    uint64_t count = 0, size = 0;

    while (!list_empty(&writer->queue) && count < options->batch_count_max) {
        struct store_request *request = list_first(&writer->queue, struct store_request, list);

        if (request->kind != STORE_APPEND)
            break;
        size += writer_append_of(request)->length;
        if (count > 0 && size > options->batch_size_max)
            break;
        list_remove(&request->list);
        list_append(gathered, &request->list);
        writer->queued--;
        count++;
    }
}

/* What a batch did not take goes back, in front. */
static void writer_give_back(struct writer *writer, struct list *gathered)
{
    uv_mutex_lock(&writer->mutex);
    list_for_each (at, gathered)
        writer->queued++;
    list_splice(gathered, &writer->queue);
    list_splice(&writer->queue, gathered);
    uv_mutex_unlock(&writer->mutex);
}

static void writer_do_appends(struct writer *writer, struct list *gathered)
{
    while (!list_empty(gathered)) {
        struct store_request *request = list_first(gathered, struct store_request, list);

        if (!batch_take(writer->batch, writer_append_of(request)))
            break;
    }
    writer_give_back(writer, gathered);
    batch_commit(writer->batch);
}

static void writer_do_drop(struct writer *writer, struct store_request *request)
{
    struct store_drop *drop = container_of(request, struct store_drop, request);

    if (request->kind == STORE_SEAL)
        drop_seal(writer->store, drop);
    else if (request->kind == STORE_DROP)
        drop_write(writer->store, drop);
    else
        drop_unlink(writer->store, drop);
}

static void writer_do_change(struct writer *writer, struct store_request *request)
{
    struct run_change *change = container_of(request, struct run_change, request);

    if (request->kind == STORE_TELL)
        run_change_tell(writer->store, change);
    else
        run_change_purge(writer->store, change);
}

static struct store_bad *writer_bad_of(struct store_request *request)
{
    assert(request->kind == STORE_BAD);
    return container_of(request, struct store_bad, request);
}

/* Moves the bad messages in front of the queue that are of one run, as many as one flush takes. With the mutex held. */
static void writer_gather_bad(struct writer *writer, struct list *gathered)
{
    const struct run_key *run = NULL;

    for (unsigned count = 0; !list_empty(&writer->queue) && count < DAMAGE_BATCH_MAX; count++) {
        struct store_request *request = list_first(&writer->queue, struct store_request, list);

        if (request->kind != STORE_BAD ||
            (run != NULL && run_key_compare(run, &writer_bad_of(request)->run) != 0))
            break;
        run = &writer_bad_of(request)->run;
        list_remove(&request->list);
        list_append(gathered, &request->list);
        writer->queued--;
    }
}

/* The front of the queue; with the mutex held, which is let go meanwhile. */
static void writer_do_next(struct writer *writer)
{
    struct store_request *request = list_first(&writer->queue, struct store_request, list);
    struct list gathered;

    list_init(&gathered);
    if (request->kind == STORE_APPEND) {
        writer_gather(writer, &gathered);
        uv_mutex_unlock(&writer->mutex);
        writer_do_appends(writer, &gathered);
    } else if (request->kind == STORE_BAD) {
        writer_gather_bad(writer, &gathered);
        uv_mutex_unlock(&writer->mutex);
        damage_mark(writer->store, &gathered);
    } else {
        list_remove(&request->list);
        writer->queued--;
        uv_mutex_unlock(&writer->mutex);
        if (request->kind >= STORE_SEAL)
            writer_do_drop(writer, request);
        else
            writer_do_change(writer, request);
    }
    uv_mutex_lock(&writer->mutex);
}

static void writer_main(void *data)
{
    struct writer *writer = data;

    flusher_yield();
    uv_mutex_lock(&writer->mutex);
    for (;;) {
        if (!list_empty(&writer->queue))
            writer_do_next(writer);
        else if (writer->stopping)
            break;
        else
            uv_cond_wait(&writer->cond, &writer->mutex);
    }
    uv_mutex_unlock(&writer->mutex);
}

enum status writer_start(struct writer *writer, struct store *store, struct error *err)
{
    *writer = (struct writer){ .store = store };
    list_init(&writer->queue);
    uv_mutex_init(&writer->mutex);
    uv_cond_init(&writer->cond);
    writer->batch = batch_new(store);
    int failed = uv_thread_create(&writer->thread, writer_main, writer);
    if (failed == 0) {
        writer->running = true;
        return STATUS_OK;
    }
    batch_free(writer->batch);
    uv_cond_destroy(&writer->cond);
    uv_mutex_destroy(&writer->mutex);
    return error_set(err, STATUS_IO, "thread: %s", uv_strerror(failed));
}

void writer_stop(struct writer *writer)
{
    if (!writer->running)
        return;
    uv_mutex_lock(&writer->mutex);
    writer->stopping = true;
    uv_cond_signal(&writer->cond);
    uv_mutex_unlock(&writer->mutex);
    uv_thread_join(&writer->thread);
    batch_free(writer->batch);
    uv_cond_destroy(&writer->cond);
    uv_mutex_destroy(&writer->mutex);
    writer->running = false;
}

bool writer_queue(struct writer *writer, struct store_request *request)
{
    uv_mutex_lock(&writer->mutex);
    bool has_room = writer->queued < writer->store->options.queue_count_max;
    if (has_room) {
        list_append(&writer->queue, &request->list);
        writer->queued++;
        uv_cond_signal(&writer->cond);
    }
    uv_mutex_unlock(&writer->mutex);
    return has_room;
}
