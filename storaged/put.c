/* put.c: one message of an ingest, from its last byte to its line in the answer.
 *
 * The promise: it is answered only once the data file and the journal of every copy that counts are flushed.
 *
 *   1. Place comes before store. Candidates are the owners, then the handoffs; those that are down are passed over. The first
 *      `replicas` that commit are the copies; down to `min_replicas` when there are no more candidates.
 *   2. A message that is known here saves the append here, never the question to the others: they are asked what they lack.
 *   3. A 410 from any of them is the message's answer, and so is what is wrong with the message itself, and a quota: else the
 *      run would be spread over nodes that it does not belong to. Anything else only costs that node its place.
 *   4. A node that knows a higher incarnation of the run is asked for it, once; then all is tried again.
 *
 * A failure in any step goes straight to answer. */
#include "storaged/put.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/placement.h"

#include <assert.h>
#include <stdlib.h>

enum put_step { PUT_DIGEST, PUT_PLACE, PUT_STAMP, PUT_STORE, PUT_CATCH_UP, PUT_ANSWER };

#define TO(step) (1u << PUT_##step)

static enum fsm_next put_digest(struct fsm *fsm);
static enum fsm_next put_place(struct fsm *fsm);
static enum fsm_next put_stamp(struct fsm *fsm);
static enum fsm_next put_store(struct fsm *fsm);
static enum fsm_next put_catch_up(struct fsm *fsm);
static enum fsm_next put_answer(struct fsm *fsm);

static const struct fsm_step put_steps[] = {
    [PUT_DIGEST] = { "digest", put_digest, TO(PLACE) },
    [PUT_PLACE] = { "place", put_place, TO(STAMP) },
    [PUT_STAMP] = { "stamp", put_stamp, TO(STORE) },
    /* Waits for every copy; again with a handoff, or after catching up with the run. */
    [PUT_STORE] = { "store", put_store, TO(STORE) | TO(CATCH_UP) | TO(ANSWER) },
    [PUT_CATCH_UP] = { "catch-up", put_catch_up, TO(STORE) },
    [PUT_ANSWER] = { "answer", put_answer, 0 },
};

struct put *put_new(struct put_body *body, uint64_t offset, enum body_class class)
{
    struct put *put = calloc(1, sizeof *put);

    if (put == NULL)
        abort();
    put->body = body;
    put->offset = offset;
    put->all_full = true;
    list_init(&put->list);
    body_message_init(&put->message, &body->loop->budget, class);
    error_init(&put->failure_err);
    return put;
}

void put_free(struct put *put)
{
    body_message_fini(&put->message);
    cluster_view_release(put->view);
    free(put->handoffs);
    free(put->targets);
    free(put->fetch);
    free(put);
}

void put_start(struct put *put, void (*on_done)(struct put *put))
{
    put->on_done = on_done;
    put->length = put->message.size;
    fsm_start(&put->fsm, "put", put_steps, ARRAY_COUNT(put_steps), PUT_DIGEST, PUT_ANSWER);
}

/* --- digest: what is it, and may it be here --- */

static enum status put_check_run(struct put *put, struct error *err)
{
    struct put_body *body = put->body;

    if (body->incarnation == 0)
        return STATUS_OK;
    if (body->has_run && body->base_time != put->run.base_time)
        return error_set(err, STATUS_BAD_REQUEST,
                         "the incarnation that was sent is of one run, the body has a second base_time");
    body->has_run = true;
    body->base_time = put->run.base_time;
    return STATUS_OK;
}

static enum fsm_next put_digest(struct fsm *fsm)
{
    struct put *put = container_of(fsm, struct put, fsm);
    struct put_body *body = put->body;
    size_t size = put->message.size < sizeof put->message.prefix ? (size_t)put->message.size
                                                                 : sizeof put->message.prefix;
    struct error err;

