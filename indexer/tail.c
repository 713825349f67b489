/* tail.c: follow each node's runs, each from its cursor.
 *
 * A tail is one node. Two things go on at once: the poll asks which runs changed and waits for the answer; the reader (tail_reader.c)
 * takes one run at a time that has news. Both end in tail_pump(), which starts what can be started.
 *
 * What is known of a run on a node:
 *   - its listing: journal id, number of records, files;
 *   - its cursor, as in the catalog (loaded once, before the first poll);
 *   - `scanned`: up to where this process has read the journal, which may be less than the cursor: the *file* records in front of the
 *     cursor are needed to know which file a *stored* record lies in.
 * `stale`: locations of files that the listing does not have may be in the catalog; they go before anything is read. */
#include "indexer/tail_node.h"

#include "indexer/map_authority.h"
#include "indexer/run_state.h"
#include "indexer/share.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

enum {
    TAIL_POLL_TIMEOUT_MS = 60000,
    TAIL_LISTING_SIZE_MAX = 256 << 20,
};

static void tail_on_retry(uv_timer_t *timer);

/* A node that shows an older state than the catalog's was not told, or did not hear: it is looked at again, and told. */
static void tail_weigh_again(struct tail *tail)
{
    struct catalog_run state;

    for (struct tail_run *run = tail->runs; run != NULL; run = run->hh.next)
        if (run->listed && run_state_get(tail->indexer, &run->run, &state) &&
            run_info_compare(&run->info, &state.info) < 0)
            run->weighed = false;
}

/* --- the poll --- */

uint64_t tail_retry_after(uint64_t retry_ms)
{
    if (retry_ms == 0)
        return TAIL_RETRY_MS_MIN;
    return retry_ms * 2 < TAIL_RETRY_MS_MAX ? retry_ms * 2 : TAIL_RETRY_MS_MAX;
}

void tail_retry_later(struct tail *tail)
{
    if (tail->stopping || uv_is_active((uv_handle_t *)&tail->retry))
        return;
    tail->retry_ms = tail_retry_after(tail->retry_ms);
    uv_timer_start(&tail->retry, tail_on_retry, tail->retry_ms, 0);
}

void tail_trouble(struct tail *tail, const struct error *err)
{
    if (strcmp(tail->error, err->text) != 0)
        log_msg(LOG_WARN, "tail.trouble", "node %s: %s", tail->id, err->text);
    snprintf(tail->error, sizeof tail->error, "%.250s", err->text);
}

void tail_well(struct tail *tail)
{
    tail->retry_ms = 0;
    for (const struct tail_run *run = tail->runs; run != NULL; run = run->hh.next)
        if (run->retry_ms > 0)
            return;
    tail->error[0] = '\0';
}

static void tail_on_poll(struct node_request *request, enum status status, const struct error *err)
{
    struct tail *tail = container_of(request, struct tail, poll);
    struct error story = *err;
    json_t *answer = NULL;

    tail->polling = false;
    if (status == STATUS_OK)
        status = json_parse(request->transfer.answer.data, request->transfer.answer.size, &answer, &story);
    if (status == STATUS_OK)
        status = tail_take_answer(tail, answer, &story);
    if (status != STATUS_OK && answer != NULL)
        error_wrap(&story, "node %s: /cluster/runs", tail->id);
    json_decref(answer);
    node_request_fini(request);
    if (tail->stopping) {
        tail_stop_if_idle(tail);
        return;
    }
    tail->reachable = status == STATUS_OK;
    if (status == STATUS_OK) {
        tail->last_heard_us = clock_wall_us();
        tail->listed_once = true;
        tail_weigh_again(tail);
        tail_well(tail);
    } else {
        tail_trouble(tail, &story);
        tail_retry_later(tail);
    }
    tail_pump(tail);
}

