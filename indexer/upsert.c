/* upsert.c: records of a journal -> heads -> keys -> documents in the catalog.
 *
 *     LOOK -> HEADS -> DECODE -> LOOK ... -> APPLY -> DONE
 *        \-> WAIT (another batch decodes what is missing) -> LOOK
 *
 * A batch holds entries of the cache as pending only in HEADS and DECODE, where it waits for no other batch: so batches
 * that wait for each other's digests can't stand still. */
#include "indexer/upsert.h"

#include "indexer/decoder_death.h"
#include "indexer/node_request.h"
#include "indexer/upsert_write.h"
#include "proto/base/fsm.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    UPSERT_HEADS_SIZE_MAX = 64 << 20, /* what a node gives */
    UPSERT_HEADS_TIMEOUT_MS = 60000,
};

enum upsert_step {
    UPSERT_LOOK,
    UPSERT_HEADS,
    UPSERT_DECODE,
    UPSERT_WAIT,
    UPSERT_APPLY,
    UPSERT_DONE
};

struct upsert_machine {
    struct fsm fsm;
    struct indexer *indexer;
    struct upsert_batch *batch;
    struct upsert_item *items; /* owned; batch->count */
    struct node_request heads;
    bool heads_open;
    struct decode_batch decode;
    struct decode_item *decode_items; /* owned */
    size_t decode_count, decode_capacity;
    struct upsert_write write;
    bool waiting;
    size_t ours, ours_max; /* asked for at once; fewer after an answer that was too large */
    bool too_large;
    struct list list; /* of all machines */
};

struct upserts {
    struct decoded_cache cache;
    struct upsert_writer *writer; /* owned */
    struct list machines;
    unsigned count; /* of them */
};

/* A record that the node has no heads of may be void by now: then a later record takes its place away again. If it is not, it is damaged,
 * or framed and no GRIB inside, and must not be missing without a word: so it goes to quarantine, for this node only, as another's
 * copy may be sound. */
static const char upsert_no_heads[] = REFUSAL_NO_HEADS_TEXT
    "its sections don't hold, or its bytes can't be read";
static const char upsert_large_heads[] = REFUSAL_NO_HEADS_TEXT "they are more than a node gives at once";

/* --- LOOK --- */

static enum fsm_next upsert_look(struct fsm *fsm)
{
    struct upsert_machine *machine = container_of(fsm, struct upsert_machine, fsm);
    struct decoded_cache *cache = &machine->indexer->upserts->cache;
    bool theirs = false;

    machine->ours = 0;
    for (size_t i = 0; i < machine->batch->count; i++) {
        struct upsert_item *item = &machine->items[i];
        const struct digest *digest = &machine->batch->records[i].digest;

        if (item->headless != NULL || (item->decoded != NULL && !item->decoded->pending))
            continue;
        if (item->decoded != NULL)
            decoded_release(cache, item->decoded); /* another batch gave it back: look again */
        item->decoded = decoded_find(cache, digest);
        item->ours = item->decoded == NULL && machine->ours < machine->ours_max;
        if (item->ours)
            item->decoded = decoded_begin(cache, digest);
        machine->ours += item->ours;
        theirs = theirs || (!item->ours && item->decoded != NULL && item->decoded->pending);
    }
    if (machine->ours > 0)
        return fsm_go(fsm, UPSERT_HEADS);
    return fsm_go(fsm, theirs ? UPSERT_WAIT : UPSERT_APPLY);
}

/* --- HEADS: what the node says of the records that nobody has decoded --- */

static void upsert_on_heads(struct node_request *request, enum status status, const struct error *err)
{
    struct upsert_machine *machine = container_of(request, struct upsert_machine, heads);

    machine->too_large = status == STATUS_TOO_LARGE;
    fsm_resume(&machine->fsm, machine->too_large ? STATUS_OK : status, err);
}

static enum fsm_next upsert_heads(struct fsm *fsm)
{
    struct upsert_machine *machine = container_of(fsm, struct upsert_machine, fsm);
    const struct upsert_batch *batch = machine->batch;
    char base_time[BASE_TIME_TEXT_SIZE];
    struct json_writer json;

