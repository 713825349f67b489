/* catalog_mongo_filter.c: a query as a filter, value by value: what a client sent is only ever a value, never a name or an operator. */
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

/* name: value, or name: {$in: [...]}. */
static void append_condition(bson_t *bson, const char *name, const struct query_term *term)
{
    bson_t in, list;
    char space[16];
    const char *key;

    if (term->count == 1) {
        append_value(bson, name, term, &term->values[0]);
        return;
    }
    bson_append_document_begin(bson, name, -1, &in);
    bson_append_array_begin(&in, "$in", -1, &list);
    for (size_t i = 0; i < term->count; i++) {
        bson_uint32_to_string((uint32_t)i, &key, space, sizeof space);
        append_value(&list, key, term, &term->values[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(bson, &in);
}

/* The same by itself, as element `index` of an array. */
static void append_alternative(bson_t *array, uint32_t index, const char *name,
                               const struct query_term *term)
{
    bson_t condition;
    char space[16];
    const char *key;

    bson_uint32_to_string(index, &key, space, sizeof space);
    bson_append_document_begin(array, key, -1, &condition);
    append_condition(&condition, name, term);
    bson_append_document_end(array, &condition);
}

bool mongo_query_older(const struct catalog_query *query)
{
    return query->all || query->as_of_us != 0;
}

/* Whether a term is alone: then it needs no $or, which hides indexes from the planner. */
static bool term_alone(const struct catalog_query *query, size_t i)
{
    bool older = mongo_query_older(query) && query->terms[i].type != QUERY_TIME &&
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
        append_alternative(&list, count++, term->key, term);
        if (mongo_query_older(query)) {
            snprintf(name, sizeof name, "older.%s", term->key);
            append_alternative(&list, count++, name, term);
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

/* What is alone stands in the filter itself: less for the server to take apart. */
static void append_terms(bson_t *filter, const struct catalog_query *query)
{
    bson_t array;
    uint32_t count = 0;
    bool all_alone = true;

    for (size_t i = 0; i < query->terms_count; i++) {
        if (term_alone(query, i) && !query->terms[i].alternative)
            append_condition(filter, query->terms[i].key, &query->terms[i]);
        else
            all_alone = false;
    }
    if (all_alone)
        return;
    bson_append_array_begin(filter, "$and", -1, &array);
    for (size_t i = 0; i < query->terms_count; i++)
        if (!term_alone(query, i) || query->terms[i].alternative)
            i = append_alternatives(&array, count++, query, i);
    bson_append_array_end(filter, &array);
}

/* --- where to look, and in which order --- */

/* Ids of one run, or source, are a range, so that a page begins where the last one ended, without sorting the run. Where an index is
 * sharper the range is left out, or the planner might take it. */
static void append_place(bson_t *filter, const struct catalog_query *query, bool paged)
{
    struct record_range range;
    struct record_id after;
    bson_t bounds;
    bool in_range = catalog_query_range(query, &range);
    bool behind = paged && query->after.size > 0 && query->sorts_count == 0;

    if (!in_range && !behind)
        return;
    bson_append_document_begin(filter, "_id", -1, &bounds);
    if (behind) {
        record_id_set(&after, query->after.bytes, query->after.size);
        mongo_append_id(&bounds, "$gt", CATALOG_FIELDS, &after);
    }
    if (in_range) {
        mongo_append_id(&bounds, "$gte", CATALOG_FIELDS, &range.from);
        mongo_append_id(&bounds, "$lte", CATALOG_FIELDS, &range.to);
    }
    bson_append_document_end(filter, &bounds);
}

static void append_after_value(bson_t *bson, const char *key, const struct catalog_value *value)
{
    switch (value->kind) {
    case CATALOG_NONE:
        bson_append_null(bson, key, -1);
        break;
    case CATALOG_TEXT:
        bson_append_utf8(bson, key, -1, (const char *)value->text.data, (int)value->text.size);
        break;
    case CATALOG_NUMBER:
        bson_append_double(bson, key, -1, value->number);
        break;
    case CATALOG_TIME:
        mongo_append_time(bson, key, value->time);
        break;
    }
}

/* The first `count` keys as in the document that `after` names; null is an absent key, too. */
static void append_alike(bson_t *bson, const struct catalog_query *query, size_t count)
{
    for (size_t i = 0; i < count; i++)
        append_after_value(bson, query->sorts[i].key, &query->sorts[i].after);
}

/* Behind it by this key. An absent key comes first, and descending last; false: nothing can be behind. */
static bool append_behind(bson_t *bson, const struct query_sort *sort)
{
    bool absent = sort->after.kind == CATALOG_NONE;
    bson_t either, one, range;

    if (absent && sort->descending)
        return false;
    if (absent || !sort->descending) {
        bson_append_document_begin(bson, sort->key, -1, &range);
        append_after_value(&range, absent ? "$ne" : "$gt", &sort->after);
        bson_append_document_end(bson, &range);
        return true;
    }
    bson_append_array_begin(bson, "$or", -1, &either);
    bson_append_document_begin(&either, "0", -1, &one);
    bson_append_document_begin(&one, sort->key, -1, &range);
    append_after_value(&range, "$lt", &sort->after);
    bson_append_document_end(&one, &range);
    bson_append_document_end(&either, &one);
    bson_append_document_begin(&either, "1", -1, &one);
    bson_append_null(&one, sort->key, -1);
    bson_append_document_end(&either, &one);
    bson_append_array_end(bson, &either);
    return true;
}

static void append_after(bson_t *filter, const struct catalog_query *query)
{
    struct record_id after;
    bson_t either, one, range;
    uint32_t count = 0;
    char space[16];
    const char *key;

    if (query->sorts_count == 0 || query->after.size == 0)
        return;
    bson_append_array_begin(filter, "$or", -1, &either);
    for (size_t i = 0; i < query->sorts_count; i++) {
        if (query->sorts[i].after.kind == CATALOG_NONE && query->sorts[i].descending)
            continue;
        bson_uint32_to_string(count++, &key, space, sizeof space);
        bson_append_document_begin(&either, key, -1, &one);
        append_alike(&one, query, i);
        append_behind(&one, &query->sorts[i]);
        bson_append_document_end(&either, &one);
    }
    bson_uint32_to_string(count, &key, space, sizeof space);
    bson_append_document_begin(&either, key, -1, &one);
    append_alike(&one, query, query->sorts_count);
    record_id_set(&after, query->after.bytes, query->after.size);
    bson_append_document_begin(&one, "_id", -1, &range);
    mongo_append_id(&range, "$gt", CATALOG_FIELDS, &after);
    bson_append_document_end(&one, &range);
    bson_append_document_end(&either, &one);
    bson_append_array_end(filter, &either);
}

void mongo_append_order(bson_t *opts, const struct catalog_query *query)
{
    bson_t sort;

    bson_append_document_begin(opts, "sort", -1, &sort);
    for (size_t i = 0; i < query->sorts_count; i++)
        bson_append_int32(&sort, query->sorts[i].key, -1, query->sorts[i].descending ? -1 : 1);
    bson_append_int32(&sort, "_id", -1, 1);
    bson_append_document_end(opts, &sort);
}

void mongo_append_query(bson_t *filter, const struct catalog_query *query, bool paged)
{
    append_place(filter, query, paged);
    append_terms(filter, query);
    if (paged)
        append_after(filter, query);
}
