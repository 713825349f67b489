/* catalog_mongo_field.c: a document of a field as BSON, straight from its parts: what mongo_document() makes of field_to_json(), a
 * fifth of the time. */
#include "indexer/catalog/catalog_mongo.h"

static bool append_text(bson_t *bson, const char *key, const char *text)
{
    return bson_append_utf8(bson, key, -1, text, -1);
}

static bool append_size(bson_t *bson, const char *key, uint64_t value)
{
    return bson_append_int64(bson, key, -1, (int64_t)value);
}

static bool append_location(bson_t *list, unsigned index, const struct field_location *location)
{
    char space[16];
    const char *key;
    bson_t one;

    bson_uint32_to_string(index, &key, space, sizeof space);
    bool good = bson_append_document_begin(list, key, -1, &one) &&
                append_text(&one, "url", location->url) &&
                append_size(&one, "offset", location->offset) &&
                append_size(&one, "length", location->length) &&
                append_text(&one, "node", location->node) && append_text(&one, "file", location->file);
    return bson_append_document_end(list, &one) && good;
}

static bool append_places(bson_t *bson, const struct field_issue *issue)
{
    bson_t list;
    bool good = append_size(bson, "stored_at", issue->stored_at_us) &&
                bson_append_array_begin(bson, "locations", -1, &list);

    for (unsigned i = 0; good && i < issue->locations_count; i++)
        good = append_location(&list, i, &issue->locations[i]);
    return good && bson_append_array_end(bson, &list);
}

static bool append_issue(bson_t *bson, const struct field_issue *issue)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_print(&issue->digest, digest);
    return append_text(bson, "digest", digest) &&
           bson_append_int32(bson, "sub", -1, (int32_t)issue->sub) &&
           append_size(bson, "length", issue->length) && append_places(bson, issue);
}

static bool append_keys(bson_t *bson, json_t *keys)
{
    const char *key;
    json_t *value;

    json_object_foreach (keys, key, value)
        if (!mongo_append_json(bson, key, value))
            return false;
    return true;
}

/* What its keys say otherwise than the current issue's; null: it lacks the key. */
static bool append_differences(bson_t *bson, json_t *keys, json_t *current)
{
    const char *key;
    json_t *value;

    json_object_foreach (keys, key, value)
        if (catalog_key_differs(value, json_object_get(current, key)) &&
            !mongo_append_json(bson, key, value))
            return false;
    json_object_foreach (current, key, value)
        if (json_object_get(keys, key) == NULL && !bson_append_null(bson, key, -1))
            return false;
    return true;
}

static bool append_older(bson_t *bson, const struct field_document *document)
{
    bson_t list;
    bool good = bson_append_array_begin(bson, "older", -1, &list);

    for (unsigned i = 1; good && i < document->issues_count; i++) {
        const struct field_issue *issue = &document->issues[i];
        char space[16];
        const char *key;
        bson_t one;
        bson_uint32_to_string(i - 1, &key, space, sizeof space);
        good = bson_append_document_begin(&list, key, -1, &one) &&
               append_differences(&one, issue->keys, document->issues[0].keys) &&
               append_issue(&one, issue) && bson_append_document_end(&list, &one);
    }
    return good && bson_append_array_end(bson, &list);
}

bool mongo_field_document(bson_t *bson, const struct record_id *id, uint64_t rev,
                          const struct field_document *document)
{
    const struct field_issue *current = &document->issues[0];

    if (id != NULL)
        mongo_append_id(bson, "_id", CATALOG_FIELDS, id);
    return append_keys(bson, current->keys) && append_text(bson, "source", document->run.source) &&
           bson_append_date_time(bson, "base_time", -1, document->run.base_time * 1000) &&
           append_size(bson, "incarnation", current->incarnation) && append_issue(bson, current) &&
           append_older(bson, document) && bson_append_int64(bson, "rev", -1, (int64_t)rev);
}

bool mongo_field_places(bson_t *bson, uint64_t rev, const struct field_document *document)
{
    bson_t set;

    bool good = bson_append_document_begin(bson, "$set", -1, &set) &&
                append_places(&set, &document->issues[0]) &&
                bson_append_int64(&set, "rev", -1, (int64_t)rev);
    return bson_append_document_end(bson, &set) && good;
}
