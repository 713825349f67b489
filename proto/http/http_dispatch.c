/* http_dispatch.c: from a whole head to its handler, or to the refusal that comes before it. */
#include "proto/http/http_core.h"

#include <stdio.h>

static const char *const dispatch_methods[] = { "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS" };

/* The methods of a path, OPTIONS always among them: "GET, HEAD, OPTIONS". */
static void dispatch_allow(struct http_exchange *ex, unsigned allowed)
{
    char text[64] = "";
    size_t used = 0;

    allowed |= 1u << HTTP_OPTIONS_;
    for (unsigned i = 0; i < ARRAY_COUNT(dispatch_methods); i++)
        if (allowed & 1u << i)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? ", " : "",
                                     dispatch_methods[i]);
    http_reply_header(ex, "Allow", "%s", text);
    if (ex->head->method == HTTP_OPTIONS_)
        http_reply_header(ex, "Access-Control-Allow-Methods", "%s", text);
}

/* What a page on another host may send (R13 of the data path): the conditions, ranges and ids
 * that we read. */
static void dispatch_options(struct http_exchange *ex, unsigned allowed)
{
    dispatch_allow(ex, allowed);
    http_reply_header(ex, "Access-Control-Allow-Headers", "%s",
                      "Accept, Authorization, Content-Type, If-Match, If-Modified-Since, "
                      "If-None-Match, If-Range, If-Unmodified-Since, Range, X-Request-Id");
    http_reply_header(ex, "Access-Control-Max-Age", "%d", 86400);
    http_reply(ex, 204, NULL, NULL);
}

static void dispatch_refuse(struct http_exchange *ex, enum status status, const char *reason)
{
    struct error err;

    error_init(&err);
    error_set(&err, status, "%s", reason);
    http_reply_error(ex, status, &err, NULL);
}

static void dispatch_unmatched(struct http_exchange *ex)
{
    struct slice path = http_path(ex);

    if (ex->head->method == HTTP_OPTIONS_ && slice_equals(path, "*")) {
        dispatch_options(ex, (1u << HTTP_OPTIONS_) - 1);
    } else if (ex->match.allowed == 0) {
        dispatch_refuse(ex, STATUS_NOT_FOUND, "nothing is served under this path");
    } else if (ex->head->method == HTTP_OPTIONS_) {
        dispatch_options(ex, ex->match.allowed);
    } else {
        dispatch_allow(ex, ex->match.allowed);
        dispatch_refuse(ex, STATUS_METHOD, "see Allow for what the path takes");
    }
}

/* What the server refuses for every handler, from the head alone. OK: nothing. */
static enum status dispatch_check(const struct http_exchange *ex, const char **reason)
{
    const struct http_head *head = ex->head;
    bool puts = head->method == HTTP_PUT_ || head->method == HTTP_POST_;

    if (head->expect_other) {
        *reason = "only 100-continue can be expected";
        return STATUS_EXPECTATION;
    }
    if (puts && head->content_encoding) {
        *reason = "send the body without Content-Encoding";
        return STATUS_ENCODING;
    }
    if (puts && head->content_range) {
        *reason = "Content-Range: a part can't be put, send the whole";
        return STATUS_BAD_REQUEST;
    }
    if (head->method == HTTP_PUT_ && !head->has_length && !head->chunked) {
        *reason = "neither Content-Length nor Transfer-Encoding";
        return STATUS_LENGTH_REQUIRED;
    }
    if (head->content_length > ex->server->limits.body_max) {
        *reason = "Content-Length is beyond what is taken in one request";
        return STATUS_TOO_LARGE;
    }
    return STATUS_OK;
}

void http_dispatch(struct http_exchange *ex)
{
    struct http_server *server = ex->server;
    const struct http_route *routes = server->options.routes;
    const char *reason = ex->head->reason;
    enum status status = ex->head->refuse;

    if (status == STATUS_OK)
        http_route_match(routes, ex->head->method, http_path(ex), &ex->match);
    ex->counters = &server->counters[ex->match.route != NULL ? (unsigned)(ex->match.route - routes)
                                                             : server->routes_count];
    if (status != STATUS_OK) {
        dispatch_refuse(ex, status, reason);
        return;
    }
    http_exchange_decode_params(ex);
    if (!http_auth_check(ex))
        return;
    if (ex->match.route == NULL) {
        dispatch_unmatched(ex);
        return;
    }
    status = dispatch_check(ex, &reason);
    if (status != STATUS_OK) {
        dispatch_refuse(ex, status, reason);
        return;
    }
    if (server->options.before != NULL && !server->options.before(ex, ex->match.route))
        return;
    ex->match.route->handle(ex);
}

void http_dispatch_error(struct http_exchange *ex, enum status status, const char *reason)
{
    ex->counters = &ex->server->counters[ex->server->routes_count];
    dispatch_refuse(ex, status, reason);
}
