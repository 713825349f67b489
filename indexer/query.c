/* query.c: pairs of key and value into a catalog query. Pure. */
#include "indexer/query.h"
#include "indexer/query_position.h"
#include "indexer/query_values.h"
#include "proto/base/json_read.h"
#include "proto/http/token.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { QUERY_LIMIT_DEFAULT = 1000 };

void query_init(struct query_request *request)
{
    *request = (struct query_request){ .form = QUERY_JSON };
    request->query.limit = QUERY_LIMIT_DEFAULT;
}

void query_fini(struct query_request *request)
{
    for (size_t i = 0; i < request->query.terms_count; i++)
        query_term_fini(&request->query.terms[i]);
    request->query.terms_count = 0;
    for (size_t i = 0; i < QUERY_SORTS_MAX; i++) {
        free(request->sort_texts[i]);
        request->sort_texts[i] = NULL;
    }
}

/* --- keys of the answer --- */

static enum status take_limit(struct query_request *request, struct slice value, struct error *err)
{
    uint64_t limit;

    request->whole = slice_equals(value, "all");
    if (request->whole)
        return STATUS_OK;
    if (decimal_parse((const char *)value.data, value.size, QUERY_LIMIT_MAX, &limit) != 0 || limit == 0)
        return error_set(err, STATUS_BAD_VALUE, "limit: neither a number from 1 to %d nor all",
                         QUERY_LIMIT_MAX);
    request->query.limit = (size_t)limit;
    return STATUS_OK;
}

static enum status take_flag(bool *flag, const char *name, struct slice value, struct error *err)
{
    *flag = slice_equals(value, "1") || slice_equals(value, "true");
    if (!*flag && !slice_equals(value, "0") && !slice_equals(value, "false"))
        return error_set(err, STATUS_BAD_VALUE, "%s: neither 1 nor 0", name);
    return STATUS_OK;
}

static enum status take_all(struct query_request *request, struct slice value, struct error *err)
{
    return take_flag(&request->query.all, "all", value, err);
}

static enum status take_count(struct query_request *request, struct slice value, struct error *err)
{
    return take_flag(&request->count, "count", value, err);
}

static enum status take_axes(struct query_request *request, struct slice value, struct error *err)
{
    return take_flag(&request->axes, "axes", value, err);
}

static enum status take_missing(struct query_request *request, struct slice value, struct error *err)
{
    request->missing_given = true;
    return take_flag(&request->missing, "missing", value, err);
}

static enum status take_as_of(struct query_request *request, struct slice value, struct error *err)
{
    if (!position_of_instant(value, &request->query.as_of_us))
        return error_set(err, STATUS_BAD_VALUE,
                         "as_of: neither a time (2013-04-08T06:30:00.5Z) nor microseconds since 1970");
    return STATUS_OK;
}

static enum status take_format(struct query_request *request, struct slice value, struct error *err)
{
    static const char *const names[] = { "json", "ndjson", "csv" };

    request->form_given = true;
    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_equals(value, names[i])) {
            request->form = (enum query_form)i;
            return STATUS_OK;
        }
    }
    return error_set(err, STATUS_BAD_VALUE, "format: none of json, ndjson, csv");
}

static enum status take_colo(struct query_request *request, struct slice value, struct error *err)
{
    if (value.size == 0 || value.size >= sizeof request->colo ||
        memchr(value.data, '\0', value.size) != NULL)
        return error_set(err, STATUS_BAD_VALUE, "colo: not the name of one");
    memcpy(request->colo, value.data, value.size);
    request->colo[value.size] = '\0';
    return STATUS_OK;
}

/* --- sort --- */

static const struct {
    const char *name, *member;
    enum query_type type;
} sort_keys[] = {
    { "source", "source", QUERY_TEXT },         { "base_time", "base_time", QUERY_TIME },
    { "valid_time", "valid_time", QUERY_TIME }, { "step", "step_seconds", QUERY_NUMBER },
    { "param", "param", QUERY_TEXT },           { "paramId", "paramId", QUERY_NUMBER },
    { "levelist", "levelist", QUERY_NUMBER },   { "level", "level", QUERY_NUMBER },
    { "number", "number", QUERY_NUMBER },       { "length", "length", QUERY_NUMBER },
    { "stored_at", "stored_at", QUERY_NUMBER },
};

static enum status sort_add(struct query_request *request, struct slice name, struct error *err)
{
    struct catalog_query *query = &request->query;
    struct query_sort sort = { .descending = name.size > 0 && name.data[0] == '-' };

