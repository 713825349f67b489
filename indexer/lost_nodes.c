/* lost_nodes.c: who is silent, and what becomes of it.
 *
 *     timer -> ask all -> candidate? -> others hear it? -> what others hold -> room? lease -> map -> timer
 *
 * One round at a time. A round that finds a reason against it ends; the next one finds it again, or not. */
#include "indexer/lost_nodes.h"

#include "indexer/lost_judge.h"
#include "indexer/map_authority.h"
#include "indexer/node_request.h"
#include "indexer/run_state.h"
#include "proto/base/clock.h"
#include "proto/base/fsm.h"
#include "proto/base/json_read.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"
#include "proto/cluster_change.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOST_PERIOD_MS_MIN = 250,
    LOST_PERIOD_MS_MAX = 10000,
    LOST_ROUNDS = 8, /* so often is a node asked in out-after, at least */
    LOST_TIMEOUT_MS = 5000,
    LOST_LIST_TIMEOUT_MS = 30000,
    LOST_WITNESSES = 2,
    LOST_ANSWER_MAX = 1 << 20,
    LOST_LIST_MAX = 64 << 20,
    LOST_MARKED_MAX = 8, /* that are remembered for /v1/status */
};

static const char lost_lease[] = "lost/node";

enum lost_step {
    LOST_STEP_ASK,
    LOST_STEP_WITNESS,
    LOST_STEP_LIST,
    LOST_STEP_READ,
    LOST_STEP_PLAN,
    LOST_STEP_PUT,
    LOST_STEP_END,
};

/* What is remembered of a node from round to round. */
struct lost_seen {
    char id[NODE_ID_SIZE_MAX + 1], url[URL_SIZE_MAX + 1];
    struct lost_node node;
};

struct lost_ask {
    struct lost_nodes *lost;
    unsigned node;
    struct node_request request;
};

struct lost_nodes {
    struct indexer *indexer;
    uv_timer_t timer;
    struct fsm fsm;
    bool running, stopping;
    uint64_t asked_ms;      /* when the last round began, monotonic; 0: none yet */
    struct lost_seen *seen; /* owned; of the map of the last round */
    size_t seen_count;
    /* a round's */
    struct cluster_map *map, *next; /* owned references */
    struct lost_node *nodes;        /* owned; by number in map */
    struct lost_ask *asks;          /* owned */
    unsigned lost, listing;
    struct lost_holding *holdings; /* owned */
    size_t holdings_count, holdings_size;
    struct cluster_wish wish;
    struct work work;
    char owner[64]; /* of the lease */
    bool leased;
    char why[LOST_WHY_SIZE], said[LOST_WHY_SIZE];
    struct {
        char id[NODE_ID_SIZE_MAX + 1];
        uint64_t at_us;
    } marked[LOST_MARKED_MAX];
    unsigned marked_count;
    void (*on_stopped)(struct indexer *indexer);
};

static struct metric lost_marked = { .name = "gribstore_nodes_marked_out_total",
                                     .help = "Nodes that were counted out because nobody heard them.",
                                     .kind = METRIC_COUNTER };

static struct lost_nodes *lost_of(struct fsm *fsm)
{
    return container_of(fsm, struct lost_nodes, fsm);
}

static uint64_t lost_period_ms(const struct lost_nodes *lost)
{
    uint64_t period = lost->indexer->settings->out_after_ms / LOST_ROUNDS;

    if (period > LOST_PERIOD_MS_MAX)
        return LOST_PERIOD_MS_MAX;
    return period < LOST_PERIOD_MS_MIN ? LOST_PERIOD_MS_MIN : period;
}

/* A reason against it: said once, until there is another one. */
static enum fsm_next lost_keep(struct lost_nodes *lost)
{
    if (strcmp(lost->why, lost->said) != 0 && lost->why[0] != '\0')
        log_msg(LOG_WARN, "node.kept", "%s", lost->why);
    return fsm_go(&lost->fsm, LOST_STEP_END);
}

/* --- ASK: every node that is not out --- */

