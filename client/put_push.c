/* put_push.c: windows, the jobs that they are made into, and what becomes of each message. */
#include "client/put_push.h"

#include "proto/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct put_window {
    struct put_push *push;
    struct put_message *messages; /* owned; by base_time, then as in the input */
    size_t count;
    bool asked; /* all asks are answered: bodies are made */
    unsigned asks_left, bodies_left;
};

static void put_window_step(struct put_window *window);
static void job_on_done(struct transfer_request *request, enum status unused,
                        const struct error *unused_err);

void put_push_init(struct put_push *push, struct gs_session *session, const struct gs_put_options *options,
                   struct put_file *files, struct gs_put_summary *summary)
{
    *push = (struct put_push){ .session = session, .options = options, .files = files, .summary = summary };
    list_init(&push->jobs);
    list_init(&push->sent);
    error_init(&push->err);
}

bool put_push_idle(const struct put_push *push)
{
    return push->windows == 0;
}

static void put_push_fail(struct put_push *push, enum status status, const struct error *err)
{
    if (push->status != STATUS_OK)
        return;
    push->status = status;
    push->err = *err;
    push->err.status = status;
}

static void put_push_no_memory(struct put_push *push)
{
    struct error err;

    put_push_fail(push, error_set(&err, STATUS_NO_MEMORY, "no memory for a request"), &err);
}

/* The map that messages are placed by; NULL: they go to any node. A cluster of one has nothing to place. */
static const struct cluster_map *push_map(const struct put_push *push)
{
    const struct cluster_map *map = push->session->map;

    return push->options->way == GS_PUT_ANY || push->map_lost || map == NULL || map->nodes_count < 2
               ? NULL
               : map;
}

/* ---- jobs ---- */

static struct put_job *job_new(struct put_window *window, enum put_kind kind, uint32_t *picks, size_t count)
{
    struct put_job *job = put_job_new(window, kind, picks, count);

    if (job == NULL) {
        put_push_no_memory(window->push);
        return NULL;
    }
    job->push = window->push;
    job->messages = window->messages;
    if (kind == PUT_ASK)
        window->asks_left++;
    else
        window->bodies_left++;
    list_append(&window->push->jobs, &job->list);
    return job;
}

static void job_end(struct put_job *job)
{
    struct put_window *window = job->window;

    if (job->kind == PUT_ASK)
        window->asks_left--;
    else
        window->bodies_left--;
    put_job_free(job);
    put_window_step(window);
}

/* Bodies, or copies for the owners of that rank, of these messages, as many as it takes. Takes picks over. */
static void window_send(struct put_window *window, enum put_kind kind,
                        const struct cluster_map *map, unsigned rank, uint32_t *picks, size_t count)
{
    struct put_push *push = window->push;
    struct error err;
    size_t taken;

    if (map != NULL && put_place_sort(map, window->messages, picks, count, rank, &err) != STATUS_OK)
        put_push_fail(push, err.status, &err);
    for (size_t at = 0; at < count && push->status == STATUS_OK; at += taken) {
        uint64_t size;

        taken = put_place_body(map, window->messages, picks + at, count - at, rank,
                               push->options->body_messages_max, push->options->body_size_max, &size);
        uint32_t *part = malloc(taken * sizeof *part);
        if (part == NULL) {
            put_push_no_memory(push);
            break;
        }
        memcpy(part, picks + at, taken * sizeof *part);
        struct put_job *job = job_new(window, kind, part, taken);
        if (job == NULL)
            break;
        job->size = size;
        job->rank = rank;
        if (rank > 0) { /* what is begun is finished first */
            list_remove(&job->list);
            list_append(push->jobs.next, &job->list); /* in front of the first */
        }
        unsigned owner = map != NULL ? put_place_owner(map, &window->messages[part[0]], rank)
                                     : PUT_PLACE_NONE;
        if (owner != PUT_PLACE_NONE)
            snprintf(job->owner, sizeof job->owner, "%s", map->nodes[owner].id);
        else
            job->kind = PUT_BODY; /* what has no owner in our map is a coordinator's business */
    }
    free(picks);
}

/* ---- what becomes of a message ---- */

static void message_finish(struct put_push *push, const struct put_message *message)
{
    struct gs_put_summary *summary = push->summary;

    if (message->is_new)
        summary->stored++;
    else
        summary->known++;
    summary->bytes_pushed += message->size;
    if (summary->copies == 0 || message->copies < summary->copies)
        summary->copies = message->copies;
}

/* A coordinator answers for all copies. */
static void message_take_body(struct put_push *push, struct put_message *message,
                              const struct put_line *line)
{
    message->is_new |= line->is_new;
    message->copies = (uint8_t)line->copies;
    message_finish(push, message);
}

