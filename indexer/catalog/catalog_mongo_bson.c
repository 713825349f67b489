/* catalog_mongo_bson.c: records as BSON and back.
 *
 * A record is JSON; in MongoDB its times are dates and its sizes 64-bit integers, whatever their value, so that services that read
 * the collection see one type. Nothing a client sent comes through here: queries are built in catalog_mongo_find.c. */
#include "indexer/catalog/catalog_mongo.h"

#include <assert.h>
#include <string.h>

enum { BSON_DEPTH_MAX = 8 };

static const char *const time_names[] = { "base_time", "valid_time", NULL };
static const char *const wide_names[] = { "offset",     "length",    "stored_at", "incarnation",
                                          "version",    "record",    "check",     "ready_at",
                                          "retired_at", "purged_at", "grace_ms",  "epoch",
                                          NULL };

static bool is_one_of(struct slice name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (name.data[0] == (uint8_t)(*names)[0] && slice_equals(name, *names))
            return true;
    return false;
}

bool mongo_name_is_time(struct slice name)
{
    return is_one_of(name, time_names);
}

bool mongo_name_is_wide(struct slice name)
{
    return is_one_of(name, wide_names);
}

void mongo_append_id(bson_t *bson, const char *key, enum catalog_table table, const struct record_id *id)
{
    if (table == CATALOG_SETTINGS)
        bson_append_utf8(bson, key, -1, (const char *)id->bytes, (int)id->size);
    else
        bson_append_binary(bson, key, -1, BSON_SUBTYPE_BINARY, id->bytes, (uint32_t)id->size);
}

void mongo_append_time(bson_t *bson, const char *key, int64_t seconds)
{
    bson_append_date_time(bson, key, -1, seconds * 1000);
}

/* --- JSON -> BSON --- */

static bool append_value(bson_t *bson, const char *key, const json_t *value, unsigned depth);

static bool append_object(bson_t *bson, const json_t *object, unsigned depth)
{
    void *at = json_object_iter((json_t *)object);

    for (; at != NULL; at = json_object_iter_next((json_t *)object, at))
        if (!append_value(bson, json_object_iter_key(at), json_object_iter_value(at), depth))
            return false;
    return true;
}

static bool append_array(bson_t *bson, const json_t *array, unsigned depth)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        char space[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, space, sizeof space);
        if (!append_value(bson, key, json_array_get(array, i), depth))
            return false;
    }
    return true;
}

static bool append_nested(bson_t *bson, const char *key, const json_t *value, unsigned depth)
{
    bson_t child;
    bool good;

    if (depth == BSON_DEPTH_MAX)
        return false;
    if (json_is_array(value)) {
        good = bson_append_array_begin(bson, key, -1, &child) && append_array(&child, value, depth + 1);
        return bson_append_array_end(bson, &child) && good;
    }
    good = bson_append_document_begin(bson, key, -1, &child) && append_object(&child, value, depth + 1);
    return bson_append_document_end(bson, &child) && good;
}

static bool append_text(bson_t *bson, const char *key, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    int64_t seconds;

    if (mongo_name_is_time(slice_text(key)) &&
        base_time_parse(slice_of(text, size), &seconds, NULL) == STATUS_OK)
        return bson_append_date_time(bson, key, -1, seconds * 1000);
    return size <= INT32_MAX && bson_append_utf8(bson, key, -1, text, (int)size);
}

static bool append_integer(bson_t *bson, const char *key, json_int_t value)
{
    if (mongo_name_is_wide(slice_text(key)) || value > INT32_MAX || value < INT32_MIN)
        return bson_append_int64(bson, key, -1, value);
    return bson_append_int32(bson, key, -1, (int32_t)value);
}

static bool append_value(bson_t *bson, const char *key, const json_t *value, unsigned depth)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return append_nested(bson, key, value, depth);
    case JSON_STRING:
        return append_text(bson, key, value);
    case JSON_INTEGER:
        return append_integer(bson, key, json_integer_value(value));
    case JSON_REAL:
        return bson_append_double(bson, key, -1, json_real_value(value));
    case JSON_TRUE:
    case JSON_FALSE:
        return bson_append_bool(bson, key, -1, json_is_true(value));
    case JSON_NULL:
        return bson_append_null(bson, key, -1);
    }
    return false;
}

