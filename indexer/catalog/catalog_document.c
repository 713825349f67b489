/* catalog_document.c: a document of a field as text, straight from its parts: the shape of field_to_json() without `id`. */
#include "indexer/catalog/catalog_ops.h"

static void put_issue(struct json_writer *json, const struct field_issue *issue)
{
    json_put_hex(json, "digest", issue->digest.bytes, DIGEST_SIZE);
    json_put_u64(json, "sub", issue->sub);
    json_put_u64(json, "length", issue->length);
    json_put_u64(json, "stored_at", issue->stored_at_us);
    field_locations_put(json, issue->locations, issue->locations_count);
}

static void put_keys(struct json_writer *json, const struct field_keys *keys)
{
    struct field_key key;

    for (size_t at = 0; field_keys_next(keys, &at, &key);)
        field_key_put(json, &key);
}

/* What its keys say otherwise than the current issue's; null: it lacks the key. */
static void put_differences(struct json_writer *json, const struct field_keys *keys,
                            const struct field_keys *current)
{
    struct field_key key;

    for (size_t at = 0; field_keys_next(keys, &at, &key);)
        if (catalog_key_differs(&key, current))
            field_key_put(json, &key);
    for (size_t at = 0; field_keys_next(current, &at, &key);)
        if (catalog_key_lacks(&key, keys))
            field_key_put_none(json, &key);
}

bool catalog_key_differs(const struct field_key *key, const struct field_keys *current)
{
    struct field_key other;

    return !field_keys_find(current, key->name, &other) || !field_key_equal(key, &other);
}

bool catalog_key_lacks(const struct field_key *key, const struct field_keys *keys)
{
    struct field_key other;

    return !field_keys_find(keys, key->name, &other);
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