/* An owner answers for its own: the first one with what the others are to be told. */
static void message_take_copy(struct put_push *push, struct put_message *message, unsigned rank,
                              unsigned owners, const struct put_line *line)
{
    message->is_new |= line->is_new;
    if (message->by_others)
        return;
    message->copies++;
    if (rank > 0) {
        message->awaited--;
    } else {
        message->stored_at_us = line->stored_at_us;
        message->incarnation = line->incarnation;
        message->awaited = (uint8_t)(owners - 1);
    }
    if (message->awaited == 0)
        message_finish(push, message);
}

static size_t picks_room(size_t count)
{
    return (count + 1) * sizeof(uint32_t);
}

/* The first owner has these: on to the owners behind it. */
static void copies_send_on(struct put_job *job, const struct cluster_map *map)
{
    struct put_push *push = job->push;

    for (unsigned rank = 1; rank < map->replicas && push->status == STATUS_OK; rank++) {
        uint32_t *picks = malloc(picks_room(job->count));
        size_t count = 0;

        if (picks == NULL) {
            put_push_no_memory(push);
            return;
        }
        for (size_t i = 0; i < job->count; i++)
            if (put_place_owner(map, &job->messages[job->picks[i]], rank) != PUT_PLACE_NONE)
                picks[count++] = job->picks[i];
        window_send(job->window, PUT_COPY, map, rank, picks, count);
    }
}

/* Its messages, but for those that go that way already, by way of a coordinator: of the first owner, where that has them, so that
 * its stamp is theirs. */
static void copies_to_coordinator(struct put_job *job, bool by_first)
{
    const struct cluster_map *map = by_first ? job->push->session->map : NULL;
    struct put_message *messages = job->window->messages;
    uint32_t *picks = malloc(picks_room(job->count));
    size_t count = 0;

    if (picks == NULL) {
        put_push_no_memory(job->push);
        return;
    }
    for (size_t i = 0; i < job->count; i++) {
        struct put_message *message = &messages[job->picks[i]];
        if (message->by_others)
            continue;
        message->by_others = true;
        picks[count++] = job->picks[i];
    }
    window_send(job->window, PUT_BODY, map, 0, picks, count);
}

/* ---- answers ---- */

/* Failed for now: again after a while, unless that has been going on for too long. */
static bool job_retry(struct put_job *job, struct error *err)
{
    struct put_push *push = job->push;
    uint64_t now_ms = clock_monotonic_ms();

    if (job->failed_since_ms == 0)
        job->failed_since_ms = now_ms;
    if (now_ms - job->failed_since_ms >= push->session->retry_ms) {
        error_wrap(err, "given up after %" PRIu64 " s", (now_ms - job->failed_since_ms) / 1000);
        return false;
    }
    job->failures++;
    push->summary->retries++;
    job->retry_at_ms = now_ms + (job->failures < 6 ? 100u << job->failures : 6400);
    job->owner[0] = '\0'; /* the next is whoever is up */
    list_append(&push->jobs, &job->list);
    return true;
}

/* Is an owner's word good? A map of its own that is newer may name others; another cluster's node has no say, nor has one that
 * does not tell the stamp that the next owners need. *other: it is such a one. */
static bool copies_count(struct put_job *job, const struct cluster_map *map,
                         const struct put_line *lines, bool *other)
{
    uint64_t epoch = put_job_epoch(job, map->cluster, other);

    if (epoch > map->epoch && !job->push->map_lost) {
        job->push->stale = true;
        snprintf(job->push->newer_url, sizeof job->push->newer_url, "%s", job->node->url);
    }
    for (size_t i = 0; job->rank == 0 && i < job->count; i++)
        *other |= lines[i].stored_at_us == 0;
    return !*other && epoch <= map->epoch;
}

static void job_take(struct put_job *job, const struct put_line *lines)
{
    struct put_push *push = job->push;
    struct put_message *messages = job->window->messages;
    const struct cluster_map *map = push->session->map;
    bool other;

    if (job->kind == PUT_COPY && !copies_count(job, map, lines, &other)) {
        copies_to_coordinator(job, !other || job->rank > 0);
        return;
    }
    for (size_t i = 0; i < job->count; i++) {
        struct put_message *message = &messages[job->picks[i]];
        if (job->kind == PUT_BODY)
            message_take_body(push, message, &lines[i]);
        else
            message_take_copy(push, message, job->rank, put_place_owners(map, message), &lines[i]);
    }
    if (job->kind == PUT_COPY && job->rank == 0)
        copies_send_on(job, map);
}

static enum status job_result(struct put_job *job, struct error *err)
{
    struct put_line *lines = NULL;

