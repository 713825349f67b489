/* release_ask.c: from a sealed file to one that is dropped, or refused. */
#include "storaged/peers/release_ask.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"

#include "proto/base/clock.h"
#include "proto/placement.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* A digest and which of the files it is in: they come in the journal's order. */
struct release_digest_of {
    struct digest digest;
    unsigned file;
};

static void ask_finish(struct release_ask *ask)
{
    free(ask->listed);
    free(ask->digests);
    ask->listed = NULL;
    ask->digests = NULL;
    buf_fini(&ask->body);
    cluster_view_release(ask->view);
    struct node_loop *loop = ask->loop;
    ask->on_done(ask);
    node_loop_end(loop);
}

/* None of them, for one reason; those that have another already keep it. */
static void ask_refuse(struct release_ask *ask, enum release_code code, const char *why)
{
    for (unsigned i = 0; i < ask->count; i++)
        ask->verdicts[i] = (struct release_verdict){ .code = code };
    if (ask->why[0] == '\0')
        snprintf(ask->why, sizeof ask->why, "%s: %.200s", release_code_name(code), why);
}

static void ask_fail(struct release_ask *ask, enum release_code code, const char *why)
{
    ask_refuse(ask, code, why);
    ask_finish(ask);
}

/* --- drop --- */

/* A newer map, heard of since, may give the shard to this node: what it would pull again at once it does not drop. */
static void ask_look_at_map(struct release_ask *ask)
{
    struct cluster_view *view = cluster_view(&ask->loop->node->cluster);

    for (unsigned i = 0; i < ask->count; i++)
        if (ask->verdicts[i].granted && view->self != NODE_NONE &&
            placement_owns(view->map, ask->run.base_time, ask->files[i].shard, view->self))
            ask->verdicts[i] = (struct release_verdict){ .code = RELEASE_OWNER };
    cluster_view_release(view);
}

static void ask_drop_next(struct release_ask *ask);

/* The writer has the last word on each granted file. */
static void ask_note_dropped(struct release_ask *ask, unsigned at, enum status status)
{
    unsigned i = ask->dropped_at[at];

    if (status == STATUS_OK)
        return;
    ask->verdicts[i] = (struct release_verdict){
        .code = status == STATUS_TIMEOUT ? RELEASE_LATE : RELEASE_FAILED,
    };
    if (ask->why[0] == '\0')
        snprintf(ask->why, sizeof ask->why, "%s: %.200s", release_code_name(ask->verdicts[i].code),
                 ask->drop.err.text[0] != '\0' ? ask->drop.err.text : status_title(status));
}

static void on_dropped(struct store_drop *drop, enum status status)
{
    struct release_ask *ask = container_of(drop, struct release_ask, drop);

    for (unsigned at = 0; at < drop->count; at++)
        ask_note_dropped(ask, at, status == STATUS_OK ? drop->files[at].status : status);
    ask->records = drop->records;
    ask_drop_next(ask);
}

/* The next granted files, a piece at a time: the writer goes back to its appends in between. */
static void ask_drop_next(struct release_ask *ask)
{
    struct store_drop *drop = &ask->drop;
    size_t messages = 0;

    drop->files = ask->dropped;
    drop->count = 0;
    for (; ask->next < ask->count; ask->next++) {
        if (!ask->verdicts[ask->next].granted)
            continue;
        if (ask->stop) {
            ask->verdicts[ask->next] = (struct release_verdict){ .code = RELEASE_FAILED };
            continue;
        }
        messages += ask->messages[ask->next];
        if (drop->count > 0 && messages > RELEASE_DROP_MESSAGES)
            break;
        ask->dropped_at[drop->count] = ask->next;
        ask->dropped[drop->count++] = ask->files[ask->next];
    }
    if (drop->count == 0) {
        ask_finish(ask);
        return;
    }
    drop->on_done = on_dropped;
    store_drop(ask->loop->node->store, drop);
}

static void ask_drop(struct release_ask *ask)
{
    ask_look_at_map(ask);
    ask->next = 0;
    ask_drop_next(ask);
}

/* --- ask --- */

static void ask_next(struct release_ask *ask);

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct release_ask *ask = request->user;

    ask->asking = false;
    error_init(&ask->err);
    status = release_indexers_answer(ask->indexers, ask->loop, request, status, failure, &ask->err);
    if (status == STATUS_OK)
        status = release_read_verdicts((struct slice){ request->answer.data, request->answer.size },
                                       ask->files, ask->count, ask->verdicts, ask->why,
                                       sizeof ask->why, &ask->err);
    bool has_verdicts = status == STATUS_OK && !ask->stop;
    transfer_request_fini(request);
    if (has_verdicts)
        ask_drop(ask);
    else
        ask_next(ask);
    node_loop_end(ask->loop);
}

/* Each time it is another asking, with its own 60 s; the answer to the one before did not come, and can't any more. */
static void ask_next(struct release_ask *ask)
{
    struct transfer_request *request = &ask->request;

    peer_request_init(request, ask->view);
    request->body = (struct slice){ ask->body.data, ask->body.size };
    request->headers[PEER_HEADERS_COUNT] = (struct transfer_header){ "Content-Type", "application/json" };
    request->timeout_ms = RELEASE_ASK_TIMEOUT_MS;
    request->stall_timeout_ms = RELEASE_ASK_TIMEOUT_MS; /* it asks owners, which takes its time */
    request->answer_max = RELEASE_ANSWER_MAX;
    request->on_done = on_answer;
    request->user = ask;
    ask->drop.deadline_us = clock_monotonic_us() + RELEASE_GRANT_US;
    ask->asking = !ask->stop && release_indexers_post(ask->indexers, ask->loop, ask->view,
                                                      "/v1/releases", ask->url, request);
    if (!ask->asking)
        ask_fail(ask, RELEASE_UNREACHABLE,
                 ask->err.text[0] != '\0' ? ask->err.text : "the map names no indexer");
}

