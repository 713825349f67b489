/* catalog_document.c: a document of a field as text, straight from its parts: the shape of field_to_json() without `id`. */
#include "indexer/catalog/catalog_ops.h"
#include "proto/base/json_read.h"

#include <assert.h>

static void put_issue(struct json_writer *json, const struct field_issue *issue)
{
    json_put_hex(json, "digest", issue->digest.bytes, DIGEST_SIZE);
    json_put_u64(json, "sub", issue->sub);
    json_put_u64(json, "length", issue->length);
    json_put_u64(json, "stored_at", issue->stored_at_us);
    field_locations_put(json, issue->locations, issue->locations_count);
}

/* A real number stays one when it is read again, 1.0 too: else it would be another key's value than the decoder's. */
static void put_value(struct json_writer *json, const json_t *value)
{
    char text[64];

    if (!json_is_real(value)) {
        json_print(json, value);
        return;
    }
    size_t size = json_dumpb(value, text, sizeof text, JSON_ENCODE_ANY);
    assert(size > 0 && size <= sizeof text);
    json_raw(json, text, size);
}

static void put_keys(struct json_writer *json, json_t *keys)
{
    const char *key;
    json_t *value;

    json_object_foreach (keys, key, value) {
        json_key(json, key);
        put_value(json, value);
    }
}

/* What its keys say otherwise than the current issue's; null: it lacks the key. */
static void put_differences(struct json_writer *json, json_t *keys, json_t *current)
{
    const char *key;
    json_t *value;

    json_object_foreach (keys, key, value) {
        if (!catalog_key_differs(value, json_object_get(current, key)))
            continue;
        json_key(json, key);
        put_value(json, value);
    }
    json_object_foreach (current, key, value) {
        if (json_object_get(keys, key) != NULL)
            continue;
        json_key(json, key);
        json_none(json);
    }
}

bool catalog_key_differs(const json_t *value, const json_t *current)
{
    return current == NULL || !json_equal(value, current);
}

void catalog_document_print(struct json_writer *json, const struct field_document *document)
{
    const struct field_issue *current = &document->issues[0];
    char base_time[BASE_TIME_TEXT_SIZE];

    json_object_begin(json);
    put_keys(json, current->keys);
    base_time_print_rfc3339(document->run.base_time, base_time);
    json_put_string(json, "source", document->run.source);
    json_put_string(json, "base_time", base_time);
    json_put_u64(json, "incarnation", current->incarnation);
    put_issue(json, current);
    json_key(json, "older");
    json_array_begin(json);
    for (unsigned i = 1; i < document->issues_count; i++) {
        json_object_begin(json);
        put_differences(json, document->issues[i].keys, current->keys);
        put_issue(json, &document->issues[i]);
        json_object_end(json);
    }
    json_array_end(json);
    json_object_end(json);
}
