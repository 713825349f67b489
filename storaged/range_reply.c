/* range_reply.c: conditions, then ranges, then the pieces of the answer. */
#include "storaged/range_reply.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/request.h"

#include "proto/digest.h"
#include "proto/http/http_condition.h"
#include "proto/http/http_digest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONTENT_RANGE_SIZE = 128, TYPE_SIZE = 96, MEMORY_REPLY_MAX = 64 << 20 };

size_t range_print_fields(const struct range_entity *entity, char text[RANGE_FIELDS_SIZE])
{
    char modified[HTTP_DATE_SIZE];

    http_date_print(entity->modified, modified);
    int size = snprintf(text, RANGE_FIELDS_SIZE,
                        "ETag: %s\r\nLast-Modified: %s\r\nCache-Control: %s\r\nAccept-Ranges: bytes\r\n",
                        entity->etag, modified, entity->cache_control);
    assert(size > 0 && size < RANGE_FIELDS_SIZE);
    return (size_t)size;
}

void range_reply_validators(struct http_exchange *ex, const struct range_entity *entity)
{
    char text[RANGE_FIELDS_SIZE];

    if (entity->fields != NULL)
        http_reply_fields(ex, entity->fields, entity->fields_size);
    else
        http_reply_fields(ex, text, range_print_fields(entity, text));
}

static void plan_replied(struct http_exchange *ex, const struct range_entity *entity,
                         struct range_plan *plan, enum http_condition condition)
{
    struct error err;

    plan->kind = RANGE_REPLIED;
    if (condition == HTTP_CONDITION_NOT_CHANGED) {
        range_reply_validators(ex, entity);
        http_reply(ex, 304, NULL, NULL);
        return;
    }
    error_init(&err);
    error_set(&err, STATUS_PRECONDITION, "the file is %s now", entity->etag);
    http_reply_error(ex, STATUS_PRECONDITION, &err, NULL);
}

static void plan_unsatisfiable(struct http_exchange *ex, const struct range_entity *entity,
                               struct range_plan *plan)
{
    struct error err;

    plan->kind = RANGE_REPLIED;
    error_init(&err);
    error_set(&err, STATUS_RANGE, "there are %" PRIu64 " bytes", entity->size);
    http_reply_header(ex, "Content-Range", "bytes */%" PRIu64, entity->size);
    http_reply_header(ex, "Accept-Ranges", "bytes");
    http_reply_error(ex, STATUS_RANGE, &err, NULL);
}

static enum http_condition range_condition(struct http_exchange *ex, const struct range_entity *entity)
{
    /* Joined, those too that can't be lists: what came twice is no date and no range then, and ignored (RFC 9110 section
     * 13.1.3), where a proxy in front of us may have taken the one or the other. */
    if (!http_is_conditional(ex))
        return HTTP_CONDITION_GO;
    struct http_conditions conditions = {
        .if_match = http_header_joined(ex, "if-match"),
        .if_none_match = http_header_joined(ex, "if-none-match"),
        .if_modified_since = http_header_joined(ex, "if-modified-since"),
        .if_unmodified_since = http_header_joined(ex, "if-unmodified-since"),
        .if_range = http_header_joined(ex, "if-range"),
    };

    return http_condition_check(&conditions, entity->etag, entity->modified);
}

/* RFC 9110 section 14.2: ranges are GET's alone; a HEAD tells of the whole. */
static enum http_ranges range_find(struct http_exchange *ex, const struct range_entity *entity,
                                   enum http_condition condition, struct range_plan *plan)
{
    struct slice range = http_header_joined(ex, "range");

    plan->kind = RANGE_WHOLE;
    plan->count = 0;
    if (range.data == NULL || condition != HTTP_CONDITION_GO || http_method(ex) == HTTP_HEAD_)
        return HTTP_RANGES_NONE;
    return http_ranges_parse(range, entity->size, (unsigned)request_loop(ex)->node->settings->ranges_max,
                             plan->ranges, &plan->count);
}

bool range_asked(struct http_exchange *ex, const struct range_entity *entity, struct range_plan *plan)
{
    enum http_condition condition = range_condition(ex, entity);

    return range_find(ex, entity, condition, plan) == HTTP_RANGES_SOME;
}

void range_plan(struct http_exchange *ex, const struct range_entity *entity, struct range_plan *plan)
{
    enum http_condition condition = range_condition(ex, entity);
    enum http_ranges found = range_find(ex, entity, condition, plan);

    if (condition == HTTP_CONDITION_NOT_CHANGED || condition == HTTP_CONDITION_FAILED) {
        plan_replied(ex, entity, plan, condition);
        return;
    }
    if (found == HTTP_RANGES_UNSATISFIABLE) {
        plan_unsatisfiable(ex, entity, plan);
        return;
    }
    if (found != HTTP_RANGES_SOME)
        return;
    plan->kind = RANGE_SOME;
    metric_observe(&metric_range_parts, plan->count);
}

