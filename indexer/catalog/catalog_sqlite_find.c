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
    const struct catalog_rows *rows; /* NULL: whole records are read */
    bool count;                      /* only how many */
    bool in_range; /* all of it lies in a range of ids, from range.from to range.to */
    bool in_run;   /* that of one run */
    bool sharp; /* an index finds it sooner than that range: ids are only looked at, in the index */
    struct record_range range; /* from: .size 0, unless in_range or behind */
    bool where;                /* the first condition is printed */
    struct buf sql;
};

/* Issues that are not current count as well. */
static bool find_older(const struct catalog_query *query)
{
    return query->all || query->as_of_us != 0;
}

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
    if (!find_older(find->query) || term->type == QUERY_TIME || strcmp(term->key, "source") == 0)
        return;
    buf_format(&find->sql,
               " OR EXISTS (SELECT 1 FROM json_each(doc, '$.older') AS o WHERE "
               "json_extract(o.value, :k%zu)",
               i);
    find_print_values(find, term, i);
    buf_text(&find->sql, ")");
}

/* What the range of ids says by itself. An index begins with param and base_time. */
static bool find_skips(const struct find *find, size_t i)
{
    const char *key = find->query->terms[i].key;

    return (find->in_range && strcmp(key, "source") == 0) ||
           (find->in_run && !find->sharp && strcmp(key, "base_time") == 0);
}

static void find_print_and(struct find *find)
{
    buf_text(&find->sql, find->where ? " AND " : " WHERE ");
    find->where = true;
}

static bool find_limited(const struct catalog_query *query)
{
    return query->limit != 0 && !find_older(query);
}

static void find_print_terms(struct find *find)
{
    const struct catalog_query *query = find->query;

    for (size_t i = 0; i < query->terms_count; i++) {
        if (find_skips(find, i))
            continue;
        bool goes_on = i + 1 < query->terms_count && query->terms[i + 1].alternative;
        bool begins = !query->terms[i].alternative || i == 0;
        if (begins) {
            find_print_and(find);
            buf_text(&find->sql, "(");
        } else {
            buf_text(&find->sql, " OR ");
        }
        find_print_term(find, i);
        if (!goes_on)
            buf_text(&find->sql, ")");
    }
}

/* A member: its column, or the document's. The parameter of its path is :<prefix><i>. */
static void find_print_member(struct find *find, const char *key, char prefix, size_t i)
{
    const struct sqlite_column *column = sqlite_column_find(key);

    if (column != NULL)
        buf_text(&find->sql, column->name);
    else
        buf_format(&find->sql, "json_extract(doc, :%c%zu)", prefix, i);
}

/* Behind the document that `after` names, by the first i keys alike and this one not; an absent key is NULL, which comes first. */
static void find_print_behind(struct find *find, size_t i)
{
    const struct query_sort *sort = &find->query->sorts[i];
    bool absent = sort->after.kind == CATALOG_NONE;

    if (absent && sort->descending) {
        buf_text(&find->sql, "0");
        return;
    }
    buf_text(&find->sql, "(");
    find_print_member(find, sort->key, 's', i);
    if (absent)
        buf_text(&find->sql, " IS NOT NULL");
    else
        buf_format(&find->sql, " %c :a%zu", sort->descending ? '<' : '>', i);
    if (!absent && sort->descending) {
        buf_text(&find->sql, " OR ");
        find_print_member(find, sort->key, 's', i);
        buf_text(&find->sql, " IS NULL");
    }
    buf_text(&find->sql, ")");
}

static void find_print_alike(struct find *find, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        find_print_member(find, find->query->sorts[i].key, 's', i);
        if (find->query->sorts[i].after.kind == CATALOG_NONE)
            buf_text(&find->sql, " IS NULL AND ");
        else
            buf_format(&find->sql, " = :a%zu AND ", i);
    }
}

static void find_print_after(struct find *find)
{
    const struct catalog_query *query = find->query;

    if (query->sorts_count == 0 || query->after.size == 0)
        return;
    find_print_and(find);
    buf_text(&find->sql, "(");
    for (size_t i = 0; i < query->sorts_count; i++) {
        find_print_alike(find, i);
        find_print_behind(find, i);
        buf_text(&find->sql, " OR ");
    }
    find_print_alike(find, query->sorts_count);
    buf_text(&find->sql, "id > :after)");
}

static void find_print_order(struct find *find, bool named)
{
    const struct catalog_query *query = find->query;

    buf_text(&find->sql, " ORDER BY ");
    for (size_t i = 0; i < query->sorts_count; i++) {
        if (named)
            buf_format(&find->sql, "page_%zu", i);
        else
            find_print_member(find, query->sorts[i].key, 's', i);
        buf_text(&find->sql, query->sorts[i].descending ? " DESC, " : ", ");
    }
    buf_text(&find->sql, named ? "page_id" : "id");
}

