/* watch.c: looks for requests that nothing moves, asks their nodes, gives up those that do not answer. */
#include "client/watch.h"

#include "client/session.h"
#include "proto/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A question to a node. It may outlive the requests that it is about. */
struct watch_question {
    struct list list;
    struct gs_session *session;
    struct transfer_request request;
    char url[URL_SIZE_MAX + 1], path[URL_SIZE_MAX + 16];
};

void watch_begin(struct watch *watch, struct gs_session *session, struct transfer_request *request,
                 const char *url)
{
    *watch = (struct watch){ .session = session, .request = request, .url = url };
    list_append(&session->watches, &watch->list);
}

void watch_end(struct watch *watch)
{
    if (watch->session != NULL)
        list_remove(&watch->list);
}

enum status watch_result(const struct watch *watch, enum status status, struct error *err)
{
    if (status != STATUS_CANCELLED || !watch->given_up)
        return status;
    return error_set(err, STATUS_TIMEOUT,
                     "%s %.200s: it took the request and is silent, and does not answer /healthz either",
                     watch->request->method, watch->url);
}

static bool watch_is_silent(const struct watch *watch)
{
    return transfer_silent_ms(watch->request) >= watch->session->silent_ms;
}

/* The node answers: its requests may take their time. It does not: those that are silent end. */
static void question_judge(const struct watch_question *question, bool answered)
{
    uint64_t now_ms = clock_monotonic_ms();

    list_for_each_safe (item, after, &question->session->watches) {
        struct watch *watch = container_of(item, struct watch, list);

        if (strcmp(watch->url, question->url) != 0)
            continue;
        watch->ask_at_ms = now_ms + question->session->silent_ms;
        if (answered || watch->given_up || !watch_is_silent(watch))
            continue;
        watch->given_up = true;
        question->session->given_up++;
        transfer_cancel(watch->request);
    }
}

static void question_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    struct watch_question *question = container_of(request, struct watch_question, request);

    (void)err;
    list_remove(&question->list);
    if (status != STATUS_CANCELLED && status != STATUS_NO_MEMORY)
        question_judge(question, status != STATUS_TIMEOUT && status != STATUS_UNREACHABLE);
    transfer_request_fini(request);
    free(question);
}

static bool question_is_under_way(const struct gs_session *session, const char *url)
{
    list_for_each (item, &session->probes)
        if (strcmp(container_of(item, struct watch_question, list)->url, url) == 0)
            return true;
    return false;
}

/* Without a token: nobody needs one for that. Its time runs from when it has a connection. */
static void question_start(struct gs_session *session, const char *url)
{
    struct watch_question *question = calloc(1, sizeof *question);

    if (question == NULL) /* the request's own limit ends it then */
        return;
    question->session = session;
    snprintf(question->url, sizeof question->url, "%s", url);
    snprintf(question->path, sizeof question->path, "%s/healthz", url);
    transfer_request_init(&question->request);
    question->request.method = "GET";
    question->request.url = question->path;
    question->request.stall_timeout_ms = session->probe_ms;
    question->request.on_done = question_on_done;
    list_append(&session->probes, &question->list);
    transfer_start(session->transfer, &question->request);
}

void watch_look(struct gs_session *session)
{
    uint64_t now_ms = clock_monotonic_ms();

    list_for_each (item, &session->watches) {
        struct watch *watch = container_of(item, struct watch, list);

        if (!watch->given_up && now_ms >= watch->ask_at_ms && watch_is_silent(watch) &&
            !question_is_under_way(session, watch->url))
            question_start(session, watch->url);
    }
}
