/* query_run.c: answers on the pool: parts one after another, rows into the form, what is missing.
 *
 * A page ends with its limit, a chunk of a stream with its size, but never between two issues of one field: the next begins behind that
 * field. Where it begins is an id and the values sorted by, so documents that come or go meanwhile neither hide nor double others. */
#include "indexer/query_call.h"
#include "indexer/query_keys.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    ESCAPED_MAX = 6,       /* bytes of JSON a byte of text may become */
    MISSING_END_SIZE = 16, /* of ,"..." */
};

static atomic_size_t answers_size; /* of all answers that are being gathered */

static const struct query_request *call_request(const struct query_call *call)
{
    return &call->body.requests[call->parts.parts[call->part]->request];
}

/* --- memory --- */

static bool call_account(struct query_call *call)
{
    size_t grown = call->out.capacity - call->accounted;

    if (call->out.capacity <= call->accounted)
        return true;
    call->accounted = call->out.capacity;
    return atomic_fetch_add(&answers_size, grown) + grown <= ANSWERS_SIZE_MAX;
}

void query_run_release(struct query_call *call)
{
    atomic_fetch_sub(&answers_size, call->accounted);
    call->accounted = 0;
}

/* --- rows --- */

static bool same_id(const struct field_id *a, struct slice b)
{
    return a->size == b.size && memcmp(a->bytes, b.data, b.size) == 0;
}

static void last_set(struct query_call *call, const struct catalog_row *row)
{
    assert(row->id.size <= sizeof call->last_id.bytes);
    call->last_id.size = row->id.size;
    memcpy(call->last_id.bytes, row->id.data, row->id.size);
    for (size_t i = 0; i < call_request(call)->query.sorts_count; i++) {
        struct catalog_value *value = &call->last_values[i];
        *value = row->values[i];
        if (value->kind != CATALOG_TEXT)
            continue;
        if (value->text.size > SORT_TEXT_SIZE)
            value->text.size = SORT_TEXT_SIZE;
        memcpy(call->last_texts[i], value->text.data, value->text.size);
        value->text.data = (const uint8_t *)call->last_texts[i];
    }
}

static bool node_is_in(const void *data, const char *node)
{
    const struct query_call *call = data;
    const struct cluster_map *map = call->map;

    for (unsigned i = 0; i < map->nodes_count; i++)
        if (strcmp(map->nodes[i].id, node) == 0)
            return strcmp(map->nodes[i].colo, call->body.requests[0].colo) == 0;
    return false;
}

static void call_put(struct query_call *call, const struct catalog_row *row)
{
    struct slice text = row->text;

    if (call->map != NULL) {
        buf_clear(&call->scratch);
        if (!answer_prefer_nodes(text, node_is_in, call, &call->scratch)) {
            call->out.status = STATUS_CORRUPT;
            return;
        }
        text = slice_of(call->scratch.data, call->scratch.size);
    }
    call->form->document(&call->answer, row->id, text);
}

static bool call_is_full(const struct query_call *call)
{
    return call->streaming ? call->out.size >= CHUNK_SIZE : call->given >= call->limit;
}

static bool call_on_row(void *data, const struct catalog_row *row)
{
    struct query_call *call = data;

    if (call_is_full(call) && !same_id(&call->last_id, row->id)) {
        call->full = true;
        return false;
    }
    if (call->missing != NULL)
        missing_tick(call->missing, row->values + call_request(call)->query.sorts_count);
    call_put(call, row);
    last_set(call, row);
    call->any = true;
    call->given++;
    if (!call_account(call))
        call->out.status = STATUS_OVERLOADED;
    return buf_status(&call->out) == STATUS_OK;
}

static bool count_on_row(void *data, const struct catalog_row *row)
{
    struct query_call *call = data;

    if (call->missing != NULL)
        missing_tick(call->missing, row->values);
    call->any = true;
    call->counted++;
    return true;
}

/* --- what is missing --- */

