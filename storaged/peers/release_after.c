/* release_after.c: files in their grace. */
#include "storaged/peers/release_after.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void release_after_init(struct release_after *after, struct node_loop *loop, uint64_t grace_ms)
{
    *after = (struct release_after){ .loop = loop, .grace_ms = grace_ms };
}

void release_after_fini(struct release_after *after)
{
    free(after->files);
    after->files = NULL;
    after->count = after->capacity = 0;
}

/* --- the list --- */

static struct release_after_file *after_push(struct release_after *after)
{
    if (after->count == after->capacity) {
        after->capacity = after->capacity == 0 ? 64 : 2 * after->capacity;
        after->files = realloc(after->files, after->capacity * sizeof *after->files);
        if (after->files == NULL)
            abort();
    }
    return &after->files[after->count++];
}

void release_after_add(struct release_after *after, const struct release_ask *ask, unsigned file,
                       uint64_t size)
{
    *after_push(after) = (struct release_after_file){
        .run = ask->run,
        .incarnation = ask->incarnation,
        .journal_id = ask->journal_id,
        .records = ask->records,
        .shard = ask->files[file].shard,
        .birth = ask->files[file].birth,
        .size = size,
        .due_ms = clock_monotonic_ms(),
        .rest_ms = RELEASE_TELL_MIN_MS,
    };
    after->bytes += size;
}

static int after_order(const void *a, const void *b)
{
    const struct release_after_file *one = a, *two = b;

    if (one->journal_id != two->journal_id)
        return one->journal_id < two->journal_id ? -1 : 1;
    return one->birth < two->birth ? -1 : one->birth > two->birth;
}

static struct release_after_file after_begin(const struct store_dropped *dropped)
{
    return (struct release_after_file){
        .run = dropped->run,
        .incarnation = dropped->incarnation,
        .journal_id = dropped->journal_id,
        .records = dropped->records,
        .shard = dropped->shard,
        .birth = dropped->birth,
        .size = dropped->size,
        .due_ms = clock_monotonic_ms(),
        .rest_ms = RELEASE_TELL_MIN_MS,
    };
}

void release_after_take(struct release_after *after, const struct store_dropped *dropped, size_t count)
{
    struct release_after old = *after;

    assert(!after->busy);
    after->files = NULL;
    after->count = after->capacity = 0;
    after->bytes = 0;
    if (old.count > 0)
        qsort(old.files, old.count, sizeof *old.files, after_order);
    for (size_t i = 0; i < count && i < RELEASE_GRACE_FILES_MAX; i++) {
        struct release_after_file fresh = after_begin(&dropped[i]);
        struct release_after_file *known = old.count == 0 ? NULL
                                                          : bsearch(&fresh, old.files, old.count,
                                                                    sizeof fresh, after_order);

        *after_push(after) = known != NULL ? *known : fresh;
        after->bytes += fresh.size;
    }
    free(old.files);
}

uint64_t release_after_due_ms(const struct release_after *after)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; i < after->count; i++)
        if (after->files[i].due_ms < due)
            due = after->files[i].due_ms;
    return due;
}

static struct release_after_file *after_find(struct release_after *after, uint64_t birth)
{
    for (size_t i = 0; i < after->count; i++)
        if (after->files[i].birth == birth && after->files[i].journal_id == after->drop.journal_id)
            return &after->files[i];
    return NULL;
}

static void after_remove(struct release_after *after, struct release_after_file *file)
{
    after->bytes -= file->size;
    *file = after->files[--after->count];
}

/* --- a request --- */

static void after_finish(struct release_after *after)
{
    struct node_loop *loop = after->loop;

    buf_fini(&after->body);
    cluster_view_release(after->view);
    after->busy = false;
    after->on_done(after);
    node_loop_end(loop);
}

static void on_unlinked(struct store_drop *drop, enum status status)
{
    struct release_after *after = container_of(drop, struct release_after, drop);

    for (unsigned i = 0; i < drop->count; i++) {
        struct release_after_file *file = after_find(after, drop->files[i].birth);
        enum status of_file = status == STATUS_OK ? drop->files[i].status : status;

        if (file != NULL && (of_file == STATUS_OK || of_file == STATUS_NOT_FOUND))
            after_remove(after, file);
        else
            snprintf(after->error, sizeof after->error, "unlink: %.180s", drop->err.text);
    }
    after_finish(after);
}

static void after_unlink(struct release_after *after)
{
    struct store_drop *drop = &after->drop;
    unsigned left = 0;

    for (unsigned i = 0; i < drop->count; i++)
        if (after->removed[i])
            after->named[left++] = after->named[i];
    drop->count = left;
    if (left == 0 || after->stop) {
        after_finish(after);
        return;
    }
    drop->port = &after->loop->port;
    drop->on_done = on_unlinked;
    store_unlink(after->loop->node->store, drop);
}

