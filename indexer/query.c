/* query.c: pairs of key and value into a catalog query. Pure. */
#include "indexer/query.h"
#include "indexer/query_values.h"
#include "proto/http/token.h"

#include <stdlib.h>
#include <string.h>

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
}

/* --- keys of the answer --- */

static enum status take_limit(struct query_request *request, struct slice value, struct error *err)
{
    uint64_t limit;

    if (decimal_parse((const char *)value.data, value.size, QUERY_LIMIT_MAX, &limit) != 0 || limit == 0)
        return error_set(err, STATUS_BAD_VALUE, "limit: not a number from 1 to %d", QUERY_LIMIT_MAX);
    request->query.limit = (size_t)limit;
    return STATUS_OK;
}

static enum status take_cursor(struct query_request *request, struct slice value, struct error *err)
{
    uint8_t id[FIELD_ID_SIZE_MAX];
    struct run_key run;
    size_t size = value.size / 2;

    if (size > sizeof id || hex_parse((const char *)value.data, value.size, id, size) != 0 ||
        !field_id_parse(id, size, &request->query.after, &run))
        return error_set(err, STATUS_BAD_VALUE, "cursor: not the `next` of an answer");
    return STATUS_OK;
}

static enum status take_all(struct query_request *request, struct slice value, struct error *err)
{
    bool yes = slice_equals(value, "1") || slice_equals(value, "true");

    if (!yes && !slice_equals(value, "0") && !slice_equals(value, "false"))
        return error_set(err, STATUS_BAD_VALUE, "all: neither 1 nor 0");
    request->query.all = yes;
    return STATUS_OK;
}

static enum status take_format(struct query_request *request, struct slice value, struct error *err)
{
    request->form_given = true;
    request->form = slice_equals(value, "ndjson") ? QUERY_NDJSON : QUERY_JSON;
    if (request->form == QUERY_JSON && !slice_equals(value, "json"))
        return error_set(err, STATUS_BAD_VALUE, "format: neither json nor ndjson");
    return STATUS_OK;
}

static const struct {
    const char *name;
    enum status (*take)(struct query_request *request, struct slice value, struct error *err);
} answer_keys[] = {
    { "limit", take_limit },
    { "cursor", take_cursor },
    { "all", take_all },
    { "format", take_format },
};

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

enum status query_finish(struct query_request *request, struct error *err)
{
    struct run_key run;
    size_t used;

    /* A cursor of another question would silently skip what comes before it. Where the question names one run, that shows. */
    if (request->query.after.size == 0 || !catalog_query_names_run(&request->query, &run))
        return STATUS_OK;
    struct run_key after;
    if (!run_id_parse(slice_of(request->query.after.bytes, request->query.after.size), &after, &used) ||
        run_key_compare(&after, &run) != 0)
        return error_set(err, STATUS_BAD_VALUE, "cursor: of another run");
    return STATUS_OK;
}