static void list_put(struct buf *list, const char *text)
{
    struct json_writer json;

    if (list->size > 0)
        buf_text(list, ",");
    json_init(&json, list);
    json_text(&json, text);
}

/* A list that overran would be none, and the answer would look whole. */
static void missing_put(struct query_call *call, const char *request)
{
    struct buf *list = &call->missing_list;

    if (call->missing_over)
        return;
    call->missing_over = list->size + ESCAPED_MAX * strlen(request) + MISSING_END_SIZE > list->size_max;
    list_put(list, call->missing_over ? "..." : request);
}

static void missing_on_request(void *data, const char *request, bool more)
{
    (void)more;
    missing_put(data, request);
}

struct hinting {
    struct query_call *call;
    struct axes *axes;
};

static void hint_on_name(void *data, const char *key, const char *value)
{
    struct hinting *hinting = data;
    const char *nearest = axes_nearest(hinting->axes, key, value);
    struct buf *list = &hinting->call->hints_list;
    struct json_writer json;

    if (nearest == NULL)
        return;
    if (list->size > 0)
        buf_text(list, ",");
    json_init(&json, list);
    json_object_begin(&json);
    json_put_string(&json, "key", key);
    json_put_string(&json, "value", value);
    json_put_string(&json, "nearest", nearest);
    json_object_end(&json);
}

/* Which names there are, with no other conditions than the run's. No hint is no failure. */
static void call_hint(struct query_call *call, struct missing *missing)
{
    struct query_part part = *call->parts.parts[call->part], *parts[1] = { &part };
    struct hinting hinting = { .call = call };
    struct catalog_query *query = &part.query;
    struct error unused;
    size_t kept = 0;

    for (size_t i = 0; i < query->terms_count; i++)
        if (strcmp(query->terms[i].key, "source") == 0 || strcmp(query->terms[i].key, "base_time") == 0)
            query->terms[kept++] = query->terms[i];
    query->terms_count = kept;
    query->all = false;
    query->as_of_us = 0;
    if (axes_take(call->axes_cache, call->catalog, parts, 1, &hinting.axes, &unused) != STATUS_OK)
        return;
    missing_names(missing, hint_on_name, &hinting);
    axes_free(hinting.axes);
}

/* A run that is on its way out, or out, has nothing any more: that it is known is worth saying. */
static void call_gone(struct query_call *call)
{
    char base_time[BASE_TIME_TEXT_SIZE];
    struct catalog_run found;
    struct json_writer json;
    struct run_key run;
    struct error unused;

    if (!catalog_query_names_run(&call->parts.parts[call->part]->query, &run) ||
        catalog_run_get(call->catalog, &run, &found, &unused) != STATUS_OK ||
        (found.info.state != RUN_RETIRED && found.info.state != RUN_PURGED))
        return;
    if (call->gone_list.size > 0)
        buf_text(&call->gone_list, ",");
    base_time_print_rfc3339(run.base_time, base_time);
    json_init(&json, &call->gone_list);
    json_object_begin(&json);
    json_put_string(&json, "source", run.source);
    json_put_string(&json, "base_time", base_time);
    json_put_string(&json, "state", run_state_name(found.info.state));
    json_object_end(&json);
}

static bool call_wants_missing(const struct query_call *call)
{
    const struct query_request *request = call_request(call);

    if (request->missing_given)
        return request->missing;
    return call->form == &answer_json && !call->streaming && !request->count;
}

static void part_begin(struct query_call *call)
{
    const struct catalog_query *query = &call->parts.parts[call->part]->query;

    call->any = false;
    call->continued = call_wants_missing(call) && query->after.size > 0;
    if (call_wants_missing(call) && query->terms_count > 0 && !call->continued)
        call->missing = missing_new(query);
}

