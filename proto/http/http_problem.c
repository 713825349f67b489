/* http_problem.c: one JSON object; further members are put in as they come. */
#include "proto/http/http_problem.h"

#include "proto/base/json_write.h"

static void problem_members(struct json_writer *json, enum status status, const struct error *err,
                            const char *instance)
{
    json_key(json, "type");
    json_format(json, "urn:gribstore:error:%s", status_code(status));
    json_put_string(json, "code", status_code(status));
    json_put_string(json, "title", status_title(status));
    json_put_u64(json, "status", (uint64_t)status_http(status));
    if (err != NULL && err->text[0] != '\0')
        json_put_string(json, "detail", err->text);
    if (instance != NULL)
        json_put_string(json, "instance", instance);
    if (err != NULL && err->has_offset)
        json_put_u64(json, "offset", err->offset);
}

void http_problem_print(struct buf *buf, enum status status, const struct error *err,
                        const char *instance, const struct buf *extra)
{
    struct json_writer json;

    json_init(&json, buf);
    json_object_begin(&json);
    problem_members(&json, status, err, instance);
    json_object_end(&json);
    if (extra != NULL && extra->size > 0 && buf_status(extra) == STATUS_OK &&
        buf_status(buf) == STATUS_OK) { /* half a list is none */
        buf->size--; /* the closing brace moves behind them */
        buf_text(buf, ",");
        buf_append(buf, extra->data, extra->size);
        buf_text(buf, "}");
    }
    buf_text(buf, "\n");
}
