/* decoders.c: the pool: which heads go to which child, and what becomes of those that had no answer.
 *
 * A batch is in one list: `waiting` while heads of it are to be handed out, `handed` until all have a result, `finished` until its
 * owner was told. A head that was under way when a child died becomes a `lone`: in `alone` it is tried by itself, in `fresh`
 * by itself in a child that had no head before. A lone that kills a fresh child is refused. Each in `fresh` was put there by the end of a
 * child, which starts anew: so for each of them one is on its way.
 *
 * Batches are handed out in the order they came, as many heads at a time as decode in milliseconds. A head that kills costs a second or two of a
 * child: after one its batch goes behind the others, and all get one head at a time, then two, then four, as in
 * decoder_parent.h. So a batch of killers keeps no other one waiting, however many children it could take. */
#include "indexer/decoders.h"

#include "indexer/decoder_child.h"
#include "indexer/field_keys.h"
#include "indexer/grib_packing.h"
#include "proto/base/json_read.h"
#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    QUEUE_MAX = 64,
    TIMEOUT_MS = 10 * 1000,
    BACK_OFF_FIRST_MS = 100,
    BACK_OFF_MAX_MS = 30 * 1000,
    TRIES_MAX = 4,          /* of a lone whose child somebody else killed */
    HEADS_MAX = 200 * 1000, /* ecCodes 2.28 keeps 720 bytes of each head that it gives up on */
};
#define MEMORY_MAX (UINT64_C(1) << 30)

/* A head tried by itself. */
struct lone {
    struct list list;
    struct decode_batch *batch;
    size_t index;
    unsigned tries;
};

struct decoder {
    struct decoder_child child;
    struct decoders *pool;
    unsigned failures; /* in a row, without a head's fault: they set the back-off */
    bool killed;       /* by a head of the job under way, the child or its worker */
    /* the job: */
    struct decode_batch *batch;
    size_t index[DECODER_JOB_MAX];
    struct lone *lone; /* owned; NULL: part of a batch */
};

struct decoders {
    uv_loop_t *loop;
    char program[PATH_MAX];
    char release[32];
    unsigned form;
    uint64_t heads_max;
    unsigned queue_max, queued; /* batches of which nothing was handed out */
    unsigned job_max;           /* heads given at once: fewer after one that killed */
    struct list waiting, handed, finished;
    struct list alone, fresh;
    struct decoders_stats stats;
    struct decode_memo *memo; /* owned */
    struct buf text;          /* what it said last */
    uv_timer_t later;         /* calls back what submit() refused */
    unsigned open;            /* children and the timer */
    bool stopping;
    void (*on_stopped)(void *data);
    void *data;
    unsigned count;
    struct decoder decoders[];
};

static struct decoder *decoder_of(struct decoder_child *child)
{
    return container_of(child, struct decoder, child);
}

/* ---- results ---- */