static void part_end(struct query_call *call, bool whole)
{
    bool gone = call->continued; /* perhaps since the page before, which then was not all there was */

    if (call->missing != NULL && whole && missing_count(call->missing) > 0) {
        missing_print(call->missing, missing_on_request, call);
        if (call_request(call)->missing_given)
            call_hint(call, call->missing);
        gone = !call->any;
    }
    if (gone && whole)
        call_gone(call);
    missing_free(call->missing);
    call->missing = NULL;
}

/* --- one part --- */

static enum status part_run(struct query_call *call)
{
    struct query_part *part = call->parts.parts[call->part];
    const char *keys[CATALOG_KEYS_MAX], *const *missing_names = NULL;
    struct catalog_rows rows = { .text = true, .keys = keys, .each = call_on_row, .data = call };
    struct catalog_query *query = &part->query;

    for (size_t i = 0; i < query->sorts_count; i++)
        keys[rows.keys_count++] = query->sorts[i].key;
    size_t count = call->missing != NULL ? missing_keys(call->missing, &missing_names) : 0;
    for (size_t i = 0; i < count; i++)
        keys[rows.keys_count++] = missing_names[i];
    /* One more than the page holds: that tells whether there is another. */
    query->limit = call->streaming ? call->chunk_fields : call->limit - call->given + 1;
    if (query->all)
        query->limit = 0;
    size_t given = call->given;
    enum status status = catalog_find_rows(call->catalog, query, &rows, &call->work.err);
    if (status == STATUS_OK && query->limit != 0 && call->streaming && call->given - given >= query->limit)
        call->full = true;
    return query_too_slow(query, status, &call->work.err);
}

/* How many documents fill the next chunk, going by this one. */
static void chunk_learn(struct query_call *call, size_t given)
{
    size_t fields = call->out.size > 0 ? given * CHUNK_SIZE / call->out.size + 1 : 0;

    if (given > 0)
        call->chunk_fields = fields < CHUNK_FIELDS_MAX ? fields : CHUNK_FIELDS_MAX;
}

static enum status part_count(struct query_call *call)
{
    const char *const *keys = NULL;
    struct catalog_query query = call->parts.parts[call->part]->query;
    struct catalog_rows rows = { .each = count_on_row, .data = call };
    uint64_t count = 0;

    query.limit = 0;
    query.after.size = 0;
    query.sorts_count = 0;
    if (call->missing == NULL && !query.all && query.as_of_us == 0) {
        enum status status = catalog_count(call->catalog, &query, &count, &call->work.err);
        call->counted += count;
        return query_too_slow(&query, status, &call->work.err);
    }
    if (call->missing != NULL)
        rows.keys_count = missing_keys(call->missing, &keys);
    rows.keys = keys;
    enum status status = catalog_find_rows(call->catalog, &query, &rows, &call->work.err);
    return query_too_slow(&query, status, &call->work.err);
}

/* --- the answer --- */

static void call_more(struct query_call *call, struct buf *more)
{
    const struct {
        const char *name;
        struct buf *list;
    } lists[] = { { "missing", &call->missing_list },
                  { "hints", &call->hints_list },
                  { "gone", &call->gone_list } };

    for (unsigned i = 0; i < ARRAY_COUNT(lists); i++) {
        if (lists[i].list->size == 0 || buf_status(lists[i].list) != STATUS_OK)
            continue;
        buf_format(more, "%s\"%s\":[", more->size > 0 ? "," : "", lists[i].name);
        buf_append(more, lists[i].list->data, lists[i].list->size);
        buf_text(more, "]");
    }
}

static void latest_missing(struct query_call *call)
{
    char text[SOURCE_SIZE_MAX + 64];

    for (size_t i = 0; i < call->parts.without_count; i++) {
        snprintf(text, sizeof text, "source=%s,base_time=latest", call->parts.without[i]);
        missing_put(call, text);
    }
}

/* The chunk ended within a part: the next one begins behind its last document. */
static void call_go_on(struct query_call *call)
{
    struct catalog_query *query = &call->parts.parts[call->part]->query;

    query->after = call->last_id;
    for (size_t i = 0; i < query->sorts_count; i++)
        query->sorts[i].after = call->last_values[i];
}

