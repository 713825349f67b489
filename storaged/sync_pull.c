/* sync_pull.c: a range of a peer's data file, proof, appends.
 *
 *     READ --> PROVE --> STORE --> DONE
 *                |                  ^
 *                +--> LARGE <-+-----+
 *                       +-----+
 *
 * A stretch with a damaged message in it, or between two of those wanted, is refused whole: then each comes by itself. */
#include "storaged/sync_pull.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"
#include "storaged/peers/suspect.h"

#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum pull_step { PULL_READ, PULL_LARGE, PULL_PROVE, PULL_STORE, PULL_DONE };

struct pull_append {
    struct append append;
    struct sync_pull *pull;
};

#define TO(step) (1u << PULL_##step)

static enum fsm_next pull_read(struct fsm *fsm);
static enum fsm_next pull_large(struct fsm *fsm);
static enum fsm_next pull_prove(struct fsm *fsm);
static enum fsm_next pull_store(struct fsm *fsm);
static enum fsm_next pull_done(struct fsm *fsm);

static const struct fsm_step pull_steps[] = {
    [PULL_READ] = { "read", pull_read, TO(PROVE) },
    [PULL_LARGE] = { "large", pull_large, TO(LARGE) | TO(DONE) },
    [PULL_PROVE] = { "prove", pull_prove, TO(STORE) | TO(LARGE) },
    [PULL_STORE] = { "store", pull_store, TO(DONE) },
    [PULL_DONE] = { "done", pull_done, 0 },
};

unsigned sync_pull_count(const struct sync_message *messages, size_t count)
{
    uint64_t begin = messages[0].offset;
    unsigned taken = 1;

    while (taken < count && taken < SYNC_PULL_COUNT) {
        const struct sync_message *last = &messages[taken - 1], *next = &messages[taken];
        uint64_t end = last->offset + last->length;
        if (next->birth != last->birth || next->offset < end || next->offset - end > SYNC_GAP_MAX ||
            next->offset + next->length - begin > SYNC_READ_MAX)
            break;
        taken++;
    }
    return taken;
}

/* --- read --- */

static uint64_t pull_begin(const struct sync_pull *pull)
{
    return pull->messages[0].offset;
}

static uint64_t pull_size(const struct sync_pull *pull)
{
    const struct sync_message *last = &pull->messages[pull->count - 1];

    return last->offset + last->length - pull_begin(pull);
}

static void on_read(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct sync_pull *pull = request->user;
    struct node_loop *loop = pull->loop;
    struct error err;

    error_init(&err);
    status = peer_request_done(&loop->node->cluster, pull->peer, request, status, failure, &err);
    if (status == STATUS_OK && (request->http_status != 206 || request->answer.size != pull_size(pull)))
        status = error_set(&err, STATUS_BAD_VALUE, "node %s: another range than was asked for",
                           pull->peer->id);
    pull->damaged = status == STATUS_DAMAGED;
    fsm_resume(&pull->fsm, pull->damaged ? STATUS_OK : status, &err);
    node_loop_end(loop);
}

static enum fsm_next pull_read(struct fsm *fsm)
{
    struct sync_pull *pull = container_of(fsm, struct sync_pull, fsm);
    struct transfer_request *request = &pull->request;
    char path[DATA_PATH_SIZE];

    data_path_print(&pull->run, pull->shard, pull->messages[0].birth, path);
    snprintf(pull->url, sizeof pull->url, "%s%s", pull->peer->url, path);
    snprintf(pull->range, sizeof pull->range, "bytes=%" PRIu64 "-%" PRIu64, pull_begin(pull),
             pull_begin(pull) + pull_size(pull) - 1);
    unsigned count = peer_request_init(request, pull->view);
    request->method = "GET";
    request->url = pull->url;
    request->headers[count] = (struct transfer_header){ "Range", pull->range };
    request->answer_max = pull_size(pull);
    request->on_done = on_read;
    request->user = pull;
    node_loop_begin(pull->loop);
    transfer_start(pull->loop->transfer, request);
    return fsm_wait(fsm, 1, PULL_PROVE);
}

/* --- prove --- */

static const uint8_t *message_data(const struct sync_pull *pull, unsigned i)
{
    return pull->request.answer.data + (pull->messages[i].offset - pull_begin(pull));
}

static void prove_run(struct work *work)
{
    struct sync_pull *pull = container_of(work, struct sync_pull, work);

    for (unsigned i = 0; i < pull->count; i++) {
        struct digest digest;
        digest_of(message_data(pull, i), pull->messages[i].length, &digest);
        pull->held[i] = digest_compare(&digest, &pull->messages[i].digest) == 0;
    }
}