static const struct lost_seen *seen_find(const struct lost_nodes *lost, const struct map_node *node)
{
    for (size_t i = 0; i < lost->seen_count; i++)
        if (strcmp(lost->seen[i].id, node->id) == 0 && strcmp(lost->seen[i].url, node->url) == 0)
            return &lost->seen[i];
    return NULL;
}

/* Silence grows by the time between two rounds, as far as it is what it should be: a process that did not run heard nobody. */
static void ask_begin(struct lost_nodes *lost)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t passed_ms = lost->asked_ms == 0 ? 0 : now_ms - lost->asked_ms;
    uint64_t most_ms = lost_period_ms(lost) + LOST_TIMEOUT_MS;

    lost->asked_ms = now_ms;
    lost->nodes = calloc(lost->map->nodes_count + 1, sizeof *lost->nodes);
    lost->asks = calloc(lost->map->nodes_count + 1, sizeof *lost->asks);
    assert(lost->nodes != NULL && lost->asks != NULL);
    for (unsigned i = 0; i < lost->map->nodes_count; i++) {
        const struct lost_seen *seen = seen_find(lost, &lost->map->nodes[i]);
        if (seen == NULL)
            continue;
        lost->nodes[i] = seen->node;
        lost->nodes[i].silent_ms += passed_ms < most_ms ? passed_ms : most_ms;
    }
}

static void ask_end(struct lost_nodes *lost)
{
    free(lost->seen);
    lost->seen_count = lost->map->nodes_count;
    lost->seen = calloc(lost->seen_count + 1, sizeof *lost->seen);
    assert(lost->seen != NULL);
    for (size_t i = 0; i < lost->seen_count; i++) {
        memcpy(lost->seen[i].id, lost->map->nodes[i].id, sizeof lost->seen[i].id);
        memcpy(lost->seen[i].url, lost->map->nodes[i].url, sizeof lost->seen[i].url);
        lost->seen[i].node = lost->nodes[i];
    }
}

static void ask_take_capacity(struct lost_node *node, const struct buf *answer)
{
    struct error err;
    json_t *object;

    if (json_parse(answer->data, answer->size, &object, &err) != STATUS_OK)
        return;
    uint64_t used, high_water;
    node->has_capacity = json_get_u64(object, "used", INT64_MAX, &used, &err) == STATUS_OK &&
                         json_get_u64(object, "high_water", INT64_MAX, &high_water, &err) == STATUS_OK;
    if (node->has_capacity) {
        node->used = used;
        node->high_water = high_water;
    }
    json_decref(object);
}

static void ask_on_done(struct node_request *request, enum status status, const struct error *err)
{
    struct lost_ask *ask = container_of(request, struct lost_ask, request);
    struct lost_nodes *lost = ask->lost;
    struct lost_node *node = &lost->nodes[ask->node];

    (void)err;
    node->answers = request->transfer.http_status != 0;
    if (node->answers)
        node->silent_ms = 0;
    if (status == STATUS_OK)
        ask_take_capacity(node, &request->transfer.answer);
    node_request_fini(request);
    fsm_resume(&lost->fsm, STATUS_OK, NULL);
}

static void lost_send(struct lost_nodes *lost, unsigned node, const char *path, size_t answer_max,
                      uint64_t timeout_ms,
                      void (*on_done)(struct node_request *request, enum status status,
                                      const struct error *err))
{
    struct lost_ask *ask = &lost->asks[node];

    ask->lost = lost;
    ask->node = node;
    node_request_init(&ask->request, lost->indexer);
    ask->request.until_stop = true;
    ask->request.transfer.answer_max = answer_max;
    node_request_start(&ask->request, "GET", lost->map->nodes[node].url, timeout_ms, on_done, "%s", path);
}