static void item_refuse(struct decode_item *item, const char *text, size_t size)
{
    size_t keep = size < sizeof item->reason ? size : sizeof item->reason - 1;

    /* It may quote the message: no control characters, nothing that is not ASCII. */
    for (size_t i = 0; i < keep; i++)
        item->reason[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    item->reason[keep] = '\0';
}

static void pool_refuse(struct decoders *pool, struct decode_item *item, const char *text, size_t size)
{
    item_refuse(item, text, size);
    pool->stats.refused++;
}

static void item_set_keys(struct decode_item *item, struct slice keys)
{
    item->keys = malloc(keys.size + 1);
    assert(item->keys != NULL);
    memcpy(item->keys, keys.data, keys.size);
    item->keys[keys.size] = '\0';
    item->keys_size = keys.size;
}

void decode_item_put_place(struct decode_item *item, const struct grib_head *head)
{
    uint64_t offset, length;
    char members[96];

    if (!grib_packing_place(head, &offset, &length) || item->keys_size <= 2)
        return;
    int size = snprintf(members, sizeof members,
                        ",\"data_offset\":%" PRIu64 ",\"data_length\":%" PRIu64 "}", offset, length);
    item->keys = realloc(item->keys, item->keys_size + (size_t)size);
    assert(item->keys != NULL && item->keys[item->keys_size - 1] == '}');
    memcpy(item->keys + item->keys_size - 1, members, (size_t)size + 1);
    item->keys_size += (size_t)size - 1;
}

/* Whatever became of a child, what is handed on is a JSON object. */
static bool is_object(struct slice text)
{
    struct field_keys *keys;
    bool good = field_keys_parse(text.data, text.size, &keys, NULL) == STATUS_OK;

    field_keys_unref(keys);
    return good;
}

static void pool_take_keys(struct decoders *pool, struct decode_item *item, struct slice body)
{
    char text[DECODER_REASON_SIZE];

    if (!is_object(body)) {
        decoder_garbage_text("keys that are no JSON object", text);
        pool_refuse(pool, item, text, strlen(text));
        return;
    }
    item_set_keys(item, body);
    decode_memo_learn(pool->memo, item->head, item->size, body);
    pool->stats.decoded++;
}

static void pool_take_refusal(struct decoders *pool, struct decode_item *item, struct slice body)
{
    decode_memo_learn(pool->memo, item->head, item->size, slice_of(NULL, 0));
    pool_refuse(pool, item, (const char *)body.data, body.size);
}

static bool pool_remembers(struct decoders *pool, struct decode_item *item)
{
    buf_clear(&pool->text);
    if (!decode_memo_find(pool->memo, item->head, item->size, &pool->text))
        return false;
    item_set_keys(item, slice_of(pool->text.data, pool->text.size));
    return true;
}

static void batch_finish(struct decoders *pool, struct decode_batch *batch, enum status status)
{
    batch->status = status;
    list_remove(&batch->list);
    list_append(&pool->finished, &batch->list);
}

static void batch_settle(struct decoders *pool, struct decode_batch *batch, size_t results)
{
    assert(results <= batch->left);
    batch->left -= results;
    if (results > 0 && batch->left == 0)
        batch_finish(pool, batch, STATUS_OK);
}

/* The last thing an event does: owners may submit from within. */
static void pool_call_back(struct decoders *pool)
{
    while (!list_empty(&pool->finished)) {
        struct decode_batch *batch = list_first(&pool->finished, struct decode_batch, list);
        list_remove(&batch->list);
        batch->on_done(batch, batch->status);
    }
}

static void pool_on_later(uv_timer_t *timer)
{
    pool_call_back(timer->data);
}

/* ---- handing out ---- */

static bool item_too_large(struct decoders *pool, struct decode_item *item)
{
    static const char text[] = "a head of more than 1 MiB";

    if (item->size <= GRIB_FIELD_HEAD_SIZE_MAX)
        return false;
    pool_refuse(pool, item, text, sizeof text - 1);
    return true;
}

static uint64_t pool_checks(const struct decoders *pool)
{
    struct decode_memo_stats stats;

    decode_memo_stats(pool->memo, &stats);
    return stats.checks;
}

/* The next heads of a batch into the decoder's job; returns how many. What can't be sent is refused on the way. What is remembered was not
 * believed before its kind's first check was back: when there are new checks, it is looked at again. */
static unsigned batch_cut(struct decoders *pool, struct decode_batch *batch, struct decoder *decoder)
{
    unsigned count = 0;
    size_t settled = 0;
    bool again = pool_checks(pool) > batch->checks;

    if (batch->next == 0)
        pool->queued--;
    while (batch->next < batch->count && count < pool->job_max) {
        size_t at = batch->next++;
        struct decode_item *item = &batch->items[at];
        if (item->keys != NULL)
            continue; /* remembered */
        if (item_too_large(pool, item) || (again && pool_remembers(pool, item)))
            settled++;
        else
            decoder->index[count++] = at;
    }
    if (batch->next == batch->count) {
        list_remove(&batch->list);
        list_append(&pool->handed, &batch->list);
    }
    batch_settle(pool, batch, settled);
    return count;
}

static unsigned pool_cut(struct decoders *pool, struct decoder *decoder)
{
    unsigned count = 0;

    while (count == 0 && !list_empty(&pool->waiting)) {
        decoder->batch = list_first(&pool->waiting, struct decode_batch, list);
        count = batch_cut(pool, decoder->batch, decoder);
    }
    return count;
}

static unsigned decoder_take_lone(struct decoder *decoder, struct list *from)
{
    decoder->lone = list_first(from, struct lone, list);
    list_remove(&decoder->lone->list);
    decoder->lone->tries++;
    decoder->batch = decoder->lone->batch;
    decoder->index[0] = decoder->lone->index;
    return 1;
}

/* False: there is nothing for it. */
static bool decoder_feed(struct decoders *pool, struct decoder *decoder)
{
    struct slice heads[DECODER_JOB_MAX];
    unsigned count;

    if (decoder->child.fresh && !list_empty(&pool->fresh))
        count = decoder_take_lone(decoder, &pool->fresh);
    else if (!list_empty(&pool->alone))
        count = decoder_take_lone(decoder, &pool->alone);
    else
        count = pool_cut(pool, decoder);
    if (count == 0)
        return false;
    for (unsigned i = 0; i < count; i++) {
        const struct decode_item *item = &decoder->batch->items[decoder->index[i]];
        heads[i] = slice_of(item->head, item->size);
    }
    decoder_child_give(&decoder->child, heads, count);
    return true;
}

static void pool_pump(struct decoders *pool)
{
    if (pool->stopping)
        return;
    for (unsigned i = 0; i < pool->count; i++)
        if (decoder_child_idle(&pool->decoders[i].child))
            decoder_feed(pool, &pool->decoders[i]);
}

/* ---- after a head that killed ---- */

static void decoder_note_killer(struct decoder *decoder)
{
    struct decode_batch *batch = decoder->batch;

    decoder->killed = true;
    decoder->pool->job_max = 1;
    if (batch->next < batch->count) {
        list_remove(&batch->list);
        list_append(&decoder->pool->waiting, &batch->list);
    }
}

static void decoder_note_job(struct decoder *decoder)
{
    unsigned *job_max = &decoder->pool->job_max;

    if (!decoder->killed)
        *job_max = *job_max < DECODER_JOB_MAX / 2 ? 2 * *job_max : DECODER_JOB_MAX;
}

/* ---- what children say ---- */

static void pool_on_ready(struct decoder_child *child, struct slice about)
{
    struct decoders *pool = decoder_of(child)->pool;
    json_t *json = NULL;
    const char *release = "";
    uint64_t form = 0;

    if (json_parse(about.data, about.size, &json, NULL) == STATUS_OK) {
        json_opt_string(json, "eccodes", "", &release, NULL);
        json_opt_u64(json, "form", UINT32_MAX, 0, &form, NULL);
    }
    if (strcmp(pool->release, release) != 0)
        decode_memo_clear(pool->memo); /* the package was replaced under us */
    snprintf(pool->release, sizeof pool->release, "%s", release);
    pool->form = (unsigned)form;
    json_decref(json);
    pool_pump(pool);
    pool_call_back(pool);
}

static void pool_on_answer(struct decoder_child *child, unsigned at, uint32_t word, struct slice body)
{
    struct decoder *decoder = decoder_of(child);
    struct decode_item *item = &decoder->batch->items[decoder->index[at]];

    decoder->failures = 0;
    decoder->pool->stats.deaths += word == DECODER_DIED;
    decoder->pool->stats.timeouts += word == DECODER_TIMED_OUT;
    if (word == DECODER_DIED || word == DECODER_TIMED_OUT)
        decoder_note_killer(decoder);
    if (word == DECODER_DECODED)
        pool_take_keys(decoder->pool, item, body);
    else
        pool_take_refusal(decoder->pool, item, body);
}

static void decoder_forget_job(struct decoder *decoder)
{
    free(decoder->lone);
    decoder->lone = NULL;
    decoder->batch = NULL;
    decoder->killed = false;
    decoder->child.answered = decoder->child.count;
}

static void pool_on_idle(struct decoder_child *child)
{
    struct decoder *decoder = decoder_of(child);
    struct decoders *pool = decoder->pool;

    batch_settle(pool, decoder->batch, child->count);
    decoder_note_job(decoder);
    decoder_forget_job(decoder);
    if (child->heads >= pool->heads_max)
        decoder_child_end(child);
    pool_pump(pool);
    pool_call_back(pool);
}

/* ---- when one is gone ---- */

static void pool_try_alone(struct list *list, struct decode_batch *batch, size_t index, unsigned tries)
{
    struct lone *lone = malloc(sizeof *lone);

    assert(lone != NULL);
    *lone = (struct lone){ .batch = batch, .index = index, .tries = tries };
    list_append(list, &lone->list);
}

/* Killed from outside, most likely: ecCodes does not do that to itself. */
static bool was_killed(const struct decoder_child *child)
{
    return !child->timed_out && child->malformed == NULL && child->exit_signal == SIGKILL;
}

/* One head was under way by itself. */
static void decoder_judge(struct decoder *decoder, const char *reason)
{
    struct decoders *pool = decoder->pool;
    unsigned tries = decoder->lone != NULL ? decoder->lone->tries : 1;
    bool guilty = decoder->child.fresh && !was_killed(&decoder->child);

    if (!guilty && tries < TRIES_MAX) {
        pool_try_alone(&pool->fresh, decoder->batch, decoder->index[0], tries);
        return;
    }
    pool_refuse(pool, &decoder->batch->items[decoder->index[0]], reason, strlen(reason));
    batch_settle(pool, decoder->batch, 1);
}

static void decoder_save_job(struct decoder *decoder, const char *reason)
{
    struct decoders *pool = decoder->pool;
    unsigned answered = decoder->child.answered, count = decoder->child.count;

    decoder_note_killer(decoder);
    if (count == 1 && answered == 0)
        decoder_judge(decoder, reason);
    else
        for (unsigned i = answered; i < count; i++)
            pool_try_alone(&pool->alone, decoder->batch, decoder->index[i], 0);
    batch_settle(pool, decoder->batch, answered);
    decoder_forget_job(decoder);
}

static void decoder_report(struct decoder *decoder, const char *reason)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "decoder.gone");
    log_str(&line, "reason", reason);
    log_u64(&line, "failures", decoder->failures);
    log_end(&line);
    if (decoder->child.timed_out)
        decoder->pool->stats.timeouts++;
    else
        decoder->pool->stats.deaths++;
}

