/* catalog_mongo_field.c: a document of a field as BSON, straight from its parts, and back: what mongo_document() makes of field_to_json(),
 * a thirtieth of the time. */
#include "indexer/catalog/catalog_mongo_put.h"

#include <math.h>

/* --- to BSON --- */

#define NAME(Text) slice_of(Text, sizeof(Text) - 1)

struct index_text {
    char text[12];
};

/* An index of an array, as a name. */
static struct slice index_name(unsigned index, struct index_text *space)
{
    int size = index < 10 ? 1 : snprintf(space->text, sizeof space->text, "%u", index);

    if (index < 10)
        space->text[0] = (char)('0' + index);
    return slice_of(space->text, (size_t)size);
}

static void put_location(struct mongo_bytes *to, unsigned index, const struct field_location *location)
{
    struct index_text space;
    size_t begin = put_begin_member(to, BSON_TYPE_DOCUMENT, index_name(index, &space));

    put_text(to, NAME("url"), slice_text(location->url));
    put_int64(to, NAME("offset"), (int64_t)location->offset);
    put_int64(to, NAME("length"), (int64_t)location->length);
    put_text(to, NAME("node"), slice_text(location->node));
    put_text(to, NAME("file"), slice_text(location->file));
    put_end(to, begin);
}

static void put_places(struct mongo_bytes *to, const struct field_issue *issue)
{
    put_int64(to, NAME("stored_at"), (int64_t)issue->stored_at_us);
    size_t begin = put_begin_member(to, BSON_TYPE_ARRAY, NAME("locations"));
    for (unsigned i = 0; i < issue->locations_count; i++)
        put_location(to, i, &issue->locations[i]);
    put_end(to, begin);
}

static void put_issue(struct mongo_bytes *to, const struct field_issue *issue)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_print(&issue->digest, digest);
    put_text(to, NAME("digest"), slice_of(digest, sizeof digest - 1));
    put_int32(to, NAME("sub"), (int32_t)issue->sub);
    put_int64(to, NAME("length"), (int64_t)issue->length);
    put_places(to, issue);
}

static void put_key_text(struct mongo_bytes *to, const struct field_key *key)
{
    int64_t seconds;

    if (mongo_name_is_time(key->name) && base_time_parse(key->value, &seconds, NULL) == STATUS_OK) {
        put_date(to, key->name, seconds);
    } else if (!key->escaped) {
        put_text(to, key->name, key->value);
    } else {
        uint8_t *text = malloc(key->value.size);
        assert(text != NULL);
        put_text(to, key->name, slice_of(text, field_key_text(key, text)));
        free(text);
    }
}

static void put_key_integer(struct mongo_bytes *to, const struct field_key *key)
{
    int64_t value = field_key_integer(key);

    if (value > INT32_MAX || value < INT32_MIN || mongo_name_is_wide(key->name))
        put_int64(to, key->name, value);
    else
        put_int32(to, key->name, (int32_t)value);
}

static void put_key(struct mongo_bytes *to, const struct field_key *key)
{
    switch (key->type) {
    case FIELD_KEY_TEXT:
        put_key_text(to, key);
        break;
    case FIELD_KEY_INTEGER:
        put_key_integer(to, key);
        break;
    case FIELD_KEY_REAL:
        put_real(to, key->name, field_key_number(key));
        break;
    case FIELD_KEY_BOOL:
        put_bool(to, key->name, field_key_is_true(key));
        break;
    }
}

static void put_keys(struct mongo_bytes *to, const struct field_keys *keys)
{
    struct field_key key;

    for (size_t at = 0; field_keys_next(keys, &at, &key);)
        put_key(to, &key);
}

/* What its keys say otherwise than the current issue's; null: it lacks the key. */
static void put_differences(struct mongo_bytes *to, const struct field_keys *keys,
                            const struct field_keys *current)
{
    struct field_key key;

    for (size_t at = 0; field_keys_next(keys, &at, &key);)
        if (catalog_key_differs(&key, current))
            put_key(to, &key);
    for (size_t at = 0; field_keys_next(current, &at, &key);)
        if (catalog_key_lacks(&key, keys))
            put_none(to, key.name);
}

static void put_older(struct mongo_bytes *to, const struct field_document *document)
{
    size_t list = put_begin_member(to, BSON_TYPE_ARRAY, NAME("older"));

    for (unsigned i = 1; i < document->issues_count; i++) {
        const struct field_issue *issue = &document->issues[i];
        struct index_text space;
        size_t begin = put_begin_member(to, BSON_TYPE_DOCUMENT, index_name(i - 1, &space));
        put_differences(to, issue->keys, document->issues[0].keys);
        put_issue(to, issue);
        put_end(to, begin);
    }
    put_end(to, list);
}