static void tail_poll(struct tail *tail)
{
    tail->polling = true;
    node_request_init(&tail->poll, tail->indexer);
    tail->poll.transfer.answer_max = TAIL_LISTING_SIZE_MAX;
    tail->poll.transfer.stall_timeout_ms = TAIL_POLL_TIMEOUT_MS;
    if (tail->seq[0] == '\0')
        node_request_start(&tail->poll, "GET", tail->url, TAIL_POLL_TIMEOUT_MS, tail_on_poll,
                           "/cluster/runs");
    else
        node_request_start(&tail->poll, "GET", tail->url, TAIL_POLL_TIMEOUT_MS, tail_on_poll,
                           "/cluster/runs?since=%s", tail->seq);
}

static void tail_on_retry(uv_timer_t *timer)
{
    tail_pump(timer->data);
}

/* --- what can be started is started --- */

/* A journal is read further than the listing that made us read it. */
static uint64_t tail_run_behind(const struct tail_run *run)
{
    uint64_t done = tail_cursor_holds(run) ? run->cursor.record : 0;

    return run->skipped || run->journal_id == 0 || done >= run->records ? 0 : run->records - done;
}

static uint64_t tail_behind(const struct tail *tail)
{
    uint64_t behind = 0;

    for (const struct tail_run *run = tail->runs; run != NULL; run = run->hh.next)
        behind += tail_run_behind(run);
    return behind;
}

void tail_pump(struct tail *tail)
{
    if (tail->stopping) {
        tail_stop_if_idle(tail);
        return;
    }
    if (uv_is_active((uv_handle_t *)&tail->retry))
        return; /* in trouble: one thing at a time, when the timer comes */
    if (!tail->cursors_known) {
        if (!tail->loading)
            tail_load_cursors(tail);
        return;
    }
    if (!tail->polling && !tail->out)
        tail_poll(tail);
    if (!tail->reading && tail->listed_once)
        tail_reader_next(tail);
    if (!tail->reading && tail->listed_once && tail_behind(tail) == 0)
        tail->even_ms = clock_monotonic_ms();
}

/* --- tails come and go with the map --- */

static void tail_start(struct indexer *indexer, const struct map_node *node)
{
    struct tail *tail = calloc(1, sizeof *tail);

    assert(tail != NULL);
    tail->indexer = indexer;
    snprintf(tail->id, sizeof tail->id, "%s", node->id);
    snprintf(tail->url, sizeof tail->url, "%s", node->url);
    tail->out = node->state == NODE_OUT;
    tail->even_ms = clock_monotonic_ms();
    uv_timer_init(indexer->loop, &tail->retry);
    uv_timer_init(indexer->loop, &tail->again);
    tail->retry.data = tail->again.data = tail;
    list_append(&indexer->tails->list, &tail->list);
    log_msg(LOG_INFO, "tail.start", "node %s at %s%s", tail->id, tail->url,
            tail->out ? " is out: what it held is forgotten" : "");
    tail_pump(tail);
}

static void tail_on_closed(uv_handle_t *handle)
{
    struct tail *tail = handle->data;
    struct indexer *indexer = tail->indexer;
    struct tails *tails = indexer->tails;
    struct tail_run *run, *after;

    HASH_ITER(hh, tail->runs, run, after)
    {
        tail_run_free(tail, run);
    }
    list_remove(&tail->list);
    free(tail);
    if (tails->on_stopped != NULL)
        tails_stop_if_idle(tails);
    else if (map_authority_map(indexer) != NULL)
        tails_on_map(indexer, map_authority_map(indexer)); /* perhaps another one was waiting for this one's end */
    share_on_tail_closed(indexer);
}

static void tail_on_again_closed(uv_handle_t *handle)
{
    struct tail *tail = handle->data;
    uv_close((uv_handle_t *)&tail->retry, tail_on_closed);
}

void tail_stop_if_idle(struct tail *tail)
{
    if (tail->stopping && !tail->polling && !tail->loading && !tail->reading &&
        !uv_is_closing((uv_handle_t *)&tail->again))
        uv_close((uv_handle_t *)&tail->again, tail_on_again_closed);
}

