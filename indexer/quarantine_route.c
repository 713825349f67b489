/* quarantine_route.c: entries of quarantine over HTTP: parameters on the loop, one scan on the pool, and one that counts, the answer on the loop. */
#include "indexer/quarantine_route.h"

#include "indexer/decoder_death.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROUTE_LIMIT = 100,
    ROUTE_LIMIT_MAX = 1000,
    ROUTE_BODY_MAX = 32 << 20,
    ROUTE_CURSOR_SIZE = 256
};

struct quarantine_list {
    struct work work;
    struct http_exchange *exchange;
    struct indexer *indexer;
    /* what is asked */
    char source[SOURCE_SIZE_MAX + 1]; /* "": all */
    bool one_run;
    struct run_key run;
    int class_wanted; /* -1: all */
    size_t limit;
    bool has_cursor;
    struct run_key after_run;
    struct digest after;
    /* the answer */
    uint64_t classes[REFUSAL_CLASSES];
    size_t listed;
    bool more;
    struct quarantine_entry last; /* listed; without places */
    struct json_writer json;
    struct buf body;
};

/* --- what is asked --- */

static enum status list_take_limit(struct http_exchange *ex, struct quarantine_list *list,
                                   struct error *err)
{
    struct slice text = http_query(ex, "limit");
    size_t value = 0;

    list->limit = ROUTE_LIMIT;
    if (text.data == NULL)
        return STATUS_OK;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > ROUTE_LIMIT_MAX)
            value = ROUTE_LIMIT_MAX + 1;
        else
            value = 10 * value + (text.data[i] - '0');
    }
    if (value < 1 || value > ROUTE_LIMIT_MAX)
        return error_set(err, STATUS_BAD_VALUE, "limit: 1 to %d", ROUTE_LIMIT_MAX);
    list->limit = value;
    return STATUS_OK;
}

static enum status list_take_class(struct http_exchange *ex, struct quarantine_list *list,
                                   struct error *err)
{
    struct slice text = http_query(ex, "class");

    list->class_wanted = -1;
    if (text.data == NULL)
        return STATUS_OK;
    for (unsigned i = 0; i < REFUSAL_CLASSES; i++)
        if (slice_equals(text, refusal_class_name((enum refusal_class)i)))
            list->class_wanted = (int)i;
    return list->class_wanted >= 0
               ? STATUS_OK
               : error_set(err, STATUS_BAD_VALUE, "class: refused, died, timed-out, garbage or no-heads");
}

/* SOURCE/BASE_TIME/DIGEST of the last entry listed. */
static enum status list_take_cursor(struct http_exchange *ex, struct quarantine_list *list,
                                    struct error *err)
{
    struct slice text = http_query(ex, "cursor");
    const uint8_t *first, *second;

    if (text.data == NULL)
        return STATUS_OK;
    first = memchr(text.data, '/', text.size);
    second = first == NULL ? NULL : memchr(first + 1, '/', text.size - (size_t)(first + 1 - text.data));
    list->has_cursor = second != NULL &&
                       run_key_parse(slice_of(text.data, (size_t)(first - text.data)),
                                     slice_of(first + 1, (size_t)(second - first - 1)),
                                     &list->after_run, NULL) == STATUS_OK &&
                       digest_parse(slice_of(second + 1, text.size - (size_t)(second + 1 - text.data)),
                                    &list->after);
    return list->has_cursor ? STATUS_OK
                            : error_set(err, STATUS_BAD_VALUE, "cursor: not one that was given out");
}

static enum status list_take_run(struct http_exchange *ex, struct quarantine_list *list, struct error *err)
{
    struct slice source = http_query(ex, "source"), base_time = http_query(ex, "base_time");

    if (source.data == NULL && base_time.data != NULL)
        return error_set(err, STATUS_BAD_VALUE, "base_time: needs a source");
    if (base_time.data != NULL) {
        list->one_run = true;
        return run_key_parse(source, base_time, &list->run, err);
    }
    if (source.data == NULL)
        return STATUS_OK;
    if (source.size == 0 || source.size > SOURCE_SIZE_MAX)
        return error_set(err, STATUS_BAD_VALUE, "source: 1 to %d characters", SOURCE_SIZE_MAX);
    memcpy(list->source, source.data, source.size);
    return STATUS_OK;
}

/* --- the scan --- */

static void list_print_entry(struct quarantine_list *list, const struct quarantine_entry *entry)
{
    struct json_writer *json = &list->json;
    char base_time[BASE_TIME_TEXT_SIZE], digest[DIGEST_TEXT_SIZE];

    base_time_print_rfc3339(entry->run.base_time, base_time);
    digest_print(&entry->digest, digest);
    json_object_begin(json);
    json_put_string(json, "source", entry->run.source);
    json_put_string(json, "base_time", base_time);
    json_put_string(json, "digest", digest);
    json_put_u64(json, "length", entry->length);
    json_put_u64(json, "stored_at", entry->stored_at_us);
    json_put_string(json, "class", refusal_class_name(refusal_class_of(entry->reason)));
    json_put_string(json, "reason", entry->reason);
    json_put_string(json, "eccodes", entry->eccodes);
    json_put_u64(json, "decoder", entry->form);
    field_locations_put(json, entry->locations, entry->locations_count);
    json_object_end(json);
}

