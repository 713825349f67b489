/* repair.c: the queue of what is to be repaired, and its rounds. */
#include "storaged/repair.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/repair_message.h"

#include "proto/base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct repair {
    struct node_loop *loop;
    uv_timer_t timer;
    bool stopped;
    bool going, again; /* repair_go() is on the stack, and was called once more */
    /* the writer's thread tells under the mutex */
    uv_mutex_t mutex;
    struct store_missing told[REPAIR_QUEUE_MAX];
    unsigned told_count;
    bool told_more; /* than there was room for */
    /* the loop's */
    struct store_missing queue[REPAIR_QUEUE_MAX];
    unsigned queue_count, queue_next;
    struct repair_message slots[REPAIR_SLOTS];
    bool busy[REPAIR_SLOTS];
    bool look;                 /* the store is to be asked what is missing */
    unsigned failed, repaired; /* since it was */
    uint64_t rest_ms;
    /* a look at the store */
    struct work work;
    bool looking;
    unsigned found_count;
    struct store_missing *found; /* owned; the pool's while looking */
    _Atomic uint64_t missing;
};

static void repair_set_missing(struct repair *repair, uint64_t missing)
{
    atomic_store(&repair->missing, missing);
    metric_set(&metric_missing, (int64_t)missing);
}

/* --- told by the store --- */

static void on_bad(void *user, const struct store_bad *bad)
{
    struct repair *repair = user;

    if (bad->place.stored_at_us == 0) /* adopted: it did not count */
        return;
    uv_mutex_lock(&repair->mutex);
    if (repair->told_count < REPAIR_QUEUE_MAX)
        repair->told[repair->told_count++] = (struct store_missing){
            .run = bad->run,
            .incarnation = bad->incarnation,
            .digest = bad->digest,
            .length = bad->place.length,
            .stored_at_us = bad->place.stored_at_us,
        };
    else
        repair->told_more = true;
    uv_mutex_unlock(&repair->mutex);
    node_loop_wake(repair->loop);
}

static void repair_queue_add(struct repair *repair, const struct store_missing *missing)
{
    if (repair->queue_count - repair->queue_next == REPAIR_QUEUE_MAX) {
        repair->look = true;
        return;
    }
    if (repair->queue_count == REPAIR_QUEUE_MAX) {
        repair->queue_count -= repair->queue_next;
        memmove(repair->queue, repair->queue + repair->queue_next, repair->queue_count * sizeof *missing);
        repair->queue_next = 0;
    }
    repair->queue[repair->queue_count++] = *missing;
}

static void repair_take_told(struct repair *repair)
{
    uv_mutex_lock(&repair->mutex);
    unsigned count = repair->told_count;
    for (unsigned i = 0; i < count; i++)
        repair_queue_add(repair, &repair->told[i]);
    repair->told_count = 0;
    repair->look |= repair->told_more;
    repair->told_more = false;
    uv_mutex_unlock(&repair->mutex);
    if (count == 0)
        return;
    repair_set_missing(repair, atomic_load(&repair->missing) + count);
    repair->rest_ms = REPAIR_REST_MIN_MS;
    uv_timer_stop(&repair->timer); /* news are not kept waiting */
}

/* --- a look at the store --- */

static bool found_one(void *user, const struct store_missing *missing)
{
    struct repair *repair = user;
    struct run_info info;

    store_run_state(repair->loop->node->store, &missing->run, &info);
    if (missing->stored_at_us == 0 || info.state >= RUN_RETIRED)
        return true;
    if (repair->found_count < REPAIR_QUEUE_MAX)
        repair->found[repair->found_count] = *missing;
    repair->found_count++;
    return true;
}

static void look_run(struct work *work)
{
    struct repair *repair = container_of(work, struct repair, work);

    store_missing_each(repair->loop->node->store, found_one, repair);
}

static void look_done(struct work *work)
{
    struct repair *repair = container_of(work, struct repair, work);
    unsigned queued = repair->found_count < REPAIR_QUEUE_MAX ? repair->found_count : REPAIR_QUEUE_MAX;

    repair->looking = false;
    for (unsigned i = 0; i < queued; i++)
        repair_queue_add(repair, &repair->found[i]);
    repair_set_missing(repair, repair->found_count);
    free(repair->found);
    repair->found = NULL;
    repair_go(repair);
}

static void repair_look(struct repair *repair)
{
    repair->look = false;
    repair->looking = true;
    repair->failed = repair->repaired = 0;
    repair->found_count = 0;
    repair->found = calloc(REPAIR_QUEUE_MAX, sizeof *repair->found);
    if (repair->found == NULL)
        abort();
    work_start_own(&repair->work, repair->loop, look_run, look_done);
}

/* --- the messages --- */

static void repair_log(const struct repair_message *message, enum status status, const struct error *err)
{
    struct log_line line;
    char text[RUN_TEXT_SIZE];

    log_begin(&line, status == STATUS_OK ? LOG_INFO : LOG_WARN, "repair");
    run_key_print(&message->missing.run, text);
    log_str(&line, "run", text);
    digest_print(&message->missing.digest, text);
    log_str(&line, "digest", text);
    log_str(&line, "result", status_code(status));
    if (status == STATUS_OK && message->reader.peer != NULL)
        log_str(&line, "from", message->reader.peer->id);
    else if (status != STATUS_OK)
        log_str(&line, "error", err->text);
    log_end(&line);
}