    node_request_init(&machine->heads, machine->indexer);
    machine->heads_open = true;
    machine->heads.transfer.answer_max = UPSERT_HEADS_SIZE_MAX;
    json_init(&json, &machine->heads.body);
    json_object_begin(&json);
    json_key(&json, "journal");
    json_format(&json, "%016" PRIx64, batch->journal_id);
    json_key(&json, "records");
    json_array_begin(&json);
    for (size_t i = 0; i < batch->count; i++)
        if (machine->items[i].ours)
            json_u64(&json, batch->records[i].record);
    json_array_end(&json);
    json_object_end(&json);
    base_time_print(batch->run.base_time, base_time);
    node_request_start(&machine->heads, "POST", batch->url, UPSERT_HEADS_TIMEOUT_MS,
                       upsert_on_heads, "/cluster/heads/%s/%s", batch->run.source, base_time);
    return fsm_wait(fsm, 1, UPSERT_DECODE);
}

/* --- DECODE --- */

static void upsert_decode_add(struct upsert_machine *machine, const uint8_t *head, size_t size)
{
    if (machine->decode_count == machine->decode_capacity) {
        machine->decode_capacity = machine->decode_capacity == 0 ? 1024 : machine->decode_capacity * 2;
        machine->decode_items = realloc(machine->decode_items,
                                        machine->decode_capacity * sizeof *machine->decode_items);
        assert(machine->decode_items != NULL);
    }
    machine->decode_items[machine->decode_count++] = (struct decode_item){ .head = head, .size = size };
}

/* The answer of /cluster/heads, cut into heads; FORMATS.md section 2. */
static enum status upsert_cut_heads(struct upsert_machine *machine, struct error *err)
{
    const uint8_t *at = machine->heads.transfer.answer.data;
    size_t left = machine->heads.transfer.answer.size;

    for (size_t i = 0; i < machine->batch->count; i++) {
        struct upsert_item *item = &machine->items[i];
        if (!item->ours)
            continue;
        if (left < 2)
            return error_set(err, STATUS_MALFORMED, "heads: the answer ends before record %zu", i);
        item->heads_first = (unsigned)machine->decode_count;
        item->heads_count = get_u16(at);
        at += 2, left -= 2;
        for (unsigned head = 0; head < item->heads_count; head++) {
            uint32_t size = left < 4 ? 0 : get_u32(at);
            if (left < 4 || size > left - 4 || size > GRIB_FIELD_HEAD_SIZE_MAX)
                return error_set(err, STATUS_MALFORMED, "heads: a head passes the end of the answer");
            upsert_decode_add(machine, at + 4, size);
            at += 4 + size, left -= 4 + size;
        }
    }
    if (left != 0)
        return error_set(err, STATUS_MALFORMED, "heads: %zu bytes too many", left);
    return STATUS_OK;
}

static void upsert_refuse(struct decoded *decoded, unsigned sub, const char *reason)
{
    decoded->refused = true;
    snprintf(decoded->reason, sizeof decoded->reason, "field %u: %.200s", sub, reason);
}

/* The fields of one message; one that can't be decoded refuses the message. */
static void upsert_take_fields(struct upsert_machine *machine, struct upsert_item *item)
{
    struct decoded *decoded = item->decoded;
    struct grib_head head;
    struct error err;

    decoded->fields = calloc(item->heads_count, sizeof *decoded->fields);
    assert(decoded->fields != NULL);
    for (unsigned i = 0; i < item->heads_count && !decoded->refused; i++) {
        struct decode_item *result = &machine->decode_items[item->heads_first + i];
        error_init(&err);
        if (result->keys == NULL) {
            upsert_refuse(decoded, i + 1, result->reason);
        } else if (grib_head_parse(result->head, result->size, &head, &err) != STATUS_OK) {
            upsert_refuse(decoded, i + 1, err.text);
        } else {
            grib_head_identity(&head, decoded->fields[i].identity);
            if (item->heads_count == 1)
                decode_item_put_place(result, &head);
            decoded->fields[i].keys = result->keys;
            decoded->fields[i].keys_size = result->keys_size;
            result->keys = NULL; /* handed over */
            decoded->fields_count = i + 1;
        }
    }
}

