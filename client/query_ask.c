/* query_ask.c: what is asked of the indexer beside fields: how many, which values, what is missing; answers passed on as they come. */
#include "client/query.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"

#include <stdio.h>

enum { ASK_STALL_MS = 60000, ASK_URL_MAX = 16 << 10 };

static enum status ask_json(struct gs_session *session, const char *const *keys, size_t count,
                            const struct gs_query_options *options, const char *more,
                            uint64_t *fields, json_t **answer, struct error *err)
{
    struct call call = { .to = CALL_INDEXERS, .answer_max = INDEXER_ANSWER_MAX };
    struct query_ask ask;

    *answer = NULL;
    enum status status = query_ask_make(&ask, keys, count, options, more, err);
    if (status == STATUS_OK) {
        call.path = buf_string(&ask.path);
        call.method = ask.body.size > 0 ? "POST" : "GET";
        call.body = slice_of(ask.body.data, ask.body.size);
        call.content_type = ask.content_type;
        status = call_json(session, &call, answer, err);
    }
    if (status == STATUS_OK)
        status = error_of_answer(json_get_u64(*answer, "count", INT64_MAX, fields, err), err,
                                 "the indexer's answer");
    query_ask_fini(&ask);
    if (status != STATUS_OK) {
        json_decref(*answer);
        *answer = NULL;
    }
    return status;
}

enum gs_status gs_query_count(struct gs_session *session, const char *const *keys, size_t count,
                              const struct gs_query_options *options, uint64_t *fields,
                              struct gs_error *error)
{
    struct error err;
    json_t *answer;

    error_init(&err);
    enum status status = ask_json(session, keys, count, options, "count=1", fields, &answer, &err);
    json_decref(answer);
    return gs_error_fill(error, status, &err);
}

static int axis_hand_out(const char *key, const json_t *values,
                         int (*on_value)(void *user, const char *key, const char *value), void *user)
{
    json_t *value;
    size_t i;
    int stop = 0;

    json_array_foreach (values, i, value) {
        struct json_writer json;
        struct buf text;
        buf_init(&text, 1 << 16);
        if (json_is_string(value)) {
            buf_text(&text, json_string_value(value));
        } else {
            json_init(&json, &text);
            json_print(&json, value);
        }
        stop = on_value(user, key, buf_string(&text));
        buf_fini(&text);
        if (stop != 0)
            break;
    }
    return stop;
}

enum gs_status gs_query_axes(struct gs_session *session, const char *const *keys, size_t count,
                             const struct gs_query_options *options, uint64_t *fields,
                             int (*on_value)(void *user, const char *key, const char *value),
                             void *user, struct gs_error *error)
{
    struct error err;
    json_t *answer, *values;
    const char *key;

    error_init(&err);
    enum status status = ask_json(session, keys, count, options, "axes=1", fields, &answer, &err);
    if (status == STATUS_OK) {
        json_object_foreach (json_object_get(answer, "axes"), key, values)
            if (axis_hand_out(key, values, on_value, user) != 0)
                break;
    }
    json_decref(answer);
    return gs_error_fill(error, status, &err);
}

static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void gaps_hand_out(const json_t *answer, const struct gs_query_gaps *gaps)
{
    const json_t *item;
    size_t i;

    json_array_foreach (json_object_get(answer, "missing"), i, item)
        if (gaps->on_missing != NULL && json_is_string(item))
            gaps->on_missing(gaps->user, json_string_value(item));
    json_array_foreach (json_object_get(answer, "hints"), i, item)
        if (gaps->on_hint != NULL)
            gaps->on_hint(gaps->user, member(item, "key"), member(item, "value"),
                          member(item, "nearest"));
    json_array_foreach (json_object_get(answer, "gone"), i, item)
        if (gaps->on_gone != NULL)
            gaps->on_gone(gaps->user, member(item, "source"), member(item, "base_time"),
                          member(item, "state"));
}

enum gs_status gs_query_gaps(struct gs_session *session, const char *const *keys, size_t count,
                             const struct gs_query_options *options, uint64_t *fields,
                             const struct gs_query_gaps *gaps, struct gs_error *error)
{
    struct error err;
    json_t *answer;

    error_init(&err);
    enum status status = ask_json(session, keys, count, options, "count=1&missing=1", fields,
                                  &answer, &err);
    if (status == STATUS_OK)
        gaps_hand_out(answer, gaps);
    json_decref(answer);
    return gs_error_fill(error, status, &err);
}

