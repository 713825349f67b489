/* http_router.c: walk the table; compare pattern and path segment by segment. */
#include "proto/http/http_router.h"

#include <assert.h>

static int router_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Would the decoded segment be one (not empty, no '/', no NUL, every '%' followed by two hex
 * digits)? */
static bool router_segment_good(struct slice segment)
{
    for (size_t i = 0; i < segment.size; i++) {
        if (segment.data[i] != '%')
            continue;
        int high = i + 2 < segment.size ? router_hex(segment.data[i + 1]) : -1;
        int low = i + 2 < segment.size ? router_hex(segment.data[i + 2]) : -1;
        if (high < 0 || low < 0)
            return false;
        if ((high << 4 | low) == '/' || (high << 4 | low) == '\0')
            return false;
        i += 2;
    }
    return segment.size > 0;
}

static bool router_take_param(struct http_match *match, const char *pattern, size_t name_size,
                              struct slice value)
{
    if (!router_segment_good(value))
        return false;
    assert(match->params_count < HTTP_PARAMS_MAX);
    match->params[match->params_count].name = pattern;
    match->params[match->params_count].name_size = name_size;
    match->params[match->params_count].value = value;
    match->params_count++;
    return true;
}

static bool router_path_matches(const char *pattern, struct slice path, struct http_match *match)
{
    size_t at = 0;

    match->params_count = 0;
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (at == path.size || path.data[at] != (uint8_t)*pattern)
                return false;
            at++;
            pattern++;
            continue;
        }
        const char *end = strchr(pattern, '}');
        assert(end != NULL);
        size_t first = at;
        while (at < path.size && path.data[at] != '/')
            at++;
        if (!router_take_param(match, pattern + 1, (size_t)(end - pattern - 1),
                               slice_of(path.data + first, at - first)))
            return false;
        pattern = end + 1;
        /* `{name}.idx`: the rest of the segment is literal, so the parameter ends before it. */
        size_t tail = strcspn(pattern, "/");
        struct slice *value = &match->params[match->params_count - 1].value;
        if (value->size <= tail && tail > 0)
            return false;
        at -= tail;
        value->size -= tail;
    }
    return at == path.size;
}

/* Most patterns are ruled out by the letter behind the first '/'. */
static bool router_begins_alike(const char *pattern, struct slice path)
{
    return path.size < 2 || pattern[0] == '\0' || pattern[1] == '{' || pattern[1] == (char)path.data[1];
}

void http_route_match(const struct http_route *routes, enum http_method method, struct slice path,
                      struct http_match *match)
{
    enum http_method wanted = method == HTTP_HEAD_ ? HTTP_GET_ : method;

    match->route = NULL;
    match->allowed = 0;
    for (const struct http_route *route = routes; route->pattern != NULL; route++) {
        if (!router_begins_alike(route->pattern, path) ||
            !router_path_matches(route->pattern, path, match))
            continue;
        if (route->method == wanted || route->method == method) {
            match->route = route;
            return;
        }
        match->allowed |= 1u << route->method;
        if (route->method == HTTP_GET_)
            match->allowed |= 1u << HTTP_HEAD_;
    }
    match->params_count = 0;
}