static bool list_asks_for(const struct quarantine_list *list, const struct quarantine_entry *entry)
{
    return (list->source[0] == '\0' || strcmp(list->source, entry->run.source) == 0) &&
           (!list->one_run || run_key_compare(&list->run, &entry->run) == 0);
}

static bool list_count(void *data, const struct quarantine_entry *entry)
{
    struct quarantine_list *list = data;

    if (list_asks_for(list, entry))
        list->classes[refusal_class_of(entry->reason)]++;
    return true;
}

static bool list_on_entry(void *data, const struct quarantine_entry *entry)
{
    struct quarantine_list *list = data;

    if (!list_asks_for(list, entry) ||
        (list->class_wanted >= 0 && list->class_wanted != (int)refusal_class_of(entry->reason)))
        return true;
    list->more = list->listed == list->limit;
    if (list->more)
        return false;
    list_print_entry(list, entry);
    list->listed++;
    list->last = *entry;
    list->last.locations = NULL;
    return true;
}

static void list_run(struct work *work)
{
    struct quarantine_list *list = container_of(work, struct quarantine_list, work);

    struct catalog *catalog = list->indexer->catalog;
    const struct quarantine_entry after = { .run = list->after_run, .digest = list->after };

    json_object_begin(&list->json);
    json_key(&list->json, "entries");
    json_array_begin(&list->json);
    /* In the database's own order of ids, which is not the same in all. */
    if (list->one_run && !list->has_cursor)
        work->status = catalog_quarantine_scan(catalog, &list->run, list_on_entry, list, &work->err);
    else
        work->status = catalog_quarantine_scan_behind(catalog, &after, list_on_entry, list, &work->err);
    json_array_end(&list->json);
    if (work->status == STATUS_OK)
        work->status = catalog_quarantine_scan(catalog, list->one_run ? &list->run : NULL,
                                               list_count, list, &work->err);
}

/* --- the answer --- */

static void list_print_next(struct quarantine_list *list)
{
    char base_time[BASE_TIME_TEXT_SIZE], digest[DIGEST_TEXT_SIZE], cursor[ROUTE_CURSOR_SIZE];

    if (!list->more) {
        json_key(&list->json, "next");
        json_none(&list->json);
        return;
    }
    base_time_print(list->last.run.base_time, base_time);
    digest_print(&list->last.digest, digest);
    snprintf(cursor, sizeof cursor, "%s/%s/%s", list->last.run.source, base_time, digest);
    json_put_string(&list->json, "next", cursor);
}

static void list_end(struct quarantine_list *list)
{
    struct json_writer *json = &list->json;
    const struct decoders *decoders = list->indexer->decoders;
    uint64_t count = 0;

    list_print_next(list);
    json_key(json, "classes");
    json_object_begin(json);
    for (unsigned i = 0; i < REFUSAL_CLASSES; i++) {
        json_put_u64(json, refusal_class_name((enum refusal_class)i), list->classes[i]);
        count += list->classes[i];
    }
    json_object_end(json);
    json_put_u64(json, "count", count);
    /* By whom messages are decoded now. */
    json_put_string(json, "eccodes", decoders == NULL ? "" : decoders_release(decoders));
    json_put_u64(json, "decoder", decoders == NULL ? 0 : decoders_form(decoders));
    json_object_end(json);
    http_reply_header(list->exchange, "Cache-Control", "no-store");
    http_reply(list->exchange, 200, "application/json", &list->body);
}

static void list_on_done(struct work *work)
{
    struct quarantine_list *list = container_of(work, struct quarantine_list, work);
    struct error shown;

    if (work->status == STATUS_OK && buf_status(&list->body) != STATUS_OK)
        work->status = error_set(&work->err, buf_status(&list->body), "ask for fewer entries at once");
    if (work->status == STATUS_OK) {
        list_end(list);
    } else {
        error_init(&shown);
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(list->exchange, status, &shown, NULL);
    }
    buf_fini(&list->body);
    free(list);
}

void quarantine_route(struct http_exchange *ex)
{
    struct quarantine_list *list = calloc(1, sizeof *list);
    struct error err;

    assert(list != NULL);
    error_init(&err);
    list->exchange = ex;
    list->indexer = http_context(ex);
    enum status status = list_take_run(ex, list, &err);
    if (status == STATUS_OK)
        status = list_take_class(ex, list, &err);
    if (status == STATUS_OK)
        status = list_take_limit(ex, list, &err);
    if (status == STATUS_OK)
        status = list_take_cursor(ex, list, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        free(list);
        return;
    }
    buf_init(&list->body, ROUTE_BODY_MAX);
    json_init(&list->json, &list->body);
    work_start(list->indexer->loop, &list->work, list_run, list_on_done);
}
