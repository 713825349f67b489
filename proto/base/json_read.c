/* json_read.c: jansson's parser and its members, with errors that name the place. */
#include "proto/base/json_read.h"

#include <assert.h>
#include <stdlib.h>

static void *json_malloc_or_end(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL)
        abort();
    return memory;
}

void json_end_without_memory(void)
{
    json_set_alloc_funcs(json_malloc_or_end, free);
}

enum status json_parse(const void *data, size_t size, json_t **value, struct error *err)
{
    json_error_t bad;

    *value = json_loadb(size > 0 ? data : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &bad);
    if (*value != NULL)
        return STATUS_OK;
    if (json_error_code(&bad) == json_error_out_of_memory)
        return error_set(err, STATUS_NO_MEMORY, "JSON: memory ran out");
    enum status status = error_set(err, STATUS_BAD_VALUE, "JSON: %d:%d: %s", bad.line, bad.column,
                                   bad.text);
    if (bad.position >= 0)
        error_at(err, (uint64_t)bad.position);
    return status;
}

/* Absent and null are the same: NULL. */
static json_t *json_member(const json_t *object, const char *key)
{
    json_t *member = json_object_get(object, key);

    return json_is_null(member) ? NULL : member;
}

static enum status json_no_member(const json_t *object, const char *key, struct error *err)
{
    if (!json_is_object(object))
        return error_set(err, STATUS_BAD_VALUE, "%s: what should hold it is not an object", key);
    return error_set(err, STATUS_BAD_VALUE, "%s: missing", key);
}

static enum status json_as_string(const json_t *member, const char *key, const char **text,
                                  struct error *err)
{
    if (!json_is_string(member))
        return error_set(err, STATUS_BAD_VALUE, "%s: not a string", key);
    *text = json_string_value(member);
    return STATUS_OK;
}

static enum status json_as_u64(const json_t *member, const char *key, uint64_t max, uint64_t *value,
                               struct error *err)
{
    if (!json_is_integer(member))
        return error_set(err, STATUS_BAD_VALUE, "%s: not a whole number", key);
    json_int_t number = json_integer_value(member);
    if (number < 0)
        return error_set(err, STATUS_BAD_VALUE, "%s: less than 0", key);
    if ((uint64_t)number > max)
        return error_set(err, STATUS_BAD_VALUE, "%s: more than %llu", key, (unsigned long long)max);
    *value = (uint64_t)number;
    return STATUS_OK;
}

enum status json_get_string(const json_t *object, const char *key, const char **text, struct error *err)
{
    const json_t *member = json_member(object, key);

    if (member == NULL)
        return json_no_member(object, key, err);
    return json_as_string(member, key, text, err);
}

enum status json_get_u64(const json_t *object, const char *key, uint64_t max, uint64_t *value,
                         struct error *err)
{
    const json_t *member = json_member(object, key);

    if (member == NULL)
        return json_no_member(object, key, err);
    return json_as_u64(member, key, max, value, err);
}

enum status json_get_array(const json_t *object, const char *key, json_t **array, struct error *err)
{
    json_t *member = json_member(object, key);

    if (member == NULL)
        return json_no_member(object, key, err);
    if (!json_is_array(member))
        return error_set(err, STATUS_BAD_VALUE, "%s: not an array", key);
    *array = member;
    return STATUS_OK;
}

enum status json_opt_string(const json_t *object, const char *key, const char *missing,
                            const char **text, struct error *err)
{
    const json_t *member = json_member(object, key);

    *text = missing;
    if (member == NULL)
        return json_is_object(object) ? STATUS_OK : json_no_member(object, key, err);
    return json_as_string(member, key, text, err);
}

enum status json_opt_u64(const json_t *object, const char *key, uint64_t max, uint64_t missing,
                         uint64_t *value, struct error *err)
{
    const json_t *member = json_member(object, key);

    *value = missing;
    if (member == NULL)
        return json_is_object(object) ? STATUS_OK : json_no_member(object, key, err);
    return json_as_u64(member, key, max, value, err);
}

static void json_print_object(struct json_writer *json, json_t *object)
{
    const char *key;
    json_t *value;

    json_object_begin(json);
    json_object_foreach (object, key, value) {
        json_key(json, key);
        json_print(json, value);
    }
    json_object_end(json);
}

static void json_print_array(struct json_writer *json, const json_t *array)
{
    json_array_begin(json);
    for (size_t i = 0; i < json_array_size(array); i++)
        json_print(json, json_array_get(array, i));
    json_array_end(json);
}

void json_print(struct json_writer *json, const json_t *value)
{
    bool too_deep = json->depth >= JSON_DEPTH_MAX;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        too_deep ? json_none(json) : json_print_object(json, (json_t *)value);
        break;
    case JSON_ARRAY:
        too_deep ? json_none(json) : json_print_array(json, value);
        break;
    case JSON_STRING:
        json_slice(json, slice_of(json_string_value(value), json_string_length(value)));
        break;
    case JSON_INTEGER:
        json_i64(json, json_integer_value(value));
        break;
    case JSON_REAL:
        json_double(json, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        json_bool(json, json_is_true(value));
        break;
    case JSON_NULL:
        json_none(json);
        break;
    }
}
