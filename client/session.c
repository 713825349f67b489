/* session.c: open, close, wait; the cluster map. */
#include "client/session.h"

#include "client/call.h"
#include "client/indexer_api.h"
#include "proto/base/clock.h"
#include "proto/transfer/transfer_secret.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef GRIBSTORE_VERSION
#define GRIBSTORE_VERSION "0.1.0"
#endif

#define SESSION_INDEXERS "http://127.0.0.1:8400"
#define SESSION_NODES "http://127.0.0.1:8410"

const char *gs_version(void)
{
    return GRIBSTORE_VERSION;
}

void gs_options_init(struct gs_options *options)
{
    *options = (struct gs_options){
        .indexers = SESSION_INDEXERS,
        .nodes = SESSION_NODES,
        .retry_ms = SESSION_RETRY_MS,
    };
}

static enum status session_set_token(struct gs_session *session, const char *token, struct error *err)
{
    if (token == NULL || token[0] == '\0')
        return STATUS_OK;
    size_t size = strlen("Bearer ") + strlen(token) + 1;
    if (size > SESSION_TOKEN_MAX)
        return error_set(err, STATUS_BAD_VALUE, "the token is longer than %d bytes", SESSION_TOKEN_MAX);
    session->authorization = malloc(size);
    if (session->authorization == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a session");
    snprintf(session->authorization, size, "Bearer %s", token);
    return STATUS_OK;
}

static const char *text_or(const char *text, const char *missing)
{
    return text != NULL && text[0] != '\0' ? text : missing;
}

static enum status session_init(struct gs_session *session, const struct gs_options *options,
                                struct error *err)
{
    struct transfer_options transfer = { .user_agent = "gribstore/" GRIBSTORE_VERSION,
                                         .ca_file = options->ca_file,
                                         .cert_file = options->cert_file,
                                         .key_file = options->key_file };

    session->retry_ms = options->retry_ms;
    session->silent_ms = WATCH_SILENT_MS;
    session->probe_ms = WATCH_PROBE_MS;
    enum status status = nodes_from_text(&session->indexers,
                                         text_or(options->indexers, SESSION_INDEXERS), err);
    if (status != STATUS_OK)
        return error_wrap(err, "indexer");
    status = nodes_from_text(&session->nodes, text_or(options->nodes, SESSION_NODES), err);
    if (status != STATUS_OK)
        return error_wrap(err, "node");
    status = session_set_token(session, options->token, err);
    if (status != STATUS_OK)
        return status;
    return transfer_new(&transfer, &session->transfer, err);
}

enum gs_status gs_open(const struct gs_options *options, struct gs_session **session,
                       struct gs_error *error)
{
    struct gs_options defaults;
    struct error err;
    enum status status = STATUS_NO_MEMORY;

    error_init(&err);
    gs_options_init(&defaults);
    *session = calloc(1, sizeof **session);
    if (*session != NULL) {
        list_init(&(*session)->watches);
        list_init(&(*session)->probes);
        status = session_init(*session, options != NULL ? options : &defaults, &err);
    }
    if (status != STATUS_OK) {
        gs_close(*session);
        *session = NULL;
    }
    return gs_error_fill(error, status, &err);
}

void gs_close(struct gs_session *session)
{
    if (session == NULL)
        return;
    transfer_free(session->transfer);
    nodes_fini(&session->indexers);
    nodes_fini(&session->nodes);
    map_unref(session->map);
    free(session->authorization);
    free(session);
}

void gs_cancel(struct gs_session *session)
{
    atomic_store(&session->cancelled, true);
}

enum status session_sign(struct gs_session *session, struct transfer_request *request, struct error *err)
{
    unsigned i = 0;