static size_t put_text(char *at, const char *text)
{
    size_t size = strlen(text);

    memcpy(at, text, size);
    return size;
}

static void reply_content_range(struct http_exchange *ex, const struct http_range *range, uint64_t size)
{
    char text[CONTENT_RANGE_SIZE], *at = text;

    at += put_text(at, "Content-Range: bytes ");
    at += decimal_print(range->offset, at);
    *at++ = '-';
    at += decimal_print(range->offset + range->length - 1, at);
    *at++ = '/';
    at += decimal_print(size, at);
    at += put_text(at, "\r\n");
    http_reply_fields(ex, text, (size_t)(at - text));
}

static void reply_one(struct http_exchange *ex, const struct range_entity *entity,
                      const struct range_plan *plan, int fd, uint64_t offset)
{
    struct http_piece *piece = http_reply_pieces(ex, 1, NULL);
    int http_status = 200;

    *piece = (struct http_piece){ .fd = fd, .offset = offset, .length = entity->size };
    if (plan->kind == RANGE_SOME) {
        const struct http_range *range = &plan->ranges[0];
        http_status = 206;
        piece->offset = offset + range->offset;
        piece->length = range->length;
        reply_content_range(ex, range, entity->size);
    }
    http_reply_send_pieces(ex, http_status, entity->content_type);
}

/* Heads of the parts, one behind another, and the end; where each begins and ends goes into pieces. */
static void print_parts(struct buf *text, const char *boundary, const struct range_entity *entity,
                        const struct range_plan *plan, struct http_piece *pieces)
{
    for (unsigned i = 0; i < plan->count; i++) {
        pieces[i].head_offset = text->size;
        http_multipart_head(text, boundary, i == 0, entity->content_type, &plan->ranges[i], entity->size);
        pieces[i].head_size = text->size - pieces[i].head_offset;
    }
    struct http_piece *end = &pieces[plan->count];
    end->head_offset = text->size;
    http_multipart_end(text, boundary);
    end->head_size = text->size - end->head_offset;
    end->fd = -1;
}

static void boundary_type(char type[TYPE_SIZE], char boundary[HTTP_BOUNDARY_SIZE])
{
    http_boundary_make(boundary);
    snprintf(type, TYPE_SIZE, "multipart/byteranges; boundary=%s", boundary);
}

void range_reply_file(struct http_exchange *ex, const struct range_entity *entity,
                      const struct range_plan *plan, int fd, uint64_t offset)
{
    char boundary[HTTP_BOUNDARY_SIZE], type[TYPE_SIZE];
    struct buf *text;

    range_reply_validators(ex, entity);
    if (plan->kind == RANGE_WHOLE || plan->count == 1) {
        reply_one(ex, entity, plan, fd, offset);
        return;
    }
    struct http_piece *pieces = http_reply_pieces(ex, plan->count + 1, &text);
    boundary_type(type, boundary);
    print_parts(text, boundary, entity, plan, pieces);
    for (unsigned i = 0; i < plan->count; i++) {
        pieces[i].fd = fd;
        pieces[i].offset = offset + plan->ranges[i].offset;
        pieces[i].length = plan->ranges[i].length;
    }
    http_reply_send_pieces(ex, 206, type);
}

bool range_digest_wanted(struct http_exchange *ex)
{
    return http_digest_wanted(http_header_joined(ex, "want-content-digest"));
}

static void reply_content_digest(struct http_exchange *ex, const struct buf *body)
{
    char field[HTTP_DIGEST_TEXT_SIZE];
    struct digest digest;

    if (buf_status(body) != STATUS_OK || !range_digest_wanted(ex))
        return;
    digest_of(body->data, body->size, &digest);
    http_digest_print(digest.bytes, field);
    http_reply_header(ex, "Content-Digest", "%s", field);
}

void range_reply_memory(struct http_exchange *ex, const struct range_entity *entity,
                        const struct range_plan *plan, struct slice bytes)
{
    char boundary[HTTP_BOUNDARY_SIZE], type[TYPE_SIZE];
    const struct http_range *range = plan->ranges;
    struct buf body;

    range_reply_validators(ex, entity);
    buf_init(&body, MEMORY_REPLY_MAX);
    if (plan->kind == RANGE_WHOLE) {
        buf_append(&body, bytes.data, bytes.size);
        http_reply(ex, 200, entity->content_type, &body);
        return;
    }
    if (plan->count == 1) {
        reply_content_range(ex, range, entity->size);
        buf_append(&body, bytes.data + range->offset, (size_t)range->length);
        reply_content_digest(ex, &body);
        http_reply(ex, 206, entity->content_type, &body);
        return;
    }
    boundary_type(type, boundary);
    for (unsigned i = 0; i < plan->count; i++, range++) {
        http_multipart_head(&body, boundary, i == 0, entity->content_type, range, entity->size);
        buf_append(&body, bytes.data + range->offset, (size_t)range->length);
    }
    http_multipart_end(&body, boundary);
    reply_content_digest(ex, &body);
    http_reply(ex, 206, type, &body);
}