bool mongo_document(bson_t *bson, enum catalog_table table, const struct record_id *id,
                    uint64_t rev, const json_t *doc)
{
    if (id != NULL)
        mongo_append_id(bson, "_id", table, id);
    return append_object(bson, doc, 0) && bson_append_int64(bson, "rev", -1, (int64_t)rev);
}

/* --- BSON -> JSON --- */

static json_t *json_of_value(const bson_iter_t *at, unsigned depth);

static json_t *json_of_array(bson_iter_t *at, unsigned depth)
{
    json_t *array = json_array();

    while (bson_iter_next(at)) {
        if (json_array_append_new(array, json_of_value(at, depth)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static json_t *json_of_object(bson_iter_t *at, unsigned depth)
{
    json_t *object = json_object();

    while (bson_iter_next(at)) {
        const char *key = bson_iter_key(at);
        if (depth == 0 && (strcmp(key, "_id") == 0 || strcmp(key, "rev") == 0))
            continue;
        if (json_object_set_new(object, key, json_of_value(at, depth)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *json_of_nested(const bson_iter_t *at, unsigned depth)
{
    bson_iter_t child;

    if (depth == BSON_DEPTH_MAX || !bson_iter_recurse(at, &child))
        return NULL;
    return bson_iter_type(at) == BSON_TYPE_ARRAY ? json_of_array(&child, depth + 1)
                                                 : json_of_object(&child, depth + 1);
}

static json_t *json_of_time(int64_t milliseconds)
{
    char text[BASE_TIME_TEXT_SIZE];

    if (!base_time_valid(milliseconds / 1000))
        return NULL;
    base_time_print_rfc3339(milliseconds / 1000, text);
    return json_string(text);
}

/* NULL: a type that is never written here, or no memory. */
static json_t *json_of_value(const bson_iter_t *at, unsigned depth)
{
    uint32_t size;
    const char *text;

    switch (bson_iter_type(at)) {
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY:
        return json_of_nested(at, depth);
    case BSON_TYPE_UTF8:
        text = bson_iter_utf8(at, &size);
        return json_stringn(text, size);
    case BSON_TYPE_DATE_TIME:
        return json_of_time(bson_iter_date_time(at));
    case BSON_TYPE_INT32:
        return json_integer(bson_iter_int32(at));
    case BSON_TYPE_INT64:
        return json_integer(bson_iter_int64(at));
    case BSON_TYPE_DOUBLE:
        return json_real(bson_iter_double(at));
    case BSON_TYPE_BOOL:
        return json_boolean(bson_iter_bool(at));
    case BSON_TYPE_NULL:
        return json_null();
    default:
        return NULL;
    }
}

bool mongo_id(const bson_t *bson, struct record_id *id)
{
    const uint8_t *bytes = NULL;
    uint32_t size = 0;
    bson_iter_t at;

    if (!bson_iter_init_find(&at, bson, "_id"))
        return false;
    if (BSON_ITER_HOLDS_UTF8(&at))
        bytes = (const uint8_t *)bson_iter_utf8(&at, &size);
    else if (BSON_ITER_HOLDS_BINARY(&at))
        bson_iter_binary(&at, NULL, &size, &bytes);
    if (size == 0 || size > RECORD_ID_SIZE_MAX)
        return false;
    record_id_set(id, bytes, size);
    return true;
}

enum status mongo_record_begin(const bson_t *bson, struct record *record, struct error *err)
{
    bson_iter_t at;

    *record = (struct record){ .size = bson->len };
    if (!mongo_id(bson, &record->id))
        return error_set(err, STATUS_CORRUPT, "MongoDB: a document with another kind of _id");
    if (!bson_iter_init_find(&at, bson, "rev") || !BSON_ITER_HOLDS_INT64(&at) || bson_iter_int64(&at) <= 0)
        return error_set(err, STATUS_CORRUPT, "MongoDB: a document without rev");
    record->rev = (uint64_t)bson_iter_int64(&at);
    return STATUS_OK;
}

enum status mongo_record(const bson_t *bson, struct record *record, struct error *err)
{
    enum status status = mongo_record_begin(bson, record, err);
    bson_iter_t at;

    if (status != STATUS_OK)
        return status;
    if (bson_iter_init(&at, bson))
        record->doc = json_of_object(&at, 0);
    if (record->doc == NULL)
        return error_set(err, STATUS_CORRUPT, "MongoDB: a document with members of other types");
    return STATUS_OK;
}