    if (session->authorization == NULL)
        return STATUS_OK;
    if (!url_keeps_secrets(request->url))
        return error_set(err, STATUS_FORBIDDEN, "%.200s: a token is not sent over plain http",
                         request->url);
    while (i < TRANSFER_HEADERS_MAX - 1 && request->headers[i].name != NULL)
        i++;
    request->headers[i] = (struct transfer_header){ "Authorization", session->authorization };
    return STATUS_OK;
}

void session_wake(struct gs_session *session)
{
    session->woken = true;
    transfer_break(session->transfer);
}

enum status session_wait(struct gs_session *session, uint64_t timeout_ms, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + timeout_ms;

    session->woken = false;
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        uint64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        uint64_t step_ms = left_ms < SESSION_WAIT_STEP_MS ? left_ms : SESSION_WAIT_STEP_MS;

        if (atomic_load(&session->cancelled))
            return error_set(err, STATUS_CANCELLED, "cancelled");
        if (session->on_tick != NULL)
            session->on_tick(session, session->tick_data);
        watch_look(session);
        if (transfer_run(session->transfer, step_ms) == 0 && !session->woken)
            poll(NULL, 0, (int)step_ms); /* nothing is under way: a pause before the next try */
        if (session->woken || left_ms <= step_ms)
            return STATUS_OK;
    }
}

/* ---- the map ---- */

static enum status session_ask_map(struct gs_session *session, enum call_to to, const char *path,
                                   struct error *err)
{
    struct call call = {
        .to = to, .method = "GET", .path = path, .answer_max = MAP_JSON_SIZE_MAX, .once = true
    };
    struct call_answer answer;

    enum status status = call_run(session, &call, &answer, err);
    if (status != STATUS_OK)
        return status;
    session->map = map_parse(answer.body.data, answer.body.size, err);
    if (session->map == NULL)
        status = error_of_answer(err->status, err, answer.url);
    else
        status = nodes_from_map(&session->nodes, session->map, answer.url, err);
    call_answer_fini(&answer);
    return status;
}

/* The nodes given, then the indexers; *node_err keeps what the nodes said. */
static enum status session_map_round(struct gs_session *session, struct error *node_err, struct error *err)
{
    enum status status = session_ask_map(session, CALL_NODES, "/cluster/map", node_err);

    if (status_is_temporary(status))
        return session_ask_map(session, CALL_INDEXERS, INDEXER_MAP_PATH, err);
    if (status != STATUS_OK)
        *err = *node_err;
    return status;
}

void session_say_retry(struct gs_session *session, uint64_t until_ms, const struct error *why)
{
    void (*on_retry)(void *data, const char *why, uint64_t retry_ms) = session->on_retry;

    if (on_retry == NULL || clock_monotonic_ms() + session->retry_ms < until_ms + SESSION_SAY_RETRY_MS)
        return;
    session->on_retry = NULL;
    on_retry(session->retry_data, why->text, session->retry_ms);
}

enum status session_map_once(struct gs_session *session, struct error *err)
{
    struct error node_err;

    return session->map != NULL ? STATUS_OK : session_map_round(session, &node_err, err);
}

enum status session_map(struct gs_session *session, struct error *err)
{
    struct error node_err;
    uint64_t until_ms = clock_monotonic_ms() + session->retry_ms;

    while (session->map == NULL) {
        enum status status = session_map_round(session, &node_err, err);

        if (status == STATUS_OK || !status_is_temporary(status))
            return status;
        if (clock_monotonic_ms() >= until_ms)
            return error_wrap(err, "no node gives the cluster map (%.160s), nor does the indexer",
                              node_err.text);
        session_say_retry(session, until_ms, err);
        status = session_wait(session, SESSION_MAP_RETRY_MS, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static bool session_take_newer(struct gs_session *session, struct cluster_map *map, const char *url)
{
    struct error err;

    if (map == NULL || strcmp(map->cluster, session->map->cluster) != 0 ||
        map->epoch <= session->map->epoch ||
        nodes_from_map(&session->nodes, map, url, &err) != STATUS_OK) {
        map_unref(map);
        return false;
    }
    map_unref(session->map);
    session->map = map;
    return true;
}

bool session_map_again(struct gs_session *session, const char *url)
{
    struct transfer_request request;
    struct error err;
    char path[URL_SIZE_MAX + 32];
    bool taken = false;

    error_init(&err);
    transfer_request_init(&request);
    snprintf(path, sizeof path, "%s/cluster/map", url);
    request.method = "GET";
    request.url = path;
    request.timeout_ms = SESSION_MAP_TIMEOUT_MS;
    request.answer_max = MAP_JSON_SIZE_MAX;
    if (session_sign(session, &request, &err) == STATUS_OK &&
        transfer_perform(session->transfer, &request, &err) == STATUS_OK)
        taken = session_take_newer(session,
                                   map_parse(request.answer.data, request.answer.size, &err), url);
    transfer_request_fini(&request);
    return taken;
}
