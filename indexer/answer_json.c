/* answer_json.c: {"fields": [...], "next": null | "C"}, and documents as JSON for every form that is made of it. */
#include "indexer/answer.h"

void answer_init(struct answer *answer, struct buf *buf)
{
    answer->buf = buf;
    json_init(&answer->json, buf);
}

static void put_value(struct json_writer *json, const json_t *value);

static void put_object(struct json_writer *json, json_t *object)
{
    const char *key;
    json_t *value;

    json_object_begin(json);
    json_object_foreach (object, key, value) {
        json_key(json, key);
        put_value(json, value);
    }
    json_object_end(json);
}

static void put_array(struct json_writer *json, const json_t *array)
{
    json_array_begin(json);
    for (size_t i = 0; i < json_array_size(array); i++)
        put_value(json, json_array_get(array, i));
    json_array_end(json);
}

/* Our writer and not jansson's: numbers come as short as they were sent, and it is many times faster. */
static void put_value(struct json_writer *json, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        put_object(json, (json_t *)value);
        break;
    case JSON_ARRAY:
        put_array(json, value);
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

void answer_put_document(struct answer *answer, const struct field_document *document)
{
    json_t *json = field_to_json(document);

    if (json == NULL) {
        json_none(&answer->json); /* keeps the writer's nesting; the buffer's status is what counts */
        answer->buf->status = STATUS_NO_MEMORY;
        return;
    }
    put_value(&answer->json, json);
    json_decref(json);
}

static void begin(struct answer *answer)
{
    json_object_begin(&answer->json);
    json_key(&answer->json, "fields");
    json_array_begin(&answer->json);
}

static void end(struct answer *answer, const char *next)
{
    json_array_end(&answer->json);
    json_put_string(&answer->json, "next", next);
    json_object_end(&answer->json);
}

const struct answer_form answer_json = { "application/json", begin, answer_put_document, end };
