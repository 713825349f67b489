/* upsert_write.c: what batches decoded to -> events -> the catalog, on the pool. */
#include "indexer/upsert_write.h"

#include "indexer/census.h"
#include "indexer/decoder_death.h"
#include "indexer/run_guard.h"
#include "proto/base/metric.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct upsert_writer {
    struct indexer *indexer;
    struct list waiting;
    unsigned under_way;
    uv_timer_t soon; /* the end of this turn: what gets ready in it is written together */
};

/* One write: batches of one run and incarnation. */
struct write_group {
    struct work work;
    struct upsert_writer *writer;
    struct list writes;
    size_t count;               /* of them */
    size_t messages;            /* in them */
    char release[32];           /* of ecCodes */
    unsigned form;              /* of our decoder */
    struct field_event *events; /* owned */
    size_t events_count;
    struct quarantine_entry *refusals; /* owned */
    size_t refusals_count;
    int64_t refused[REFUSAL_CLASSES]; /* of them */
};

static struct metric write_fields = { .name = "gribstore_index_fields_total",
                                      .help = "Fields written to the catalog (copies count).",
                                      .kind = METRIC_COUNTER };
#define QUARANTINED(Refusal, Class)                                                                \
    [Refusal] = { .name = "gribstore_index_quarantined_total",                                     \
                  .labels = "class=\"" Class "\"",                                                 \
                  .help = "Messages put into quarantine (copies count), by what kind of reason.",  \
                  .kind = METRIC_COUNTER }
static struct metric write_quarantined[REFUSAL_CLASSES] = {
    QUARANTINED(REFUSAL_REFUSED, "refused"),     QUARANTINED(REFUSAL_DIED, "died"),
    QUARANTINED(REFUSAL_TIMED_OUT, "timed-out"), QUARANTINED(REFUSAL_GARBAGE, "garbage"),
    QUARANTINED(REFUSAL_NO_HEADS, "no-heads"),
};
static struct metric write_calls = { .name = "gribstore_index_writes_total",
                                     .help = "Writes of fields to the catalog, of one batch or of several.",
                                     .kind = METRIC_COUNTER };

static void writer_pump(struct upsert_writer *writer);

/* --- events, on the pool: the keys of thousands of fields are looked through. What they are made of is held, and no longer changes --- */

static struct field_location *location_new(const struct upsert_batch *batch,
                                           const struct upsert_record *record)
{
    struct field_location *location = calloc(1, sizeof *location);
    char path[DATA_PATH_SIZE];

    assert(location != NULL);
    data_path_print(&batch->run, record->shard, record->birth, path);
    snprintf(location->url, sizeof location->url, "%s%s", batch->url, path);
    snprintf(location->node, sizeof location->node, "%s", batch->node);
    data_file_name_print(record->shard, record->birth, location->file);
    location->offset = record->offset;
    location->length = record->length;
    return location;
}

static enum status group_add_event(struct write_group *group, const struct upsert_batch *batch,
                                   const struct upsert_record *record,
                                   const struct decoded_field *field, unsigned sub, struct error *err)
{
    struct field_keys *keys;
    enum status status = field_keys_parse(field->keys, field->keys_size, &keys, err);

    if (status != STATUS_OK)
        return status;
    struct field_event *event = &group->events[group->events_count++];
    *event = (struct field_event){ .kind = FIELD_ADD, .run = batch->run };
    field_id_make(&batch->run, field->identity, &event->id);
    event->issue = (struct field_issue){
        .digest = record->digest,
        .sub = sub,
        .stored_at_us = record->stored_at_us,
        .length = record->length,
        .incarnation = batch->incarnation,
        .keys = keys,
        .locations_count = 1,
        .locations = location_new(batch, record),
    };
    return STATUS_OK;
}

static void group_add_refusal(struct write_group *group, const struct upsert_batch *batch,
                              const struct upsert_record *record, const char *reason)
{
    struct quarantine_entry *entry = &group->refusals[group->refusals_count++];

    *entry = (struct quarantine_entry){
        .run = batch->run,
        .incarnation = batch->incarnation,
        .digest = record->digest,
        .length = record->length,
        .stored_at_us = record->stored_at_us,
        .locations_count = 1,
        .locations = location_new(batch, record),
    };
    snprintf(entry->reason, sizeof entry->reason, "%s", reason);
    snprintf(entry->eccodes, sizeof entry->eccodes, "%s", group->release);
    entry->form = group->form;
    group->refused[refusal_class_of(reason)]++;
}

