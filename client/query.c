/* query.c: asks the indexer page by page, hands out fields. */
#include "client/query.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"

#include <inttypes.h>
#include <math.h>

enum { QUERY_PATH_MAX = 7 << 10, FIELD_JSON_MAX = 16 << 20 };

/* ---- the request ---- */

void url_escape(struct buf *buf, struct slice text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:";

    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '\0' && strchr(plain, text.data[i]) != NULL)
            buf_append(buf, &text.data[i], 1);
        else
            buf_format(buf, "%%%02X", text.data[i]);
    }
}

static enum status query_print_pair(const char *pair, size_t size, struct buf *path, bool *first,
                                    struct error *err)
{
    const char *equals = memchr(pair, '=', size);

    if (equals == NULL || equals == pair || equals == pair + size - 1)
        return error_set(err, STATUS_BAD_VALUE, "'%.*s' is no key=value, as in param=msl",
                         (int)size, pair);
    size_t key_size = (size_t)(equals - pair);
    struct slice key = slice_of(pair, key_size);
    if (slice_equals(key, "limit") || slice_equals(key, "cursor") || slice_equals(key, "all"))
        return error_set(err, STATUS_BAD_VALUE,
                         "%.*s is no key of fields: it is an option, --limit N or --all",
                         (int)key_size, pair);
    buf_text(path, *first ? "?" : "&");
    *first = false;
    url_escape(path, key);
    buf_text(path, "=");
    url_escape(path, slice_of(equals + 1, size - key_size - 1));
    return STATUS_OK;
}

enum status query_print(const char *const *keys, size_t count, struct buf *path, struct error *err)
{
    bool first = true;

    for (size_t i = 0; i < count; i++) {
        for (const char *at = keys[i]; *at != '\0';) {
            size_t size = strcspn(at, ",");

            if (size > 0) {
                enum status status = query_print_pair(at, size, path, &first, err);

                if (status != STATUS_OK)
                    return status;
            }
            at += size + (at[size] == ',');
        }
    }
    return buf_status(path) == STATUS_OK ? STATUS_OK
                                         : error_set(err, STATUS_BAD_VALUE, "the request is too long");
}

/* ---- fields ---- */

static void query_print_json(const json_t *value, struct buf *buf)
{
    struct json_writer json;

    json_init(&json, buf);
    json_print(&json, value);
}

const char *gs_field_json(const struct gs_field *field)
{
    struct gs_field *own = (struct gs_field *)field;

    if (own->json.size == 0)
        query_print_json(own->document, &own->json);
    return buf_string(&own->json);
}

const char *gs_field_text(const struct gs_field *field, const char *key)
{
    const json_t *value = json_object_get(field->document, key);
    struct buf text;

    if (value == NULL || json_is_null(value))
        return NULL;
    if (json_is_string(value))
        return json_string_value(value);
    const json_t *made = json_object_get(field->texts, key);
    if (made != NULL)
        return json_string_value(made);
    buf_init(&text, FIELD_JSON_MAX);
    query_print_json(value, &text);
    int failed = json_object_set_new(field->texts, key, json_string(buf_string(&text)));
    buf_fini(&text);
    return failed ? NULL : json_string_value(json_object_get(field->texts, key));
}

size_t gs_field_locations(const struct gs_field *field)
{
    return json_array_size(json_object_get(field->document, "locations"));
}

int gs_field_location(const struct gs_field *field, size_t index, struct gs_location *location)
{
    const json_t *item = json_array_get(json_object_get(field->document, "locations"), index);

    if (item == NULL || json_get_string(item, "url", &location->url, NULL) != STATUS_OK ||
        json_get_u64(item, "offset", INT64_MAX, &location->offset, NULL) != STATUS_OK ||
        json_get_u64(item, "length", INT64_MAX, &location->length, NULL) != STATUS_OK)
        return -1;
    return 0;
}

/* ---- pages ---- */

