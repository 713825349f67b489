/* quarantine_retry.c: messages of quarantine are tried again.
 *
 *     TAKE -> READ -> DECODE -> WRITE -> READ ... -> END
 *
 * TAKE takes the lease, READ a piece of entries and their heads, both on the pool, as WRITE. END comes after the last piece, after a failure,
 * and when nobody wants it any more; a failure is tried again later, by which time what was done has its new release. */
#include "indexer/quarantine_retry.h"

#include "indexer/census.h"
#include "indexer/decoder_death.h"
#include "indexer/map_authority.h"
#include "indexer/quarantine_heads.h"
#include "indexer/run_guard.h"
#include "indexer/share.h"
#include "indexer/upsert.h"
#include "proto/base/clock.h"
#include "proto/base/fsm.h"
#include "proto/base/log.h"
#include "proto/base/metric.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    RETRY_MESSAGES = 200, /* of a piece */
    RETRY_LOOK = 20000,   /* entries looked at for them */
    RETRY_HEADS_SIZE_MAX = 64 << 20,
    RETRY_HEADS_SIZE_ENOUGH = 8 << 20, /* a piece with so many bytes of heads takes no more messages */
    RETRY_LOOK_MS = 1000,              /* between two looks whether there is something to do */
    RETRY_AGAIN_MS = 15000,            /* after a failure */
};

static const char retry_lease[] = "quarantine";

enum retry_step { RETRY_TAKE, RETRY_READ, RETRY_DECODE, RETRY_WRITE, RETRY_END };

struct retry_message {
    struct quarantine_entry entry; /* owned */
    bool read;                     /* its heads, or why there are none, are known */
    char reason[256];              /* why it has none; "": it has */
    size_t first, count;           /* of its heads, in decodes */
    bool resolved;                 /* out of quarantine */
};

struct quarantine_retries {
    struct fsm fsm;
    struct indexer *indexer;
    uv_timer_t timer;
    struct work work;
    bool running, wanted;
    atomic_bool leaves; /* read on the pool, too */
    void (*on_stopped)(struct indexer *indexer);
    struct quarantine_retry_status status;
    /* by whom this one is, and the last one that came to its end was */
    char owner[64], release[32], last_release[32];
    unsigned form, last_form;
    bool elsewhere, exhausted;    /* another indexer does it; nothing is left behind `last` */
    struct transfer *transfer;    /* owned; the pool's */
    struct quarantine_entry last; /* without places */
    size_t looked_at;             /* in this piece, as: */
    size_t decoded, refused, skipped;
    struct retry_message *messages; /* owned; RETRY_MESSAGES */
    size_t messages_count;
    struct buf heads;
    struct decode_item *decodes; /* owned */
    size_t decodes_count, decodes_size;
    struct decode_batch batch;
};

static struct metric retry_decoded = { .name = "gribstore_quarantine_retried_total",
                                       .labels = "outcome=\"decoded\"",
                                       .help = "Messages of quarantine that were tried again.",
                                       .kind = METRIC_COUNTER };
static struct metric retry_refused = { .name = "gribstore_quarantine_retried_total",
                                       .labels = "outcome=\"refused\"",
                                       .help = "Messages of quarantine that were tried again.",
                                       .kind = METRIC_COUNTER };

static struct quarantine_retries *retries_of(struct fsm *fsm)
{
    return container_of(fsm, struct quarantine_retries, fsm);
}

static void retry_drop(struct quarantine_retries *retries)
{
    for (size_t i = 0; i < retries->messages_count; i++)
        quarantine_entry_fini(&retries->messages[i].entry);
    for (size_t i = 0; i < retries->decodes_count; i++)
        free(retries->decodes[i].keys);
    retries->messages_count = retries->decodes_count = 0;
    buf_clear(&retries->heads);
}

static void retry_on_work(struct work *work)
{
    fsm_resume(&container_of(work, struct quarantine_retries, work)->fsm, work->status, &work->err);
}