/* Removed: on to the next step. Not removed: asked again after a growing rest. */
static void after_note(struct release_after *after)
{
    uint64_t now_ms = clock_monotonic_ms();

    for (unsigned i = 0; i < after->drop.count; i++) {
        struct release_after_file *file = after_find(after, after->named[i].birth);

        if (file == NULL)
            continue;
        if (after->removed[i] && after->step == RELEASE_TELL) {
            file->step = RELEASE_GRACE;
            file->due_ms = now_ms + after->grace_ms;
            file->rest_ms = RELEASE_TELL_MIN_MS;
            continue;
        }
        file->due_ms = now_ms + file->rest_ms; /* a FINAL one is unlinked now, or again then */
        file->rest_ms = 2 * file->rest_ms < RELEASE_TELL_MAX_MS ? 2 * file->rest_ms : RELEASE_TELL_MAX_MS;
    }
}

static void after_next(struct release_after *after);

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct release_after *after = request->user;
    struct slice answer = { request->answer.data, request->answer.size };

    after->asking = false;
    error_init(&after->err);
    status = release_indexers_answer(&after->indexers, after->loop, request, status, failure,
                                     &after->err);
    if (status == STATUS_OK)
        status = release_read_removed(answer, after->named, after->drop.count, after->removed,
                                      &after->err);
    transfer_request_fini(request);
    if (status != STATUS_OK) {
        after_next(after);
    } else {
        after->error[0] = '\0';
        after_note(after);
        if (after->step == RELEASE_FINAL)
            after_unlink(after);
        else
            after_finish(after);
    }
    node_loop_end(after->loop);
}

static void after_next(struct release_after *after)
{
    struct transfer_request *request = &after->request;

    peer_request_init(request, after->view);
    request->body = (struct slice){ after->body.data, after->body.size };
    request->headers[PEER_HEADERS_COUNT] = (struct transfer_header){ "Content-Type", "application/json" };
    request->timeout_ms = request->stall_timeout_ms = RELEASE_TELL_TIMEOUT_MS;
    request->answer_max = RELEASE_ANSWER_MAX;
    request->on_done = on_answer;
    request->user = after;
    after->asking = !after->stop && release_indexers_post(&after->indexers, after->loop, after->view,
                                                          "/v1/releases/dropped", after->url, request);
    if (after->asking)
        return;
    snprintf(after->error, sizeof after->error, "%.190s",
             after->err.text[0] != '\0' ? after->err.text : "the map names no indexer");
    for (unsigned i = 0; i < after->drop.count; i++)
        after->removed[i] = false;
    after_note(after);
    after_finish(after);
}

/* Those of the first one's run that are due and at its step. */
static void after_gather(struct release_after *after, const struct release_after_file *first,
                         uint64_t now_ms)
{
    struct store_drop *drop = &after->drop;

    *drop = (struct store_drop){
        .run = first->run,
        .journal_id = first->journal_id,
        .incarnation = first->incarnation,
        .files = after->named,
    };
    after->step = first->step;
    for (size_t i = 0; i < after->count && drop->count < RELEASE_FILES_MAX; i++) {
        const struct release_after_file *file = &after->files[i];

        if (file->journal_id != first->journal_id || file->step != first->step || file->due_ms > now_ms)
            continue;
        if (file->records > drop->records)
            drop->records = file->records;
        after->named[drop->count++] = (struct store_drop_file){ .shard = file->shard,
                                                                .birth = file->birth };
    }
}

void release_after_go(struct release_after *after)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct release_after_file *first = NULL;

    assert(!after->busy);
    for (size_t i = 0; i < after->count; i++) {
        struct release_after_file *file = &after->files[i];

        if (file->step == RELEASE_GRACE && file->due_ms <= now_ms)
            file->step = RELEASE_FINAL;
        if (file->due_ms <= now_ms && (first == NULL || file->due_ms < first->due_ms))
            first = file;
    }
    if (first == NULL)
        return;
    after->busy = true;
    after_gather(after, first, now_ms);
    after->view = cluster_view(&after->loop->node->cluster);
    after->indexers.tried = 0;
    error_init(&after->err);
    buf_init(&after->body, RELEASE_BODY_MAX);
    release_print_dropped(&after->body, after->loop->node->cluster.self.id, &after->drop,
                          after->step == RELEASE_FINAL);
    node_loop_begin(after->loop);
    after_next(after);
}

void release_after_cancel(struct release_after *after)
{
    after->stop = true;
    if (after->asking)
        transfer_cancel(&after->request);
}
