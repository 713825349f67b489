/* release_ask.c: owners and holders of locks are asked.
 *
 *     have -> read (on the pool) -> have ... -> state -> state ... -> done
 *
 * The state of a file comes behind the answer that named it: a file that nobody gives up by then still has what was told. */
#include "indexer/release_ask.h"

#include "indexer/node_request.h"
#include "proto/base/bytes.h"
#include "proto/node_api.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_ANSWER_MAX = 8 << 20, ASK_STATE_ANSWER_MAX = 4096 };

struct ask_owners;

struct ask_owner {
    struct ask_owners *all;
    struct release_owner *owner; /* borrowed */
    size_t asked;                /* with the question under way */
    size_t states;               /* files whose state was told */
    struct node_request request;
    struct work work;
};

struct ask_owners {
    struct indexer *indexer;
    struct release_judge *judge;
    uint64_t deadline_ms, epoch;
    char incarnation[24];
    size_t left;
    struct ask_owner *owners; /* owned */
    struct work none;
    void (*on_done)(void *data, uint64_t epoch);
    void *data;
};

static void owner_next(struct ask_owner *ask);

static void ask_end(struct ask_owners *all)
{
    void (*on_done)(void *, uint64_t) = all->on_done;
    void *data = all->data;
    uint64_t epoch = all->epoch;

    free(all->owners);
    free(all);
    on_done(data, epoch);
}

static void owner_end(struct ask_owner *ask)
{
    if (--ask->all->left == 0)
        ask_end(ask->all);
}

static void owner_fail(struct ask_owner *ask, const struct error *err)
{
    snprintf(ask->owner->failed, sizeof ask->owner->failed, "%.*s",
             (int)sizeof ask->owner->failed - 1, err->text[0] != '\0' ? err->text : "no answer");
    owner_end(ask);
}

static const char *owner_url(const struct ask_owner *ask)
{
    return ask->all->judge->map->nodes[ask->owner->node].url;
}

/* What every answer shows. */
static void owner_heard(struct ask_owner *ask)
{
    const char *text = transfer_answer_header(&ask->request.transfer, HEADER_EPOCH);
    uint64_t epoch;

    if (text != NULL && decimal_parse(text, strlen(text), UINT64_MAX, &epoch) == 0 &&
        epoch > ask->all->epoch)
        ask->all->epoch = epoch;
}

static void owner_begin(struct ask_owner *ask, size_t answer_max)
{
    node_request_init(&ask->request, ask->all->indexer);
    ask->request.user = ask;
    ask->request.until_stop = true;
    ask->request.transfer.answer_max = answer_max;
}

/* --- have --- */

static void owner_read(struct work *work)
{
    struct ask_owner *ask = container_of(work, struct ask_owner, work);
    const struct buf *answer = &ask->request.transfer.answer;

    work->status = release_owner_answer(ask->all->judge, ask->owner, ask->asked,
                                        slice_of(answer->data, answer->size), &work->err);
}

static void owner_on_read(struct work *work)
{
    struct ask_owner *ask = container_of(work, struct ask_owner, work);

    node_request_fini(&ask->request);
    if (work->status != STATUS_OK)
        owner_fail(ask, &work->err);
    else
        owner_next(ask);
}

static void owner_on_have(struct node_request *request, enum status status, const struct error *err)
{
    struct ask_owner *ask = request->user;

    owner_heard(ask);
    if (status != STATUS_OK) {
        struct error story = *err;
        node_request_fini(request);
        owner_fail(ask, &story);
        return;
    }
    error_init(&ask->work.err);
    work_start(ask->all->indexer->loop, &ask->work, owner_read, owner_on_read);
}

static void owner_have(struct ask_owner *ask)
{
    owner_begin(ask, ASK_ANSWER_MAX);
    ask->request.more = (struct transfer_header){ HEADER_INCARNATION, ask->all->incarnation };
    ask->asked = release_owner_question(ask->all->judge, ask->owner, &ask->request.body);
    node_request_start(&ask->request, "POST", owner_url(ask), RELEASE_ASK_TIMEOUT_MS, owner_on_have,
                       "/have");
}

/* --- state --- */

static void owner_on_state(struct node_request *request, enum status status, const struct error *err)
{
    struct ask_owner *ask = request->user;
    const struct buf *answer = &request->transfer.answer;
    struct error story = *err;

    owner_heard(ask);
    if (status == STATUS_OK)
        status = release_owner_state(ask->owner, ask->states, slice_of(answer->data, answer->size),
                                     &story);
    node_request_fini(request);
    ask->states++;
    if (status != STATUS_OK)
        owner_fail(ask, &story);
    else
        owner_next(ask);
}

static void path_print(const struct run_key *run, unsigned shard, uint64_t birth, char path[256])
{
    char base_time[BASE_TIME_TEXT_SIZE], file[DATA_FILE_NAME_SIZE];

    base_time_print(run->base_time, base_time);
    data_file_name_print(shard, birth, file);
    snprintf(path, 256, "/cluster/releases/%s/%s/%s", run->source, base_time, file);
}