    if (sort.descending)
        name = slice_of(name.data + 1, name.size - 1);
    for (unsigned i = 0; i < ARRAY_COUNT(sort_keys); i++) {
        if (slice_equals(name, sort_keys[i].name)) {
            sort.key = sort_keys[i].member;
            sort.type = sort_keys[i].type;
        }
    }
    if (sort.key == NULL)
        return error_set(err, STATUS_BAD_VALUE,
                         "sort: \"%.*s\" is none of source, base_time, valid_time, step, param, paramId, "
                         "levelist, level, number, length, stored_at (- in front: descending)",
                         name.size < 40 ? (int)name.size : 40,
                         name.size > 0 ? (const char *)name.data : "");
    for (size_t i = 0; i < query->sorts_count; i++)
        if (query->sorts[i].key == sort.key)
            return error_set(err, STATUS_BAD_VALUE, "sort: the same key twice");
    if (query->sorts_count == QUERY_SORTS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "sort: more than %d keys", QUERY_SORTS_MAX);
    sort.after = query->sorts[query->sorts_count].after; /* the cursor may have come first */
    query->sorts[query->sorts_count++] = sort;
    return STATUS_OK;
}

static enum status take_sort(struct query_request *request, struct slice value, struct error *err)
{
    enum status status = STATUS_OK;

    request->query.sorts_count = 0;
    while (status == STATUS_OK) {
        const uint8_t *comma = value.size > 0 ? memchr(value.data, ',', value.size) : NULL;
        size_t size = comma != NULL ? (size_t)(comma - value.data) : value.size;
        status = sort_add(request, slice_of(value.data, size), err);
        if (comma == NULL)
            break;
        value = slice_of(value.data + size + 1, value.size - size - 1);
    }
    return status;
}

/* --- cursors: [PART.]ID[~VALUES], ID and VALUES in hex; VALUES is a JSON array of the keys sorted by --- */

static void cursor_values_print(const struct query_request *request,
                                const struct catalog_value *values, struct buf *text)
{
    struct json_writer json;
    struct buf list;

    buf_init(&list, 4096);
    json_init(&json, &list);
    json_array_begin(&json);
    for (size_t i = 0; i < request->query.sorts_count; i++) {
        if (values[i].kind == CATALOG_NONE)
            json_none(&json);
        else if (values[i].kind == CATALOG_TEXT)
            json_slice(&json, values[i].text);
        else if (values[i].kind == CATALOG_NUMBER)
            json_double(&json, values[i].number);
        else
            json_i64(&json, values[i].time);
    }
    json_array_end(&json);
    buf_text(text, "~");
    for (size_t i = 0; i < list.size; i++)
        buf_format(text, "%02x", list.data[i]);
    if (buf_status(&list) != STATUS_OK)
        text->status = buf_status(&list);
    buf_fini(&list);
}

void query_cursor_print(const struct query_request *request, unsigned part, struct slice id,
                        const struct catalog_value *values, struct buf *text)
{
    char hex[2 * FIELD_ID_SIZE_MAX + 1];

    if (part > 0)
        buf_format(text, "%u.", part);
    hex_print(id.data, id.size, hex);
    buf_text(text, hex);
    if (request->query.sorts_count > 0)
        cursor_values_print(request, values, text);
}

static bool cursor_value_read(struct query_request *request, size_t i, const json_t *json)
{
    struct catalog_value *value = &request->query.sorts[i].after;

    *value = (struct catalog_value){ .kind = CATALOG_NONE };
    if (json_is_string(json)) {
        free(request->sort_texts[i]);
        request->sort_texts[i] = strdup(json_string_value(json));
        if (request->sort_texts[i] == NULL)
            return false;
        *value = (struct catalog_value){ .kind = CATALOG_TEXT,
                                         .text = slice_text(request->sort_texts[i]) };
    } else if (json_is_number(json)) {
        /* Which of the two query_finish() knows, from the key. */
        value->kind = CATALOG_NUMBER;
        value->number = json_number_value(json);
    } else if (!json_is_null(json)) {
        return false;
    }
    return true;
}

static bool cursor_values_read(struct query_request *request, struct slice hex)
{
    uint8_t text[2048];
    json_t *list = NULL;
    size_t size = hex.size / 2;

    if (size == 0 || size > sizeof text || hex_parse((const char *)hex.data, hex.size, text, size) != 0 ||
        json_parse(text, size, &list, NULL) != STATUS_OK)
        return false;
    bool good = json_is_array(list) && json_array_size(list) > 0 &&
                json_array_size(list) <= QUERY_SORTS_MAX;
    for (size_t i = 0; good && i < json_array_size(list); i++)
        good = cursor_value_read(request, i, json_array_get(list, i));
    request->after_count = good ? json_array_size(list) : 0;
    json_decref(list);
    return good;
}

