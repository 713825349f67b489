/* catalog_mongo_text.c: documents from BSON straight to JSON text: what mongo_record() makes and json_print() prints, without the
 * tree between them. A query of a hundred fields costs a third of what it would with it. */
#include "indexer/catalog/catalog_mongo.h"
#include "proto/base/json_write.h"

#include <string.h>

enum { TEXT_DEPTH_MAX = 8 }; /* as in catalog_mongo_bson.c */

static bool text_value(struct json_writer *json, const bson_iter_t *at, unsigned depth);

static bool text_time(struct json_writer *json, int64_t milliseconds)
{
    char text[BASE_TIME_TEXT_SIZE];

    if (!base_time_valid(milliseconds / 1000))
        return false;
    base_time_print_rfc3339(milliseconds / 1000, text);
    json_text(json, text);
    return true;
}

static bool text_nested(struct json_writer *json, const bson_iter_t *at, unsigned depth)
{
    bson_iter_t child;
    bool array = bson_iter_type(at) == BSON_TYPE_ARRAY;

    if (depth == TEXT_DEPTH_MAX || !bson_iter_recurse(at, &child))
        return false;
    if (array)
        json_array_begin(json);
    else
        json_object_begin(json);
    while (bson_iter_next(&child)) {
        if (!array)
            json_key(json, bson_iter_key(&child));
        if (!text_value(json, &child, depth + 1))
            return false;
    }
    if (array)
        json_array_end(json);
    else
        json_object_end(json);
    return true;
}

static bool text_value(struct json_writer *json, const bson_iter_t *at, unsigned depth)
{
    uint32_t size;
    const char *text;

    switch (bson_iter_type(at)) {
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        return text_nested(json, at, depth);
    case BSON_TYPE_UTF8:
        text = bson_iter_utf8(at, &size);
        json_slice(json, slice_of(text, size));
        return true;
    case BSON_TYPE_DATE_TIME:
        return text_time(json, bson_iter_date_time(at));
    case BSON_TYPE_INT32:
        json_i64(json, bson_iter_int32(at));
        return true;
    case BSON_TYPE_INT64:
        json_i64(json, bson_iter_int64(at));
        return true;
    case BSON_TYPE_DOUBLE:
        json_double(json, bson_iter_double(at));
        return true;
    case BSON_TYPE_BOOL:
        json_bool(json, bson_iter_bool(at));
        return true;
    case BSON_TYPE_NULL:
        json_none(json);
        return true;
    default:
        return false;
    }
}

static void value_of(const bson_iter_t *at, struct catalog_value *value)
{
    uint32_t size;
    const char *text;

    switch (bson_iter_type(at)) {
    case BSON_TYPE_UTF8:
        text = bson_iter_utf8(at, &size);
        *value = (struct catalog_value){ .kind = CATALOG_TEXT, .text = slice_of(text, size) };
        break;
    case BSON_TYPE_DATE_TIME:
        *value = (struct catalog_value){ .kind = CATALOG_TIME, .time = bson_iter_date_time(at) / 1000 };
        break;
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
        *value = (struct catalog_value){ .kind = CATALOG_NUMBER,
                                         .number = (double)bson_iter_as_int64(at) };
        break;
    case BSON_TYPE_DOUBLE:
        *value = (struct catalog_value){ .kind = CATALOG_NUMBER, .number = bson_iter_double(at) };
        break;
    default:
        break;
    }
}

static void take_value(const struct catalog_rows *rows, const bson_iter_t *at, struct catalog_value *values)
{
    const char *key = bson_iter_key(at);

    for (size_t i = 0; i < rows->keys_count; i++)
        if (strcmp(rows->keys[i], key) == 0)
            value_of(at, &values[i]);
}

bool mongo_row(const bson_t *bson, const struct catalog_rows *rows, struct buf *text,
               struct catalog_value *values)
{
    struct json_writer json;
    bson_iter_t at;

    for (size_t i = 0; i < rows->keys_count; i++)
        values[i] = (struct catalog_value){ .kind = CATALOG_NONE };
    if (!bson_iter_init(&at, bson))
        return false;
    json_init(&json, text);
    if (rows->text)
        json_object_begin(&json);
    while (bson_iter_next(&at)) {
        const char *key = bson_iter_key(&at);
        if (strcmp(key, "_id") == 0 || strcmp(key, "rev") == 0)
            continue;
        take_value(rows, &at, values);
        if (!rows->text)
            continue;
        json_key(&json, key);
        if (!text_value(&json, &at, 0))
            return false;
    }
    if (rows->text)
        json_object_end(&json);
    return true;
}
