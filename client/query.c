/* query.c: asks the indexer page by page, hands out fields. */
#include "client/query.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/json_read.h"
#include "proto/base/json_write.h"

#include <inttypes.h>
#include <math.h>

enum { QUERY_PATH_MAX = 7 << 10, QUERY_TEXT_MAX = 1 << 20, FIELD_JSON_MAX = 16 << 20 };

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

static bool query_key_is_option(struct slice key)
{
    static const char *const names[] = { "limit", "cursor", "all",   "as_of", "sort",
                                         "colo",  "format", "count", "axes",  "missing" };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (slice_equals(key, names[i]))
            return true;
    return false;
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
    if (query_key_is_option(key))
        return error_set(err, STATUS_BAD_VALUE,
                         "%.*s is no key of fields: it is an option, as in --limit N, --all, --sort step",
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

/* A pair of a list of pairs ("a=b,c=d"), moved behind it. */
static struct slice pair_next(const char **at)
{
    size_t size = strcspn(*at, ",");
    struct slice pair = slice_of(*at, size);

    *at += size + ((*at)[size] == ',');
    return pair;
}

/* The same as JSON, for what no URL holds: {"param": "t/z"}. query_print() has found it good. */
static void query_print_body(const char *const *keys, size_t count, struct buf *body)
{
    struct json_writer json;

    json_init(&json, body);
    json_object_begin(&json);
    for (size_t i = 0; i < count; i++) {
        for (const char *at = keys[i]; *at != '\0';) {
            struct slice pair = pair_next(&at);
            if (pair.size == 0)
                continue;
            size_t key_size = (size_t)((const uint8_t *)memchr(pair.data, '=', pair.size) - pair.data);
            char key[256];
            snprintf(key, sizeof key, "%.*s", (int)key_size, (const char *)pair.data);
            json_key(&json, key);
            json_slice(&json, slice_of(pair.data + key_size + 1, pair.size - key_size - 1));
        }
    }
    json_object_end(&json);
}

static void query_print_option(struct buf *path, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    buf_format(path, "%c%s=", strchr(buf_string(path), '?') != NULL ? '&' : '?', name);
    url_escape(path, slice_text(value));
}

static enum status query_ask_keys(struct query_ask *ask, const char *const *keys, size_t count,
                                  const char *request, struct error *err)
{
    struct buf all;

    buf_init(&all, QUERY_TEXT_MAX);
    buf_text(&all, INDEXER_FIELDS_PATH);
    enum status status = query_print(keys, count, &all, err);
    if (status == STATUS_OK && request != NULL) {
        buf_text(&ask->body, request);
        request += strspn(request, " \t\r\n");
        ask->content_type = request[0] == '{' || request[0] == '[' ? "application/json" : "text/plain";
    }
    if (status == STATUS_OK && (request != NULL || all.size <= QUERY_PATH_MAX - 1024)) {
        buf_append(&ask->path, all.data, all.size);
    } else if (status == STATUS_OK) {
        buf_text(&ask->path, INDEXER_FIELDS_PATH);
        ask->content_type = "application/json";
        query_print_body(keys, count, &ask->body);
    }
    buf_fini(&all);
    return status;
}

enum status query_ask_make(struct query_ask *ask, const char *const *keys, size_t count,
                           const struct gs_query_options *options, const char *more, struct error *err)
{
    static const struct gs_query_options none;

    *ask = (struct query_ask){ .content_type = NULL };
    buf_init(&ask->path, QUERY_PATH_MAX);
    buf_init(&ask->body, QUERY_TEXT_MAX);
    if (options == NULL)
        options = &none;
    enum status status = query_ask_keys(ask, keys, count, options->request, err);
    if (status != STATUS_OK)
        return status;
    query_print_option(&ask->path, "all", options->all ? "1" : NULL);
    query_print_option(&ask->path, "as_of", options->as_of);
    query_print_option(&ask->path, "sort", options->sort);
    query_print_option(&ask->path, "colo", options->colo);
    if (more[0] != '\0')
        buf_format(&ask->path, "%c%s", strchr(buf_string(&ask->path), '?') != NULL ? '&' : '?', more);
    return buf_status(&ask->path) == STATUS_OK && buf_status(&ask->body) == STATUS_OK
               ? STATUS_OK
               : error_set(err, STATUS_BAD_VALUE, "the request is too long");
}

void query_ask_fini(struct query_ask *ask)
{
    buf_fini(&ask->path);
    buf_fini(&ask->body);
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
    struct query_ask ask; /* of the first page */
    uint64_t left;        /* fields still wanted */
    char cursor[1024];    /* "" on the first page */
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
    struct call call = { .to = CALL_INDEXERS,
                         .method = query->ask.body.size > 0 ? "POST" : "GET",
                         .body = slice_of(query->ask.body.data, query->ask.body.size),
                         .content_type = query->ask.content_type,
                         .answer_max = INDEXER_ANSWER_MAX };
    uint64_t limit = query->left < INDEXER_PAGE_FIELDS ? query->left : INDEXER_PAGE_FIELDS;
    struct buf path;
    json_t *page = NULL;

    buf_init(&path, QUERY_PATH_MAX + 2 * sizeof query->cursor);
    buf_append(&path, query->ask.path.data, query->ask.path.size);
    /* What is missing is asked for apart (gs_query_gaps). */
    buf_format(&path, "%climit=%" PRIu64 "&missing=0",
               strchr(buf_string(&query->ask.path), '?') != NULL ? '&' : '?', limit);
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
    enum status status = query_ask_make(&query.ask, keys, count, options, "", err);
    while (status == STATUS_OK && query.more && !query.stopped && query.left > 0)
        status = query_page(&query, err);
    query_ask_fini(&query.ask);
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
