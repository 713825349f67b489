/* json_stream.h: one GET whose answer is read object by object while it comes (json_objects.h). Several may be under way. */
#ifndef CLIENT_JSON_STREAM_H
#define CLIENT_JSON_STREAM_H

#include "client/json_objects.h"
#include "client/session.h"

enum { JSON_STREAM_URL_MAX = 1024, JSON_STREAM_STALL_MS = 60000 };

struct json_stream {
    struct gs_session *session;
    struct json_objects objects;
    struct transfer_request request;
    struct error err; /* why an object was not taken */
    char url[JSON_STREAM_URL_MAX];
};

void json_stream_start(struct json_stream *stream, struct gs_session *session,
                       enum status (*each)(void *user, const json_t *object, struct error *err),
                       void *user, const char *base, const char *path);
/* Waits. OK: the answer is whole, and each() took all of it. */
enum status json_stream_wait(struct json_stream *stream, struct error *err);
void json_stream_fini(struct json_stream *stream); /* cancels */

#endif
