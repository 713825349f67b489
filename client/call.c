/* call.c: one request that is waited for. */
#include "client/call.h"

#include "proto/base/clock.h"
#include "proto/base/json_read.h"

#include <stdio.h>
#include <string.h>

enum { CALL_STALL_MS = 60000, CALL_URL_MAX = 16 << 10 };

static void call_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    (void)status, (void)err;
    session_wake(request->user);
}

static void call_prepare(struct gs_session *session, const struct call *call,
                         struct transfer_request *request, const char *url)
{
    unsigned headers = 0;

    transfer_request_init(request);
    request->method = call->method;
    request->url = url;
    request->body = call->body;
    request->stall_timeout_ms = CALL_STALL_MS;
    request->on_done = call_on_done;
    request->user = session;
    if (call->answer_max > 0)
        request->answer_max = call->answer_max;
    if (call->body.size > 0)
        request->headers[headers++] = (struct transfer_header){
            "Content-Type", call->content_type != NULL ? call->content_type : "application/json"
        };
    if (call->header.name != NULL)
        request->headers[headers++] = call->header;
}

static enum status call_wait(struct gs_session *session, struct transfer_request *request,
                             struct error *err)
{
    while (request->transfer != NULL) {
        enum status status = session_wait(session, UINT64_MAX / 2, err);

        if (status == STATUS_OK)
            continue;
        transfer_cancel(request);
        transfer_run(session->transfer, 0); /* its end; others under way may go on */
        return status;
    }
    return transfer_answer_status(request, err);
}

/* One server, once. */
static enum status call_one(struct gs_session *session, const struct call *call, const char *base,
                            struct call_answer *answer, struct error *err)
{
    struct transfer_request request;
    struct watch watch = { 0 };
    struct buf url;

    buf_init(&url, CALL_URL_MAX);
    buf_format(&url, "%s%s", base, call->path);
    call_prepare(session, call, &request, buf_string(&url));
    enum status status = buf_status(&url);
    if (status != STATUS_OK)
        error_set(err, status, "the request is too long");
    else
        status = session_sign(session, &request, err);
    if (status == STATUS_OK) {
        if (call->to == CALL_NODES)
            watch_begin(&watch, session, &request, base);
        transfer_start(session->transfer, &request);
        status = watch_result(&watch, call_wait(session, &request, err), err);
        watch_end(&watch);
        answer->http_status = request.http_status;
        snprintf(answer->url, sizeof answer->url, "%s", base);
        if (status == STATUS_OK || request.http_status == 409 || request.http_status == 412) {
            answer->body = request.answer;
            buf_init(&request.answer, 0);
        }
    }
    transfer_request_fini(&request);
    buf_fini(&url);
    return status;
}

/* Every server that is worth a try now, until one answers with more than "not now". */
static enum status call_round(struct gs_session *session, const struct call *call,
                              struct nodes *nodes, struct call_answer *answer, struct error *err)
{
    enum status status = STATUS_UNREACHABLE;

    error_set(err, status, "nobody answers");
    for (unsigned i = 0; i < nodes->count; i++) {
        struct node *node = nodes_pick(nodes, call->once ? UINT64_MAX : clock_monotonic_ms());

        if (node == NULL)
            break;
        call_answer_fini(answer);
        status = call_one(session, call, node->url, answer, err);
        if (!status_is_temporary(status) && status != STATUS_UNTRUSTED) {
            node_answered(node);
            break;
        }
        if (status == STATUS_TIMEOUT)
            node_stalled(node, clock_monotonic_ms());
        else
            node_failed(node, clock_monotonic_ms());
    }
    return status;
}

enum status call_run(struct gs_session *session, const struct call *call,
                     struct call_answer *answer, struct error *err)
{
    struct nodes *nodes = call->to == CALL_INDEXERS ? &session->indexers : &session->nodes;
    uint64_t until_ms = clock_monotonic_ms() + session->retry_ms;
    struct error local;

    if (err == NULL)
        err = &local;
    *answer = (struct call_answer){ 0 };
    buf_init(&answer->body, 0);
    if (call->to == CALL_URL)
        return call_one(session, call, call->url, answer, err);
    for (;;) {
        enum status status = call_round(session, call, nodes, answer, err);
        uint64_t now_ms = clock_monotonic_ms(), next_ms = nodes_next_ms(nodes, now_ms);

        if (!status_is_temporary(status) || call->once || next_ms >= until_ms)
            return status;
        struct error waited;
        session_say_retry(session, until_ms, err);
        if (session_wait(session, next_ms - now_ms, &waited) != STATUS_OK) {
            *err = waited;
            return waited.status;
        }
    }
}

void call_answer_fini(struct call_answer *answer)
{
    buf_fini(&answer->body);
    buf_init(&answer->body, 0);
    answer->http_status = 0;
}

enum status call_json(struct gs_session *session, const struct call *call, json_t **json,
                      struct error *err)
{
    struct call_answer answer;
    enum status status = call_run(session, call, &answer, err);

    *json = NULL;
    if (status == STATUS_OK && answer.body.size > 0) {
        status = json_parse(answer.body.data, answer.body.size, json, err);
        if (status != STATUS_OK)
            status = error_set(err, STATUS_MALFORMED, "%s%s: the answer is no JSON", answer.url,
                               call->path);
    }
    call_answer_fini(&answer);
    return status;
}