/* At once where a head was to blame, or we: each such end takes a head off the queue. Else later and later, so that a
 * program that is missing or broken does not spin. */
static void decoder_restart(struct decoder *decoder, bool blameless)
{
    uint64_t delay = BACK_OFF_FIRST_MS;

    if (blameless) {
        decoder_child_start(&decoder->child);
        return;
    }
    for (unsigned i = 0; i < decoder->failures && delay < BACK_OFF_MAX_MS; i++)
        delay *= 2;
    decoder->failures++;
    decoder_child_start_later(&decoder->child, delay < BACK_OFF_MAX_MS ? delay : BACK_OFF_MAX_MS);
}

static void pool_on_gone(struct decoder_child *child)
{
    struct decoder *decoder = decoder_of(child);
    struct decoders *pool = decoder->pool;
    char reason[DECODER_REASON_SIZE];
    bool working = decoder->batch != NULL;

    decoder_child_reason(child, reason);
    if (pool->stopping) {
        decoder_child_close(child);
        return;
    }
    if (!child->quiet)
        decoder_report(decoder, reason);
    if (working)
        decoder_save_job(decoder, reason);
    decoder_restart(decoder, working || child->quiet);
    pool_pump(pool);
    pool_call_back(pool);
}

/* ---- the end of the pool ---- */