static enum status call_fields(struct query_call *call)
{
    enum status status = STATUS_OK;
    size_t given = call->given;

    call->full = false;
    while (status == STATUS_OK && call->part < call->parts.count) {
        if (call->missing == NULL &&
            !(call->streaming && call->parts.parts[call->part]->query.after.size > 0))
            part_begin(call);
        status = part_run(call);
        if (call->full && call->streaming) {
            call_go_on(call);
            break;
        }
        part_end(call, status == STATUS_OK && !call->full);
        if (call->full)
            break;
        call->part++;
    }
    call->last = !call->full;
    if (call->streaming)
        chunk_learn(call, call->given - given);
    if (status == STATUS_OK && call->full && !call->streaming)
        query_cursor_print(call_request(call), call->parts.parts[call->part]->request,
                           slice_of(call->last_id.bytes, call->last_id.size), call->last_values,
                           &call->cursor);
    return status;
}

static enum status call_counts(struct query_call *call)
{
    enum status status = STATUS_OK;

    for (; status == STATUS_OK && call->part < call->parts.count; call->part++) {
        part_begin(call);
        status = part_count(call);
        part_end(call, status == STATUS_OK);
    }
    call_more(call, &call->more);
    buf_format(&call->out, "{\"count\":%zu%s%s}", call->counted, call->more.size > 0 ? "," : "",
               buf_string(&call->more));
    call->last = true;
    return status;
}

static enum status call_axes(struct query_call *call)
{
    struct json_writer json;
    struct axes *axes;
    enum status status = axes_take(call->axes_cache, call->catalog, call->parts.parts,
                                   call->parts.count, &axes, &call->work.err);

    if (status != STATUS_OK)
        return status;
    json_init(&json, &call->out);
    json_object_begin(&json);
    json_put_u64(&json, "count", axes_count(axes));
    json_key(&json, "axes");
    axes_print(axes, &json);
    json_object_end(&json);
    axes_free(axes);
    call->last = true;
    return STATUS_OK;
}

static enum status call_prepare(struct query_call *call)
{
    const struct query_request *first = &call->body.requests[0];

    call->prepared = true;
    call->chunk_fields = CHUNK_FIELDS_FIRST;
    call->limit = first->query.limit;
    enum status status = query_parts_make(&call->parts, call->catalog, call->body.requests,
                                          call->body.count, &call->work.err);
    if (status == STATUS_OK)
        latest_missing(call);
    return status;
}

static enum status call_documents(struct query_call *call)
{
    bool first = !call->started;

    if (first)
        call->form->begin(&call->answer);
    enum status status = call_fields(call);
    if (status != STATUS_OK || !(call->last || !call->streaming))
        return status;
    call_more(call, &call->more);
    const char *next = call->cursor.size > 0 ? buf_string(&call->cursor) : NULL;
    /* Lines of documents alone, unless it was asked for; a page says it in its head. */
    bool say = call->form == &answer_json || (call->streaming && call->body.requests[0].missing);
    call->form->end(&call->answer, next, say ? buf_string(&call->more) : "");
    return STATUS_OK;
}

void query_run(struct work *work)
{
    struct query_call *call = container_of(work, struct query_call, work);
    const struct query_request *request = &call->body.requests[0];

    if (call->streaming || !call->prepared)
        buf_init(&call->out, ANSWER_SIZE_MAX);
    call->answer.buf = &call->out;
    work->status = call->prepared ? STATUS_OK : call_prepare(call);
    if (work->status == STATUS_OK)
        work->status = request->axes    ? call_axes(call)
                       : request->count ? call_counts(call)
                                        : call_documents(call);
    if (work->status == STATUS_OK && buf_status(&call->out) != STATUS_OK)
        work->status = error_set(&work->err, buf_status(&call->out), "an answer");
}
