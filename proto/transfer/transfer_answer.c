/* transfer_answer.c: what an answer outside 2xx says: a status, and the story for people. */
#include "proto/base/json_read.h"
#include "proto/transfer/transfer.h"

enum { ANSWER_URL_SHOWN = 200 };

/* The first status of the table with this HTTP status; what has none is INTERNAL. */
static enum status answer_status_of_http(int http_status)
{
    if (http_status == 500)
        return STATUS_INTERNAL;
    for (int status = 0; status < STATUS_COUNT; status++) {
        if (status_http((enum status)status) == http_status)
            return (enum status)status;
    }
    return http_status / 100 == 4 ? STATUS_BAD_REQUEST : STATUS_INTERNAL;
}

/* From a problem+json: its code, detail and offset. Members that are missing or of another type change nothing. */
static void answer_read_problem(const struct transfer_request *request, struct error *problem)
{
    json_t *json = NULL;
    const char *text;
    uint64_t offset;

    if (json_parse(request->answer.data, request->answer.size, &json, NULL) != STATUS_OK)
        return;
    if (json_is_object(json)) {
        if (json_get_string(json, "code", &text, NULL) == STATUS_OK && status_from_code(text) != STATUS_OK)
            problem->status = status_from_code(text);
        if (json_get_string(json, "detail", &text, NULL) == STATUS_OK ||
            json_get_string(json, "title", &text, NULL) == STATUS_OK)
            error_set(problem, problem->status, "%s", text);
        if (json_get_u64(json, "offset", INT64_MAX, &offset, NULL) == STATUS_OK)
            error_at(problem, offset);
    }
    json_decref(json);
}

enum status transfer_answer_status(const struct transfer_request *request, struct error *err)
{
    struct error problem = request->err;

    if (problem.status == STATUS_OK) {
        if (request->http_status / 100 == 2)
            return STATUS_OK;
        error_set(&problem, answer_status_of_http(request->http_status), "answered %d",
                  request->http_status);
        if (request->answer.size > 0)
            answer_read_problem(request, &problem);
        error_wrap(&problem, "%s %.*s", request->method, ANSWER_URL_SHOWN, request->url);
    }
    if (err != NULL)
        *err = problem;
    return problem.status;
}