    error_init(&err);
    if (body->has_digest && digest_compare(&body->digest, &put->digest) != 0) {
        char text[DIGEST_TEXT_SIZE];
        digest_print(&put->digest, text);
        error_set(&err, STATUS_DIGEST_MISMATCH, "the message has digest %s", text);
        return fsm_fail(fsm, STATUS_DIGEST_MISMATCH, &err);
    }
    memcpy(put->run.source, body->source, sizeof put->run.source);
    enum status status = grib_base_time(put->message.prefix, size, &put->run.base_time, &err);
    if (status == STATUS_OK)
        status = source_rules_check_date(&body->rules, put->run.base_time,
                                         (int64_t)(clock_wall_us() / 1000000), &err);
    if (status == STATUS_OK)
        status = put_check_run(put, &err);
    if (status != STATUS_OK)
        return fsm_fail(fsm, status, &err);
    return fsm_go(fsm, PUT_PLACE);
}

/* --- place: who shall have it, and is it here already --- */

static enum status put_check_state(const struct put *put, const struct run_info *info, struct error *err)
{
    char text[RUN_TEXT_SIZE];

    if (put->body->incarnation > info->incarnation) /* a run that was reopened: taken over with the append */
        return STATUS_OK;
    run_key_print(&put->run, text);
    if (info->state == RUN_RETIRED)
        return error_set(err, STATUS_RUN_RETIRED, "run %s is retired", text);
    if (info->state == RUN_PURGED)
        return error_set(err, STATUS_PURGED, "run %s was purged", text);
    return STATUS_OK;
}

/* The store's own place is known without asking: it saves the append, and the other copies get the stamp that this one has. */
static enum status put_find_here(struct put *put, bool may_block)
{
    struct store_place place;

    enum status status = store_find(put->body->loop->node->store, &put->run, &put->digest,
                                    may_block, &place, NULL);
    if (status != STATUS_OK)
        return status;
    put->known_here = true;
    put->stored_at_us = place.stored_at_us;
    put->append.place = place;
    return STATUS_OK;
}

static void put_find_run(struct work *work)
{
    put_find_here(container_of(work, struct put, find), true);
}

static void put_find_done(struct work *work)
{
    fsm_resume(&container_of(work, struct put, find)->fsm, STATUS_OK, NULL);
}

/* A look-up that would wait for the disk is the pool's; where that has too much to do, the append finds out by itself. */
static bool put_find_begin(struct put *put)
{
    return put_find_here(put, false) == STATUS_MORE &&
           work_start(&put->find, put->body->loop, put_find_run, put_find_done, NULL) == STATUS_OK;
}

static void put_give_stamp(struct put *put)
{
    struct store *store = put->body->loop->node->store;

    if (put->has_stamp)
        store_stamp_seen(store, put->stored_at_us);
    else if (put->stored_at_us == 0)
        put->stored_at_us = store_stamp(store, 1);
}

static enum fsm_next put_place(struct fsm *fsm)
{
    struct put *put = container_of(fsm, struct put, fsm);
    struct node *node = put->body->loop->node;
    struct run_info info;
    struct error err;

    error_init(&err);
    store_run_state(node->store, &put->run, &info);
    enum status status = put_check_state(put, &info, &err);
    if (status != STATUS_OK)
        return fsm_fail(fsm, status, &err);
    put->incarnation = put->body->here ? put->body->incarnation : info.incarnation;
    put->view = cluster_view(&node->cluster);
    put->shard = digest_shard(&put->digest, put->view->map->shards);
    put->targets_count = put->body->here ? 1 : put->view->map->replicas;
    put->targets = calloc(put->targets_count, sizeof *put->targets);
    if (put->targets == NULL)
        abort();
    if (!put->body->here && put->view->map->nodes_count > 1 && put_find_begin(put))
        return fsm_wait(fsm, 1, PUT_STAMP);
    return fsm_go(fsm, PUT_STAMP);
}

static enum fsm_next put_stamp(struct fsm *fsm)
{
    put_give_stamp(container_of(fsm, struct put, fsm));
    return fsm_go(fsm, PUT_STORE);
}

