/* catalog_sqlite_find.c: a query as SQL. Only names from sqlite_columns and parameter marks go into the text; what a client sent is
 * bound. A list of values is bound as one JSON array, so that its length is no matter. */
#include "indexer/catalog/catalog_sqlite.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { FIND_SQL_SIZE_MAX = 1 << 20, FIND_LIST_SIZE_MAX = 64 << 20 };

struct find {
    struct sqlite_link *link;
    const struct catalog_query *query;
    bool in_run; /* the range of ids says which run: source and base_time need no terms */
    struct record_range range;
    struct buf sql;
};

/* --- the text --- */

/* How a term's values are compared; ?v is their parameter. One value lets an index be used without a list. */
static void find_print_values(struct find *find, const struct query_term *term, size_t i)
{
    if (term->count == 1)
        buf_format(&find->sql, " = :v%zu", i);
    else
        buf_format(&find->sql, " IN (SELECT value FROM json_each(:v%zu))", i);
}

static void find_print_term(struct find *find, size_t i)
{
    const struct query_term *term = &find->query->terms[i];
    const struct sqlite_column *column = sqlite_column_find(term->key);

    if (column != NULL)
        buf_text(&find->sql, column->name);
    else
        buf_format(&find->sql, "json_extract(doc, :k%zu)", i);
    find_print_values(find, term, i);
    /* An older issue says only what differs. Times are the same for all issues of a field. */
    if (!find->query->all || term->type == QUERY_TIME || strcmp(term->key, "source") == 0)
        return;
    buf_format(&find->sql,
               " OR EXISTS (SELECT 1 FROM json_each(doc, '$.older') AS o WHERE "
               "json_extract(o.value, :k%zu)",
               i);
    find_print_values(find, term, i);
    buf_text(&find->sql, ")");
}

static bool find_skips(const struct find *find, size_t i)
{
    const char *key = find->query->terms[i].key;

    return find->in_run && (strcmp(key, "source") == 0 || strcmp(key, "base_time") == 0);
}

static bool find_limited(const struct catalog_query *query)
{
    return query->limit != 0 && !query->all;
}

static void find_print(struct find *find)
{
    const struct catalog_query *query = find->query;

    /* What has to be sorted is ids; documents are looked up for the page alone. */
    bool paged = find_limited(query);
    if (paged)
        buf_text(&find->sql,
                 "SELECT f.id, f.rev, f.doc FROM (SELECT id AS page_id FROM fields WHERE id >");
    else
        buf_text(&find->sql, "SELECT id, rev, doc FROM fields WHERE id >");
    buf_text(&find->sql, find->range.behind ? " :from" : "= :from");
    if (find->in_run)
        buf_text(&find->sql, " AND id <= :to");
    for (size_t i = 0; i < query->terms_count; i++) {
        if (find_skips(find, i))
            continue;
        bool goes_on = i + 1 < query->terms_count && query->terms[i + 1].alternative;
        bool begins = !query->terms[i].alternative || i == 0;
        buf_text(&find->sql, begins ? " AND (" : " OR ");
        find_print_term(find, i);
        if (!goes_on)
            buf_text(&find->sql, ")");
    }
    buf_text(&find->sql, paged ? " ORDER BY id LIMIT :limit) CROSS JOIN fields AS f ON f.id = page_id "
                                 "ORDER BY page_id"
                               : " ORDER BY id");
}

/* --- the values --- */

static int find_parameter(sqlite3_stmt *statement, const char *prefix, size_t i)
{
    char name[32];

    snprintf(name, sizeof name, ":%s%zu", prefix, i);
    return sqlite3_bind_parameter_index(statement, name);
}

static void find_bind_value(sqlite3_stmt *statement, int at, const struct query_term *term)
{
    const struct query_value *value = &term->values[0];

    switch (term->type) {
    case QUERY_TEXT:
        sqlite3_bind_text(statement, at, value->text, -1, SQLITE_STATIC);
        break;
    case QUERY_NUMBER:
        sqlite3_bind_double(statement, at, value->number);
        break;
    case QUERY_TIME:
        sqlite3_bind_int64(statement, at, value->time);
        break;
    }
}