static enum status group_add_record(struct write_group *group, const struct upsert_batch *batch,
                                    const struct upsert_record *record,
                                    const struct upsert_item *item, struct error *err)
{
    const struct decoded *decoded = item->decoded;
    enum status status = STATUS_OK;

    assert(decoded != NULL || item->headless != NULL);
    if (item->headless != NULL)
        group_add_refusal(group, batch, record, item->headless);
    else if (decoded->refused)
        group_add_refusal(group, batch, record, decoded->reason);
    else
        for (unsigned sub = 0; status == STATUS_OK && sub < decoded->fields_count; sub++)
            status = group_add_event(group, batch, record, &decoded->fields[sub], sub + 1, err);
    return status;
}

static size_t write_fields_count(const struct upsert_write *write)
{
    size_t fields = 0;

    for (size_t i = 0; i < write->batch->count; i++)
        fields += write->items[i].decoded != NULL ? write->items[i].decoded->fields_count : 0;
    return fields;
}

static enum status group_make_events(struct write_group *group, struct error *err)
{
    enum status status = STATUS_OK;
    size_t fields = 0;

    list_for_each (at, &group->writes)
        fields += write_fields_count(container_of(at, struct upsert_write, list));
    group->events = calloc(fields + 1, sizeof *group->events);
    group->refusals = calloc(group->messages + 1, sizeof *group->refusals);
    assert(group->events != NULL && group->refusals != NULL);
    list_for_each (at, &group->writes) {
        const struct upsert_write *write = container_of(at, struct upsert_write, list);
        for (size_t i = 0; i < write->batch->count && status == STATUS_OK; i++)
            status = group_add_record(group, write->batch, &write->batch->records[i],
                                      &write->items[i], err);
    }
    return status;
}

/* Here, not on the loop: they are thousands. */
static void group_drop_events(struct write_group *group)
{
    for (size_t i = 0; i < group->events_count; i++)
        field_event_fini(&group->events[i]);
    for (size_t i = 0; i < group->refusals_count; i++)
        quarantine_entry_fini(&group->refusals[i]);
    free(group->events);
    free(group->refusals);
}

static const struct upsert_batch *group_batch(const struct write_group *group)
{
    return list_first(&group->writes, struct upsert_write, list)->batch;
}

static void group_run(struct work *work)
{
    struct write_group *group = container_of(work, struct write_group, work);
    const struct upsert_batch *batch = group_batch(group);
    struct catalog *catalog = group->writer->indexer->catalog;

    work->status = run_guard_check(catalog, &batch->run, batch->incarnation, &work->err);
    if (work->status == STATUS_OK)
        work->status = group_make_events(group, &work->err);
    if (group->events_count > 0 && work->status == STATUS_OK)
        work->status = catalog_apply(catalog, group->events, group->events_count, &work->err);
    if (group->refusals_count > 0 && work->status == STATUS_OK)
        work->status = catalog_quarantine_put_all(catalog, group->refusals, group->refusals_count,
                                                  &work->err);
    if (work->status == STATUS_OK)
        work->status = run_guard_check(catalog, &batch->run, batch->incarnation, &work->err);
    group_drop_events(group);
}

/* --- writes of several batches --- */

static bool write_fits(const struct write_group *group, const struct upsert_write *write)
{
    const struct upsert_batch *first = group_batch(group), *batch = write->batch;

    return !write->alone && batch->incarnation == first->incarnation &&
           run_key_compare(&batch->run, &first->run) == 0 &&
           group->messages + batch->count <= UPSERT_MESSAGES_MAX;
}

/* Another node's, with messages that were stored at the same time: replicas, most likely. */
static bool write_is_replica(const struct write_group *group, const struct upsert_write *write)
{
    const struct upsert_write *first = list_first(&group->writes, struct upsert_write, list);

    return write->stamp_min <= first->stamp_max && write->stamp_max >= first->stamp_min &&
           strcmp(write->batch->node, first->batch->node) != 0;
}

static void write_set_stamps(struct upsert_write *write)
{
    write->stamp_min = UINT64_MAX;
    write->stamp_max = 0;
    for (size_t i = 0; i < write->batch->count; i++) {
        uint64_t stamp = write->batch->records[i].stored_at_us;
        write->stamp_min = stamp < write->stamp_min ? stamp : write->stamp_min;
        write->stamp_max = stamp > write->stamp_max ? stamp : write->stamp_max;
    }
}