static void lones_free(struct list *lones)
{
    list_for_each_safe (item, after, lones)
        free(container_of(item, struct lone, list));
}

static void pool_cancel(struct decoders *pool, struct list *batches)
{
    while (!list_empty(batches))
        batch_finish(pool, list_first(batches, struct decode_batch, list), STATUS_CANCELLED);
}

static void pool_closed(struct decoders *pool)
{
    void (*on_stopped)(void *data) = pool->on_stopped;
    void *data = pool->data;

    if (--pool->open > 0)
        return;
    pool_cancel(pool, &pool->waiting);
    pool_cancel(pool, &pool->handed);
    pool_call_back(pool);
    for (unsigned i = 0; i < pool->count; i++)
        free(pool->decoders[i].lone);
    lones_free(&pool->alone);
    lones_free(&pool->fresh);
    decode_memo_free(pool->memo);
    buf_fini(&pool->text);
    free(pool);
    if (on_stopped != NULL)
        on_stopped(data);
}

static void pool_on_child_closed(struct decoder_child *child)
{
    pool_closed(decoder_of(child)->pool);
}

static void pool_on_later_closed(uv_handle_t *handle)
{
    pool_closed(handle->data);
}

void decoders_stop(struct decoders *pool, void (*on_stopped)(void *data), void *data)
{
    assert(!pool->stopping);

    pool->stopping = true;
    pool->on_stopped = on_stopped;
    pool->data = data;
    uv_close((uv_handle_t *)&pool->later, pool_on_later_closed);
    for (unsigned i = 0; i < pool->count; i++) {
        struct decoder_child *child = &pool->decoders[i].child;
        if (child->state == DECODER_DOWN)
            decoder_child_close(child);
        else
            decoder_child_end(child);
    }
}

/* ---- the start ---- */

static const struct decoder_events pool_events = {
    .on_ready = pool_on_ready,
    .on_answer = pool_on_answer,
    .on_idle = pool_on_idle,
    .on_gone = pool_on_gone,
    .on_closed = pool_on_child_closed,
};

static enum status find_program(const char *given, char program[PATH_MAX], struct error *err)
{
    static const char name[] = "gribstore-decoder";
    size_t size = PATH_MAX;