static void tail_stop(struct tail *tail)
{
    if (tail->stopping)
        return;
    tail->stopping = true;
    if (tail->polling)
        node_request_cancel(&tail->poll);
    if (tail->reading)
        tail_reader_cancel(tail);
    tail_stop_if_idle(tail);
}

static bool tail_serves(const struct tail *tail, const struct map_node *node)
{
    return !tail->stopping && share_holds(tail->indexer, node->id) &&
           tail->out == (node->state == NODE_OUT) && strcmp(tail->id, node->id) == 0 &&
           strcmp(tail->url, node->url) == 0;
}

void tails_on_map(struct indexer *indexer, struct cluster_map *map)
{
    if (indexer->tails == NULL || indexer->tails->on_stopped != NULL)
        return; /* stopping */
    list_for_each_safe (at, after, &indexer->tails->list) {
        struct tail *tail = container_of(at, struct tail, list);
        const struct map_node *node = map_find(map, tail->id);
        if (node == NULL || !tail_serves(tail, node))
            tail_stop(tail);
    }
    for (unsigned i = 0; i < map->nodes_count;
         i++) /* one that still ends is waited for: two at one node would be in each other's way */
        if (share_holds(indexer, map->nodes[i].id) && !tails_has(indexer, map->nodes[i].id))
            tail_start(indexer, &map->nodes[i]);
}

bool tails_has(const struct indexer *indexer, const char *node)
{
    if (indexer->tails == NULL)
        return false;
    list_for_each (at, &indexer->tails->list)
        if (strcmp(container_of(at, struct tail, list)->id, node) == 0)
            return true;
    return false;
}

bool tails_ended(const struct indexer *indexer)
{
    return indexer->tails == NULL || list_empty(&indexer->tails->list);
}

enum status tails_start(struct indexer *indexer, struct error *err)
{
    struct tails *tails = calloc(1, sizeof *tails);

    if (tails == NULL)
        return error_set(err, STATUS_NO_MEMORY, "tails");
    tails->indexer = indexer;
    list_init(&tails->list);
    list_init(&tails->settles);
    list_init(&tails->debts);
    indexer->tails = tails;
    return STATUS_OK;
}

void tails_stop_if_idle(struct tails *tails)
{
    struct indexer *indexer = tails->indexer;
    void (*on_stopped)(struct indexer *) = tails->on_stopped;

    if (on_stopped == NULL || !list_empty(&tails->list) || !list_empty(&tails->debts))
        return;
    indexer->tails = NULL;
    free(tails);
    on_stopped(indexer);
}

void tails_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct tails *tails = indexer->tails;

    tails->on_stopped = on_stopped;
    tail_debts_stop(tails);
    list_for_each_safe (at, after, &tails->list)
        tail_stop(container_of(at, struct tail, list));
    tails_stop_if_idle(tails);
}

size_t tails_status(struct indexer *indexer, struct tail_status *status, size_t count_max)
{
    size_t count = 0;

    if (indexer->tails == NULL)
        return 0;
    list_for_each (at, &indexer->tails->list) {
        const struct tail *tail = container_of(at, struct tail, list);
        if (count == count_max || tail->stopping || tail->out)
            continue;
        struct tail_status *to = &status[count++];
        *to = (struct tail_status){ .reachable = tail->reachable,
                                    .last_heard_us = tail->last_heard_us,
                                    .records_read = tail->records_read };
        snprintf(to->node, sizeof to->node, "%s", tail->id);
        snprintf(to->url, sizeof to->url, "%s", tail->url);
        snprintf(to->error, sizeof to->error, "%s", tail->error);
        to->records_behind = tail_behind(tail);
        to->seconds_behind = to->records_behind == 0 && tail->listed_once
                                 ? 0
                                 : (clock_monotonic_ms() - tail->even_ms) / 1000;
        to->caught_up = tail->listed_once && to->records_behind == 0;
    }
    return count;
}