static void repair_settled(struct repair *repair)
{
    uint64_t missing = atomic_load(&repair->missing);

    repair_set_missing(repair, missing > 0 ? missing - 1 : 0);
    repair->rest_ms = REPAIR_REST_MIN_MS;
    repair->repaired++;
}

static void on_repaired(struct repair_message *message, enum status status, const struct error *err)
{
    struct repair *repair = message->user;

    repair_log(message, status, err);
    repair->busy[message - repair->slots] = false;
    if (status == STATUS_OK)
        metric_add(&metric_repaired, message->append.is_new);
    if (status == STATUS_OK || status == STATUS_RUN_RETIRED || status == STATUS_PURGED ||
        status == STATUS_STALE_RUN)
        repair_settled(repair);
    else
        repair->failed++;
    repair_go(repair);
}

/* Is it here again, or its run about to go? */
static bool repair_is_settled(struct repair *repair, const struct store_missing *missing)
{
    struct store *store = repair->loop->node->store;
    struct store_place place;
    struct run_info info;

    store_run_state(store, &missing->run, &info);
    return info.state >= RUN_RETIRED || info.incarnation > missing->incarnation ||
           store_find(store, &missing->run, &missing->digest, false, &place, NULL) == STATUS_OK;
}

static void repair_begin(struct repair *repair, unsigned slot)
{
    while (repair->queue_next < repair->queue_count) {
        const struct store_missing *missing = &repair->queue[repair->queue_next++];

        if (repair_is_settled(repair, missing)) {
            repair_settled(repair);
            continue;
        }
        struct repair_message *message = &repair->slots[slot];
        message->missing = *missing;
        message->on_done = on_repaired;
        message->user = repair;
        repair->busy[slot] = true;
        repair_message_start(message, repair->loop);
        return;
    }
}

/* --- rounds --- */

static void on_timer(uv_timer_t *timer)
{
    struct repair *repair = container_of(timer, struct repair, timer);

    repair->look = true;
    repair_go(repair);
}

static void repair_rest(struct repair *repair)
{
    uv_timer_start(&repair->timer, on_timer, repair->rest_ms, 0);
    repair->rest_ms = 2 * repair->rest_ms < REPAIR_REST_MAX_MS ? 2 * repair->rest_ms : REPAIR_REST_MAX_MS;
}

static bool repair_is_busy(const struct repair *repair)
{
    bool busy = repair->looking;

    for (unsigned i = 0; i < REPAIR_SLOTS; i++)
        busy |= repair->busy[i];
    return busy;
}

/* The queue is empty and nothing is under way: is there more? What brings nothing is not tried again at once. */
static void repair_next_round(struct repair *repair)
{
    if (repair->look)
        repair_look(repair);
    else if (repair->repaired > 0 && atomic_load(&repair->missing) > repair->failed)
        repair_look(repair); /* more than a queue holds */
    else if (repair->failed > 0)
        repair_rest(repair);
}

static void repair_turn(struct repair *repair)
{
    repair_take_told(repair);
    if (uv_is_active((uv_handle_t *)&repair->timer))
        return;
    if (node_phase(repair->loop->node) != NODE_SERVING) {
        uv_timer_start(&repair->timer, on_timer, REPAIR_REST_MIN_MS, 0);
        return;
    }
    for (unsigned i = 0; i < REPAIR_SLOTS; i++)
        if (!repair->busy[i])
            repair_begin(repair, i);
    if (!repair->again && !repair_is_busy(repair))
        repair_next_round(repair);
}

/* A message that nobody can be asked for is over within its start: that is another turn, not a deeper call. */
void repair_go(struct repair *repair)
{
    if (repair == NULL || repair->stopped)
        return;
    repair->again = true;
    if (repair->going)
        return;
    repair->going = true;
    while (repair->again && !repair->stopped) {
        repair->again = false;
        repair_turn(repair);
    }
    repair->going = false;
}

struct repair *repair_start(struct node_loop *loop)
{
    struct repair *repair = calloc(1, sizeof *repair);

    if (repair == NULL)
        abort();
    repair->loop = loop;
    repair->look = true;
    repair->rest_ms = REPAIR_REST_MIN_MS;
    uv_mutex_init(&repair->mutex);
    uv_timer_init(&loop->uv, &repair->timer);
    store_on_bad(loop->node->store, on_bad, repair);
    node_loop_wake(loop);
    return repair;
}

void repair_stop(struct repair *repair)
{
    if (repair == NULL || repair->stopped)
        return;
    repair->stopped = true;
    store_on_bad(repair->loop->node->store, NULL, NULL);
    uv_close((uv_handle_t *)&repair->timer, NULL);
}

void repair_free(struct repair *repair)
{
    if (repair == NULL)
        return;
    uv_mutex_destroy(&repair->mutex);
    free(repair);
}

void repair_describe(const struct repair *repair, char *text, size_t size)
{
    uint64_t missing = repair != NULL ? atomic_load(&repair->missing) : 0;

    text[0] = '\0';
    if (missing > 0)
        snprintf(text, size, "%" PRIu64 " damaged messages have no good copy here yet", missing);
}