static void owner_state(struct ask_owner *ask)
{
    char path[256];

    path_print(&ask->all->judge->request->run, ask->owner->shards[ask->states],
               ask->owner->births[ask->states], path);
    owner_begin(ask, ASK_STATE_ANSWER_MAX);
    node_request_start(&ask->request, "GET", owner_url(ask), RELEASE_ASK_TIMEOUT_MS, owner_on_state,
                       "%s", path);
}

static void owner_next(struct ask_owner *ask)
{
    struct error err;

    if (uv_now(ask->all->indexer->loop) > ask->all->deadline_ms) {
        error_init(&err);
        error_set(&err, STATUS_TIMEOUT, "asking took too long");
        owner_fail(ask, &err);
    } else if (ask->owner->told_count < ask->owner->asked_count) {
        owner_have(ask);
    } else if (ask->states < ask->owner->births_count) {
        owner_state(ask);
    } else {
        owner_end(ask);
    }
}

static void ask_none(struct work *work)
{
    work->status = STATUS_OK;
}

static void ask_on_begun(struct work *work)
{
    struct ask_owners *all = container_of(work, struct ask_owners, none);
    size_t count = all->judge->owners_count;

    all->left = count + 1; /* not at an end before the last has begun */
    for (size_t i = 0; i < count; i++)
        owner_next(&all->owners[i]);
    if (--all->left == 0)
        ask_end(all);
}

void release_ask_owners(struct indexer *indexer, struct release_judge *judge, uint64_t deadline_ms,
                        void (*on_done)(void *data, uint64_t epoch), void *data)
{
    struct ask_owners *all = calloc(1, sizeof *all);

    assert(all != NULL);
    *all = (struct ask_owners){
        .indexer = indexer, .judge = judge, .deadline_ms = deadline_ms, .on_done = on_done, .data = data
    };
    snprintf(all->incarnation, sizeof all->incarnation, "%" PRIu64, judge->request->incarnation);
    all->owners = calloc(judge->owners_count + 1, sizeof *all->owners);
    assert(all->owners != NULL);
    for (size_t i = 0; i < judge->owners_count; i++)
        all->owners[i] = (struct ask_owner){ .all = all, .owner = &judge->owners[i] };
    work_start(indexer->loop, &all->none, ask_none, ask_on_begun); /* never from within */
}

/* --- holders --- */

struct ask_holders {
    struct indexer *indexer;
    size_t left;
    struct work none;
    void (*on_done)(void *data);
    void *data;
};

struct ask_holder {
    struct ask_holders *all;
    struct release_hold *hold; /* borrowed */
    struct node_request request;
};

static void holders_end(struct ask_holders *all)
{
    void (*on_done)(void *) = all->on_done;
    void *data = all->data;

    free(all);
    on_done(data);
}

static void holder_on_state(struct node_request *request, enum status status, const struct error *err)
{
    struct ask_holder *ask = container_of(request, struct ask_holder, request);
    struct ask_holders *all = ask->all;
    const struct buf *answer = &request->transfer.answer;
    const char *state = status == STATUS_OK ? release_state_parse(slice_of(answer->data, answer->size))
                                            : NULL;

    (void)err;
    ask->hold->freed = state != NULL && (strcmp(state, "none") == 0 || strcmp(state, "gone") == 0);
    node_request_fini(request);
    free(ask);
    if (--all->left == 0)
        holders_end(all);
}

static void holder_ask(struct ask_holders *all, const struct release_judge *judge, unsigned shard,
                       struct release_hold *hold)
{
    char id[NODE_ID_SIZE_MAX + 1], path[256];
    uint64_t birth = 0;
    bool ours = release_holder_parse(hold->lock.holder, id, &birth);
    const struct map_node *node = ours ? map_find(judge->map, id) : NULL;

    hold->freed = node == NULL || node->state == NODE_OUT; /* nothing of it counts any more */
    if (hold->freed)
        return;
    struct ask_holder *ask = calloc(1, sizeof *ask);
    assert(ask != NULL);
    ask->all = all;
    ask->hold = hold;
    path_print(&judge->request->run, shard, birth, path);
    node_request_init(&ask->request, all->indexer);
    ask->request.until_stop = true;
    ask->request.transfer.answer_max = ASK_STATE_ANSWER_MAX;
    all->left++;
    node_request_start(&ask->request, "GET", node->url, RELEASE_ASK_TIMEOUT_MS, holder_on_state,
                       "%s", path);
}

static void holders_on_begun(struct work *work)
{
    struct ask_holders *all = container_of(work, struct ask_holders, none);

    if (--all->left == 0)
        holders_end(all);
}

void release_ask_holders(struct indexer *indexer, const struct release_judge *judge,
                         struct release_hold *holds, void (*on_done)(void *data), void *data)
{
    struct ask_holders *all = calloc(1, sizeof *all);

    assert(all != NULL);
    *all = (struct ask_holders){ .indexer = indexer, .left = 1, .on_done = on_done, .data = data };
    for (size_t i = 0; i < judge->request->files_count; i++)
        if (holds[i].met)
            holder_ask(all, judge, judge->request->files[i].shard, &holds[i]);
    work_start(indexer->loop, &all->none, ask_none, holders_on_begun);
}
