/* sync_look.c: what a peer lists, compared and pulled.
 *
 *     LIST --> READ --> STATE (a run) --> SHARDS --> COMPARE --> STATE ...
 *     --> TASK (a shard) --> LACK --> PULL --> TASK ... --> DRAIN --> DONE
 *
 * PULL is left when the last message of the shard is on its way, not when it is here: pulls go on beside what the machine does, each
 * with its own copy of what it fetches, and DRAIN, which is the way of every failure too, waits for them. So a pull that comes back
 * touches nothing that the pool may be writing: of `missing` only while PULL waits. */
#include "storaged/sync_look.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/peer_request.h"
#include "storaged/peers/run_fetch.h"

#include "proto/base/clock.h"
#include "proto/grib_frame.h"
#include "proto/placement.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum look_step {
    LOOK_LIST,
    LOOK_READ,
    LOOK_STATE,
    LOOK_SHARDS,
    LOOK_COMPARE,
    LOOK_TASK,
    LOOK_LACK,
    LOOK_PULL,
    LOOK_DRAIN,
    LOOK_DONE
};

enum { LOOK_ANSWER_MAX = 256 << 20 };

struct sync_run {
    struct run_key run;
    struct run_info info; /* as the peer has it */
};

struct sync_task {
    uint32_t run, shard; /* run: its place among the look's */
    uint64_t bytes;      /* that the peer has more of */
};

#define TO(step) (1u << LOOK_##step)

static enum fsm_next look_list(struct fsm *fsm);
static enum fsm_next look_read(struct fsm *fsm);
static enum fsm_next look_state(struct fsm *fsm);
static enum fsm_next look_shards(struct fsm *fsm);
static enum fsm_next look_compare(struct fsm *fsm);
static enum fsm_next look_task(struct fsm *fsm);
static enum fsm_next look_lack(struct fsm *fsm);
static enum fsm_next look_pull(struct fsm *fsm);
static enum fsm_next look_drain(struct fsm *fsm);
static enum fsm_next look_done(struct fsm *fsm);

static const struct fsm_step look_steps[] = {
    [LOOK_LIST] = { "list", look_list, TO(READ) },
    [LOOK_READ] = { "read", look_read, TO(STATE) },
    [LOOK_STATE] = { "state", look_state, TO(STATE) | TO(SHARDS) | TO(TASK) },
    [LOOK_SHARDS] = { "shards", look_shards, TO(COMPARE) },
    [LOOK_COMPARE] = { "compare", look_compare, TO(STATE) },
    [LOOK_TASK] = { "task", look_task, TO(LACK) | TO(DRAIN) },
    [LOOK_LACK] = { "lack", look_lack, TO(PULL) },
    [LOOK_PULL] = { "pull", look_pull, TO(TASK) },
    [LOOK_DRAIN] = { "drain", look_drain, TO(DONE) },
    [LOOK_DONE] = { "done", look_done, 0 },
};

static struct sync_look *look_of(struct fsm *fsm)
{
    return container_of(fsm, struct sync_look, fsm);
}

/* --- asking --- */

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct sync_look *look = request->user;
    struct node_loop *loop = look->loop;
    struct error err;

    error_init(&err);
    status = peer_request_done(&loop->node->cluster, look->peer, request, status, failure, &err);
    /* Purged since it was listed: nothing to look at. */
    look->status = status == STATUS_NOT_FOUND || status == STATUS_PURGED ? status : STATUS_OK;
    fsm_resume(&look->fsm, look->status != STATUS_OK ? STATUS_OK : status, &err);
    node_loop_end(loop);
}

static enum fsm_next look_ask(struct sync_look *look, enum look_step next)
{
    struct transfer_request *request = &look->request;

    transfer_request_fini(request);
    peer_request_init(request, look->view);
    request->method = "GET";
    request->url = look->url;
    request->answer_max = LOOK_ANSWER_MAX;
    request->on_done = on_answer;
    request->user = look;
    node_loop_begin(look->loop);
    transfer_start(look->loop->transfer, request);
    return fsm_wait(&look->fsm, 1, next);
}

static void on_worked(struct work *work)
{
    struct sync_look *look = container_of(work, struct sync_look, work);

    fsm_resume(&look->fsm, look->status, &look->err);
}

static enum fsm_next look_work(struct sync_look *look, void (*run)(struct work *work), enum look_step next)
{
    error_init(&look->err);
    look->status = STATUS_OK;
    work_start_own(&look->work, look->loop, run, on_worked);
    return fsm_wait(&look->fsm, 1, next);
}

/* --- the peer's runs --- */