static enum fsm_next retry_work(struct quarantine_retries *retries, void (*run)(struct work *work),
                                enum retry_step next)
{
    work_start(retries->indexer->loop, &retries->work, run, retry_on_work);
    return fsm_wait(&retries->fsm, 1, next);
}

/* --- TAKE --- */

static void retry_take_run(struct work *work)
{
    struct quarantine_retries *retries = container_of(work, struct quarantine_retries, work);
    struct indexer *indexer = retries->indexer;
    struct transfer_options options = { .connections_per_host_max = 1, .user_agent = "gribstore-indexer" };
    char holder[64];

    if (catalog_is_shared(indexer->catalog))
        work->status = catalog_lease_take(indexer->catalog, retry_lease, retries->owner,
                                          indexer->settings->lease_ms, holder, &work->err);
    retries->elsewhere = work->status == STATUS_CONFLICT;
    if (retries->elsewhere)
        work->status = STATUS_OK;
    security_sign(&indexer->security, &options);
    if (work->status == STATUS_OK && !retries->elsewhere)
        work->status = transfer_new(&options, &retries->transfer, &work->err);
}

static enum fsm_next retry_take(struct fsm *fsm)
{
    struct quarantine_retries *retries = retries_of(fsm);

    retries->last = (struct quarantine_entry){ .length = 0 };
    retries->exhausted = false;
    return retry_work(retries, retry_take_run, RETRY_READ);
}

/* --- READ: a piece of entries, and their heads --- */

static bool retry_is_due(const struct quarantine_retries *retries, const struct quarantine_entry *entry)
{
    return retries->status.all || entry->form != retries->form ||
           strcmp(entry->eccodes, retries->release) != 0;
}

static bool retry_on_entry(void *data, const struct quarantine_entry *entry)
{
    struct quarantine_retries *retries = data;

    retries->last = *entry;
    retries->last.locations = NULL;
    retries->last.locations_count = 0;
    retries->looked_at++;
    if (retry_is_due(retries, entry)) {
        struct retry_message *message = &retries->messages[retries->messages_count++];
        *message = (struct retry_message){ .entry = *entry };
        message->entry.locations = malloc(entry->locations_count * sizeof *entry->locations + 1);
        assert(message->entry.locations != NULL);
        memcpy(message->entry.locations, entry->locations,
               entry->locations_count * sizeof *entry->locations);
    }
    return retries->messages_count < RETRY_MESSAGES && retries->looked_at < RETRY_LOOK;
}

static void retry_add_head(struct quarantine_retries *retries, size_t at, size_t size)
{
    if (retries->decodes_count == retries->decodes_size) {
        retries->decodes_size = retries->decodes_size == 0 ? 2 * RETRY_MESSAGES
                                                           : 2 * retries->decodes_size;
        retries->decodes = realloc(retries->decodes, retries->decodes_size * sizeof *retries->decodes);
        assert(retries->decodes != NULL);
    }
    /* The heads may still move: retry_decode() makes a pointer of the place. */
    retries->decodes[retries->decodes_count++] = (struct decode_item){ .size = size, .keys_size = at };
}

/* What grib_heads() has appended: it is ours, and holds. */
static void retry_cut_heads(struct quarantine_retries *retries, struct retry_message *message, size_t at)
{
    size_t count = get_u16(retries->heads.data + at);

    message->first = retries->decodes_count;
    message->count = count;
    at += 2;
    for (size_t i = 0; i < count; i++) {
        size_t size = get_u32(retries->heads.data + at);
        retry_add_head(retries, at + 4, size);
        at += 4 + size;
    }
}

/* From the first of its places that gives them. */
static void retry_read_message(struct quarantine_retries *retries, struct retry_message *message)
{
    size_t at = retries->heads.size;
    struct error err;

    for (unsigned i = 0; i < message->entry.locations_count && !message->read; i++) {
        error_init(&err);
        enum status status = quarantine_heads(retries->transfer, &message->entry.locations[i],
                                              &retries->heads, &err);
        message->read = status == STATUS_OK || status == STATUS_BAD_GRIB;
        if (status == STATUS_BAD_GRIB)
            snprintf(message->reason, sizeof message->reason, REFUSAL_NO_HEADS_TEXT "%.200s", err.text);
        else if (status == STATUS_OK)
            retry_cut_heads(retries, message, at);
    }
}