static void upsert_wake_waiting(struct upserts *upserts)
{
    list_for_each_safe (at, after, &upserts->machines) {
        struct upsert_machine *machine = container_of(at, struct upsert_machine, list);
        bool pending = false;

        if (!machine->waiting)
            continue;
        for (size_t i = 0; i < machine->batch->count; i++)
            pending = pending || (machine->items[i].decoded != NULL && machine->items[i].decoded->pending &&
                                  machine->items[i].decoded->listed);
        if (!pending) {
            machine->waiting = false;
            fsm_resume(&machine->fsm, STATUS_OK, NULL);
            after = upserts->machines.next; /* machines may have come and gone */
        }
    }
}

/* What we held as pending is decoded, or given back for others to try. */
static void upsert_settle_ours(struct upsert_machine *machine, bool decoded)
{
    struct decoded_cache *cache = &machine->indexer->upserts->cache;

    for (size_t i = 0; i < machine->batch->count; i++) {
        struct upsert_item *item = &machine->items[i];
        if (!item->ours)
            continue;
        item->ours = false;
        if (decoded && item->heads_count > 0) {
            upsert_take_fields(machine, item);
            decoded_end(cache, item->decoded);
        } else {
            if (decoded)
                item->headless = upsert_no_heads;
            decoded_abandon(cache, item->decoded);
            decoded_release(cache, item->decoded);
            item->decoded = NULL;
        }
    }
}

static void upsert_drop_heads(struct upsert_machine *machine)
{
    for (size_t i = 0; i < machine->decode_count; i++)
        free(machine->decode_items[i].keys);
    free(machine->decode_items);
    machine->decode_items = NULL;
    machine->decode_count = machine->decode_capacity = 0;
    if (machine->heads_open)
        node_request_fini(&machine->heads);
    machine->heads_open = false;
}

static void upsert_on_decoded(struct decode_batch *decode, enum status status)
{
    struct upsert_machine *machine = container_of(decode, struct upsert_machine, decode);

    upsert_settle_ours(machine, status == STATUS_OK);
    upsert_drop_heads(machine);
    upsert_wake_waiting(machine->indexer->upserts);
    fsm_resume(&machine->fsm, status, NULL);
}

/* The heads asked for are more than the node gives in one answer: half as many, down to one, which then is too large by itself. */
static enum fsm_next upsert_ask_fewer(struct upsert_machine *machine)
{
    bool alone = machine->ours == 1;

    for (size_t i = 0; alone && i < machine->batch->count; i++)
        if (machine->items[i].ours)
            machine->items[i].headless = upsert_large_heads;
    machine->too_large = false;
    machine->ours_max = alone ? 1 : machine->ours / 2;
    upsert_settle_ours(machine, false);
    upsert_drop_heads(machine);
    upsert_wake_waiting(machine->indexer->upserts);
    return fsm_go(&machine->fsm, UPSERT_LOOK);
}

static enum fsm_next upsert_decode(struct fsm *fsm)
{
    struct upsert_machine *machine = container_of(fsm, struct upsert_machine, fsm);
    struct error err;

    if (machine->too_large)
        return upsert_ask_fewer(machine);
    error_init(&err);
    if (machine->indexer->decoders == NULL) {
        error_set(&err, STATUS_CANCELLED, "the decoders have stopped");
        return fsm_fail(fsm, STATUS_CANCELLED, &err);
    }
    enum status status = upsert_cut_heads(machine, &err);
    if (status != STATUS_OK)
        return fsm_fail(fsm, status, &err);
    machine->decode = (struct decode_batch){
        .items = machine->decode_items,
        .count = machine->decode_count,
        .on_done = upsert_on_decoded,
    };
    decoders_submit(machine->indexer->decoders, &machine->decode);
    return fsm_wait(fsm, 1, UPSERT_LOOK);
}

/* --- WAIT --- */

static enum fsm_next upsert_wait(struct fsm *fsm)
{
    struct upsert_machine *machine = container_of(fsm, struct upsert_machine, fsm);

    machine->waiting = true;
    return fsm_wait(fsm, 1, UPSERT_LOOK);
}

/* --- APPLY --- */

static void upsert_on_written(struct upsert_write *write, enum status status, const struct error *err)
{
    fsm_resume(&container_of(write, struct upsert_machine, write)->fsm, status, err);
}