struct query {
    struct gs_session *session;
    struct buf path;   /* of the first page */
    uint64_t left;     /* fields still wanted */
    char cursor[1024]; /* "" on the first page */
    bool stopped, more;
    int (*on_field)(void *user, const struct gs_field *field);
    void *user;
};

static enum status query_hand_out(struct query *query, const json_t *document, struct error *err)
{
    struct gs_field field = { .document = document, .texts = json_object() };

    if (!json_is_object(document) || field.texts == NULL) {
        json_decref(field.texts);
        return error_set(err, STATUS_MALFORMED, "the indexer's answer: a field is no object");
    }
    buf_init(&field.json, FIELD_JSON_MAX);
    query->stopped = query->on_field(query->user, &field) != 0;
    query->left--;
    buf_fini(&field.json);
    json_decref(field.texts);
    return STATUS_OK;
}

static enum status query_take_page(struct query *query, const json_t *page, struct error *err)
{
    const char *next;
    json_t *fields;
    json_t *document;
    size_t i;

    enum status status = json_get_array(page, "fields", &fields, err);
    if (status == STATUS_OK)
        status = json_opt_string(page, "next", "", &next, err);
    if (status != STATUS_OK)
        return error_of_answer(status, err, "the indexer's answer");
    if (strlen(next) >= sizeof query->cursor)
        return error_set(err, STATUS_MALFORMED, "the indexer's answer: its cursor is too long");
    query->more = next[0] != '\0';
    snprintf(query->cursor, sizeof query->cursor, "%s", next);
    json_array_foreach (fields, i, document) {
        if (query->stopped || query->left == 0)
            break;
        status = query_hand_out(query, document, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status query_page(struct query *query, struct error *err)
{
    struct call call = { .to = CALL_INDEXERS, .method = "GET", .answer_max = INDEXER_ANSWER_MAX };
    uint64_t limit = query->left < INDEXER_PAGE_FIELDS ? query->left : INDEXER_PAGE_FIELDS;
    struct buf path;
    json_t *page = NULL;

    buf_init(&path, QUERY_PATH_MAX + 2 * sizeof query->cursor);
    buf_append(&path, query->path.data, query->path.size);
    buf_format(&path, "%climit=%" PRIu64, strchr(buf_string(&query->path), '?') != NULL ? '&' : '?',
               limit);
    if (query->cursor[0] != '\0') {
        buf_text(&path, "&cursor=");
        url_escape(&path, slice_text(query->cursor));
    }
    call.path = buf_string(&path);
    enum status status = call_json(query->session, &call, &page, err);
    if (status == STATUS_OK)
        status = query_take_page(query, page, err);
    json_decref(page);
    buf_fini(&path);
    return status;
}

enum status query_run(struct gs_session *session, const char *const *keys, size_t count,
                      const struct gs_query_options *options,
                      int (*on_field)(void *user, const struct gs_field *field), void *user,
                      struct error *err)
{
    struct query query = { .session = session, .on_field = on_field, .user = user, .more = true };

    query.left = options != NULL && options->limit > 0 ? options->limit : UINT64_MAX;
    buf_init(&query.path, QUERY_PATH_MAX);
    buf_text(&query.path, INDEXER_FIELDS_PATH);
    enum status status = query_print(keys, count, &query.path, err);
    if (options != NULL && options->all)
        buf_text(&query.path, strchr(buf_string(&query.path), '?') != NULL ? "&all=1" : "?all=1");
    while (status == STATUS_OK && query.more && !query.stopped && query.left > 0)
        status = query_page(&query, err);
    buf_fini(&query.path);
    return status;
}

enum gs_status gs_query(struct gs_session *session, const char *const *keys, size_t count,
                        const struct gs_query_options *options,
                        int (*on_field)(void *user, const struct gs_field *field), void *user,
                        struct gs_error *error)
{
    struct error err;

    error_init(&err);
    enum status status = query_run(session, keys, count, options, on_field, user, &err);
    return gs_error_fill(error, status, &err);
}