/* The piece ends in front of this message, which is not its first. */
static void retry_cut_piece(struct quarantine_retries *retries, size_t end)
{
    retries->last = retries->messages[end - 1].entry;
    retries->last.locations = NULL;
    retries->last.locations_count = 0;
    retries->exhausted = false;
    while (retries->messages_count > end)
        quarantine_entry_fini(&retries->messages[--retries->messages_count].entry);
}

/* A run that is retired, purged or reopened takes its entries along. */
static enum status retry_read_messages(struct quarantine_retries *retries, struct error *err)
{
    struct catalog *catalog = retries->indexer->catalog;
    const struct quarantine_entry *before = NULL;
    enum status status = STATUS_OK;

    for (size_t i = 0; i < retries->messages_count && !retries->leaves; i++) {
        struct retry_message *message = &retries->messages[i];
        const struct quarantine_entry *entry = &message->entry;
        if (before == NULL || run_key_compare(&before->run, &entry->run) != 0 ||
            before->incarnation != entry->incarnation)
            status = run_guard_check(catalog, &entry->run, entry->incarnation, err);
        before = entry;
        if (status != STATUS_OK && status != STATUS_STALE_RUN)
            return status;
        if (status == STATUS_OK && retries->heads.size < RETRY_HEADS_SIZE_ENOUGH)
            retry_read_message(retries, message);
        else if (status == STATUS_OK)
            retry_cut_piece(retries, i);
    }
    return STATUS_OK;
}

static void retry_read_run(struct work *work)
{
    struct quarantine_retries *retries = container_of(work, struct quarantine_retries, work);
    struct quarantine_entry behind = retries->last;

    work->status = catalog_quarantine_scan_behind(retries->indexer->catalog, &behind,
                                                  retry_on_entry, retries, &work->err);
    retries->exhausted = retries->messages_count < RETRY_MESSAGES && retries->looked_at < RETRY_LOOK;
    if (work->status == STATUS_OK)
        work->status = retry_read_messages(retries, &work->err);
}

static void retry_begin(struct quarantine_retries *retries)
{
    retries->status.running = true;
    retries->status.started_us = clock_wall_us();
    retries->status.looked_at = retries->status.decoded = retries->status.refused = retries->status.skipped = 0;
    retries->status.error[0] = '\0';
}

static enum fsm_next retry_read(struct fsm *fsm)
{
    struct quarantine_retries *retries = retries_of(fsm);

    if (retries->elsewhere || retries->leaves || retries->exhausted)
        return fsm_go(fsm, RETRY_END);
    if (!retries->status.running)
        retry_begin(retries);
    retry_drop(retries);
    retries->looked_at = retries->decoded = retries->refused = retries->skipped = 0;
    return retry_work(retries, retry_read_run, RETRY_DECODE);
}

/* --- DECODE --- */

/* Every field of it. */
static bool retry_decodes(const struct quarantine_retries *retries, const struct retry_message *message)
{
    bool decodes = message->read && message->count > 0;

    for (size_t i = 0; decodes && i < message->count; i++)
        decodes = retries->decodes[message->first + i].keys != NULL;
    return decodes;
}

/* A copy that comes later must not be refused because an earlier one was. */
static void retry_on_decoded(struct decode_batch *batch, enum status status)
{
    struct quarantine_retries *retries = container_of(batch, struct quarantine_retries, batch);

    for (size_t i = 0; status == STATUS_OK && i < retries->messages_count; i++)
        if (retry_decodes(retries, &retries->messages[i]))
            upserts_forget_refusal(retries->indexer, &retries->messages[i].entry.digest);
    fsm_resume(&retries->fsm, status, NULL);
}

