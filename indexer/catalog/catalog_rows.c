/* catalog_rows.c: documents as text, and values of their members, for answers.
 *
 * Current issues come from the database as they lie there. Where older issues may be what is asked for, documents are made and
 * printed: an older issue says only what differs, so it has no text of its own. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <string.h>

enum { ROW_SIZE_MAX = 64 << 20 };

struct row_maker {
    const struct catalog_rows *rows;
    struct buf text;
    enum status status;
    struct error *err;
};

static bool is_time(const char *key)
{
    return strcmp(key, "base_time") == 0 || strcmp(key, "valid_time") == 0;
}

static void value_of_json(const char *key, const json_t *json, struct catalog_value *value)
{
    int64_t time;

    *value = (struct catalog_value){ .kind = CATALOG_NONE };
    if (json_is_number(json)) {
        *value = (struct catalog_value){ .kind = CATALOG_NUMBER, .number = json_number_value(json) };
        return;
    }
    if (!json_is_string(json))
        return;
    struct slice text = slice_of(json_string_value(json), json_string_length(json));
    if (is_time(key) && base_time_parse(text, &time, NULL) == STATUS_OK)
        *value = (struct catalog_value){ .kind = CATALOG_TIME, .time = time };
    else
        *value = (struct catalog_value){ .kind = CATALOG_TEXT, .text = text };
}

static bool row_make(void *data, const struct field_document *document)
{
    struct row_maker *maker = data;
    struct catalog_value values[CATALOG_KEYS_MAX];
    struct catalog_row row = { .id = slice_of(document->id.bytes, document->id.size), .values = values };
    json_t *json = field_to_json(document);
    struct json_writer writer;

    if (json == NULL) {
        maker->status = error_set(maker->err, STATUS_NO_MEMORY, "a document");
        return false;
    }
    json_object_del(json, "id");
    for (size_t i = 0; i < maker->rows->keys_count; i++)
        value_of_json(maker->rows->keys[i], json_object_get(json, maker->rows->keys[i]), &values[i]);
    buf_clear(&maker->text);
    if (maker->rows->text) {
        json_init(&writer, &maker->text);
        json_print(&writer, json);
    }
    maker->status = buf_status(&maker->text);
    row.text = slice_of(maker->text.data, maker->text.size);
    bool more = maker->status == STATUS_OK && maker->rows->each(maker->rows->data, &row);
    if (maker->status != STATUS_OK)
        error_set(maker->err, maker->status, "a document");
    json_decref(json);
    return more;
}

static enum status rows_of_documents(struct catalog *catalog, const struct catalog_query *query,
                                     const struct catalog_rows *rows, struct error *err)
{
    struct row_maker maker = { .rows = rows, .err = err };

    buf_init(&maker.text, ROW_SIZE_MAX);
    enum status status = catalog_find(catalog, query, row_make, &maker, err);
    buf_fini(&maker.text);
    return status == STATUS_OK ? maker.status : status;
}

enum status catalog_find_rows(struct catalog *catalog, const struct catalog_query *query,
                              const struct catalog_rows *rows, struct error *err)
{
    struct error own;
    enum status status;

    if (err == NULL)
        err = &own;
    assert(query->terms_count <= QUERY_TERMS_MAX && rows->keys_count <= CATALOG_KEYS_MAX);
    if (query->all || query->as_of_us != 0)
        return rows_of_documents(catalog, query, rows, err);
    status = catalog->ops->find_rows(catalog, query, rows, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "query");
}

enum status catalog_count(struct catalog *catalog, const struct catalog_query *query,
                          uint64_t *count, struct error *err)
{
    struct error own;
    enum status status;

    if (err == NULL)
        err = &own;
    status = catalog->ops->count(catalog, query, count, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "count");
}