static enum fsm_next look_list(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);

    snprintf(look->url, sizeof look->url, "%s/cluster/runs?wait=0%s%s", look->peer->url,
             look->seq[0] != '\0' ? "&since=" : "", look->seq);
    return look_ask(look, LOOK_READ);
}

static enum status read_run(const json_t *entry, struct sync_run *run, struct error *err)
{
    const char *source, *base_time;

    enum status status = json_get_string(entry, "source", &source, err);
    if (status == STATUS_OK)
        status = json_get_string(entry, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), &run->run, err);
    if (status == STATUS_OK)
        status = run_info_read(entry, &run->info, err);
    return status;
}

/* Newest base_time first: it is asked for most. */
static int run_order(const void *left, const void *right)
{
    const struct sync_run *a = left, *b = right;

    if (a->run.base_time != b->run.base_time)
        return a->run.base_time > b->run.base_time ? -1 : 1;
    return strcmp(a->run.source, b->run.source);
}

static enum status read_listing(struct sync_look *look, const json_t *listing, struct error *err)
{
    const char *seq;
    json_t *runs;

    enum status status = json_get_string(listing, "seq", &seq, err);
    if (status == STATUS_OK)
        status = json_get_array(listing, "runs", &runs, err);
    if (status == STATUS_OK && strlen(seq) >= sizeof look->next_seq)
        status = error_set(err, STATUS_BAD_VALUE, "seq: too long");
    if (status != STATUS_OK)
        return status;
    snprintf(look->next_seq, sizeof look->next_seq, "%s", seq);
    look->runs = calloc(json_array_size(runs) + 1, sizeof *look->runs);
    if (look->runs == NULL)
        abort();
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(runs); i++) {
        status = read_run(json_array_get(runs, i), &look->runs[look->runs_count++], err);
        if (status != STATUS_OK)
            error_wrap(err, "runs[%zu]", i);
    }
    qsort(look->runs, look->runs_count, sizeof *look->runs, run_order);
    return status;
}

static void read_run_of_pool(struct work *work)
{
    struct sync_look *look = container_of(work, struct sync_look, work);
    json_t *listing;

    look->status = json_parse(look->request.answer.data, look->request.answer.size, &listing, &look->err);
    if (look->status != STATUS_OK)
        return;
    look->status = read_listing(look, listing, &look->err);
    json_decref(listing);
}

static enum fsm_next look_read(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);

    if (look->status != STATUS_OK)
        return fsm_fail(fsm, look->status, NULL);
    return look_work(look, read_run_of_pool, LOOK_STATE);
}

/* --- a run: its state, then its shards --- */

static void on_told(struct run_change *change, enum status status)
{
    struct sync_look *look = container_of(change, struct sync_look, change);
    struct node_loop *loop = look->loop;

    fsm_resume(&look->fsm, status == STATUS_STALE_RUN ? STATUS_OK : status, &change->err);
    node_loop_end(loop);
}

static enum fsm_next look_tell(struct sync_look *look, const struct sync_run *run)
{
    look->change = (struct run_change){
        .run = run->run, .info = run->info, .port = &look->loop->port, .on_done = on_told
    };
    error_init(&look->change.err);
    node_loop_begin(look->loop);
    store_run_tell(look->loop->node->store, &look->change);
    return fsm_wait(&look->fsm, 1, LOOK_STATE);
}

static enum fsm_next look_state(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);
    struct run_info ours;

    for (; look->run < look->runs_count && !look->stop; look->run++) {
        const struct sync_run *run = &look->runs[look->run];
        store_run_state(look->loop->node->store, &run->run, &ours);
        if (run_info_compare(&run->info, &ours) > 0)
            return look_tell(look, run); /* and again: then it is not higher any more */
        if (ours.state < RUN_RETIRED && run->info.incarnation == ours.incarnation)
            return fsm_go(fsm, LOOK_SHARDS);
    }
    return fsm_go(fsm, LOOK_TASK);
}

static enum fsm_next look_shards(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);
    char run[RUN_TEXT_SIZE];

    run_key_print(&look->runs[look->run].run, run);
    snprintf(look->url, sizeof look->url, "%s/cluster/shards/%s", look->peer->url, run);
    return look_ask(look, LOOK_COMPARE);
}

static enum status read_shard(const json_t *entry, const struct cluster_map *map, uint64_t *shard,
                              struct store_shard *theirs, struct error *err)
{
    const char *hash;

