/* catalog_mongo_find.c: a query as a filter, value by value: what a client sent is only ever a value, never a name or an operator. */
#include "indexer/catalog/catalog_mongo.h"

#include <stdio.h>
#include <string.h>

static void append_value(bson_t *bson, const char *key, const struct query_term *term,
                         const struct query_value *value)
{
    switch (term->type) {
    case QUERY_TEXT:
        /* What is no UTF-8 is in no document, and must not reach the server. */
        bson_append_utf8(bson, key, -1,
                         bson_utf8_validate(value->text, strlen(value->text), false) ? value->text : "",
                         -1);
        break;
    case QUERY_NUMBER:
        bson_append_double(bson, key, -1, value->number);
        break;
    case QUERY_TIME:
        mongo_append_time(bson, key, value->time);
        break;
    }
}

/* {name: value} or {name: {$in: [...]}} as element `index` of an array. */
static void append_condition(bson_t *array, uint32_t index, const char *name,
                             const struct query_term *term)
{
    bson_t condition, in, list;
    char space[16];
    const char *key;

    bson_uint32_to_string(index, &key, space, sizeof space);
    bson_append_document_begin(array, key, -1, &condition);
    if (term->count == 1) {
        append_value(&condition, name, term, &term->values[0]);
        bson_append_document_end(array, &condition);
        return;
    }
    bson_append_document_begin(&condition, name, -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (size_t i = 0; i < term->count; i++) {
        bson_uint32_to_string((uint32_t)i, &key, space, sizeof space);
        append_value(&list, key, term, &term->values[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(&condition, &in);
    bson_append_document_end(array, &condition);
}

/* Whether a term is alone: then it needs no $or, which hides indexes from the planner. */
static bool term_alone(const struct catalog_query *query, size_t i)
{
    bool older = query->all && query->terms[i].type != QUERY_TIME &&
                 strcmp(query->terms[i].key, "source") != 0;

    return !older && (i + 1 == query->terms_count || !query->terms[i + 1].alternative);
}

/* A term and its alternatives, each on the current issue, with `all` on older ones too. Returns the index of the last. */
static size_t append_alternatives(bson_t *array, uint32_t index, const struct catalog_query *query,
                                  size_t i)
{
    bson_t either, list;
    char space[16], name[64];
    const char *key;
    uint32_t count = 0;

    bson_uint32_to_string(index, &key, space, sizeof space);
    bson_append_document_begin(array, key, -1, &either);
    bson_append_array_begin(&either, "$or", -1, &list);
    for (size_t first = i; i == first || query->terms[i].alternative; i++) {
        const struct query_term *term = &query->terms[i];
        append_condition(&list, count++, term->key, term);
        if (query->all) {
            snprintf(name, sizeof name, "older.%s", term->key);
            append_condition(&list, count++, name, term);
        }
        if (i + 1 == query->terms_count) {
            i++;
            break;
        }
    }
    bson_append_array_end(&either, &list);
    bson_append_document_end(array, &either);
    return i - 1;
}

static void append_terms(bson_t *filter, const struct catalog_query *query)
{
    bson_t array;
    uint32_t count = 0;

    if (query->terms_count == 0)
        return;
    bson_append_array_begin(filter, "$and", -1, &array);
    for (size_t i = 0; i < query->terms_count; i++) {
        if (term_alone(query, i))
            append_condition(&array, count++, query->terms[i].key, &query->terms[i]);
        else
            i = append_alternatives(&array, count++, query, i);
    }
    bson_append_array_end(filter, &array);
}

/* Ids of one run are a range, so that a page begins where the last one ended, without sorting the run. */
static void append_place(bson_t *filter, const struct catalog_query *query)
{
    struct record_range range;
    struct record_id after;
    struct run_key run;
    bson_t bounds;
    bool in_run = catalog_query_names_run(query, &run);

    if (in_run)
        record_range_run(&range, &run, GRIB_IDENTITY_SIZE);
    if (!in_run && query->after.size == 0)
        return;
    bson_append_document_begin(filter, "_id", -1, &bounds);
    if (query->after.size > 0) {
        record_id_set(&after, query->after.bytes, query->after.size);
        mongo_append_id(&bounds, "$gt", CATALOG_FIELDS, &after);
    }
    if (in_run) {
        mongo_append_id(&bounds, "$gte", CATALOG_FIELDS, &range.from);
        mongo_append_id(&bounds, "$lte", CATALOG_FIELDS, &range.to);
    }
    bson_append_document_end(filter, &bounds);
}

enum status mongo_find(struct catalog *catalog, const struct catalog_query *query,
                       record_each *each, void *data, struct error *err)
{
    struct mongo_call call;
    bson_t filter = BSON_INITIALIZER;
    bson_t *opts = BCON_NEW("sort", "{", "_id", BCON_INT32(1), "}", "maxTimeMS",
                            BCON_INT64(MONGO_QUERY_MS), "allowDiskUse", BCON_BOOL(true));

    mongo_begin(&call, catalog, mongo_collection_name(CATALOG_FIELDS));
    append_place(&filter, query);
    append_terms(&filter, query);
    if (query->limit != 0 && !query->all)
        BSON_APPEND_INT64(opts, "limit", (int64_t)query->limit);
    enum status status = mongo_each(
        mongoc_collection_find_with_opts(call.collection, &filter, opts, NULL), each, data, err);
    bson_destroy(&filter);
    bson_destroy(opts);
    mongo_end(&call);
    return status;
}