void mongo_field_document(struct mongo_bytes *to, const struct record_id *id, uint64_t rev,
                          const struct field_document *document)
{
    const struct field_issue *current = &document->issues[0];

    to->size = 0;
    size_t begin = put_begin(to);
    if (id != NULL)
        put_binary(to, NAME("_id"), slice_of(id->bytes, id->size));
    put_keys(to, current->keys);
    put_text(to, NAME("source"), slice_text(document->run.source));
    put_date(to, NAME("base_time"), document->run.base_time);
    put_int64(to, NAME("incarnation"), (int64_t)current->incarnation);
    put_issue(to, current);
    put_older(to, document);
    put_int64(to, NAME("rev"), (int64_t)rev);
    put_end(to, begin);
}

void mongo_field_places(struct mongo_bytes *to, uint64_t rev, const struct field_document *document)
{
    to->size = 0;
    size_t begin = put_begin(to), set = put_begin_member(to, BSON_TYPE_DOCUMENT, NAME("$set"));

    put_places(to, &document->issues[0]);
    put_int64(to, NAME("rev"), (int64_t)rev);
    put_end(to, set);
    put_end(to, begin);
}

/* --- from BSON --- */

/* What is read of a document, before it is one. */
struct taking {
    struct field_document *document;
    struct field_issue *issue;
    struct json_writer keys;
    unsigned members; /* of ours, a bit each */
};

static bool take_text(const bson_iter_t *at, char *text, size_t size)
{
    uint32_t length;
    const char *value = BSON_ITER_HOLDS_UTF8(at) ? bson_iter_utf8(at, &length) : NULL;

    if (value == NULL || length >= size || memchr(value, '\0', length) != NULL)
        return false;
    memcpy(text, value, length + 1);
    return true;
}

static bool take_size(const bson_iter_t *at, uint64_t *size)
{
    int64_t value = BSON_ITER_HOLDS_INT(at) ? bson_iter_as_int64(at) : -1;

    *size = (uint64_t)value;
    return value >= 0;
}

static bool take_location(const bson_iter_t *at, struct field_location *location)
{
    bool good = true;
    unsigned members = 0;
    bson_iter_t child;

    if (!BSON_ITER_HOLDS_DOCUMENT(at) || !bson_iter_recurse(at, &child))
        return false;
    for (; good && bson_iter_next(&child); members++) {
        const char *key = bson_iter_key(&child);
        if (strcmp(key, "url") == 0)
            good = take_text(&child, location->url, sizeof location->url);
        else if (strcmp(key, "offset") == 0)
            good = take_size(&child, &location->offset);
        else if (strcmp(key, "length") == 0)
            good = take_size(&child, &location->length);
        else if (strcmp(key, "node") == 0)
            good = take_text(&child, location->node, sizeof location->node);
        else
            good = strcmp(key, "file") == 0 && take_text(&child, location->file, sizeof location->file);
    }
    return good && members == 5;
}

static bool take_locations(const bson_iter_t *at, struct field_issue *issue)
{
    bson_iter_t child;
    bool good = BSON_ITER_HOLDS_ARRAY(at) && bson_iter_recurse(at, &child);
    unsigned capacity = 0;

    while (good && bson_iter_next(&child)) {
        if (issue->locations_count == capacity) {
            capacity = capacity == 0 ? 2 : 2 * capacity;
            issue->locations = realloc(issue->locations, capacity * sizeof *issue->locations);
            assert(issue->locations != NULL);
        }
        good = issue->locations_count < FIELD_LOCATIONS_MAX &&
               take_location(&child, &issue->locations[issue->locations_count++]);
    }
    return good && issue->locations_count > 0;
}

static bool take_number(const bson_iter_t *at, struct json_writer *json)
{
    if (!BSON_ITER_HOLDS_DOUBLE(at)) {
        json_i64(json, bson_iter_as_int64(at));
        return true;
    }
    if (!isfinite(bson_iter_double(at)))
        return false;
    field_real_put(json, bson_iter_double(at));
    return true;
}