    enum status status = json_get_u64(entry, "shard", map->shards - 1, shard, err);
    if (status == STATUS_OK)
        status = json_get_u64(entry, "count", UINT64_MAX, &theirs->set.count, err);
    if (status == STATUS_OK)
        status = json_get_u64(entry, "bytes", UINT64_MAX, &theirs->bytes, err);
    if (status == STATUS_OK)
        status = json_get_string(entry, "hash", &hash, err);
    if (status == STATUS_OK && !digest_parse(slice_text(hash), &theirs->set.sum))
        status = error_set(err, STATUS_BAD_VALUE, "hash: not 64 hex digits");
    return status;
}

static void task_add(struct sync_look *look, unsigned shard, uint64_t bytes)
{
    if (look->tasks_count == SYNC_TASKS_MAX) {
        look->more = true;
        return;
    }
    if (look->tasks_count == look->tasks_size) {
        look->tasks_size = look->tasks_size == 0 ? 64 : 2 * look->tasks_size;
        look->tasks = realloc(look->tasks, look->tasks_size * sizeof *look->tasks);
        if (look->tasks == NULL)
            abort();
    }
    look->tasks[look->tasks_count++] = (struct sync_task){ .run = (uint32_t)look->run,
                                                           .shard = shard,
                                                           .bytes = bytes };
}

static enum status compare_shards(struct sync_look *look, const json_t *shards,
                                  const struct store_shard *ours, struct error *err)
{
    const struct cluster_map *map = look->view->map;
    int64_t base_time = look->runs[look->run].run.base_time;

    for (size_t i = 0; i < json_array_size(shards); i++) {
        struct store_shard theirs;
        uint64_t shard;
        enum status status = read_shard(json_array_get(shards, i), map, &shard, &theirs, err);
        if (status != STATUS_OK)
            return error_wrap(err, "[%zu]", i);
        const struct store_shard *here = &ours[shard];
        if (theirs.set.count == 0 || !placement_owns(map, base_time, (unsigned)shard, look->view->self) ||
            (theirs.set.count == here->set.count && digest_compare(&theirs.set.sum, &here->set.sum) == 0))
            continue;
        task_add(look, (unsigned)shard, theirs.bytes > here->bytes ? theirs.bytes - here->bytes : 0);
    }
    return STATUS_OK;
}

static void compare_run(struct work *work)
{
    struct sync_look *look = container_of(work, struct sync_look, work);
    struct store *store = look->loop->node->store;
    struct store_shard *ours = calloc(look->view->map->shards, sizeof *ours);
    json_t *shards;

    if (ours == NULL)
        abort();
    look->status = json_parse(look->request.answer.data, look->request.answer.size, &shards, &look->err);
    if (look->status == STATUS_OK) {
        /* What it has nothing of is nothing: zeroes. */
        if (store_shards(store, &look->runs[look->run].run, ours) != STATUS_OK)
            memset(ours, 0, look->view->map->shards * sizeof *ours);
        look->status = compare_shards(look, shards, ours, &look->err);
        json_decref(shards);
    }
    free(ours);
    look->run++;
}

static enum fsm_next look_compare(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);

    if (look->status != STATUS_OK) {
        look->run++;
        return fsm_go(fsm, LOOK_STATE);
    }
    return look_work(look, compare_run, LOOK_STATE);
}

/* --- a shard: what of its members is not here --- */

static void look_count(struct sync_look *look)
{
    struct sync_progress *progress = &look->progress;

    progress->shards_left = look->tasks_count - look->task;
    progress->bytes_left = look->flying;
    for (size_t i = look->task; i < look->tasks_count; i++)
        progress->bytes_left += look->tasks[i].bytes;
}

static enum fsm_next look_task(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);
    char run[RUN_TEXT_SIZE];

    look_count(look);
    if (look->task == look->tasks_count || look->pull_status != STATUS_OK || look->stop)
        return fsm_go(fsm, LOOK_DRAIN);
    const struct sync_task *task = &look->tasks[look->task];
    look->progress.run = look->runs[task->run].run;
    run_key_print(&look->progress.run, run);
    snprintf(look->url, sizeof look->url, "%s/cluster/shards/%s?shard=%u", look->peer->url, run,
             task->shard);
    return look_ask(look, LOOK_LACK);
}

static enum status read_member(const json_t *entry, struct sync_message *message, struct error *err)
{
    const char *digest, *birth;
    uint8_t bytes[8] = { 0 };