static enum fsm_next retry_decode(struct fsm *fsm)
{
    struct quarantine_retries *retries = retries_of(fsm);

    retries->status.looked_at += retries->looked_at;
    if (retries->messages_count == 0)
        return fsm_go(fsm, RETRY_READ);
    if (retries->leaves || retries->indexer->decoders == NULL)
        return fsm_go(fsm, RETRY_END);
    if (retries->decodes_count == 0)
        return fsm_go(fsm, RETRY_WRITE);
    for (size_t i = 0; i < retries->decodes_count; i++)
        retries->decodes[i].head = retries->heads.data + retries->decodes[i].keys_size;
    retries->batch = (struct decode_batch){ .items = retries->decodes,
                                            .count = retries->decodes_count,
                                            .on_done = retry_on_decoded };
    decoders_submit(retries->indexer->decoders, &retries->batch);
    return fsm_wait(fsm, 1, RETRY_WRITE);
}

/* --- WRITE --- */

/* The keys of a head as a document has them; single: of a message's only field, whose place of values is then known. */
static enum status retry_make_field(struct decode_item *item, bool single,
                                    struct quarantine_field *field, struct error *err)
{
    struct grib_head head;
    enum status status = grib_head_parse(item->head, item->size, &head, err);

    if (status != STATUS_OK)
        return status;
    grib_head_identity(&head, field->identity);
    if (single)
        decode_item_put_place(item, &head);
    return field_keys_parse(item->keys, item->keys_size, &field->keys, err);
}

/* In vain: why, and by whom. */
static enum status retry_renew(struct quarantine_retries *retries, struct retry_message *message,
                               const char *reason, struct error *err)
{
    snprintf(message->entry.reason, sizeof message->entry.reason, "%s", reason);
    snprintf(message->entry.eccodes, sizeof message->entry.eccodes, "%s", retries->release);
    message->entry.form = retries->form;
    retries->refused++;
    return catalog_quarantine_renew(retries->indexer->catalog, &message->entry, err);
}

static enum status retry_resolve(struct quarantine_retries *retries, struct retry_message *message,
                                 const struct quarantine_field *fields, struct error *err)
{
    struct catalog *catalog = retries->indexer->catalog;
    const struct quarantine_entry *entry = &message->entry;
    enum status status = catalog_quarantine_resolve(catalog, entry, fields, message->count,
                                                    &message->resolved, err);

    if (status == STATUS_OK)
        status = run_guard_check(catalog, &entry->run, entry->incarnation, err);
    if (status == STATUS_STALE_RUN) { /* it was retired meanwhile: nothing of it is left */
        message->resolved = false;
        status = STATUS_OK;
    }
    retries->decoded += message->resolved;
    retries->skipped += !message->resolved;
    return status;
}

/* One field that can't be decoded refuses the message, as in upsert.c. */
static enum status retry_write_message(struct quarantine_retries *retries,
                                       struct retry_message *message, struct error *err)
{
    struct quarantine_field *fields = calloc(message->count + 1, sizeof *fields);
    char reason[sizeof message->reason] = "";
    enum status status;

    assert(fields != NULL);
    snprintf(reason, sizeof reason, "%s", message->reason);
    for (size_t i = 0; i < message->count && reason[0] == '\0'; i++) {
        struct decode_item *item = &retries->decodes[message->first + i];
        if (item->keys == NULL)
            snprintf(reason, sizeof reason, "field %zu: %.200s", i + 1, item->reason);
        else if (retry_make_field(item, message->count == 1, &fields[i], err) != STATUS_OK)
            snprintf(reason, sizeof reason, "field %zu: %.200s", i + 1, err->text);
    }
    if (reason[0] != '\0')
        status = retry_renew(retries, message, reason, err);
    else
        status = retry_resolve(retries, message, fields, err);
    for (size_t i = 0; i < message->count; i++)
        field_keys_unref(fields[i].keys);
    free(fields);
    return status;
}

