/* query_parts.c: requests into queries; which run is the latest. */
#include "indexer/query_parts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct making {
    struct query_parts *parts;
    struct catalog *catalog;
    const struct query_request *request;
    unsigned number;
    struct field_id after; /* size 0: from the beginning */
    struct run_key after_run;
    /* the newest ready run of each source that was seen */
    size_t latest_count;
    struct run_key *latest; /* owned */
    enum status status;
    struct error *err;
};

static struct query_part *part_add(struct making *making)
{
    struct query_parts *parts = making->parts;

    if (parts->count == QUERY_PARTS_MAX) {
        making->status = error_set(making->err, STATUS_BAD_VALUE, "more than %d queries", QUERY_PARTS_MAX);
        return NULL;
    }
    struct query_part **grown = realloc(parts->parts, (parts->count + 1) * sizeof *grown);
    if (grown != NULL)
        parts->parts = grown;
    struct query_part *part = grown != NULL ? calloc(1, sizeof *part) : NULL;
    if (part == NULL) {
        making->status = error_set(making->err, STATUS_NO_MEMORY, "queries");
        return NULL;
    }
    parts->parts[parts->count++] = part;
    part->query = making->request->query;
    part->query.after = making->after;
    part->request = making->number;
    return part;
}

/* --- latest --- */

static const struct query_term *source_term(const struct making *making)
{
    const struct catalog_query *query = &making->request->query;

    for (size_t i = 0; i < query->terms_count; i++)
        if (strcmp(query->terms[i].key, "source") == 0)
            return &query->terms[i];
    return NULL;
}

static bool source_asked(const struct query_term *term, const char *source)
{
    for (size_t i = 0; term != NULL && i < term->count; i++)
        if (strcmp(term->values[i].text, source) == 0)
            return true;
    return term == NULL;
}

static bool latest_on_run(void *data, const struct catalog_run *run)
{
    struct making *making = data;

    if (run->info.state != RUN_READY || !source_asked(source_term(making), run->run.source))
        return true;
    for (size_t i = 0; i < making->latest_count; i++) {
        if (strcmp(making->latest[i].source, run->run.source) == 0) {
            if (making->latest[i].base_time < run->run.base_time)
                making->latest[i] = run->run;
            return true;
        }
    }
    if (making->latest_count == QUERY_PARTS_MAX) {
        making->status = error_set(making->err, STATUS_BAD_VALUE,
                                   "the latest runs of more than %d sources: name some",
                                   QUERY_PARTS_MAX);
        return false;
    }
    struct run_key *grown = realloc(making->latest, (making->latest_count + 1) * sizeof *grown);
    if (grown == NULL) {
        making->status = error_set(making->err, STATUS_NO_MEMORY, "sources");
        return false;
    }
    making->latest = grown;
    making->latest[making->latest_count++] = run->run;
    return true;
}

static int source_compare(const void *left, const void *right)
{
    return strcmp(((const struct run_key *)left)->source, ((const struct run_key *)right)->source);
}

static void part_of_run(struct making *making, const struct run_key *run)
{
    struct query_part *part = part_add(making);
    size_t kept = 0;

    if (part == NULL)
        return;
    struct catalog_query *query = &part->query;
    for (size_t i = 0; i < query->terms_count; i++)
        if (strcmp(query->terms[i].key, "source") != 0)
            query->terms[kept++] = query->terms[i];
    if (kept + 2 > QUERY_TERMS_MAX) {
        making->status = error_set(making->err, STATUS_BAD_VALUE, "more than %d keys", QUERY_TERMS_MAX);
        return;
    }
    part->run = *run;
    part->own[0].text = part->run.source;
    part->own[1].time = run->base_time;
    query->terms[kept] = (struct query_term){
        .key = "source", .type = QUERY_TEXT, .count = 1, .values = &part->own[0]
    };
    query->terms[kept + 1] = (struct query_term){
        .key = "base_time", .type = QUERY_TIME, .count = 1, .values = &part->own[1]
    };
    query->terms_count = kept + 2;
    making->after.size = 0; /* the next source begins at its beginning */
}

static void without_add(struct making *making, const char *source)
{
    struct query_parts *parts = making->parts;

    assert(strlen(source) <= SOURCE_SIZE_MAX); /* the request's values are names of sources */
    char(*grown)[SOURCE_SIZE_MAX + 1] = realloc(parts->without,
                                                (parts->without_count + 1) * sizeof *parts->without);
    if (grown == NULL)
        return;
    parts->without = grown;
    memcpy(parts->without[parts->without_count++], source, strlen(source) + 1);
}

static void latest_without(struct making *making, const struct query_term *term)
{
    for (size_t i = 0; term != NULL && i < term->count; i++) {
        bool has = false;
        for (size_t j = 0; j < making->latest_count; j++)
            has = has || strcmp(making->latest[j].source, term->values[i].text) == 0;
        if (!has)
            without_add(making, term->values[i].text);
    }
}

static void latest_make(struct making *making)
{
    const struct query_term *term = source_term(making);
    const char *only = term != NULL && term->count == 1 ? term->values[0].text : NULL;
    enum status status = catalog_run_scan_source(making->catalog, only, latest_on_run, making,
                                                 making->err);
    bool paging = making->after.size > 0, met = false;

    if (making->status == STATUS_OK)
        making->status = status;
    if (making->status != STATUS_OK)
        return;
    latest_without(making, term);
    if (making->latest_count > 1)
        qsort(making->latest, making->latest_count, sizeof *making->latest, source_compare);
    for (size_t i = 0; making->status == STATUS_OK && i < making->latest_count; i++) {
        int order = paging ? strcmp(making->latest[i].source, making->after_run.source) : 1;
        if (order < 0)
            continue;
        if (paging && !met && order > 0)
            making->after.size = 0; /* its source has no ready run any more */
        met = true;
        part_of_run(making, order == 0 ? &making->after_run : &making->latest[i]);
    }
}

/* --- all --- */

enum status query_parts_make(struct query_parts *parts, struct catalog *catalog,
                             const struct query_request *requests, size_t count, struct error *err)
{
    struct making making = { .parts = parts, .catalog = catalog, .err = err };
    unsigned first = requests[0].cursor_part;
    struct field_id id;

    *parts = (struct query_parts){ .count = 0 };
    if (first >= count)
        return error_set(err, STATUS_BAD_VALUE, "cursor: of another request");
    for (size_t i = first; making.status == STATUS_OK && i < count; i++) {
        making.request = &requests[i];
        making.number = (unsigned)i;
        making.after = requests[i].query.after;
        if (i > first)
            making.after.size = 0;
        if (making.after.size > 0 &&
            !field_id_parse(making.after.bytes, making.after.size, &id, &making.after_run))
            return error_set(err, STATUS_BAD_VALUE, "cursor: not the `next` of an answer");
        if (requests[i].latest)
            latest_make(&making);
        else
            part_add(&making);
        free(making.latest);
        making.latest = NULL;
        making.latest_count = 0;
    }
    return making.status;
}

void query_parts_fini(struct query_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++)
        free(parts->parts[i]);
    free(parts->parts);
    free(parts->without);
    *parts = (struct query_parts){ .count = 0 };
}