/* ---- as it comes ---- */

struct stream {
    struct transfer_request request;
    struct gs_session *session;
    int (*on_data)(void *user, const void *data, size_t size);
    void *user;
    bool begun, stopped;
};

static int stream_on_data(struct transfer_request *request, struct slice data)
{
    struct stream *stream = container_of(request, struct stream, request);

    stream->begun = true;
    stream->stopped = stream->on_data(stream->user, data.data, data.size) != 0;
    return stream->stopped ? -1 : 0;
}

static void stream_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    (void)status, (void)err;
    session_wake(container_of(request, struct stream, request)->session);
}

static enum status stream_one(struct stream *stream, const struct query_ask *ask, const char *base,
                              struct error *err)
{
    struct transfer_request *request = &stream->request;
    enum status status, waited = STATUS_OK;
    struct buf url;

    buf_init(&url, ASK_URL_MAX);
    buf_format(&url, "%s%.*s", base, (int)ask->path.size, (const char *)ask->path.data);
    transfer_request_init(request);
    request->method = ask->body.size > 0 ? "POST" : "GET";
    request->url = buf_string(&url);
    request->body = slice_of(ask->body.data, ask->body.size);
    request->stall_timeout_ms = ASK_STALL_MS;
    request->on_data = stream_on_data;
    request->on_done = stream_on_done;
    if (ask->body.size > 0)
        request->headers[0] = (struct transfer_header){ "Content-Type", ask->content_type };
    status = session_sign(stream->session, request, err);
    if (status == STATUS_OK) {
        transfer_start(stream->session->transfer, request);
        while (request->transfer != NULL && waited == STATUS_OK)
            waited = session_wait(stream->session, UINT32_MAX, err);
        while (request->transfer != NULL) {
            transfer_cancel(request);
            transfer_run(stream->session->transfer, 0);
        }
        status = waited != STATUS_OK ? waited : transfer_answer_status(request, err);
    }
    transfer_request_fini(request);
    buf_fini(&url);
    return stream->stopped ? STATUS_OK : status;
}

/* Another server, or the same later, only while nothing was handed out. */
static enum status stream_run(struct stream *stream, const struct query_ask *ask, struct error *err)
{
    struct nodes *nodes = &stream->session->indexers;
    uint64_t until_ms = clock_monotonic_ms() + stream->session->retry_ms;
    enum status status = error_set(err, STATUS_UNREACHABLE, "nobody answers");

    for (;;) {
        struct node *node = nodes_pick(nodes, clock_monotonic_ms());
        if (node != NULL) {
            status = stream_one(stream, ask, node->url, err);
            if (stream->begun || !status_is_temporary(status))
                return status;
            node_failed(node, clock_monotonic_ms());
            continue;
        }
        uint64_t now_ms = clock_monotonic_ms(), next_ms = nodes_next_ms(nodes, now_ms);
        struct error waited;
        if (next_ms >= until_ms)
            return status;
        if (session_wait(stream->session, next_ms - now_ms, &waited) != STATUS_OK) {
            *err = waited;
            return waited.status;
        }
    }
}

enum gs_status gs_query_text(struct gs_session *session, const char *const *keys, size_t count,
                             const struct gs_query_options *options, const char *format,
                             int (*on_data)(void *user, const void *data, size_t size), void *user,
                             struct gs_error *error)
{
    struct stream stream = { .session = session, .on_data = on_data, .user = user };
    struct query_ask ask;
    struct error err;
    char more[64];

    error_init(&err);
    if (strlen(format) > 16 || strspn(format, "abcdefghijklmnopqrstuvwxyz") != strlen(format))
        return gs_error_fill(error, error_set(&err, STATUS_BAD_VALUE, "there is no such format"), &err);
    uint64_t limit = options != NULL ? options->limit : 0;
    if (limit > 0)
        snprintf(more, sizeof more, "format=%s&limit=%llu", format, (unsigned long long)limit);
    else
        snprintf(more, sizeof more, "format=%s&limit=all", format);
    enum status status = query_ask_make(&ask, keys, count, options, more, &err);
    if (status == STATUS_OK)
        status = stream_run(&stream, &ask, &err);
    query_ask_fini(&ask);
    return gs_error_fill(error, status, &err);
}