/* --- store: keep it where it belongs --- */

/* The next that may be asked: its index in the map, or false when there are no more. */
static bool put_candidate(struct put *put, unsigned *node)
{
    unsigned owners_count;

    if (put->body->here) { /* whoever the map names */
        *node = put->view->self;
        return put->next++ == 0;
    }
    const uint16_t *owners = placement_owners(put->view->map, put->run.base_time, put->shard,
                                              &owners_count);
    if (put->next < owners_count) {
        *node = owners[put->next++];
        return true;
    }
    if (put->handoffs == NULL) {
        put->handoffs = calloc(put->view->map->nodes_count + 1, sizeof *put->handoffs);
        if (put->handoffs == NULL)
            abort();
        put->handoffs_count = placement_handoffs(put->view->map, &put->run, put->shard, put->handoffs);
    }
    if (put->next - owners_count >= put->handoffs_count)
        return false;
    *node = put->handoffs[put->next++ - owners_count];
    return true;
}

static void put_resume(struct put *put)
{
    fsm_resume(&put->fsm, STATUS_OK, NULL); /* put may be gone */
}

/* What a node said; whether the message failed with it is decided when all are back. */
static void target_settle(struct put_target *target, enum status status, const struct error *err)
{
    struct put *put = target->put;

    target->status = status;
    target->state = status == STATUS_OK ? TARGET_KEPT : TARGET_FAILED;
    if (status == STATUS_OK || (put->failure != STATUS_OK && !target->over_quota))
        return;
    put->failure = status;
    error_set(&put->failure_err, status, "%s",
              err != NULL && err->text[0] != '\0' ? err->text : status_title(status));
}

/* Of the stamps that its copies have the greatest holds. The one that we gave it counts once a node has kept it: one that
 * had the message before has it under another. */
static void put_take_stamp(struct put *put, uint64_t stored_at_us)
{
    if (!put->is_kept || stored_at_us > put->stored_at_us)
        put->stored_at_us = stored_at_us;
    put->is_kept = true;
}

static void put_kept_here(struct put_target *target)
{
    const struct store_place *place = &target->put->append.place;

    target->place = (struct put_place){
        .url = target->put->view->url,
        .has_place = true,
        .shard = place->shard,
        .birth = place->birth,
        .offset = place->offset,
    };
    put_take_stamp(target->put, place->stored_at_us);
}

static void put_on_stored(struct append *append, enum status status)
{
    struct put *put = container_of(append, struct put, append);

    for (unsigned i = 0; i < put->targets_count; i++) {
        struct put_target *target = &put->targets[i];
        if (!target->self || target->state != TARGET_BUSY)
            continue;
        target->over_quota = append->over_quota;
        target_settle(target, status, &append->err);
        if (status == STATUS_OK) {
            put_kept_here(target);
            put->is_new |= append->is_new;
        }
    }
    put_resume(put);
}

static void put_append_here(struct put *put)
{
    struct append *append = &put->append;

    *append = (struct append){
        .run = put->run,
        .digest = put->digest,
        .fd = -1,
        .length = put->length,
        .stored_at_us = put->stored_at_us,
        .incarnation = put->incarnation,
        .run_messages_max = put->body->rules.run_messages,
        .run_bytes_max = put->body->rules.run_bytes,
        .port = &put->body->loop->port,
        .on_done = put_on_stored,
    };
    error_init(&append->err);
    if (put->message.in_file)
        append->fd = put->message.fd;
    else
        append->data = slice_of(put->message.data, (size_t)put->length);
    store_append(put->body->loop->node->store, append);
}

static void put_on_copied(struct copy *copy, enum status status, const struct error *err)
{
    struct put_target *target = container_of(copy, struct put_target, copy);
    struct put *put = target->put;

    target->over_quota = copy->over_quota;
    target_settle(target, status, err);
    if (status == STATUS_STALE_RUN)
        put->stale = copy->peer;
    if (status == STATUS_OK) {
        target->place = (struct put_place){ .url = copy->peer->url,
                                            .has_place = copy->has_place,
                                            .shard = copy->shard,
                                            .birth = copy->birth,
                                            .offset = copy->offset };
        put->is_new |= copy->is_new;
        put_take_stamp(put, copy->stored_at_us);
    }
    put_resume(put);
}

