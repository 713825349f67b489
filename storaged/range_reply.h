/* range_reply.h: what conditions and Range headers make of an answer: whole, one range, several, or none. */
#ifndef STORAGED_RANGE_REPLY_H
#define STORAGED_RANGE_REPLY_H

#include "proto/http/http_exchange.h"
#include "proto/http/http_range.h"

/* What is served: its validators and size. */
struct range_entity {
    const char *content_type;
    const char *etag; /* with quotes, strong */
    const char *cache_control;
    int64_t modified; /* seconds since 1970 */
    uint64_t size;
    const char *fields; /* as range_print_fields() prints them, so that they need not be printed again; NULL: they are not */
    size_t fields_size;
};
enum { RANGE_FIELDS_SIZE = 256 };

enum range_plan_kind {
    RANGE_REPLIED, /* 304, 412 or 416: it has replied */
    RANGE_WHOLE,   /* 200 */
    RANGE_SOME,    /* 206: ranges */
};
struct range_plan {
    enum range_plan_kind kind;
    unsigned count;
    struct http_range ranges[HTTP_RANGES_MAX];
};

/* Does the request ask for ranges that it can have? They are in plan then; nothing is replied. */
bool range_asked(struct http_exchange *ex, const struct range_entity *entity, struct range_plan *plan);

/* Looks at the request's conditions and Range. */
void range_plan(struct http_exchange *ex, const struct range_entity *entity, struct range_plan *plan);

/* Replies with the planned bytes of a file; offset: where the entity begins in it. The fd stays the caller's. */
void range_reply_file(struct http_exchange *ex, const struct range_entity *entity,
                      const struct range_plan *plan, int fd, uint64_t offset);
/* The same from memory: a part's Content-Digest is told to who wants it. */
void range_reply_memory(struct http_exchange *ex, const struct range_entity *entity,
                        const struct range_plan *plan, struct slice bytes);

/* The four fields below as they are sent; an entity's are below RANGE_FIELDS_SIZE bytes. How many. */
size_t range_print_fields(const struct range_entity *entity, char text[RANGE_FIELDS_SIZE]);

/* Does the request ask for a Content-Digest (RFC 9530) that we can give? It is told where the bytes are in memory before the
 * head is sent, or their digest is known; elsewhere the wish is ignored, as it may be. */
bool range_digest_wanted(struct http_exchange *ex);

/* ETag, Last-Modified, Cache-Control and Accept-Ranges, for who replies in another way. */
void range_reply_validators(struct http_exchange *ex, const struct range_entity *entity);

#endif