    if (job->kind != PUT_ASK && (lines = calloc(job->count, sizeof *lines)) == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for an answer");
    enum status status = put_job_result(job, job->window->messages, lines, err);
    if (status == STATUS_OK && job->kind != PUT_ASK && job->push->status == STATUS_OK)
        job_take(job, lines);
    free(lines);
    return status;
}

/* May another node, or this one later, say otherwise? A node of another cluster is as good as down. */
static bool is_worth_another(enum status status)
{
    return status_is_temporary(status) || status == STATUS_OTHER_CLUSTER;
}

static void job_note_node(struct put_job *job, enum status status)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (status == STATUS_TIMEOUT)
        node_stalled(job->node, now_ms);
    else if (is_worth_another(status))
        node_failed(job->node, now_ms);
    else if (status != STATUS_CANCELLED)
        node_answered(job->node);
}

static void job_on_done(struct transfer_request *request, enum status unused, const struct error *unused_err)
{
    struct put_job *job = container_of(request, struct put_job, request);
    struct put_push *push = job->push;
    struct error err;

    (void)unused, (void)unused_err;
    error_init(&err);
    list_remove(&job->list);
    watch_end(&job->watch);
    push->sent_count--;
    job->node->under_way--;
    enum status status = job_result(job, &err);
    job_note_node(job, status);
    session_wake(push->session);
    bool ours = job->read_err.status != STATUS_OK || status == STATUS_CANCELLED ||
                status == STATUS_NO_MEMORY;
    if (push->status == STATUS_OK && status != STATUS_OK && !ours && job->kind == PUT_COPY) {
        push->summary->retries++;
        copies_to_coordinator(job, job->rank > 0);
        status = STATUS_OK;
    }
    if (is_worth_another(status) && push->status == STATUS_OK && job_retry(job, &err))
        return;
    if (status != STATUS_OK && status != STATUS_CANCELLED)
        put_push_fail(push, status, &err);
    job_end(job);
}

/* ---- sending ---- */

static void push_drop_waiting(struct put_push *push)
{
    while (!list_empty(&push->jobs)) {
        struct put_job *job = list_first(&push->jobs, struct put_job, list);

        list_remove(&job->list);
        job_end(job);
    }
}

/* The node that the job is for; NULL: any will do, or (of copies) it can't be had now. */
static struct node *job_owner(const struct put_job *job, uint64_t now_ms)
{
    struct node *node = job->owner[0] != '\0' ? nodes_by_id(&job->push->session->nodes, job->owner)
                                              : NULL;

    return node != NULL && !node_is_away(node, now_ms) ? node : NULL;
}

/* Copies whose owner is away, and where `further` all that are not for a first owner, find others by way of a coordinator. */
static void push_pass_by(struct put_push *push, uint64_t now_ms, bool further)
{
    list_for_each_safe (item, after, &push->jobs) {
        struct put_job *job = container_of(item, struct put_job, list);

        if (job->kind != PUT_COPY || (!(further && job->rank > 0) && job_owner(job, now_ms) != NULL))
            continue;
        list_remove(&job->list);
        copies_to_coordinator(job, job->rank > 0);
        job_end(job);
    }
}

/* What nobody was asked to take yet, as the map says now. */
static void push_place_again(struct put_push *push)
{
    const struct cluster_map *map = push_map(push);
    struct list waiting;

    list_init(&waiting);
    list_splice(&waiting, &push->jobs);
    list_for_each_safe (item, after, &waiting) {
        struct put_job *job = container_of(item, struct put_job, list);
        uint32_t *picks = job->picks;

        list_remove(&job->list);
        if (job->kind != PUT_COPY) {
            list_append(&push->jobs, &job->list);
            continue;
        }
        job->picks = NULL;
        window_send(job->window, map != NULL ? PUT_COPY : PUT_BODY, map, 0, picks, job->count);
        job_end(job);
    }
}

/* A newer map, once nothing is under way. What a first owner has goes by way of that one, whoever owns it now. */
static void push_take_map(struct put_push *push, uint64_t now_ms)
{
    push->stale = false;
    push_pass_by(push, now_ms, true);
    push->map_lost |= !session_map_again(push->session, push->newer_url);
    push_place_again(push);
}

/* The job whose node has least to do, so that no node gets all of what is under way. NULL: none can be sent before *next_ms. */
static struct put_job *push_next(struct put_push *push, uint64_t now_ms, struct node **node,
                                 uint64_t *next_ms)
{
    struct node *any = NULL; /* picked once, and only where somebody wants it: equals take turns */
    struct put_job *best = NULL;

    list_for_each (item, &push->jobs) {
        struct put_job *job = container_of(item, struct put_job, list);
        struct node *its = job_owner(job, now_ms);

        if (job->retry_at_ms > now_ms) {
            *next_ms = job->retry_at_ms < *next_ms ? job->retry_at_ms : *next_ms;
            continue;
        }
        if (its == NULL)
            its = any = any == NULL ? nodes_pick(&push->session->nodes, now_ms) : any;
        if (its == NULL) {
            uint64_t node_ms = nodes_next_ms(&push->session->nodes, now_ms);
            *next_ms = node_ms < *next_ms ? node_ms : *next_ms;
        } else if (best == NULL || its->under_way < (*node)->under_way) {
            best = job;
            *node = its;
        }
    }
    return best;
}