static void put_copy_to(struct put *put, struct put_target *target, struct peer *peer)
{
    target->copy = (struct copy){
        .peer = peer,
        .run = &put->run,
        .digest = &put->digest,
        .message = &put->message,
        .request_id = put->body->request_id,
        .stored_at_us = put->stored_at_us,
        .incarnation = put->incarnation,
        .ask = put->known_here,
        .on_done = put_on_copied,
    };
    copies_add(&put->body->loop->copies, &target->copy);
}

/* Gives the target to a node. 1: something was started; 0: it is settled at once. */
static unsigned put_target_start(struct put *put, struct put_target *target, unsigned node)
{
    *target = (struct put_target){ .put = put, .state = TARGET_BUSY };
    target->self = put->body->here || node == put->view->self;
    if (!target->self) {
        put_copy_to(put, target, put->view->peers[node]);
        return 1;
    }
    if (put->known_here) {
        target->state = TARGET_KEPT;
        put_kept_here(target);
        return 0;
    }
    put_append_here(put);
    return 1;
}

/* Does it take a message gladly? One that is being emptied, and so is no owner, may be gone as soon as it holds nothing. */
static bool put_is_welcome(const struct put *put, unsigned node)
{
    if (put->handoffs != NULL && put->view->map->nodes[node].state == NODE_EVACUATING)
        return false;
    return node == put->view->self || peer_takes_puts(put->view->peers[node]);
}

/* A node that can be asked now. Those that are down are passed over; those that took no PUT lately, or are being emptied, are asked
 * when there is nobody else. */
static bool put_pick(struct put *put, unsigned *node)
{
    while (put_candidate(put, node)) {
        bool is_up = put->body->here || *node == put->view->self || peer_is_up(put->view->peers[*node]);

        if (put->body->here || put_is_welcome(put, *node))
            return true;
        if (is_up && put->refusing_count < MAP_REPLICAS_MAX)
            put->refusing[put->refusing_count++] = (uint16_t)*node;
    }
    if (put->refusing_count == 0)
        return false;
    *node = put->refusing[--put->refusing_count];
    return true;
}

/* Nodes for all targets that have none; how many answers are to come. */
static unsigned put_fill_targets(struct put *put)
{
    unsigned waits = 0;

    for (unsigned i = 0; i < put->targets_count; i++) {
        struct put_target *target = &put->targets[i];
        unsigned node;
        if (target->state != TARGET_FREE || !put_pick(put, &node))
            continue;
        metric_add(&metric_handoffs, put->handoffs != NULL);
        waits += put_target_start(put, target, node);
    }
    return waits;
}

/* The message's own fault, or the run's: another node would say the same. */
static bool is_the_messages(enum status status)
{
    switch (status) {
    case STATUS_RUN_RETIRED:
    case STATUS_PURGED:
    case STATUS_BAD_GRIB:
    case STATUS_NOT_GRIB:
    case STATUS_BAD_DATE:
    case STATUS_DIGEST_MISMATCH:
        return true;
    default:
        return false;
    }
}

/* Looks at what came back: kept ones are counted, failed ones freed. OK, or what the message fails with. */
static enum status put_collect(struct put *put, bool *stale)
{
    enum status fatal = STATUS_OK;

    put->copies_count = 0;
    *stale = false;
    for (unsigned i = 0; i < put->targets_count; i++) {
        struct put_target *target = &put->targets[i];
        if (target->state == TARGET_KEPT)
            put->copies_count++;
        if (target->state != TARGET_FAILED)
            continue;
        target->state = TARGET_FREE;
        put->all_full &= target->status == STATUS_FULL;
        if (target->status == STATUS_STALE_RUN)
            *stale = true;
        put->over_quota |= target->over_quota;
        if ((is_the_messages(target->status) || target->over_quota) && fatal == STATUS_OK)
            fatal = target->status;
    }
    return fatal;
}