static bool cursor_read(struct query_request *request, struct slice text)
{
    const uint8_t *dot = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
    uint8_t id[FIELD_ID_SIZE_MAX];
    struct run_key run;
    uint64_t part;

    request->after_count = 0;
    if (dot != NULL) {
        size_t digits = (size_t)(dot - text.data);
        if (decimal_parse((const char *)text.data, digits, 100000, &part) != 0)
            return false;
        request->cursor_part = (unsigned)part;
        text = slice_of(dot + 1, text.size - digits - 1);
    }
    const uint8_t *tilde = text.size > 0 ? memchr(text.data, '~', text.size) : NULL;
    size_t hex = tilde != NULL ? (size_t)(tilde - text.data) : text.size, size = hex / 2;
    if (size > sizeof id || hex_parse((const char *)text.data, hex, id, size) != 0 ||
        !field_id_parse(id, size, &request->query.after, &run))
        return false;
    return tilde == NULL || cursor_values_read(request, slice_of(tilde + 1, text.size - hex - 1));
}

static enum status take_cursor(struct query_request *request, struct slice value, struct error *err)
{
    return cursor_read(request, value)
               ? STATUS_OK
               : error_set(err, STATUS_BAD_VALUE, "cursor: not the `next` of an answer");
}

/* The cursor's values have to be of the keys that are sorted by. */
static enum status cursor_fits(struct query_request *request, struct error *err)
{
    struct catalog_query *query = &request->query;
    bool fits = query->after.size == 0 || request->after_count == query->sorts_count;

    for (size_t i = 0; fits && query->after.size > 0 && i < query->sorts_count; i++) {
        struct catalog_value *value = &query->sorts[i].after;
        if (value->kind == CATALOG_NUMBER && query->sorts[i].type == QUERY_TIME) {
            fits = value->number > -1e15 && value->number < 1e15;
            value->kind = CATALOG_TIME;
            value->time = fits ? (int64_t)value->number : 0;
        } else if (value->kind != CATALOG_NONE) {
            fits = (value->kind == CATALOG_TEXT) == (query->sorts[i].type == QUERY_TEXT);
        }
    }
    return fits ? STATUS_OK : error_set(err, STATUS_BAD_VALUE, "cursor: of an answer in another order");
}

static const struct {
    const char *name;
    enum status (*take)(struct query_request *request, struct slice value, struct error *err);
} answer_keys[] = {
    { "limit", take_limit },     { "cursor", take_cursor }, { "all", take_all },
    { "as_of", take_as_of },     { "sort", take_sort },     { "colo", take_colo },
    { "format", take_format },   { "count", take_count },   { "axes", take_axes },
    { "missing", take_missing },
};

bool query_key_is_of_answer(struct slice key)
{
    for (size_t i = 0; i < ARRAY_COUNT(answer_keys); i++)
        if (slice_equals(key, answer_keys[i].name))
            return true;
    return false;
}

/* --- keys of fields --- */

static enum status unknown_key(struct slice key, struct error *err)
{
    const char *nearest = query_key_nearest(key);
    int shown = key.size < 60 ? (int)key.size : 60;
    const char *name = key.size > 0 ? (const char *)key.data : "";

    if (query_key_is_post_processing(key))
        return error_set(err, STATUS_UNKNOWN_KEY, "%.*s: fields are given as they were stored",
                         shown, name);
    if (nearest[0] != '\0')
        return error_set(err, STATUS_UNKNOWN_KEY, "%.*s is no key; did you mean %s?", shown, name,
                         nearest);
    return error_set(err, STATUS_UNKNOWN_KEY, "%.*s is no key", shown, name);
}

static enum status give_once(struct query_request *request, const struct query_key *key, struct error *err)
{
    for (size_t i = 0; i < request->given_count; i++)
        if (strcmp(request->given[i], key->name) == 0)
            return error_set(err, STATUS_BAD_VALUE, "%s is given twice; a list is written a/b/c",
                             key->name);
    if (request->given_count == QUERY_TERMS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "more than %d keys", QUERY_TERMS_MAX);
    request->given[request->given_count++] = key->name;
    return STATUS_OK;
}

static enum status take_terms(struct query_request *request, const struct query_key *key,
                              struct slice value, struct error *err)
{
    struct catalog_query *query = &request->query;
    struct query_term terms[QUERY_KEY_TERMS];
    size_t count = 0;
    enum status status = give_once(request, key, err);