static void find_list_value(struct json_writer *json, const struct query_term *term,
                            const struct query_value *value)
{
    switch (term->type) {
    case QUERY_TEXT:
        json_text(json, value->text);
        break;
    case QUERY_NUMBER:
        json_double(json, value->number);
        break;
    case QUERY_TIME:
        json_i64(json, value->time);
        break;
    }
}

static enum status find_bind_list(sqlite3_stmt *statement, int at, const struct query_term *term,
                                  struct error *err)
{
    struct json_writer json;
    struct buf list;

    buf_init(&list, FIND_LIST_SIZE_MAX);
    json_init(&json, &list);
    json_array_begin(&json);
    for (size_t i = 0; i < term->count; i++)
        find_list_value(&json, term, &term->values[i]);
    json_array_end(&json);
    enum status status = buf_status(&list);
    if (status == STATUS_OK)
        sqlite3_bind_text(statement, at, (const char *)list.data, (int)list.size, SQLITE_TRANSIENT);
    else
        error_set(err, status, "values of %s", term->key);
    buf_fini(&list);
    return status;
}

static enum status find_bind(struct find *find, sqlite3_stmt *statement, struct error *err)
{
    const struct catalog_query *query = find->query;
    char path[64];

    sqlite3_bind_blob(statement, sqlite3_bind_parameter_index(statement, ":from"),
                      find->range.from.bytes, (int)find->range.from.size, SQLITE_STATIC);
    if (find->in_run)
        sqlite3_bind_blob(statement, sqlite3_bind_parameter_index(statement, ":to"),
                          find->range.to.bytes, (int)find->range.to.size, SQLITE_STATIC);
    if (find_limited(query))
        sqlite3_bind_int64(statement, sqlite3_bind_parameter_index(statement, ":limit"),
                           (sqlite3_int64)query->limit);
    for (size_t i = 0; i < query->terms_count; i++) {
        const struct query_term *term = &query->terms[i];
        if (find_skips(find, i))
            continue;
        snprintf(path, sizeof path, "$.%s", term->key);
        int key = find_parameter(statement, "k", i);
        if (key > 0)
            sqlite3_bind_text(statement, key, path, -1, SQLITE_TRANSIENT);
        int values = find_parameter(statement, "v", i);
        if (term->count == 1) {
            find_bind_value(statement, values, term);
            continue;
        }
        enum status status = find_bind_list(statement, values, term, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* --- where to look --- */

/* Ids of one run are a range, which gives pages in order without sorting. Where an index is sharper, the range is left to it. */
static void find_place(struct find *find)
{
    const struct catalog_query *query = find->query;
    struct run_key run;

    find->in_run = catalog_query_names_run(query, &run) && !catalog_query_has(query, "param") &&
                   !catalog_query_has(query, "digest");
    if (find->in_run)
        record_range_run(&find->range, &run, GRIB_IDENTITY_SIZE);
    if (query->after.size == 0)
        return;
    struct record_id after;
    record_id_set(&after, query->after.bytes, query->after.size);
    if (find->in_run && record_id_compare(&after, &find->range.from) < 0)
        return;
    find->range.from = after;
    find->range.behind = true;
}

enum status sqlite_find(struct catalog *catalog, const struct catalog_query *query,
                        record_each *each, void *data, struct error *err)
{
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);
    struct find find = { .query = query };
    sqlite3_stmt *statement = NULL;
    bool more;
    enum status status = sqlite_reader_take(sqlite, &find.link, err);

    if (status != STATUS_OK)
        return status;
    find_place(&find);
    buf_init(&find.sql, FIND_SQL_SIZE_MAX);
    find_print(&find);
    if (buf_status(&find.sql) != STATUS_OK)
        status = error_set(err, buf_status(&find.sql), "a query");
    else if (sqlite3_prepare_v2(find.link->db, buf_string(&find.sql), -1, &statement, NULL) != SQLITE_OK)
        status = sqlite_failed(find.link, err, "a query");
    if (status == STATUS_OK)
        status = find_bind(&find, statement, err);
    if (status == STATUS_OK)
        status = sqlite_each(find.link, statement, each, data, &more, err);
    sqlite3_finalize(statement);
    buf_fini(&find.sql);
    sqlite_reader_give(sqlite, find.link);
    return status;
}