static void job_start(struct put_job *job, struct node *node)
{
    struct put_push *push = job->push;
    struct error err;

    error_init(&err);
    if (put_job_send(job, node, job_on_done, &err) != STATUS_OK) {
        put_push_fail(push, err.status, &err);
        return;
    }
    list_remove(&job->list);
    list_append(&push->sent, &job->list);
    push->sent_count++;
}

uint64_t put_push_pump(struct put_push *push)
{
    uint64_t now_ms = clock_monotonic_ms(), next_ms = UINT64_MAX;
    struct put_job *job;
    struct node *node;

    if (push->stale && push->sent_count == 0 && push->status == STATUS_OK)
        push_take_map(push, now_ms);
    if (push->status == STATUS_OK && !push->stale)
        push_pass_by(push, now_ms, false);
    while (push->status == STATUS_OK && !push->stale && push->sent_count < push->options->parallel &&
           (job = push_next(push, now_ms, &node, &next_ms)) != NULL)
        job_start(job, node);
    if (push->status != STATUS_OK)
        push_drop_waiting(push);
    return next_ms == UINT64_MAX ? UINT64_MAX : next_ms - now_ms;
}

void put_push_fini(struct put_push *push)
{
    struct error err;

    error_set(&err, STATUS_CANCELLED, "cancelled");
    put_push_fail(push, STATUS_CANCELLED, &err);
    list_for_each_safe (item, after, &push->sent)
        transfer_cancel(&container_of(item, struct put_job, list)->request);
    push_drop_waiting(push);
    while (push->sent_count > 0)
        transfer_run(push->session->transfer, 10);
    assert(push->windows == 0);
}

/* ---- windows ---- */

static int message_order(const void *a, const void *b)
{
    const struct put_message *left = a, *right = b;

    if (left->base_time != right->base_time)
        return left->base_time < right->base_time ? -1 : 1;
    if (left->file != right->file)
        return left->file < right->file ? -1 : 1;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void window_ask(struct put_window *window)
{
    for (size_t first = 0; first < window->count;) {
        size_t end = first + 1;

        while (end < window->count && window->messages[end].base_time == window->messages[first].base_time)
            end++;
        struct put_job *job = job_new(window, PUT_ASK, NULL, end - first);
        if (job == NULL)
            return;
        job->first = first;
        first = end;
    }
}

static void window_make_bodies(struct put_window *window)
{
    struct put_push *push = window->push;
    uint32_t *picks = malloc(picks_room(window->count));
    size_t count = 0;

    if (picks == NULL) {
        put_push_no_memory(push);
        return;
    }
    for (size_t i = 0; i < window->count; i++) {
        const struct put_message *message = &window->messages[i];

        if (message->missing) {
            push->summary->bytes_missing += message->size;
            picks[count++] = (uint32_t)i;
        } else {
            push->summary->known++;
        }
    }
    const struct cluster_map *map = push_map(push);
    if (push->options->dry_run)
        count = 0;
    window_send(window, map != NULL && push->options->way == GS_PUT_DIRECT ? PUT_COPY : PUT_BODY,
                map, 0, picks, count);
}

static void window_free(struct put_window *window)
{
    for (size_t i = 0; i < window->count; i++) {
        struct put_file *file = &window->push->files[window->messages[i].file];

        assert(file->pending > 0);
        file->pending--;
        put_file_settle(file);
    }
    window->push->windows--;
    free(window->messages);
    free(window);
}

/* Asked, then sent, then done. */
static void put_window_step(struct put_window *window)
{
    if (window->asks_left > 0)
        return;
    if (!window->asked) {
        window->asked = true;
        if (window->push->status == STATUS_OK)
            window_make_bodies(window);
    }
    if (window->bodies_left == 0)
        window_free(window);
}

void put_push_window(struct put_push *push, struct put_message *messages, size_t count)
{
    struct put_window *window = calloc(1, sizeof *window);

    if (window == NULL || count == 0) {
        struct error err;

        free(messages);
        free(window);
        if (count > 0)
            put_push_fail(push, error_set(&err, STATUS_NO_MEMORY, "no memory for a request"), &err);
        return;
    }
    qsort(messages, count, sizeof *messages, message_order);
    *window = (struct put_window){ .push = push, .messages = messages, .count = count };
    push->windows++;
    window_ask(window);
    put_window_step(window);
}