    if (given != NULL) {
        if (snprintf(program, PATH_MAX, "%s", given) >= PATH_MAX)
            return error_set(err, STATUS_BAD_VALUE, "the path of the decoder is too long");
        return STATUS_OK;
    }
    int failed = uv_exepath(program, &size);
    if (failed != 0)
        return error_set(err, STATUS_IO, "where this program is: %s", uv_strerror(failed));
    char *slash = strrchr(program, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash + 1 - program);
    if (folder + sizeof name > PATH_MAX)
        return error_set(err, STATUS_BAD_VALUE, "the path of the decoder is too long");
    memcpy(program + folder, name, sizeof name);
    return STATUS_OK;
}

static void pool_start_children(struct decoders *pool, const struct decoders_options *options)
{
    for (unsigned i = 0; i < pool->count; i++) {
        struct decoder *decoder = &pool->decoders[i];
        decoder->pool = pool;
        decoder->child = (struct decoder_child){
            .loop = pool->loop,
            .program = pool->program,
            .timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS,
            .memory_max = options->memory_max > 0 ? options->memory_max : MEMORY_MAX,
            .events = &pool_events,
        };
        decoder_child_init(&decoder->child);
        decoder_child_start(&decoder->child);
    }
}

enum status decoders_start(const struct decoders_options *options, struct decoders **decoders,
                           struct error *err)
{
    unsigned count = options->children > 0 ? options->children : uv_available_parallelism();
    struct decoders *pool = calloc(1, sizeof *pool + count * sizeof pool->decoders[0]);

    *decoders = NULL;
    if (pool == NULL)
        return error_set(err, STATUS_NO_MEMORY, "decoders");
    enum status status = find_program(options->program, pool->program, err);
    if (status != STATUS_OK) {
        free(pool);
        return status;
    }
    /* Writing to a child that died is a status, not a signal. */
    signal(SIGPIPE, SIG_IGN);
    pool->loop = options->loop;
    pool->count = count;
    pool->open = count + 1;
    pool->queue_max = options->queue_max > 0 ? options->queue_max : QUEUE_MAX;
    pool->job_max = DECODER_JOB_MAX;
    pool->heads_max = options->heads_max > 0 ? options->heads_max : HEADS_MAX;
    pool->memo = decode_memo_new(options->memo_size, options->memo_check_every);
    buf_init(&pool->text, DECODER_ANSWER_SIZE_MAX);
    list_init(&pool->waiting);
    list_init(&pool->handed);
    list_init(&pool->finished);
    list_init(&pool->alone);
    list_init(&pool->fresh);
    uv_timer_init(pool->loop, &pool->later);
    pool->later.data = pool;
    pool_start_children(pool, options);
    *decoders = pool;
    return STATUS_OK;
}

/* ---- the face ---- */

void decoders_submit(struct decoders *pool, struct decode_batch *batch)
{
    bool refused = pool->stopping || pool->queued >= pool->queue_max;

    batch->next = 0;
    batch->left = batch->count;
    batch->checks = pool_checks(pool);
    batch->status = STATUS_OK;
    list_init(&batch->list);
    for (size_t i = 0; i < batch->count; i++) {
        struct decode_item *item = &batch->items[i];
        item->keys = NULL;
        item->keys_size = 0;
        item->reason[0] = '\0';
        batch->left -= !refused && pool_remembers(pool, item);
    }
    if (refused || batch->left == 0) {
        enum status status = refused ? STATUS_OVERLOADED : STATUS_OK;
        batch_finish(pool, batch, pool->stopping ? STATUS_CANCELLED : status);
    } else {
        pool->queued++;
        list_append(&pool->waiting, &batch->list);
        pool_pump(pool);
    }
    /* Never from within: what is finished already is told in the next turn. While stopping the end tells it. */
    if (!list_empty(&pool->finished) && !pool->stopping)
        uv_timer_start(&pool->later, pool_on_later, 0, 0);
}

bool decoders_ready(const struct decoders *pool)
{
    if (pool->release[0] == '\0')
        return false;
    /* One that is on its way back from a head that killed it does not make the pool unready. */
    for (unsigned i = 0; i < pool->count; i++) {
        const struct decoder *decoder = &pool->decoders[i];
        if (decoder->child.state != DECODER_DOWN && (decoder->failures == 0 || decoder->child.was_ready))
            return true;
    }
    return false;
}

const char *decoders_release(const struct decoders *pool)
{
    return pool->release;
}

unsigned decoders_form(const struct decoders *pool)
{
    return pool->form;
}

void decoders_stats(const struct decoders *pool, struct decoders_stats *stats)
{
    *stats = pool->stats;
    decode_memo_stats(pool->memo, &stats->memo);
    for (unsigned i = 0; i < pool->count; i++) {
        stats->alive += pool->decoders[i].child.state != DECODER_DOWN;
        stats->busy += pool->decoders[i].child.state == DECODER_BUSY;
    }
}