/* No more candidates: is it enough? */
static enum fsm_next put_settle(struct put *put)
{
    unsigned least = put->body->here ? 1 : put->view->map->min_replicas;
    struct error err;

    if (put->copies_count >= least)
        return fsm_go(&put->fsm, PUT_ANSWER);
    /* One node alone tells its own story; so does a cluster whose disks are all full. */
    if (put->failure != STATUS_OK &&
        (put->body->here || put->view->map->nodes_count == 1 || put->all_full))
        return fsm_fail(&put->fsm, put->failure, &put->failure_err);
    error_init(&err);
    error_set(&err, STATUS_TOO_FEW_COPIES, "%u of at least %u copies were made%s%s",
              put->copies_count, least, put->failure != STATUS_OK ? ": " : "; other nodes are down",
              put->failure != STATUS_OK ? put->failure_err.text : "");
    return fsm_fail(&put->fsm, STATUS_TOO_FEW_COPIES, &err);
}

static enum fsm_next put_store(struct fsm *fsm)
{
    struct put *put = container_of(fsm, struct put, fsm);
    bool stale;

    enum status fatal = put_collect(put, &stale);
    if (fatal != STATUS_OK) {
        if (put->failure != fatal)
            error_set(&put->failure_err, fatal, "%s", status_title(fatal));
        return fsm_fail(fsm, fatal, &put->failure_err);
    }
    if (stale && !put->caught_up && !put->body->here)
        return fsm_go(fsm, PUT_CATCH_UP);
    if (stale)
        return fsm_fail(fsm, STATUS_STALE_RUN, &put->failure_err);
    unsigned waits = put_fill_targets(put);
    if (waits > 0)
        return fsm_wait(fsm, waits, PUT_STORE);
    put_collect(put, &stale); /* what was settled at once */
    return put_settle(put);
}

/* --- catch up with a run that was reopened --- */

/* From here all candidates are tried again: those that have it say so. */
static void put_begin_again(struct put *put)
{
    struct run_info info;

    store_run_state(put->body->loop->node->store, &put->run, &info);
    put->incarnation = info.incarnation;
    put->caught_up = true;
    put->known_here = put->is_kept = false;
    put->stored_at_us = 0; /* it was of the run before */
    put_give_stamp(put);
    put->next = put->refusing_count = 0;
    put->failure = STATUS_OK;
    error_init(&put->failure_err);
    for (unsigned i = 0; i < put->targets_count; i++)
        put->targets[i].state = TARGET_FREE;
}

static void put_on_fetched(struct run_fetch *fetch, enum status status, const struct error *err)
{
    struct put *put = fetch->user;

    if (status == STATUS_OK)
        put_begin_again(put);
    fsm_resume(&put->fsm, status, err); /* put may be gone */
}

static enum fsm_next put_catch_up(struct fsm *fsm)
{
    struct put *put = container_of(fsm, struct put, fsm);

    if (put->stale == NULL) { /* the store itself was ahead of what we sent */
        put_begin_again(put);
        return fsm_go(fsm, PUT_STORE);
    }
    put->fetch = calloc(1, sizeof *put->fetch);
    if (put->fetch == NULL)
        abort();
    put->fetch->run = put->run;
    put->fetch->peer = put->stale;
    put->fetch->on_done = put_on_fetched;
    put->fetch->user = put;
    run_fetch_start(put->fetch, put->body->loop);
    return fsm_wait(fsm, 1, PUT_STORE);
}

/* --- answer --- */

static enum fsm_next put_answer(struct fsm *fsm)
{
    struct put *put = container_of(fsm, struct put, fsm);

    body_message_fini(&put->message);
    put->done = true;
    put->on_done(put); /* put may be gone */
    return FSM_END;
}