static void prove_done(struct work *work)
{
    struct sync_pull *pull = container_of(work, struct sync_pull, work);

    fsm_resume(&pull->fsm, STATUS_OK, NULL);
}

static enum fsm_next pull_prove(struct fsm *fsm)
{
    struct sync_pull *pull = container_of(fsm, struct sync_pull, fsm);

    if (pull->damaged)
        return fsm_go(fsm, PULL_LARGE);
    pull->held = calloc(pull->count, sizeof *pull->held);
    pull->appends = calloc(pull->count, sizeof *pull->appends);
    if (pull->held == NULL || pull->appends == NULL)
        abort();
    work_start_own(&pull->work, pull->loop, prove_run, prove_done);
    return fsm_wait(fsm, 1, PULL_STORE);
}

/* --- store --- */

static void on_stored(struct append *append, enum status status)
{
    struct sync_pull *pull = container_of(append, struct pull_append, append)->pull;

    if (status == STATUS_OK) {
        pull->stored++;
        pull->bytes += append->is_new ? append->length : 0;
    }
    fsm_resume(&pull->fsm, status, &append->err);
}

static enum fsm_next pull_store(struct fsm *fsm)
{
    struct sync_pull *pull = container_of(fsm, struct sync_pull, fsm);

    for (unsigned i = 0; i < pull->count; i++) {
        const struct sync_message *message = &pull->messages[i];
        if (!pull->held[i]) {
            suspect_tell(pull->loop, pull->peer, &message->digest);
            continue;
        }
        struct pull_append *added = &pull->appends[pull->appends_count++];
        added->pull = pull;
        added->append = (struct append){
            .run = pull->run,
            .digest = message->digest,
            .data = slice_of(message_data(pull, i), message->length),
            .fd = -1,
            .length = message->length,
            .stored_at_us = message->stored_at_us,
            .incarnation = pull->incarnation,
            .port = &pull->loop->port,
            .on_done = on_stored,
        };
    }
    if (pull->appends_count == 0)
        return fsm_go(fsm, PULL_DONE);
    for (unsigned i = 0; i < pull->appends_count; i++)
        store_append(pull->loop->node->store, &pull->appends[i].append);
    return fsm_wait(fsm, pull->appends_count, PULL_DONE);
}

/* --- one by itself, from whoever has it --- */

static void on_large(struct repair_message *message, enum status status, const struct error *err)
{
    struct sync_pull *pull = message->user;

    if (status == STATUS_OK) {
        pull->stored++;
        pull->bytes += message->append.is_new ? message->missing.length : 0;
    }
    fsm_resume(&pull->fsm, status == STATUS_NOT_FOUND ? STATUS_OK : status, err);
}

static enum fsm_next pull_large(struct fsm *fsm)
{
    struct sync_pull *pull = container_of(fsm, struct sync_pull, fsm);
    const struct sync_message *message = &pull->messages[pull->alone++];

    pull->large.missing = (struct store_missing){ .run = pull->run,
                                                  .incarnation = pull->incarnation,
                                                  .digest = message->digest,
                                                  .length = message->length,
                                                  .stored_at_us = message->stored_at_us };
    pull->large.on_done = on_large;
    pull->large.user = pull;
    repair_message_start(&pull->large, pull->loop);
    return fsm_wait(fsm, 1, pull->alone < pull->count ? PULL_LARGE : PULL_DONE);
}

static enum fsm_next pull_done(struct fsm *fsm)
{
    struct sync_pull *pull = container_of(fsm, struct sync_pull, fsm);
    struct node_loop *loop = pull->loop;
    enum status status = fsm->status;
    struct error err = fsm->err;

    transfer_request_fini(&pull->request);
    free(pull->held);
    free(pull->appends);
    pull->on_done(pull, status, &err); /* pull may be gone */
    node_loop_end(loop);
    return FSM_END;
}

void sync_pull_start(struct sync_pull *pull)
{
    pull->stored = pull->appends_count = pull->alone = 0;
    pull->damaged = false;
    pull->bytes = 0;
    pull->held = NULL;
    pull->appends = NULL;
    transfer_request_init(&pull->request);
    node_loop_begin(pull->loop);
    fsm_start(&pull->fsm, "sync-pull", pull_steps, ARRAY_COUNT(pull_steps),
              pull->messages[0].length > SYNC_READ_MAX ? PULL_LARGE : PULL_READ, PULL_DONE);
}