static void group_take(struct write_group *group, struct upsert_write *write)
{
    list_remove(&write->list);
    list_append(&group->writes, &write->list);
    group->count++;
    group->messages += write->batch->count;
}

/* A failure that another batch may be to blame for: each is tried by itself. */
static bool group_may_part(const struct write_group *group)
{
    enum status status = group->work.status;

    return group->count > 1 && status != STATUS_OK && status != STATUS_UNREACHABLE &&
           status != STATUS_TIMEOUT && status != STATUS_STALE_RUN && status != STATUS_FULL &&
           status != STATUS_READ_ONLY;
}

static void group_finish(struct write_group *group)
{
    struct upsert_writer *writer = group->writer;
    bool parts = group_may_part(group);

    while (!list_empty(&group->writes)) {
        struct upsert_write *write = list_first(&group->writes, struct upsert_write, list);
        list_remove(&write->list);
        write->alone = parts;
        if (parts)
            list_append(&writer->waiting, &write->list);
        else
            write->on_done(write, group->work.status, &group->work.err);
    }
}

static void group_on_done(struct work *work)
{
    struct write_group *group = container_of(work, struct write_group, work);
    struct upsert_writer *writer = group->writer;

    census_touch(writer->indexer, &group_batch(group)->run); /* after a failure too: some of it may be there */
    metric_add(&write_calls, 1);
    if (work->status == STATUS_OK) {
        metric_add(&write_fields, (int64_t)group->events_count);
        for (unsigned i = 0; i < REFUSAL_CLASSES; i++)
            metric_add(&write_quarantined[i], group->refused[i]);
    }
    writer->under_way--;
    group_finish(group);
    free(group);
    writer_pump(writer);
}

/* Of those that wait; returns how many. */
static size_t group_gather(struct write_group *group, bool replicas)
{
    size_t count = group->count;

    list_for_each_safe (at, after, &group->writer->waiting) {
        struct upsert_write *write = container_of(at, struct upsert_write, list);
        if (write_fits(group, write) && (!replicas || write_is_replica(group, write)))
            group_take(group, write);
    }
    return group->count - count;
}

/* The first in line and its replicas; without any, what comes next. Others' replicas are left together. */
static void group_start(struct upsert_writer *writer)
{
    struct write_group *group = calloc(1, sizeof *group);

    assert(group != NULL);
    group->writer = writer;
    list_init(&group->writes);
    struct upsert_write *first = list_first(&writer->waiting, struct upsert_write, list);
    group_take(group, first);
    if (!first->alone && group_gather(group, true) == 0)
        group_gather(group, false);
    if (writer->indexer->decoders != NULL) {
        snprintf(group->release, sizeof group->release, "%s",
                 decoders_release(writer->indexer->decoders));
        group->form = decoders_form(writer->indexer->decoders);
    }
    writer->under_way++;
    work_start(writer->indexer->loop, &group->work, group_run, group_on_done);
}

static void writer_pump(struct upsert_writer *writer)
{
    while (writer->under_way < UPSERT_WRITES_MAX && !list_empty(&writer->waiting))
        group_start(writer);
}

static void writer_on_soon(uv_timer_t *timer)
{
    writer_pump(timer->data);
}

void upsert_writer_add(struct upsert_writer *writer, struct upsert_write *write)
{
    write->alone = false;
    write_set_stamps(write);
    list_append(&writer->waiting, &write->list);
    if (writer->under_way < UPSERT_WRITES_MAX)
        uv_timer_start(&writer->soon, writer_on_soon, 0, 0);
}

void upsert_writer_metrics(void)
{
    metric_register(&write_fields);
    for (unsigned i = 0; i < REFUSAL_CLASSES; i++)
        metric_register(&write_quarantined[i]);
    metric_register(&write_calls);
}

struct upsert_writer *upsert_writer_new(struct indexer *indexer)
{
    struct upsert_writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return NULL;
    writer->indexer = indexer;
    list_init(&writer->waiting);
    uv_timer_init(indexer->loop, &writer->soon);
    writer->soon.data = writer;
    return writer;
}

static void writer_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void upsert_writer_free(struct upsert_writer *writer)
{
    assert(list_empty(&writer->waiting) && writer->under_way == 0);
    uv_close((uv_handle_t *)&writer->soon, writer_on_closed);
}
