/* catalog_match.c: whether an issue of a document answers a query. Pure. A database does this for current issues; for older ones
 * it only finds the documents that may have one. */
#include "indexer/catalog/catalog_ops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool text_is_one_of(const struct query_term *term, struct slice text)
{
    for (size_t i = 0; i < term->count; i++)
        if (slice_equals(text, term->values[i].text))
            return true;
    return false;
}

static bool number_is_one_of(const struct query_term *term, double number)
{
    for (size_t i = 0; i < term->count; i++)
        if (term->values[i].number == number)
            return true;
    return false;
}

static bool time_is_one_of(const struct query_term *term, int64_t time)
{
    for (size_t i = 0; i < term->count; i++)
        if (term->values[i].time == time)
            return true;
    return false;
}

static bool key_text_matches(const struct query_term *term, const struct field_key *key)
{
    int64_t time;

    if (!key->escaped) {
        if (term->type == QUERY_TIME)
            return base_time_parse(key->value, &time, NULL) == STATUS_OK && time_is_one_of(term, time);
        return text_is_one_of(term, key->value);
    }
    uint8_t *text = malloc(key->value.size);
    assert(text != NULL);
    bool matches = term->type == QUERY_TEXT &&
                   text_is_one_of(term, slice_of(text, field_key_text(key, text)));
    free(text);
    return matches;
}

/* Keys that the decoder gave. A value of another type than the query's never matches, as in the databases. */
static bool key_matches(const struct query_term *term, const struct field_keys *keys)
{
    struct field_key key;

    if (!field_keys_find(keys, slice_text(term->key), &key))
        return false;
    if (term->type == QUERY_NUMBER)
        return (key.type == FIELD_KEY_INTEGER || key.type == FIELD_KEY_REAL) &&
               number_is_one_of(term, field_key_number(&key));
    return key.type == FIELD_KEY_TEXT && key_text_matches(term, &key);
}

static bool own_text_matches(const struct query_term *term, const char *text)
{
    return term->type == QUERY_TEXT && text_is_one_of(term, slice_text(text));
}

static bool own_number_matches(const struct query_term *term, uint64_t number)
{
    return term->type == QUERY_NUMBER && number_is_one_of(term, (double)number);
}

static bool term_matches(const struct query_term *term, const struct field_document *document,
                         const struct field_issue *issue)
{
    char digest[DIGEST_TEXT_SIZE];

    if (strcmp(term->key, "source") == 0)
        return own_text_matches(term, document->run.source);
    if (strcmp(term->key, "base_time") == 0)
        return term->type == QUERY_TIME && time_is_one_of(term, document->run.base_time);
    if (strcmp(term->key, "digest") == 0) {
        digest_print(&issue->digest, digest);
        return own_text_matches(term, digest);
    }
    if (strcmp(term->key, "sub") == 0)
        return own_number_matches(term, issue->sub);
    if (strcmp(term->key, "length") == 0)
        return own_number_matches(term, issue->length);
    if (strcmp(term->key, "incarnation") == 0)
        return own_number_matches(term, issue->incarnation);
    return key_matches(term, issue->keys);
}

bool catalog_matches(const struct catalog_query *query, const struct field_document *document,
                     unsigned issue)
{
    bool matches = true;

    assert(issue < document->issues_count);
    for (size_t i = 0; i < query->terms_count; i++) {
        const struct query_term *term = &query->terms[i];
        bool this = term_matches(term, document, &document->issues[issue]);
        if (term->alternative && i > 0) {
            matches = matches || this;
        } else {
            if (!matches)
                return false;
            matches = this;
        }
    }
    return matches;
}

static const struct query_term *query_find(const struct catalog_query *query, const char *key)
{
    for (size_t i = 0; i < query->terms_count; i++)
        if (strcmp(query->terms[i].key, key) == 0)
            return &query->terms[i];
    return NULL;
}

bool catalog_query_has(const struct catalog_query *query, const char *key)
{
    return query_find(query, key) != NULL;
}

/* Has to hold by itself, and for one value. */
static bool term_decides(const struct catalog_query *query, const struct query_term *term)
{
    if (term == NULL || term->alternative || term->count != 1)
        return false;
    const struct query_term *next = term + 1;
    return next == query->terms + query->terms_count || !next->alternative;
}

static bool query_source(const struct catalog_query *query, struct slice *name)
{
    const struct query_term *source = query_find(query, "source");

    if (!term_decides(query, source))
        return false;
    *name = slice_text(source->values[0].text);
    return source_valid(*name);
}

/* An alternative that no index knows: the others' indexes are of no use then. */
static bool has_blunt_alternative(const struct catalog_query *query)
{
    for (size_t i = 0; i < query->terms_count; i++)
        if (query->terms[i].alternative && strcmp(query->terms[i].key, "idCategoryDiscipline") == 0)
            return true;
    return false;
}

/* Keys of older issues are in no index. */
bool catalog_query_is_sharp(const struct catalog_query *query)
{
    return !query->all && query->as_of_us == 0 && !has_blunt_alternative(query) &&
           (catalog_query_has(query, "param") || catalog_query_has(query, "paramId") ||
            catalog_query_has(query, "digest"));
}

bool catalog_query_range(const struct catalog_query *query, struct record_range *range)
{
    return !catalog_query_is_sharp(query) && catalog_query_bounds(query, range);
}

bool catalog_query_bounds(const struct catalog_query *query, struct record_range *range)
{
    struct slice source;
    struct run_key run;

    *range = (struct record_range){ .whole = false };
    if (catalog_query_names_run(query, &run)) {
        record_range_run(range, &run, GRIB_IDENTITY_SIZE);
        return true;
    }
    if (!query_source(query, &source))
        return false;
    record_range_source(range, source, GRIB_IDENTITY_SIZE);
    return true;
}

bool catalog_query_names_run(const struct catalog_query *query, struct run_key *run)
{
    const struct query_term *source = query_find(query, "source");
    const struct query_term *base_time = query_find(query, "base_time");

    *run = (struct run_key){ .base_time = 0 };
    if (!term_decides(query, source) || !term_decides(query, base_time))
        return false;
    struct slice name = slice_text(source->values[0].text);
    if (!source_valid(name) || !base_time_valid(base_time->values[0].time))
        return false;
    memcpy(run->source, name.data, name.size);
    run->base_time = base_time->values[0].time;
    return true;
}

static bool key_has_index(const char *key)
{
    static const char *const keys[] = { "source", "param", "paramId", "idTable", "digest" };

    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        if (strcmp(keys[i], key) == 0)
            return true;
    return false;
}

bool catalog_query_reads_all(const struct catalog_query *query)
{
    for (size_t i = 0, end; i < query->terms_count; i = end) {
        bool leads = key_has_index(query->terms[i].key);
        for (end = i + 1; end < query->terms_count && query->terms[end].alternative; end++)
            leads = leads && key_has_index(query->terms[end].key);
        if (leads)
            return false;
    }
    return true;
}