    if (status == STATUS_OK && strcmp(key->name, "base_time") == 0 && value.size == 6 &&
        strncasecmp((const char *)value.data, "latest", 6) == 0) {
        request->latest = true;
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        status = query_values_parse(key, value, terms, &count, err);
    if (status != STATUS_OK)
        return status;
    if (query->terms_count + count > QUERY_TERMS_MAX) {
        for (size_t i = 0; i < count; i++)
            query_term_fini(&terms[i]);
        return error_set(err, STATUS_BAD_VALUE, "more than %d keys", QUERY_TERMS_MAX);
    }
    for (size_t i = 0; i < count; i++)
        query->terms[query->terms_count++] = terms[i];
    return STATUS_OK;
}

enum status query_add(struct query_request *request, struct slice key, struct slice value,
                      struct error *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(answer_keys); i++)
        if (slice_equals(key, answer_keys[i].name))
            return answer_keys[i].take(request, value, err);

    const struct query_key *known = query_key_find(key);
    return known != NULL ? take_terms(request, known, value, err) : unknown_key(key, err);
}

/* --- sources that the caller is bound to --- */

static enum status bind_check(const struct query_term *term, struct slice sources, struct error *err)
{
    for (size_t i = 0; i < term->count; i++)
        if (!token_list_has(sources, slice_text(term->values[i].text)))
            return error_set(err, STATUS_FORBIDDEN, "the token is bound to other sources");
    return STATUS_OK;
}

/* Not by way of a query's text: there "all" is a word, and sources may have any name. */
static enum status bind_add(struct query_request *request, struct slice sources, struct error *err)
{
    struct query_term *term = &request->query.terms[request->query.terms_count];
    size_t count = 1;

    if (request->query.terms_count == QUERY_TERMS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "more than %d keys", QUERY_TERMS_MAX);
    for (size_t i = 0; i < sources.size; i++)
        count += sources.data[i] == ',';
    *term = (struct query_term){ .key = query_key_find(slice_text("source"))->name, .type = QUERY_TEXT };
    term->values = calloc(count, sizeof *term->values);
    if (term->values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "sources");
    request->query.terms_count++;
    while (term->count < count) {
        const uint8_t *comma = memchr(sources.data, ',', sources.size);
        size_t size = comma != NULL ? (size_t)(comma - sources.data) : sources.size;

        term->values[term->count].text = strndup((const char *)sources.data, size);
        if (term->values[term->count++].text == NULL)
            return error_set(err, STATUS_NO_MEMORY, "sources");
        size += comma != NULL;
        sources = slice_of(sources.data + size, sources.size - size);
    }
    return STATUS_OK;
}

enum status query_bind(struct query_request *request, const char *sources, struct error *err)
{
    for (size_t i = 0; i < request->query.terms_count; i++)
        if (strcmp(request->query.terms[i].key, "source") == 0)
            return bind_check(&request->query.terms[i], slice_text(sources), err);
    return bind_add(request, slice_text(sources), err);
}

static bool term_is_of(const struct catalog_query *query, const char *key)
{
    for (size_t i = 0; i < query->terms_count; i++)
        if (strcmp(query->terms[i].key, key) == 0)
            return true;
    return false;
}

/* What can't be asked for together. */
static enum status query_check(struct query_request *request, struct error *err)
{
    struct catalog_query *query = &request->query;

    if (query->all && query->as_of_us != 0)
        return error_set(err, STATUS_BAD_VALUE, "as_of: one issue of each field; all asks for every one");
    if (request->count && request->axes)
        return error_set(err, STATUS_BAD_VALUE, "count: axes gives it, too");
    if (request->whole && query->after.size > 0)
        return error_set(err, STATUS_BAD_VALUE, "cursor: with limit=all there are no pages");
    if (request->latest && (term_is_of(query, "date") || term_is_of(query, "time")))
        return error_set(err, STATUS_BAD_VALUE, "base_time: latest, and a date or time besides");
    return cursor_fits(request, err);
}

enum status query_finish(struct query_request *request, struct error *err)
{
    struct run_key run;
    size_t used;
    enum status status = query_check(request, err);

    if (status != STATUS_OK)
        return status;
    /* A cursor of another question would silently skip what comes before it. Where the question names one run, that shows. */
    if (request->query.after.size == 0 || !catalog_query_names_run(&request->query, &run))
        return STATUS_OK;
    struct run_key after;
    if (!run_id_parse(slice_of(request->query.after.bytes, request->query.after.size), &after, &used) ||
        run_key_compare(&after, &run) != 0)
        return error_set(err, STATUS_BAD_VALUE, "cursor: of another run");
    return STATUS_OK;
}

enum status query_too_slow(const struct catalog_query *query, enum status status, struct error *err)
{
    struct error story = *err;

    if (status != STATUS_TIMEOUT || !catalog_query_reads_all(query))
        return status;
    return error_set(err, STATUS_TIMEOUT,
                     "%.200s; the query looks at every record: name a source, or param, paramId or digest",
                     story.text);
}