/* --- list --- */

static void each_digest(void *user, unsigned file, const struct digest *digest)
{
    struct release_ask *ask = user;

    if (ask->listed_count > RELEASE_FILE_DIGESTS_MAX)
        return; /* too many: counted no further */
    if (ask->listed_count == ask->listed_capacity) {
        ask->listed_capacity = ask->listed_capacity == 0 ? 4096 : 2 * ask->listed_capacity;
        ask->listed = realloc(ask->listed, ask->listed_capacity * sizeof *ask->listed);
        if (ask->listed == NULL)
            abort();
    }
    ask->listed[ask->listed_count++] = (struct release_digest_of){ .digest = *digest, .file = file };
}

/* As many of the files, from the first on, as one request may ask about. *behind: what the index must have read; what was
 * appended since, *dropped* records of the last answer too, is nothing to them. */
static enum status list_files(struct release_ask *ask, uint64_t *behind)
{
    for (;;) {
        ask->listed_count = 0;
        enum status status = store_drop_digests(ask->loop->node->store, &ask->drop, each_digest,
                                                ask, behind, &ask->err);
        if (status != STATUS_OK || ask->listed_count <= RELEASE_DIGESTS_MAX)
            return status;
        if (ask->drop.count == 1)
            return ask->listed_count <= RELEASE_FILE_DIGESTS_MAX
                       ? STATUS_OK
                       : error_set(&ask->err, STATUS_TOO_LARGE, "a file of more than %d messages",
                                   RELEASE_FILE_DIGESTS_MAX);
        ask->drop.count = (ask->drop.count + 1) / 2;
    }
}

/* By file, as the question has them. */
static void list_sort(struct release_ask *ask, size_t ends[RELEASE_FILES_MAX])
{
    size_t next[RELEASE_FILES_MAX] = { 0 };
    size_t end = 0;

    for (size_t i = 0; i < ask->listed_count; i++)
        next[ask->listed[i].file]++;
    for (unsigned i = 0; i < ask->drop.count; i++) {
        size_t count = next[i];

        next[i] = end;
        end += count;
        ends[i] = end;
        ask->messages[i] = count;
    }
    ask->digests = malloc((ask->listed_count + 1) * sizeof *ask->digests);
    if (ask->digests == NULL)
        abort();
    for (size_t i = 0; i < ask->listed_count; i++)
        ask->digests[next[ask->listed[i].file]++] = ask->listed[i].digest;
}

static void list_run(struct work *work)
{
    struct release_ask *ask = container_of(work, struct release_ask, work);
    size_t ends[RELEASE_FILES_MAX];
    uint64_t behind;

    ask->status = list_files(ask, &behind);
    if (ask->status != STATUS_OK)
        return;
    ask->drop.records = behind;
    list_sort(ask, ends);
    release_print_question(&ask->body, ask->loop->node->cluster.self.id, &ask->drop, ask->digests, ends);
    ask->status = buf_status(&ask->body);
    if (ask->status != STATUS_OK)
        error_set(&ask->err, ask->status, "the question is too long");
}

static void list_done(struct work *work)
{
    struct release_ask *ask = container_of(work, struct release_ask, work);

    free(ask->listed);
    free(ask->digests);
    ask->listed = NULL;
    ask->digests = NULL;
    ask->count = ask->drop.count;
    if (ask->status == STATUS_TOO_LARGE)
        ask_fail(ask, RELEASE_TOO_LARGE, ask->err.text);
    else if (ask->status != STATUS_OK)
        ask_fail(ask, RELEASE_FAILED, ask->err.text);
    else
        ask_next(ask);
}

/* --- seal --- */

static void on_sealed(struct store_drop *drop, enum status status)
{
    struct release_ask *ask = container_of(drop, struct release_ask, drop);
    unsigned left = 0;

    for (unsigned i = 0; i < drop->count && status == STATUS_OK; i++)
        if (ask->files[i].status == STATUS_OK)
            ask->files[left++] = ask->files[i];
    ask->count = drop->count = left; /* the others are gone since they were planned */
    ask->incarnation = drop->incarnation;
    ask->journal_id = drop->journal_id;
    if (left == 0 || ask->stop)
        ask_fail(ask, RELEASE_FAILED, "nothing is left of them");
    else
        work_start_own(&ask->work, ask->loop, list_run, list_done);
}

void release_ask_start(struct release_ask *ask)
{
    assert(ask->count > 0 && ask->count <= RELEASE_FILES_MAX);
    ask->view = cluster_view(&ask->loop->node->cluster);
    ask->indexers->tried = 0;
    ask->why[0] = '\0';
    ask->asking = false;
    ask->listed = NULL;
    ask->digests = NULL;
    ask->listed_count = ask->listed_capacity = 0;
    error_init(&ask->err);
    buf_init(&ask->body, RELEASE_BODY_MAX);
    ask->drop = (struct store_drop){
        .run = ask->run,
        .files = ask->files,
        .count = ask->count,
        .port = &ask->loop->port,
        .on_done = on_sealed,
    };
    node_loop_begin(ask->loop);
    store_seal(ask->loop->node->store, &ask->drop);
}

void release_ask_cancel(struct release_ask *ask)
{
    ask->stop = true;
    if (ask->asking)
        transfer_cancel(&ask->request);
}
