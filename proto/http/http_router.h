/* http_router.h: method and path -> conductor. A service's API is one table of routes. Pure.
 *
 * A pattern is a path whose segments may be `{name}` (one segment, not empty, percent-decoded, no '/' or NUL in it). A
 * pattern that ends in '/' matches only a path that does. GET serves HEAD. A path that matches under other methods only
 * is 405 with Allow; OPTIONS is answered 204 with Allow by the server. First match in table order wins. */
#ifndef PROTO_HTTP_ROUTER_H
#define PROTO_HTTP_ROUTER_H

#include "proto/http/http_exchange.h"
#include "proto/http/token.h"

enum { HTTP_PARAMS_MAX = 4 };

struct http_route {
    enum http_method method;
    const char *pattern;
    unsigned role;    /* who may: any of these (token.h) */
    const char *name; /* of the handler, in metrics and logs: "ingest" */
    void (*handle)(struct http_exchange *ex);
};

struct http_match {
    const struct http_route *route; /* NULL: none */
    unsigned params_count;
    struct {
        const char *name; /* points into the pattern; name_size long */
        size_t name_size;
        struct slice value; /* as sent, still encoded */
    } params[HTTP_PARAMS_MAX];
    unsigned allowed; /* bit mask of methods that the path has, when route is NULL */
};

/* routes ends with .pattern == NULL. */
void http_route_match(const struct http_route *routes, enum http_method method, struct slice path,
                      struct http_match *match);

#endif