static enum fsm_next lost_ask(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);
    struct cluster_map *map = map_authority_map(lost->indexer);
    unsigned count = 0;

    if (map == NULL)
        return fsm_go(fsm, LOST_STEP_END);
    lost->map = map_ref(map);
    ask_begin(lost);
    for (unsigned i = 0; i < map->nodes_count; i++) {
        if (map->nodes[i].state == NODE_OUT)
            continue;
        lost_send(lost, i, "/cluster/capacity", LOST_ANSWER_MAX, LOST_TIMEOUT_MS, ask_on_done);
        count++;
    }
    return count == 0 ? fsm_go(fsm, LOST_STEP_END) : fsm_wait(fsm, count, LOST_STEP_WITNESS);
}

/* --- WITNESS: do others hear it --- */

/* Whether a node's list of its peers says that this one is up. */
static bool witness_hears(const struct buf *answer, const char *id)
{
    struct error err;
    bool hears = false;
    json_t *object, *nodes;

    if (json_parse(answer->data, answer->size, &object, &err) != STATUS_OK)
        return false;
    if (json_get_array(object, "nodes", &nodes, &err) == STATUS_OK)
        for (size_t i = 0; i < json_array_size(nodes); i++) {
            const char *name = json_string_value(json_object_get(json_array_get(nodes, i), "node"));
            hears = hears || (name != NULL && strcmp(name, id) == 0 &&
                              json_is_true(json_object_get(json_array_get(nodes, i), "up")));
        }
    json_decref(object);
    return hears;
}

static void witness_on_done(struct node_request *request, enum status status, const struct error *err)
{
    struct lost_ask *ask = container_of(request, struct lost_ask, request);
    struct lost_nodes *lost = ask->lost;
    const char *id = lost->map->nodes[lost->lost].id, *witness = lost->map->nodes[ask->node].id;

    if (status != STATUS_OK)
        snprintf(lost->why, sizeof lost->why,
                 "%s stays in: %s can't say whether it hears it: %.80s", id, witness, err->text);
    else if (witness_hears(&request->transfer.answer, id))
        snprintf(lost->why, sizeof lost->why, "%s stays in: %s hears it", id, witness);
    node_request_fini(request);
    fsm_resume(&lost->fsm, STATUS_OK, NULL);
}

static enum fsm_next lost_witness(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);
    uint32_t from;
    unsigned count = 0;

    ask_end(lost);
    lost->lost = lost_candidate(lost->map, lost->nodes, lost->indexer->settings->out_after_ms, lost->why);
    if (lost->lost == NODE_NONE || lost->stopping)
        return lost_keep(lost);
    random_bytes(&from, sizeof from); /* not always the same two */
    for (unsigned i = 0; i < lost->map->nodes_count && count < LOST_WITNESSES; i++) {
        unsigned node = (from % lost->map->nodes_count + i) % lost->map->nodes_count;
        if (!lost->nodes[node].answers || lost->map->nodes[node].state == NODE_OUT)
            continue;
        lost_send(lost, node, "/cluster/sync", LOST_ANSWER_MAX, LOST_TIMEOUT_MS, witness_on_done);
        count++;
    }
    return count == 0 ? fsm_go(fsm, LOST_STEP_END) : fsm_wait(fsm, count, LOST_STEP_LIST);
}

/* --- LIST, READ: what the others hold, one after another --- */

static void list_on_done(struct node_request *request, enum status status, const struct error *err)
{
    struct lost_ask *ask = container_of(request, struct lost_ask, request);
    struct lost_nodes *lost = ask->lost;

    if (status != STATUS_OK) {
        snprintf(lost->why, sizeof lost->why, "%s stays in: what %s holds is not known: %.80s",
                 lost->map->nodes[lost->lost].id, lost->map->nodes[ask->node].id, err->text);
        node_request_fini(request);
    }
    fsm_resume(&lost->fsm, STATUS_OK, NULL);
}

static enum fsm_next lost_list(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);

    if (lost->why[0] != '\0' || lost->stopping)
        return lost_keep(lost);
    while (lost->listing < lost->map->nodes_count && !lost->nodes[lost->listing].answers)
        lost->listing++;
    if (lost->listing == lost->map->nodes_count)
        return fsm_go(fsm, LOST_STEP_PLAN);
    lost_send(lost, lost->listing, "/cluster/runs", LOST_LIST_MAX, LOST_LIST_TIMEOUT_MS, list_on_done);
    return fsm_wait(fsm, 1, LOST_STEP_READ);
}

