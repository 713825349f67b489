/* field_json.c: a document as JSON and back: the shape of answers and of catalogs (contracts: Fields).
 *
 * On top stands the current issue with its keys. `older` holds the others: their digest, sub, length, stamp and locations,
 * and of their keys only those that differ from the current ones (null: lacks it). `rev` is the catalog's and not in here. */
#include "indexer/field.h"
#include "proto/base/json_read.h"

#include <assert.h>
#include <stdlib.h>

/* --- to JSON --- */

static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0; /* takes value, NULL is a failure */
}

static json_t *integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *location_to_json(const struct field_location *location)
{
    json_t *json = json_object();

    if (set(json, "url", json_string(location->url)) && set(json, "offset", integer(location->offset)) &&
        set(json, "length", integer(location->length)) &&
        set(json, "node", json_string(location->node)) && set(json, "file", json_string(location->file)))
        return json;
    json_decref(json);
    return NULL;
}

json_t *field_locations_to_json(const struct field_location *locations, unsigned count)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < count; i++) {
        if (json_array_append_new(array, location_to_json(&locations[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool set_issue(json_t *json, const struct field_issue *issue)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_print(&issue->digest, digest);
    return set(json, "digest", json_string(digest)) && set(json, "sub", integer(issue->sub)) &&
           set(json, "length", integer(issue->length)) &&
           set(json, "stored_at", integer(issue->stored_at_us)) &&
           set(json, "locations", field_locations_to_json(issue->locations, issue->locations_count));
}

/* What an older issue's keys say otherwise than the current one's. */
static bool set_key_differences(json_t *json, const struct field_keys *keys,
                                const struct field_keys *current)
{
    json_t *own = field_keys_to_json(keys), *common = field_keys_to_json(current);
    const char *key;
    json_t *value;
    bool good = true;

    json_object_foreach (own, key, value) {
        const json_t *other = json_object_get(common, key);
        if (other == NULL || !json_equal(value, other))
            good = json_object_set(json, key, value) == 0 && good;
    }
    json_object_foreach (common, key, value)
        if (json_object_get(own, key) == NULL)
            good = set(json, key, json_null()) && good;
    json_decref(own);
    json_decref(common);
    return good;
}

static json_t *older_to_json(const struct field_document *document)
{
    json_t *array = json_array();

    for (unsigned i = 1; i < document->issues_count; i++) {
        json_t *json = json_object();
        if (!set_key_differences(json, document->issues[i].keys, document->issues[0].keys) ||
            !set_issue(json, &document->issues[i])) {
            json_decref(json);
            json_decref(array);
            return NULL;
        }
        if (json_array_append_new(array, json) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool set_keys(json_t *json, const struct field_keys *keys)
{
    json_t *members = field_keys_to_json(keys);
    bool good = json_object_update(json, members) == 0;

    json_decref(members);
    return good;
}

static bool set_run(json_t *json, const struct run_key *run)
{
    char base_time[BASE_TIME_TEXT_SIZE];

    base_time_print_rfc3339(run->base_time, base_time);
    return set(json, "source", json_string(run->source)) &&
           set(json, "base_time", json_string(base_time));
}

json_t *field_to_json(const struct field_document *document)
{
    assert(document->issues_count > 0);

    const struct field_issue *current = &document->issues[0];
    char id[2 * FIELD_ID_SIZE_MAX + 1];
    json_t *json = json_object();

    hex_print(document->id.bytes, document->id.size, id);
    if (set(json, "id", json_string(id)) && set_keys(json, current->keys) &&
        set_run(json, &document->run) && set(json, "incarnation", integer(current->incarnation)) &&
        set_issue(json, current) && set(json, "older", older_to_json(document)))
        return json;
    json_decref(json);
    return NULL;
}

/* --- from JSON --- */

static enum status text_from_json(const json_t *json, const char *key, char *text, size_t size,
                                  struct error *err)
{
    const char *value;
    enum status status = json_get_string(json, key, &value, err);

    if (status != STATUS_OK)
        return status;
    if (strlen(value) >= size)
        return error_set(err, STATUS_BAD_VALUE, "%s: longer than %zu", key, size - 1);
    memcpy(text, value, strlen(value) + 1);
    return STATUS_OK;
}

static enum status location_from_json(const json_t *json, struct field_location *location,
                                      struct error *err)
{
    enum status status = text_from_json(json, "url", location->url, sizeof location->url, err);

    if (status == STATUS_OK)
        status = text_from_json(json, "node", location->node, sizeof location->node, err);
    if (status == STATUS_OK)
        status = text_from_json(json, "file", location->file, sizeof location->file, err);
    if (status == STATUS_OK)
        status = json_get_u64(json, "offset", INT64_MAX, &location->offset, err);
    if (status == STATUS_OK)
        status = json_get_u64(json, "length", INT64_MAX, &location->length, err);
    return status;
}

enum status field_locations_from_json(const json_t *json, struct field_location **locations,
                                      unsigned *count, struct error *err)
{
    json_t *array;
    enum status status = json_get_array(json, "locations", &array, err);

    *locations = NULL;
    *count = 0;
    if (status != STATUS_OK)
        return status;
    size_t size = json_array_size(array);
    if (size == 0 || size > FIELD_LOCATIONS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "locations: %zu of them", size);
    *locations = calloc(size, sizeof **locations);
    if (*locations == NULL)
        return error_set(err, STATUS_NO_MEMORY, "locations");
    *count = (unsigned)size;
    for (size_t i = 0; i < size; i++)
        if (location_from_json(json_array_get(array, i), &(*locations)[i], err) != STATUS_OK)
            return error_wrap(err, "locations[%zu]", i);
    return STATUS_OK;
}

/* Of an older issue: what the current one has, overlaid with what differs. Names of ours are no keys (field_keys.h). */
static struct field_keys *keys_from_json(const json_t *json, const struct field_keys *current)
{
    if (current == NULL)
        return field_keys_of_json(json);
    json_t *all = field_keys_to_json(current);
    const char *key;
    json_t *value;
    struct field_keys *keys = NULL;
    bool good = true;

    json_object_foreach ((json_t *)json, key, value) {
        if (json_is_null(value))
            json_object_del(all, key);
        else
            good = json_object_set(all, key, value) == 0 && good;
    }
    if (good)
        keys = field_keys_of_json(all);
    json_decref(all);
    return keys;
}

static enum status issue_from_json(const json_t *json, const struct field_keys *current,
                                   struct field_issue *issue, struct error *err)
{
    const char *digest;
    uint64_t sub = 0;
    enum status status = json_get_string(json, "digest", &digest, err);

    if (status == STATUS_OK && !digest_parse(slice_text(digest), &issue->digest))
        status = error_set(err, STATUS_BAD_VALUE, "digest: not 64 hex digits");
    if (status == STATUS_OK)
        status = json_get_u64(json, "sub", GRIB_FIELDS_MAX, &sub, err);
    if (status == STATUS_OK)
        status = json_get_u64(json, "length", INT64_MAX, &issue->length, err);
    if (status == STATUS_OK)
        status = json_get_u64(json, "stored_at", INT64_MAX, &issue->stored_at_us, err);
    if (status == STATUS_OK)
        status = field_locations_from_json(json, &issue->locations, &issue->locations_count, err);
    if (status != STATUS_OK)
        return status;
    issue->sub = (unsigned)sub;
    issue->keys = keys_from_json(json, current);
    return issue->keys != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "keys");
}

static enum status run_from_json(const json_t *json, struct run_key *run, struct error *err)
{
    const char *source, *base_time;
    enum status status = json_get_string(json, "source", &source, err);

    if (status == STATUS_OK)
        status = json_get_string(json, "base_time", &base_time, err);
    if (status == STATUS_OK)
        status = run_key_parse(slice_text(source), slice_text(base_time), run, err);
    return status;
}

static enum status id_from_json(const json_t *json, struct field_document *document, struct error *err)
{
    uint8_t bytes[FIELD_ID_SIZE_MAX];
    struct run_key run;
    const char *text;
    enum status status = json_opt_string(json, "id", NULL, &text, err);

    if (status != STATUS_OK || text == NULL)
        return status;
    size_t size = strlen(text) / 2;
    if (size > sizeof bytes || hex_parse(text, strlen(text), bytes, size) != 0 ||
        !field_id_parse(bytes, size, &document->id, &run))
        return error_set(err, STATUS_BAD_VALUE, "id: not the id of a field");
    if (run_key_compare(&run, &document->run) != 0)
        return error_set(err, STATUS_BAD_VALUE, "id: of another run");
    return STATUS_OK;
}

static enum status issues_from_json(const json_t *json, struct field_document *document, struct error *err)
{
    const json_t *older = json_object_get(json, "older");
    size_t count = 1 + json_array_size(older); /* 0 when it is not there */
    uint64_t incarnation;
    enum status status = json_get_u64(json, "incarnation", INT64_MAX, &incarnation, err);

    if (status != STATUS_OK)
        return status;
    if (count > FIELD_ISSUES_MAX)
        return error_set(err, STATUS_BAD_VALUE, "older: %zu of them", count - 1);
    document->issues = calloc(count, sizeof *document->issues);
    if (document->issues == NULL)
        return error_set(err, STATUS_NO_MEMORY, "issues");
    document->issues_count = (unsigned)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *from = i == 0 ? json : json_array_get(older, i - 1);
        const struct field_keys *current = i == 0 ? NULL : document->issues[0].keys;
        document->issues[i].incarnation = incarnation;
        if (issue_from_json(from, current, &document->issues[i], err) != STATUS_OK)
            return i == 0 ? err->status : error_wrap(err, "older[%zu]", i - 1);
    }
    return STATUS_OK;
}

enum status field_from_json(const json_t *json, struct field_document *document, struct error *err)
{
    struct error own;

    *document = (struct field_document){ .rev = 0 };
    if (err == NULL)
        err = &own;
    enum status status = run_from_json(json, &document->run, err);
    if (status == STATUS_OK)
        status = id_from_json(json, document, err);
    if (status == STATUS_OK)
        status = issues_from_json(json, document, err);
    if (status != STATUS_OK)
        field_document_fini(document);
    return status;
}

void field_locations_put(struct json_writer *json, const struct field_location *locations, size_t count)
{
    json_key(json, "locations");
    json_array_begin(json);
    for (size_t i = 0; i < count; i++) {
        json_object_begin(json);
        json_put_string(json, "url", locations[i].url);
        json_put_u64(json, "offset", locations[i].offset);
        json_put_u64(json, "length", locations[i].length);
        json_put_string(json, "node", locations[i].node);
        json_put_string(json, "file", locations[i].file);
        json_object_end(json);
    }
    json_array_end(json);
}