    enum status status = json_get_string(entry, "digest", &digest, err);
    if (status == STATUS_OK && !digest_parse(slice_text(digest), &message->digest))
        status = error_set(err, STATUS_BAD_VALUE, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(entry, "stored_at", INT64_MAX, &message->stored_at_us, err);
    if (status == STATUS_OK)
        status = json_get_string(entry, "birth", &birth, err);
    if (status == STATUS_OK && hex_parse(birth, strlen(birth), bytes, sizeof bytes) != 0)
        status = error_set(err, STATUS_BAD_VALUE, "birth: not 16 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(entry, "offset", INT64_MAX, &message->offset, err);
    if (status == STATUS_OK)
        status = json_get_u64(entry, "length", GRIB_MESSAGE_SIZE_MAX, &message->length, err);
    if (status == STATUS_OK && message->length == 0)
        status = error_set(err, STATUS_BAD_VALUE, "length: 0");
    message->birth = get_u64(bytes);
    return status;
}

static bool is_young(const struct sync_message *message)
{
    uint64_t now_us = clock_wall_us();

    /* A stamp ahead of this clock is no promise that something is under way. */
    return message->stored_at_us <= now_us && now_us - message->stored_at_us < SYNC_YOUNG_MS * 1000ull;
}

static enum status lack_member(struct sync_look *look, const json_t *entry, struct error *err)
{
    const struct sync_task *task = &look->tasks[look->task];
    struct sync_message message;
    struct store_place place;
    struct error unused;

    enum status status = read_member(entry, &message, err);
    if (status != STATUS_OK)
        return status;
    if (digest_shard(&message.digest, look->view->map->shards) != task->shard)
        return error_set(err, STATUS_BAD_VALUE, "digest: of another shard");
    error_init(&unused);
    status = store_find(look->loop->node->store, &look->runs[task->run].run, &message.digest, true,
                        &place, &unused);
    if (status != STATUS_NOT_FOUND)
        return STATUS_OK; /* it is here; or its record can't be read, which a start mends */
    if (is_young(&message))
        look->settled = false;
    else
        look->missing[look->missing_count++] = message;
    return STATUS_OK;
}

static int message_order(const void *left, const void *right)
{
    const struct sync_message *a = left, *b = right;

    if (a->birth != b->birth)
        return a->birth < b->birth ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static void lack_run(struct work *work)
{
    struct sync_look *look = container_of(work, struct sync_look, work);
    json_t *members;

    look->missing_count = look->missing_next = 0;
    look->status = json_parse(look->request.answer.data, look->request.answer.size, &members, &look->err);
    if (look->status != STATUS_OK)
        return;
    look->missing = calloc(json_array_size(members) + 1, sizeof *look->missing);
    if (look->missing == NULL)
        abort();
    for (size_t i = 0; look->status == STATUS_OK && i < json_array_size(members); i++) {
        look->status = lack_member(look, json_array_get(members, i), &look->err);
        if (look->status != STATUS_OK)
            error_wrap(&look->err, "[%zu]", i);
    }
    json_decref(members);
    qsort(look->missing, look->missing_count, sizeof *look->missing, message_order);
}

static enum fsm_next look_lack(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);

    free(look->missing);
    look->missing = NULL;
    look->missing_count = look->missing_next = 0;
    if (look->status != STATUS_OK)
        return fsm_go(fsm, LOOK_PULL);
    return look_work(look, lack_run, LOOK_PULL);
}

/* --- pulls: as many at once as there are slots --- */

static bool look_is_pulling(const struct sync_look *look)
{
    for (unsigned i = 0; i < SYNC_SLOTS; i++)
        if (look->slots[i].messages != NULL)
            return true;
    return false;
}

/* Its store takes nothing any more: so would be the next one's fate. */
static bool is_ours(enum status status)
{
    return status == STATUS_FULL || status == STATUS_READ_ONLY || status == STATUS_IO;
}

static void on_pulled(struct sync_pull *pull, enum status status, const struct error *err)
{
    struct sync_look *look = pull->user;
    struct sync_slot *slot = container_of(pull, struct sync_slot, pull);
    struct sync_progress *progress = &look->progress;

    progress->messages += pull->stored;
    progress->bytes += pull->bytes;
    metric_add(&metric_synced, pull->stored);
    metric_add(&metric_synced_bytes, pull->bytes);
    if (pull->stored < pull->count) {
        progress->failed += pull->count - pull->stored;
        look->pulls_lacked = true;
    }
    if (status != STATUS_OK && look->pull_status == STATUS_OK &&
        (is_ours(status) || !peer_is_up(look->peer))) {
        look->pull_status = status;
        look->pull_err = *err;
    }
    look->flying -= slot->bytes;
    free(slot->messages);
    slot->messages = NULL;
    look_count(look);
    sync_look_go(look);
}

static uint64_t pull_bytes(const struct sync_message *messages, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += messages[i].length;
    return bytes;
}

/* What the peer has more of is on its way with what is begun: its part of the task's bytes goes along. */
static void pull_begin(struct sync_look *look, struct sync_slot *slot, unsigned count)
{
    struct sync_task *task = &look->tasks[look->task];
    size_t size = count * sizeof *slot->messages;

    slot->messages = malloc(size);
    if (slot->messages == NULL)
        abort();
    memcpy(slot->messages, look->missing + look->missing_next, size);
    slot->bytes = pull_bytes(slot->messages, count);
    slot->pull = (struct sync_pull){
        .loop = look->loop,
        .view = look->view,
        .peer = look->peer,
        .run = look->runs[task->run].run,
        .incarnation = look->runs[task->run].info.incarnation,
        .messages = slot->messages,
        .count = count,
        .shard = task->shard,
        .on_done = on_pulled,
        .user = look,
    };
    look->missing_next += count;
    look->flying += slot->bytes;
    task->bytes -= slot->bytes < task->bytes ? slot->bytes : task->bytes;
    sync_pull_start(&slot->pull);
}

static void pulls_begin(struct sync_look *look)
{
    for (unsigned i = 0; i < SYNC_SLOTS && look->pull_status == STATUS_OK && !look->stop; i++) {
        struct sync_slot *slot = &look->slots[i];
        if (slot->messages != NULL || look->missing_next == look->missing_count)
            continue;
        const struct sync_message *first = look->missing + look->missing_next;
        unsigned count = sync_pull_count(first, look->missing_count - look->missing_next);
        if (!look->may_read(look, pull_bytes(first, count)))
            return;
        pull_begin(look, slot, count);
    }
}

static bool pulls_are_begun(const struct sync_look *look)
{
    return look->missing_next == look->missing_count || look->pull_status != STATUS_OK || look->stop;
}

/* A pull may be over within its start: that is another turn, not a deeper call. */
void sync_look_go(struct sync_look *look)
{
    look->again = true;
    if (look->going)
        return;
    look->going = true;
    while (look->pulling && look->again) {
        look->again = false;
        pulls_begin(look);
    }
    look->going = false;
    if (look->pulling && pulls_are_begun(look)) {
        look->pulling = false;
        look->task++;
        fsm_resume(&look->fsm, STATUS_OK, NULL); /* look may be gone */
    } else if (look->draining && !look_is_pulling(look)) {
        look->draining = false;
        fsm_resume(&look->fsm, STATUS_OK, NULL); /* look may be gone */
    }
}

static enum fsm_next look_pull(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);

    look->pulling = true;
    sync_look_go(look);
    return fsm_wait(fsm, 1, LOOK_TASK);
}

/* --- the end --- */

static enum fsm_next look_drain(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);