/* What is read of a document: id, rev, doc; of rows id, the text or nothing, the members. */
static void find_print_columns(struct find *find)
{
    const struct catalog_rows *rows = find->rows;

    if (rows == NULL) {
        buf_text(&find->sql, "SELECT id, rev, doc");
        return;
    }
    buf_text(&find->sql, rows->text ? "SELECT id, doc" : "SELECT id, NULL");
    for (size_t i = 0; i < rows->keys_count; i++) {
        buf_text(&find->sql, ", ");
        find_print_member(find, rows->keys[i], 'm', i);
    }
}

/* "+id" is no column to the planner: it can't take the range where an index is sharper, and the id is in every such index. */
static void find_print_where(struct find *find)
{
    const char *id = find->sharp ? "+id" : "id";

    buf_text(&find->sql, " FROM fields");
    find->where = false;
    if (find->range.from.size > 0) {
        find_print_and(find);
        buf_format(&find->sql, "%s %s :from", id, find->range.behind ? ">" : ">=");
    }
    if (find->in_range) {
        find_print_and(find);
        buf_format(&find->sql, "%s <= :to", id);
    }
    find_print_terms(find);
    find_print_after(find);
}

static void find_print(struct find *find)
{
    if (find->count) {
        buf_text(&find->sql, "SELECT count(*)");
        find_print_where(find);
        return;
    }
    find_print_columns(find);
    /* In the order of ids as they come: the page ends the reading. */
    bool in_order = find->query->sorts_count == 0 && !find->sharp;
    if (!find_limited(find->query) || in_order) {
        find_print_where(find);
        find_print_order(find, false);
        if (find_limited(find->query))
            buf_text(&find->sql, " LIMIT :limit");
        return;
    }
    /* What has to be sorted is ids; documents are looked up for the page alone, by their rows, which an index knows. */
    buf_text(&find->sql, " FROM (SELECT id AS page_id, rowid AS page_row");
    for (size_t i = 0; i < find->query->sorts_count; i++) {
        buf_text(&find->sql, ", ");
        find_print_member(find, find->query->sorts[i].key, 's', i);
        buf_format(&find->sql, " AS page_%zu", i);
    }
    find_print_where(find);
    find_print_order(find, false);
    buf_text(&find->sql, " LIMIT :limit) CROSS JOIN fields ON fields.rowid = page_row");
    find_print_order(find, true);
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

static void find_bind_path(sqlite3_stmt *statement, const char *prefix, size_t i, const char *key)
{
    char path[64];
    int at = find_parameter(statement, prefix, i);

    if (at == 0)
        return; /* it has a column */
    snprintf(path, sizeof path, "$.%s", key);
    sqlite3_bind_text(statement, at, path, -1, SQLITE_TRANSIENT);
}

static void find_bind_after(const struct find *find, sqlite3_stmt *statement)
{
    const struct catalog_query *query = find->query;

    for (size_t i = 0; i < query->sorts_count; i++) {
        const struct catalog_value *value = &query->sorts[i].after;
        int at = find_parameter(statement, "a", i);
        find_bind_path(statement, "s", i, query->sorts[i].key);
        if (at == 0)
            continue;
        if (value->kind == CATALOG_TEXT)
            sqlite3_bind_text(statement, at, (const char *)value->text.data, (int)value->text.size,
                              SQLITE_STATIC);
        else if (value->kind == CATALOG_NUMBER)
            sqlite3_bind_double(statement, at, value->number);
        else
            sqlite3_bind_int64(statement, at, value->time);
    }
    int after = sqlite3_bind_parameter_index(statement, ":after");
    if (after > 0)
        sqlite3_bind_blob(statement, after, query->after.bytes, (int)query->after.size, SQLITE_STATIC);
}

static void find_bind_range(const struct find *find, sqlite3_stmt *statement)
{
    int from = sqlite3_bind_parameter_index(statement, ":from");
    if (from > 0)
        sqlite3_bind_blob(statement, from, find->range.from.bytes, (int)find->range.from.size,
                          SQLITE_STATIC);
    if (find->in_range)
        sqlite3_bind_blob(statement, sqlite3_bind_parameter_index(statement, ":to"),
                          find->range.to.bytes, (int)find->range.to.size, SQLITE_STATIC);
    int limit = sqlite3_bind_parameter_index(statement, ":limit");
    if (limit > 0)
        sqlite3_bind_int64(statement, limit, (sqlite3_int64)find->query->limit);
}

static enum status find_bind_terms(const struct find *find, sqlite3_stmt *statement, struct error *err)
{
    const struct catalog_query *query = find->query;

    for (size_t i = 0; i < query->terms_count; i++) {
        const struct query_term *term = &query->terms[i];
        if (find_skips(find, i))
            continue;
        find_bind_path(statement, "k", i, term->key);
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

static enum status find_bind(const struct find *find, sqlite3_stmt *statement, struct error *err)
{
    find_bind_range(find, statement);
    find_bind_after(find, statement);
    for (size_t i = 0; find->rows != NULL && i < find->rows->keys_count; i++)
        find_bind_path(statement, "m", i, find->rows->keys[i]);
    return find_bind_terms(find, statement, err);
}

/* --- where to look --- */

/* Ids of one run, or source, are a range, which gives pages in order without sorting. */
static void find_place(struct find *find)
{
    const struct catalog_query *query = find->query;
    struct run_key run;

    find->sharp = catalog_query_is_sharp(query);
    find->in_range = catalog_query_bounds(query, &find->range);
    find->in_run = catalog_query_names_run(query, &run);
    if (query->after.size == 0 || query->sorts_count > 0 || find->count)
        return;
    struct record_id after;
    record_id_set(&after, query->after.bytes, query->after.size);
    if (find->in_range && record_id_compare(&after, &find->range.from) < 0)
        return;
    find->range.from = after;
    find->range.behind = true;
}

/* --- reading --- */

static enum status find_open(struct find *find, struct catalog *catalog, sqlite3_stmt **statement,
                             struct error *err)
{
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);
    enum status status = sqlite_reader_take(sqlite, &find->link, err);

    *statement = NULL;
    if (status != STATUS_OK)
        return status;
    find_place(find);
    buf_init(&find->sql, FIND_SQL_SIZE_MAX);
    find_print(find);
    if (buf_status(&find->sql) != STATUS_OK)
        status = error_set(err, buf_status(&find->sql), "a query");
    else
        status = sqlite_query_prepare(find->link, buf_string(&find->sql), statement, err);
    buf_fini(&find->sql);
    if (status == STATUS_OK)
        status = find_bind(find, *statement, err);
    return status;
}

static void find_close(struct find *find, struct catalog *catalog, sqlite3_stmt *statement)
{
    struct catalog_sqlite *sqlite = container_of(catalog, struct catalog_sqlite, catalog);

    if (find->link == NULL)
        return;
    if (statement != NULL)
        sqlite_done(statement);
    sqlite_reader_give(sqlite, find->link);
}

enum status sqlite_find(struct catalog *catalog, const struct catalog_query *query,
                        record_each *each, void *data, struct error *err)
{
    struct find find = { .query = query };
    sqlite3_stmt *statement;
    bool more;
    enum status status = find_open(&find, catalog, &statement, err);

    if (status == STATUS_OK)
        status = sqlite_each(find.link, statement, each, data, &more, err);
    find_close(&find, catalog, statement);
    return status;
}

static void row_value(sqlite3_stmt *statement, int at, const char *key, struct catalog_value *value)
{
    const struct sqlite_column *column = sqlite_column_find(key);

    *value = (struct catalog_value){ .kind = CATALOG_NONE };
    switch (sqlite3_column_type(statement, at)) {
    case SQLITE_INTEGER:
    case SQLITE_FLOAT:
        value->kind = column != NULL && column->is_time ? CATALOG_TIME : CATALOG_NUMBER;
        value->number = sqlite3_column_double(statement, at);
        value->time = sqlite3_column_int64(statement, at);
        break;
    case SQLITE_TEXT:
        value->kind = CATALOG_TEXT;
        value->text.data = sqlite3_column_text(statement, at);
        value->text.size = (size_t)sqlite3_column_bytes(statement, at);
        break;
    default:
        break;
    }
}

static bool row_give(const struct catalog_rows *rows, sqlite3_stmt *statement)
{
    struct catalog_value values[CATALOG_KEYS_MAX];
    struct catalog_row row = { .values = values };

    row.id = slice_of(sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    if (rows->text) {
        row.text.data = sqlite3_column_text(statement, 1);
        row.text.size = (size_t)sqlite3_column_bytes(statement, 1);
    }
    for (size_t i = 0; i < rows->keys_count; i++)
        row_value(statement, (int)i + 2, rows->keys[i], &values[i]);
    return rows->each(rows->data, &row);
}

enum status sqlite_find_rows(struct catalog *catalog, const struct catalog_query *query,
                             const struct catalog_rows *rows, struct error *err)
{
    struct find find = { .query = query, .rows = rows };
    sqlite3_stmt *statement;
    int step = SQLITE_ROW;
    enum status status = find_open(&find, catalog, &statement, err);

    assert(rows->keys_count <= CATALOG_KEYS_MAX);
    if (status == STATUS_OK)
        while ((step = sqlite3_step(statement)) == SQLITE_ROW && row_give(rows, statement))
            ;
    if (status == STATUS_OK && step != SQLITE_ROW && step != SQLITE_DONE)
        status = sqlite_failed(find.link, err, "reading");
    find_close(&find, catalog, statement);
    return status;
}

enum status sqlite_count(struct catalog *catalog, const struct catalog_query *query,
                         uint64_t *count, struct error *err)
{
    struct find find = { .query = query, .count = true };
    sqlite3_stmt *statement;
    enum status status = find_open(&find, catalog, &statement, err);

    *count = 0;
    if (status == STATUS_OK && sqlite3_step(statement) != SQLITE_ROW)
        status = sqlite_failed(find.link, err, "counting");
    if (status == STATUS_OK)
        *count = (uint64_t)sqlite3_column_int64(statement, 0);
    find_close(&find, catalog, statement);
    return status;
}