static void retry_write_run(struct work *work)
{
    struct quarantine_retries *retries = container_of(work, struct quarantine_retries, work);

    for (size_t i = 0; i < retries->messages_count && work->status == STATUS_OK; i++) {
        struct retry_message *message = &retries->messages[i];
        if (message->read)
            work->status = retry_write_message(retries, message, &work->err);
        else
            retries->skipped++;
    }
}

static void retry_on_written(struct work *work)
{
    struct quarantine_retries *retries = container_of(work, struct quarantine_retries, work);

    retries->status.decoded += retries->decoded;
    retries->status.refused += retries->refused;
    retries->status.skipped += retries->skipped;
    for (size_t i = 0; i < retries->messages_count; i++) /* after a failure too: some of it may be there */
        if (i == 0 ||
            run_key_compare(&retries->messages[i - 1].entry.run, &retries->messages[i].entry.run) != 0)
            census_touch(retries->indexer, &retries->messages[i].entry.run);
    fsm_resume(&retries->fsm, work->status, &work->err);
}

static enum fsm_next retry_write(struct fsm *fsm)
{
    struct quarantine_retries *retries = retries_of(fsm);

    work_start(retries->indexer->loop, &retries->work, retry_write_run, retry_on_written);
    return fsm_wait(fsm, 1, RETRY_READ);
}

/* --- END --- */

static void retry_tell(struct quarantine_retries *retries, const struct error *err)
{
    const struct quarantine_retry_status *status = &retries->status;

    metric_add(&retry_decoded, (int64_t)status->decoded);
    metric_add(&retry_refused, (int64_t)status->refused);
    if (err != NULL)
        snprintf(retries->status.error, sizeof retries->status.error, "%.250s", err->text);
    if (err == NULL && status->decoded + status->refused + status->skipped == 0)
        return; /* nothing was due */
    log_msg(err != NULL ? LOG_WARN : LOG_INFO, "quarantine.retry",
            "with ecCodes %s (form %u): %" PRIu64 " messages decode now, %" PRIu64
            " are refused again, %" PRIu64 " could not be read%s%s",
            retries->release, retries->form, status->decoded, status->refused, status->skipped,
            err != NULL ? "; tried again later: " : "", err != NULL ? err->text : "");
}

static void retry_on_closed(uv_handle_t *handle)
{
    struct quarantine_retries *retries = handle->data;
    struct indexer *indexer = retries->indexer;
    void (*on_stopped)(struct indexer *) = retries->on_stopped;

    indexer->quarantine_retries = NULL;
    buf_fini(&retries->heads);
    free(retries->messages);
    free(retries->decodes);
    free(retries);
    on_stopped(indexer);
}

static void retry_on_timer(uv_timer_t *timer);

static enum fsm_next retry_end(struct fsm *fsm)
{
    struct quarantine_retries *retries = retries_of(fsm);
    bool failed = fsm->status != STATUS_OK;

    if (retries->status.running) {
        retries->status.ended_us = clock_wall_us();
        retry_tell(retries, failed ? &fsm->err : NULL);
        if (catalog_is_shared(retries->indexer->catalog))
            share_give_back(retries->indexer, retry_lease);
    }
    if (!failed && !retries->leaves && !retries->elsewhere) {
        memcpy(retries->last_release, retries->release, sizeof retries->last_release);
        retries->last_form = retries->form;
    }
    retry_drop(retries);
    if (retries->transfer != NULL)
        transfer_free(retries->transfer);
    retries->transfer = NULL;
    retries->running = retries->status.running = false;
    if (retries->on_stopped != NULL)
        uv_close((uv_handle_t *)&retries->timer, retry_on_closed);
    else
        uv_timer_start(&retries->timer, retry_on_timer,
                       failed || retries->elsewhere ? RETRY_AGAIN_MS : RETRY_LOOK_MS, 0);
    return FSM_END;
}