static void read_add(struct lost_nodes *lost, const struct run_key *run, const json_t *file)
{
    struct error err;
    uint64_t shard, size;

    if (json_get_u64(file, "shard", MAP_SHARDS_MAX - 1, &shard, &err) != STATUS_OK ||
        json_get_u64(file, "size", INT64_MAX, &size, &err) != STATUS_OK)
        return;
    if (lost->holdings_count == lost->holdings_size) {
        lost->holdings_size = lost->holdings_size == 0 ? 1024 : 2 * lost->holdings_size;
        lost->holdings = realloc(lost->holdings, lost->holdings_size * sizeof *lost->holdings);
        assert(lost->holdings != NULL);
    }
    lost->holdings[lost->holdings_count++] = (struct lost_holding){
        .run = *run, .shard = (unsigned)shard, .node = (uint16_t)lost->listing, .bytes = size
    };
}

static void read_run(struct work *work)
{
    struct lost_nodes *lost = container_of(work, struct lost_nodes, work);
    const struct buf *answer = &lost->asks[lost->listing].request.transfer.answer;
    json_t *object, *runs;

    work->status = json_parse(answer->data, answer->size, &object, &work->err);
    if (work->status != STATUS_OK)
        return;
    work->status = json_get_array(object, "runs", &runs, &work->err);
    for (size_t i = 0; work->status == STATUS_OK && i < json_array_size(runs); i++) {
        const json_t *run = json_array_get(runs, i), *files = json_object_get(run, "files");
        const char *source, *base_time;
        struct run_key key;
        work->status = json_get_string(run, "source", &source, &work->err);
        if (work->status == STATUS_OK)
            work->status = json_get_string(run, "base_time", &base_time, &work->err);
        if (work->status == STATUS_OK)
            work->status = run_key_parse(slice_text(source), slice_text(base_time), &key, &work->err);
        for (size_t k = 0; work->status == STATUS_OK && k < json_array_size(files); k++)
            read_add(lost, &key, json_array_get(files, k));
    }
    json_decref(object);
}

static void lost_on_work(struct work *work)
{
    struct lost_nodes *lost = container_of(work, struct lost_nodes, work);
    fsm_resume(&lost->fsm, work->status, &work->err);
}

static void read_on_done(struct work *work)
{
    struct lost_nodes *lost = container_of(work, struct lost_nodes, work);

    node_request_fini(&lost->asks[lost->listing].request);
    lost->listing++;
    lost_on_work(work);
}

static enum fsm_next lost_read(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);

    if (lost->why[0] != '\0')
        return lost_keep(lost);
    error_init(&lost->work.err);
    work_start(lost->indexer->loop, &lost->work, read_run, read_on_done);
    return fsm_wait(fsm, 1, LOST_STEP_LIST);
}

/* --- PLAN: the map without it, room for it, and whether it is time --- */

static bool plan_on_run(void *data, const struct catalog_run *run)
{
    struct cluster_wish *wish = data;

    if (run->info.state == RUN_PURGED)
        return true;
    if (!wish->has_data || run->run.base_time < wish->oldest)
        wish->oldest = run->run.base_time;
    wish->has_data = true;
    return true;
}

static void plan_run(struct work *work)
{
    struct lost_nodes *lost = container_of(work, struct lost_nodes, work);
    const char *id = lost->map->nodes[lost->lost].id;
    char holder[64], why[LOST_WHY_SIZE];

    work->status = cluster_change(lost->map, &lost->wish, &lost->next, NULL, &work->err);
    if (work->status != STATUS_OK)
        return;
    if (!lost_fits(lost->next, lost->nodes, lost->holdings, lost->holdings_count, why)) {
        work->status = error_set(&work->err, STATUS_FULL, "%s", why);
        return;
    }
    work->status = catalog_lease_take(lost->indexer->catalog, lost_lease, lost->owner,
                                      lost->indexer->settings->out_after_ms, holder, &work->err);
    lost->leased = work->status == STATUS_OK;
    if (work->status == STATUS_CONFLICT)
        error_set(&work->err, STATUS_CONFLICT,
                  "%s has to wait: another node was counted out a while ago", id);
}

