/* query_body.c: requests as JSON, and the list that both ways fill. */
#include "indexer/query_body.h"
#include "indexer/query_keys.h"
#include "indexer/query_values.h"
#include "proto/base/json_read.h"

#include <stdlib.h>
#include <string.h>

void query_body_init(struct query_body *body)
{
    *body = (struct query_body){ .count = 0 };
    buf_init(&body->ignored, 1024);
}

void query_body_fini(struct query_body *body)
{
    for (size_t i = 0; i < body->count; i++)
        query_fini(&body->requests[i]);
    free(body->requests);
    buf_fini(&body->ignored);
    body->requests = NULL;
    body->count = 0;
}

bool query_body_over(const struct query_body *body)
{
    size_t values = 0;

    for (size_t i = 0; i < body->count; i++)
        for (size_t j = 0; j < body->requests[i].query.terms_count; j++)
            values += body->requests[i].query.terms[j].count;
    return values > QUERY_BODY_VALUES_MAX;
}

struct query_request *query_body_add(struct query_body *body, struct error *err)
{
    if (query_body_over(body)) {
        error_set(err, STATUS_BAD_VALUE, "more than %d values in all", QUERY_BODY_VALUES_MAX);
        return NULL;
    }
    if (body->count == QUERY_REQUESTS_MAX) {
        error_set(err, STATUS_BAD_VALUE, "more than %d requests", QUERY_REQUESTS_MAX);
        return NULL;
    }
    struct query_request *grown = realloc(body->requests, (body->count + 1) * sizeof *grown);
    if (grown == NULL) {
        error_set(err, STATUS_NO_MEMORY, "requests");
        return NULL;
    }
    body->requests = grown;
    query_init(&grown[body->count]);
    return &grown[body->count++];
}

/* --- JSON --- */

/* A value of its own, whose slashes end nothing. */
static void text_of_json(const json_t *json, struct buf *list)
{
    const char *text = json_string_value(json);

    for (size_t i = 0; i < json_string_length(json); i++) {
        uint8_t byte = text[i] == '/' ? QUERY_SLASH : (uint8_t)text[i];
        buf_append(list, &byte, 1);
    }
}

/* whole: one value; otherwise a text may be a list, as it is in a pair. */
static enum status scalar_of_json(const char *key, const json_t *json, bool whole, struct buf *list,
                                  struct error *err)
{
    if (json_is_string(json) && whole)
        text_of_json(json, list);
    else if (json_is_string(json))
        buf_append(list, json_string_value(json), json_string_length(json));
    else if (json_is_number(json))
        buf_double(list, json_number_value(json));
    else if (json_is_boolean(json))
        buf_text(list, json_is_true(json) ? "true" : "false");
    else
        return error_set(err, STATUS_BAD_VALUE,
                         "%.60s: neither text nor a number, nor a list of them, nor {from, to, by}",
                         key);
    return STATUS_OK;
}

static enum status range_of_json(const char *key, const json_t *json, struct buf *list, struct error *err)
{
    const json_t *from = json_object_get(json, "from"), *to = json_object_get(json, "to"),
                 *by = json_object_get(json, "by");

    if (from == NULL || to == NULL || json_object_size(json) != 2u + (by != NULL))
        return error_set(err, STATUS_BAD_VALUE,
                         "%.60s: a range is {\"from\", \"to\"} and may have \"by\"", key);
    enum status status = scalar_of_json(key, from, true, list, err);
    buf_text(list, "/to/");
    if (status == STATUS_OK)
        status = scalar_of_json(key, to, true, list, err);
    if (status == STATUS_OK && by != NULL) {
        buf_text(list, "/by/");
        status = scalar_of_json(key, by, true, list, err);
    }
    return status;
}

static enum status array_of_json(const char *key, const json_t *json, struct buf *list, struct error *err)
{
    if (json_array_size(json) == 0 || json_array_size(json) > QUERY_VALUES_MAX)
        return error_set(err, STATUS_BAD_VALUE, "%.60s: %zu values; 1 to %d are taken", key,
                         json_array_size(json), QUERY_VALUES_MAX);
    for (size_t i = 0; i < json_array_size(json); i++) {
        const json_t *item = json_array_get(json, i);
        if (i > 0)
            buf_text(list, "/");
        enum status status = json_is_array(item)
                                 ? error_set(err, STATUS_BAD_VALUE, "%.60s: a list in a list", key)
                             : json_is_object(item) ? range_of_json(key, item, list, err)
                                                    : scalar_of_json(key, item, true, list, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status list_of_json(const char *key, const json_t *json, struct buf *list, struct error *err)
{
    if (json_is_array(json))
        return array_of_json(key, json, list, err);
    if (json_is_object(json))
        return range_of_json(key, json, list, err);
    return scalar_of_json(key, json, false, list, err);
}

static bool key_is_none(const char *key)
{
    return query_key_find(slice_text(key)) == NULL && !query_key_is_of_answer(slice_text(key));
}

static enum status request_of_json(struct query_body *body, const json_t *json, struct error *err)
{
    struct query_request *request = query_body_add(body, err);
    enum status status = request != NULL ? STATUS_OK : err->status;
    struct buf list;
    const char *key;
    json_t *value;

    if (status == STATUS_OK && !json_is_object(json))
        status = error_set(err, STATUS_BAD_VALUE, "a request is an object: {\"param\": \"t\"}");
    if (status != STATUS_OK)
        return status;
    buf_init(&list, QUERY_LIST_MAX);
    json_object_foreach ((json_t *)json, key, value) {
        buf_clear(&list);
        status = list_of_json(key, value, &list, err);
        if (status != STATUS_OK && key_is_none(key)) /* whatever its value: an operator, say */
            status = query_add(request, slice_text(key), slice_text("0"), err);
        if (status == STATUS_OK && buf_status(&list) != STATUS_OK)
            status = error_set(err, STATUS_BAD_VALUE, "%.60s: a list of more than %d bytes", key,
                               QUERY_LIST_MAX);
        if (status == STATUS_OK)
            status = query_add(request, slice_text(key), slice_of(list.data, list.size), err);
        if (status != STATUS_OK)
            break;
    }
    buf_fini(&list);
    return status;
}

enum status query_body_json(struct query_body *body, struct slice text, struct error *err)
{
    json_t *json = NULL;
    enum status status = json_parse(text.data, text.size, &json, err);

    if (status != STATUS_OK)
        return status;
    if (!json_is_array(json))
        status = request_of_json(body, json, err);
    else if (json_array_size(json) == 0)
        status = error_set(err, STATUS_BAD_VALUE, "no request");
    for (size_t i = 0; status == STATUS_OK && json_is_array(json) && i < json_array_size(json); i++)
        if (request_of_json(body, json_array_get(json, i), err) != STATUS_OK)
            status = error_wrap(err, "request %zu", i + 1);
    json_decref(json);
    return status;
}