#define TO(step) (1u << RETRY_##step)
static const struct fsm_step retry_steps[] = {
    [RETRY_TAKE] = { "take", retry_take, TO(READ) },
    [RETRY_READ] = { "read", retry_read, TO(DECODE) | TO(END) },
    [RETRY_DECODE] = { "decode", retry_decode, TO(WRITE) | TO(READ) | TO(END) },
    [RETRY_WRITE] = { "write", retry_write, TO(READ) },
    [RETRY_END] = { "end", retry_end, 0 },
};

/* --- when --- */

/* Decoders that were replaced under us, too. */
static bool retry_has_cause(struct quarantine_retries *retries)
{
    const struct decoders *decoders = retries->indexer->decoders;

    return decoders != NULL && decoders_ready(decoders) && map_authority_map(retries->indexer) != NULL &&
           (retries->wanted || decoders_form(decoders) != retries->last_form ||
            strcmp(decoders_release(decoders), retries->last_release) != 0);
}

static void retry_on_timer(uv_timer_t *timer)
{
    struct quarantine_retries *retries = timer->data;
    struct indexer *indexer = retries->indexer;

    if (indexer->draining || retries->running)
        return;
    if (!retry_has_cause(retries)) {
        uv_timer_start(&retries->timer, retry_on_timer, RETRY_LOOK_MS, 0);
        return;
    }
    snprintf(retries->owner, sizeof retries->owner, "%s", share_owner(indexer));
    snprintf(retries->release, sizeof retries->release, "%s", decoders_release(indexer->decoders));
    retries->form = decoders_form(indexer->decoders);
    retries->status.all = retries->wanted;
    retries->wanted = false;
    retries->leaves = false;
    retries->running = true;
    error_init(&retries->work.err);
    fsm_start(&retries->fsm, "quarantine-retry", retry_steps, ARRAY_COUNT(retry_steps), RETRY_TAKE,
              RETRY_END);
}

void quarantine_retry_wanted(struct indexer *indexer)
{
    struct quarantine_retries *retries = indexer->quarantine_retries;

    if (retries == NULL || indexer->draining)
        return;
    retries->wanted = true;
    if (!retries->running)
        uv_timer_start(&retries->timer, retry_on_timer, 0, 0);
}

void quarantine_retry_cancel(struct indexer *indexer)
{
    struct quarantine_retries *retries = indexer->quarantine_retries;

    if (retries == NULL)
        return;
    retries->wanted = false;
    retries->leaves = retries->running;
}

void quarantine_retry_status(const struct indexer *indexer, struct quarantine_retry_status *status)
{
    *status = (struct quarantine_retry_status){ .running = false };
    if (indexer->quarantine_retries == NULL)
        return;
    *status = indexer->quarantine_retries->status;
    status->wanted = indexer->quarantine_retries->wanted;
}

/* --- start and stop --- */

enum status quarantine_retries_start(struct indexer *indexer, struct error *err)
{
    struct quarantine_retries *retries = calloc(1, sizeof *retries);

    if (retries != NULL)
        retries->messages = malloc(RETRY_MESSAGES * sizeof *retries->messages);
    if (retries == NULL || retries->messages == NULL) {
        free(retries);
        return error_set(err, STATUS_NO_MEMORY, "retries of quarantine");
    }
    retries->indexer = indexer;
    buf_init(&retries->heads, RETRY_HEADS_SIZE_MAX);
    uv_timer_init(indexer->loop, &retries->timer);
    retries->timer.data = retries;
    uv_timer_start(&retries->timer, retry_on_timer, RETRY_LOOK_MS, 0);
    metric_register(&retry_decoded);
    metric_register(&retry_refused);
    indexer->quarantine_retries = retries;
    return STATUS_OK;
}

void quarantine_retries_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct quarantine_retries *retries = indexer->quarantine_retries;

    retries->on_stopped = on_stopped;
    retries->leaves = true;
    uv_timer_stop(&retries->timer);
    if (!retries->running)
        uv_close((uv_handle_t *)&retries->timer, retry_on_closed);
}