    if (!look_is_pulling(look))
        return fsm_go(fsm, LOOK_DONE);
    look->draining = true;
    return fsm_wait(fsm, 1, LOOK_DONE);
}

static enum fsm_next look_done(struct fsm *fsm)
{
    struct sync_look *look = look_of(fsm);
    struct node_loop *loop = look->loop;
    enum status status = fsm->status != STATUS_OK ? fsm->status : look->pull_status;
    struct error err = fsm->status != STATUS_OK ? fsm->err : look->pull_err;

    look->settled = look->settled && !look->pulls_lacked && status == STATUS_OK && !look->stop &&
                    !look->more;
    if (look->settled)
        memcpy(look->seq, look->next_seq, sizeof look->seq);
    transfer_request_fini(&look->request);
    cluster_view_release(look->view);
    free(look->runs);
    free(look->tasks);
    free(look->missing);
    look->on_done(look, status, &err); /* look may be gone */
    node_loop_end(loop);
    return FSM_END;
}

void sync_look_start(struct sync_look *look)
{
    look->view = cluster_view(&look->loop->node->cluster);
    look->settled = true;
    look->more = false;
    look->progress = (struct sync_progress){ .messages = 0 };
    look->runs = NULL;
    look->tasks = NULL;
    look->missing = NULL;
    look->runs_count = look->run = look->tasks_count = look->tasks_size = look->task = 0;
    look->missing_count = look->missing_next = 0;
    look->pulling = look->draining = look->pulls_lacked = false;
    look->flying = 0;
    look->status = look->pull_status = STATUS_OK;
    transfer_request_init(&look->request);
    node_loop_begin(look->loop);
    fsm_start(&look->fsm, "sync-look", look_steps, ARRAY_COUNT(look_steps), LOOK_LIST, LOOK_DRAIN);
}
