/* request.c: the common words of requests, with the replies when they are wrong. */
#include "storaged/request.h"

#include "storaged/node_loop.h"

#include "proto/base/config.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_SIZE_MAX = 64 << 10 }; /* an error cuts it further, with dots */

struct node_loop *request_loop(const struct http_exchange *ex)
{
    return http_context(ex);
}

static bool is_known(struct slice key, const char *const *known)
{
    for (; *known != NULL; known++) {
        if (slice_equals(key, *known))
            return true;
    }
    return false;
}

bool request_keys_known(struct http_exchange *ex, const char *const *known)
{
    struct slice key, value;
    size_t at = 0;

    while (http_query_next(ex, &at, &key, &value)) {
        char name[64];

        if (is_known(key, known))
            continue;
        snprintf(name, sizeof name, "%.*s",
                 (int)(key.size < sizeof name ? key.size : sizeof name - 1), key.data);
        const char *nearest = config_nearest(name, known);
        if (nearest != NULL)
            request_fail_with(ex, STATUS_UNKNOWN_KEY,
                              "'%s' is no key of this request: did you mean '%s'?", name, nearest);
        else if (known[0] != NULL)
            request_fail_with(ex, STATUS_UNKNOWN_KEY, "'%s' is no key of this request; '%s' is one",
                              name, known[0]);
        else
            request_fail_with(ex, STATUS_UNKNOWN_KEY, "'%s': this request takes no keys", name);
        return false;
    }
    return true;
}

bool request_run(struct http_exchange *ex, struct run_key *run)
{
    struct error err;

    error_init(&err);
    if (run_key_parse(http_param(ex, "source"), http_param(ex, "base_time"), run, &err) == STATUS_OK)
        return true;
    request_fail(ex, &err);
    return false;
}

static bool request_u64(struct http_exchange *ex, const char *what, const char *name,
                        struct slice text, uint64_t most, uint64_t *value)
{
    if (text.data == NULL || decimal_parse((const char *)text.data, text.size, most, value) == 0)
        return true;
    request_fail_with(ex, STATUS_BAD_VALUE, "%s %s: not a whole number up to %llu", what, name,
                      (unsigned long long)most);
    return false;
}

bool request_query_u64(struct http_exchange *ex, const char *key, uint64_t missing, uint64_t *value)
{
    *value = missing;
    return request_u64(ex, "key", key, http_query(ex, key), UINT64_MAX, value);
}

/* As far as JSON goes: it is taken over, and told to others. */
bool request_incarnation(struct http_exchange *ex, uint64_t *incarnation)
{
    *incarnation = 0;
    return request_u64(ex, "header", HEADER_INCARNATION, http_header(ex, HEADER_INCARNATION),
                       INT64_MAX, incarnation);
}

bool request_whole_begin(struct http_exchange *ex, uint64_t size_max, uint64_t *size)
{
    struct node_loop *loop = request_loop(ex);
    uint64_t length = http_content_length(ex);

    *size = length < size_max ? length : size_max;
    if (*size > REQUEST_WHOLE_MAX - loop->whole_bodies) {
        request_fail_with(ex, STATUS_OVERLOADED,
                          "bodies of %" PRIu64 " bytes are under way already", loop->whole_bodies);
        return false;
    }
    loop->whole_bodies += *size;
    return true;
}

void request_whole_end(struct node_loop *loop, uint64_t size)
{
    loop->whole_bodies -= size;
}

void request_fail(struct http_exchange *ex, const struct error *err)
{
    http_reply_error(ex, err->status == STATUS_OK ? STATUS_INTERNAL : err->status, err, NULL);
}

void request_fail_with(struct http_exchange *ex, enum status status, const char *format, ...)
{
    struct error err;
    struct buf text;
    va_list list;

    buf_init(&text, TEXT_SIZE_MAX);
    va_start(list, format);
    buf_vformat(&text, format, list);
    va_end(list);
    error_init(&err);
    error_set(&err, status, "%s", buf_string(&text));
    buf_fini(&text);
    http_reply_error(ex, status, &err, NULL);
}

void request_print_run(struct json_writer *json, const struct run_key *run, const struct run_info *info)
{
    char text[BASE_TIME_TEXT_SIZE];

    base_time_print_rfc3339(run->base_time, text);
    json_put_string(json, "source", run->source);
    json_put_string(json, "base_time", text);
    json_put_u64(json, "incarnation", info->incarnation);
    json_put_u64(json, "version", info->version);
    json_put_string(json, "state", run_state_name(info->state));
}

void request_fail_run(struct http_exchange *ex, enum status status, const struct error *err,
                      const struct run_key *run, const struct run_info *info)
{
    struct json_writer json;
    struct buf object, extra;

    buf_init(&object, 1024);
    json_init(&json, &object);
    json_object_begin(&json);
    request_print_run(&json, run, info);
    json_object_end(&json);
    buf_init(&extra, 2048);
    buf_text(&extra, "\"run\":");
    buf_append(&extra, object.data, object.size);
    buf_fini(&object);
    http_reply_error(ex, status, err, &extra);
}

void request_reply_json(struct http_exchange *ex, int http_status, struct buf *buf)
{
    if (buf_status(buf) == STATUS_OK) {
        http_reply(ex, http_status, TYPE_JSON, buf);
        return;
    }
    enum status status = buf_status(buf);
    buf_fini(buf);
    request_fail_with(ex, status == STATUS_TOO_LARGE ? STATUS_INTERNAL : status,
                      "the answer would be too large");
}