static enum fsm_next lost_plan(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);
    uint64_t random;

    lost->wish = (struct cluster_wish){ .action = CLUSTER_LOST, .node = lost->map->nodes[lost->lost].id };
    run_state_each(lost->indexer, plan_on_run, &lost->wish);
    /* Nobody's twice: who holds it may not renew it either. */
    random_bytes(&random, sizeof random);
    snprintf(lost->owner, sizeof lost->owner, "lost-%016" PRIx64, random);
    error_init(&lost->work.err);
    work_start(lost->indexer->loop, &lost->work, plan_run, lost_on_work);
    return fsm_wait(fsm, 1, LOST_STEP_PUT);
}

/* --- PUT --- */

static void put_on_done(void *data, enum status status, const struct error *err)
{
    struct lost_nodes *lost = data;
    fsm_resume(&lost->fsm, status, err);
}

static enum fsm_next lost_put(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);

    map_authority_put(lost->indexer, lost->next, lost->map->epoch, put_on_done, lost);
    return fsm_wait(fsm, 1, LOST_STEP_END);
}

/* --- END --- */

static void end_marked(struct lost_nodes *lost)
{
    const struct map_node *node = &lost->map->nodes[lost->lost];

    if (lost->marked_count == LOST_MARKED_MAX)
        memmove(&lost->marked[0], &lost->marked[1], --lost->marked_count * sizeof lost->marked[0]);
    snprintf(lost->marked[lost->marked_count].id, sizeof lost->marked[0].id, "%s", node->id);
    lost->marked[lost->marked_count++].at_us = clock_wall_us();
    metric_add(&lost_marked, 1);
    log_msg(LOG_ERROR, "node.out",
            "%s has not answered for %" PRIu64 " s: it is out from epoch %" PRIu64
            " on, and its shards are made whole elsewhere",
            node->id, lost->nodes[lost->lost].silent_ms / 1000, lost->next->epoch);
}

static void end_release_run(struct work *work)
{
    struct lost_nodes *lost = container_of(work, struct lost_nodes, work);
    work->status = catalog_lease_release(lost->indexer->catalog, lost_lease, lost->owner, &work->err);
}

static void lost_on_timer(uv_timer_t *timer);

static void lost_on_closed(uv_handle_t *handle)
{
    struct lost_nodes *lost = handle->data;
    struct indexer *indexer = lost->indexer;
    void (*on_stopped)(struct indexer *) = lost->on_stopped;

    free(lost->seen);
    free(lost);
    indexer->lost_nodes = NULL;
    on_stopped(indexer);
}

static void end_round(struct lost_nodes *lost)
{
    memcpy(lost->said, lost->why, sizeof lost->said);
    map_unref(lost->map);
    map_unref(lost->next);
    free(lost->nodes);
    free(lost->asks);
    free(lost->holdings);
    lost->map = lost->next = NULL;
    lost->nodes = NULL;
    lost->asks = NULL;
    lost->holdings = NULL;
    lost->holdings_count = lost->holdings_size = 0;
    lost->running = false;
    if (lost->stopping)
        uv_close((uv_handle_t *)&lost->timer, lost_on_closed);
    else
        uv_timer_start(&lost->timer, lost_on_timer, lost_period_ms(lost), 0);
}

static void end_on_released(struct work *work)
{
    struct lost_nodes *lost = container_of(work, struct lost_nodes, work);
    end_round(lost);
}

static enum fsm_next lost_end(struct fsm *fsm)
{
    struct lost_nodes *lost = lost_of(fsm);
    bool failed = fsm->status != STATUS_OK;