static enum fsm_next upsert_apply(struct fsm *fsm)
{
    struct upsert_machine *machine = container_of(fsm, struct upsert_machine, fsm);

    machine->write = (struct upsert_write){ .batch = machine->batch,
                                            .items = machine->items,
                                            .on_done = upsert_on_written };
    upsert_writer_add(machine->indexer->upserts->writer, &machine->write);
    return fsm_wait(fsm, 1, UPSERT_DONE);
}

/* --- DONE: also where failures go --- */

static void upsert_machine_free(struct upsert_machine *machine)
{
    upsert_drop_heads(machine);
    for (size_t i = 0; i < machine->batch->count; i++)
        if (machine->items[i].decoded != NULL)
            decoded_release(&machine->indexer->upserts->cache, machine->items[i].decoded);
    free(machine->items);
    list_remove(&machine->list);
    machine->indexer->upserts->count--;
    free(machine);
}

static enum fsm_next upsert_done(struct fsm *fsm)
{
    struct upsert_machine *machine = container_of(fsm, struct upsert_machine, fsm);
    struct upsert_batch *batch = machine->batch;
    struct upserts *upserts = machine->indexer->upserts;
    enum status status = fsm->status;
    struct error err = fsm->err;

    upsert_settle_ours(machine, false); /* a failure between HEADS and DECODE */
    upsert_machine_free(machine);
    upsert_wake_waiting(upserts);
    batch->on_done(batch, status, &err);
    return FSM_END;
}

#define TO(step) (1u << UPSERT_##step)
static const struct fsm_step upsert_steps[] = {
    [UPSERT_LOOK] = { "look", upsert_look, TO(HEADS) | TO(WAIT) | TO(APPLY) },
    [UPSERT_HEADS] = { "heads", upsert_heads, TO(DECODE) },
    [UPSERT_DECODE] = { "decode", upsert_decode, TO(LOOK) },
    [UPSERT_WAIT] = { "wait", upsert_wait, TO(LOOK) },
    [UPSERT_APPLY] = { "apply", upsert_apply, TO(DONE) },
    [UPSERT_DONE] = { "done", upsert_done, 0 },
};

void upsert_start(struct indexer *indexer, struct upsert_batch *batch)
{
    struct upsert_machine *machine = calloc(1, sizeof *machine);

    assert(machine != NULL && batch->count > 0 && batch->count <= UPSERT_BATCH_MAX);
    machine->indexer = indexer;
    machine->batch = batch;
    machine->ours_max = UPSERT_BATCH_MAX;
    machine->items = calloc(batch->count, sizeof *machine->items);
    assert(machine->items != NULL);
    list_append(&indexer->upserts->machines, &machine->list);
    indexer->upserts->count++;
    fsm_start(&machine->fsm, "upsert", upsert_steps, ARRAY_COUNT(upsert_steps), UPSERT_LOOK, UPSERT_DONE);
}

void upserts_forget_refusal(struct indexer *indexer, const struct digest *digest)
{
    if (indexer->upserts != NULL)
        decoded_forget_refusal(&indexer->upserts->cache, digest);
}

bool upserts_have_room(const struct indexer *indexer)
{
    return indexer->upserts->count < UPSERT_AHEAD_MAX;
}

enum status upserts_start(struct indexer *indexer, struct error *err)
{
    struct upserts *upserts = calloc(1, sizeof *upserts);

    if (upserts == NULL)
        return error_set(err, STATUS_NO_MEMORY, "upserts");
    upserts->writer = upsert_writer_new(indexer);
    if (upserts->writer == NULL) {
        free(upserts);
        return error_set(err, STATUS_NO_MEMORY, "upserts");
    }
    decoded_cache_init(&upserts->cache, indexer->settings->cache_size);
    list_init(&upserts->machines);
    indexer->upserts = upserts;
    upsert_writer_metrics();
    return STATUS_OK;
}

void upserts_stop(struct indexer *indexer)
{
    assert(list_empty(&indexer->upserts->machines)); /* the tails have stopped */
    upsert_writer_free(indexer->upserts->writer);
    decoded_cache_fini(&indexer->upserts->cache);
    free(indexer->upserts);
    indexer->upserts = NULL;
}
