/* json_stream.c: a request whose bytes go to json_objects_feed(). */
#include "client/json_stream.h"

#include <stdio.h>

static int stream_on_data(struct transfer_request *request, struct slice data)
{
    struct json_stream *stream = container_of(request, struct json_stream, request);

    return json_objects_feed(&stream->objects, data, &stream->err) == STATUS_OK ? 0 : -1;
}

static void stream_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    (void)status, (void)err;
    session_wake(container_of(request, struct json_stream, request)->session);
}

void json_stream_start(struct json_stream *stream, struct gs_session *session,
                       enum status (*each)(void *user, const json_t *object, struct error *err),
                       void *user, const char *base, const char *path)
{
    *stream = (struct json_stream){ .session = session };
    error_init(&stream->err);
    json_objects_init(&stream->objects, each, user);
    transfer_request_init(&stream->request);
    snprintf(stream->url, sizeof stream->url, "%s%s", base, path);
    stream->request.method = "GET";
    stream->request.url = stream->url;
    stream->request.stall_timeout_ms = JSON_STREAM_STALL_MS;
    stream->request.on_data = stream_on_data;
    stream->request.on_done = stream_on_done;
    if (session_sign(session, &stream->request, &stream->err) == STATUS_OK)
        transfer_start(session->transfer, &stream->request);
}

static void stream_cancel(struct json_stream *stream)
{
    if (stream->request.transfer == NULL)
        return;
    transfer_cancel(&stream->request);
    while (stream->request.transfer != NULL)
        transfer_run(stream->session->transfer, 10);
}

enum status json_stream_wait(struct json_stream *stream, struct error *err)
{
    while (stream->request.transfer != NULL) {
        enum status status = session_wait(stream->session, UINT64_MAX / 2, err);

        if (status != STATUS_OK) {
            stream_cancel(stream);
            return status;
        }
    }
    if (stream->err.status != STATUS_OK) {
        *err = stream->err;
        return error_wrap(err, "%s", stream->url);
    }
    enum status status = transfer_answer_status(&stream->request, err);
    if (status == STATUS_OK && json_objects_end(&stream->objects, err) != STATUS_OK)
        status = error_wrap(err, "%s", stream->url);
    return status;
}

void json_stream_fini(struct json_stream *stream)
{
    if (stream->session == NULL)
        return;
    stream_cancel(stream);
    transfer_request_fini(&stream->request);
    json_objects_fini(&stream->objects);
    stream->session = NULL;
}