    if (failed) {
        snprintf(lost->why, sizeof lost->why, "%s stays in: %.180s",
                 lost->map->nodes[lost->lost].id, fsm->err.text);
        if (strcmp(lost->why, lost->said) != 0)
            log_msg(LOG_WARN, "node.kept", "%s", lost->why);
    } else if (lost->leased) {
        end_marked(lost);
    }
    if (failed && lost->leased) {
        error_init(&lost->work.err);
        work_start(lost->indexer->loop, &lost->work, end_release_run, end_on_released);
    } else {
        end_round(lost);
    }
    return FSM_END;
}

#define TO(step) (1u << LOST_STEP_##step)
static const struct fsm_step lost_steps[] = {
    [LOST_STEP_ASK] = { "ask", lost_ask, TO(WITNESS) | TO(END) },
    [LOST_STEP_WITNESS] = { "witness", lost_witness, TO(LIST) | TO(END) },
    [LOST_STEP_LIST] = { "list", lost_list, TO(READ) | TO(PLAN) | TO(END) },
    [LOST_STEP_READ] = { "read", lost_read, TO(LIST) | TO(END) },
    [LOST_STEP_PLAN] = { "plan", lost_plan, TO(PUT) },
    [LOST_STEP_PUT] = { "put", lost_put, TO(END) },
    [LOST_STEP_END] = { "end", lost_end, 0 },
};

static void lost_on_timer(uv_timer_t *timer)
{
    struct lost_nodes *lost = timer->data;

    lost->running = true;
    lost->leased = false;
    lost->lost = NODE_NONE;
    lost->listing = 0;
    lost->why[0] = '\0';
    fsm_start(&lost->fsm, "lost-nodes", lost_steps, ARRAY_COUNT(lost_steps), LOST_STEP_ASK, LOST_STEP_END);
}

enum status lost_nodes_start(struct indexer *indexer, struct error *err)
{
    if (indexer->settings->out_after_ms == 0)
        return STATUS_OK;
    struct lost_nodes *lost = calloc(1, sizeof *lost);
    if (lost == NULL)
        return error_set(err, STATUS_NO_MEMORY, "the watch of nodes");
    metric_register(&lost_marked);
    lost->indexer = indexer;
    indexer->lost_nodes = lost;
    uv_timer_init(indexer->loop, &lost->timer);
    lost->timer.data = lost;
    uv_timer_start(&lost->timer, lost_on_timer, lost_period_ms(lost), 0);
    return STATUS_OK;
}

void lost_nodes_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct lost_nodes *lost = indexer->lost_nodes;

    if (lost == NULL) {
        on_stopped(indexer);
        return;
    }
    lost->stopping = true;
    lost->on_stopped = on_stopped;
    if (!lost->running)
        uv_close((uv_handle_t *)&lost->timer, lost_on_closed);
}

void lost_nodes_print(const struct indexer *indexer, struct json_writer *json)
{
    const struct lost_nodes *lost = indexer->lost_nodes;

    json_object_begin(json);
    json_put_u64(json, "seconds", indexer->settings->out_after_ms / 1000);
    json_key(json, "silent");
    json_array_begin(json);
    for (size_t i = 0; lost != NULL && i < lost->seen_count; i++) {
        if (lost->seen[i].node.answers || lost->seen[i].node.silent_ms == 0)
            continue;
        json_object_begin(json);
        json_put_string(json, "node", lost->seen[i].id);
        json_put_u64(json, "seconds", lost->seen[i].node.silent_ms / 1000);
        json_object_end(json);
    }
    json_array_end(json);
    json_put_string(json, "kept", lost != NULL && lost->said[0] != '\0' ? lost->said : NULL);
    json_key(json, "marked_out");
    json_array_begin(json);
    for (unsigned i = 0; lost != NULL && i < lost->marked_count; i++) {
        json_object_begin(json);
        json_put_string(json, "node", lost->marked[i].id);
        json_put_time(json, "at", lost->marked[i].at_us);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}