static bool take_key(const bson_iter_t *at, struct json_writer *json)
{
    char text[BASE_TIME_TEXT_SIZE];
    const char *value;
    uint32_t size;

    if (!field_key_name_permitted(bson_iter_key(at)))
        return false;
    json_key(json, bson_iter_key(at));
    switch (bson_iter_type(at)) {
    case BSON_TYPE_UTF8:
        value = bson_iter_utf8(at, &size);
        json_slice(json, slice_of(value, size));
        return true;
    case BSON_TYPE_DATE_TIME:
        if (!base_time_valid(bson_iter_date_time(at) / 1000))
            return false;
        base_time_print_rfc3339(bson_iter_date_time(at) / 1000, text);
        json_text(json, text);
        return true;
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
    case BSON_TYPE_DOUBLE:
        return take_number(at, json);
    case BSON_TYPE_BOOL:
        json_bool(json, bson_iter_bool(at));
        return true;
    default:
        return false;
    }
}

static bool take_incarnation(const bson_iter_t *at, struct taking *taking)
{
    return take_size(at, &taking->issue->incarnation);
}

static bool take_source(const bson_iter_t *at, struct taking *taking)
{
    return take_text(at, taking->document->run.source, sizeof taking->document->run.source);
}

static bool take_base_time(const bson_iter_t *at, struct taking *taking)
{
    if (!BSON_ITER_HOLDS_DATE_TIME(at))
        return false;
    taking->document->run.base_time = bson_iter_date_time(at) / 1000;
    return true;
}

static bool take_digest(const bson_iter_t *at, struct taking *taking)
{
    char text[DIGEST_TEXT_SIZE];

    return take_text(at, text, sizeof text) && digest_parse(slice_text(text), &taking->issue->digest);
}

static bool take_sub(const bson_iter_t *at, struct taking *taking)
{
    uint64_t sub;
    bool good = take_size(at, &sub) && sub <= GRIB_FIELDS_MAX;

    taking->issue->sub = good ? (unsigned)sub : 0;
    return good;
}

static bool take_length(const bson_iter_t *at, struct taking *taking)
{
    return take_size(at, &taking->issue->length);
}

static bool take_stamp(const bson_iter_t *at, struct taking *taking)
{
    return take_size(at, &taking->issue->stored_at_us);
}

static bool take_places(const bson_iter_t *at, struct taking *taking)
{
    return taking->issue->locations == NULL && take_locations(at, taking->issue);
}

/* Older issues say what differs from the current one: such a document is read by way of a tree. */
static bool take_no_older(const bson_iter_t *at, struct taking *taking)
{
    bson_iter_t child;
    (void)taking;

    return BSON_ITER_HOLDS_ARRAY(at) && bson_iter_recurse(at, &child) && !bson_iter_next(&child);
}

static bool take_nothing(const bson_iter_t *at, struct taking *taking)
{
    (void)at;
    (void)taking;
    return true;
}

static const struct member {
    const char *name;
    bool (*take)(const bson_iter_t *at, struct taking *taking);
} own_members[] = {
    { "_id", take_nothing },     { "rev", take_nothing },
    { "source", take_source },   { "base_time", take_base_time },
    { "sub", take_sub },         { "incarnation", take_incarnation },
    { "digest", take_digest },   { "length", take_length },
    { "stored_at", take_stamp }, { "locations", take_places },
    { "older", take_no_older },
};

static bool take_member(const bson_iter_t *at, struct taking *taking)
{
    const char *key = bson_iter_key(at);

    for (unsigned i = 0; i < ARRAY_COUNT(own_members); i++) {
        if (key[0] != own_members[i].name[0] || strcmp(key, own_members[i].name) != 0)
            continue;
        taking->members |= 1u << i;
        return own_members[i].take(at, taking);
    }
    return take_key(at, &taking->keys);
}

static bool take_members(const bson_t *bson, struct taking *taking)
{
    bool good = true;
    bson_iter_t at;

    if (!bson_iter_init(&at, bson))
        return false;
    json_object_begin(&taking->keys);
    while (good && bson_iter_next(&at))
        good = take_member(&at, taking);
    if (!good)
        return false;
    json_object_end(&taking->keys);
    return taking->members == (1u << ARRAY_COUNT(own_members)) - 1;
}

bool mongo_field_read(const bson_t *bson, struct field_document *document, struct buf *text)
{
    struct taking taking = { .document = document, .issue = calloc(1, sizeof *taking.issue) };

    *document = (struct field_document){ .issues_count = 1, .issues = taking.issue };
    assert(document->issues != NULL);
    buf_clear(text);
    json_init(&taking.keys, text);
    if (take_members(bson, &taking) && buf_status(text) == STATUS_OK) {
        taking.issue->keys = field_keys_of_members(slice_of(text->data + 1, text->size - 2));
        return true;
    }
    field_document_fini(document);
    return false;
}
