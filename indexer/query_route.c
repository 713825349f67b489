/* query_route.c: GET /v1/fields: the query is read on the loop, answered on the pool, replied to on the loop.
 *
 * What the catalog says of its troubles is for the log: it names servers. A client is told whether to come again. */
#include "indexer/answer.h"
#include "indexer/indexer.h"
#include "indexer/query.h"
#include "proto/base/log.h"
#include "proto/http/http_auth.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    ANSWER_SIZE_MAX = 256 << 20,
    LINK_SIZE_MAX = 16 << 10, /* of the Link header; a longer one is left out */
    QUERIES_MAX = 128,        /* under way and waiting for the pool */
};

struct query_call {
    struct work work;
    struct http_exchange *ex;
    struct catalog *catalog; /* borrowed */
    struct query_request request;
    struct buf link; /* the target of the next page, up to its cursor */
    /* the pool's, until it is done */
    const struct answer_form *form;
    struct answer answer;
    struct buf body;
    size_t limit, given;
    struct field_id last;
    bool more;
};

static unsigned queries; /* touched on the one loop only */

/* --- on the pool --- */

static bool same_id(const struct field_id *a, const struct field_id *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* A page ends with its limit, but never between two issues of one field: the next begins behind that field. */
static bool call_take(void *data, const struct field_document *document)
{
    struct query_call *call = data;

    if (call->given >= call->limit && !same_id(&call->last, &document->id)) {
        call->more = true;
        return false;
    }
    call->form->document(&call->answer, document);
    call->last = document->id;
    call->given++;
    return buf_status(&call->body) == STATUS_OK;
}

static void call_cursor(const struct query_call *call, char text[2 * FIELD_ID_SIZE_MAX + 1])
{
    hex_print(call->last.bytes, call->last.size, text);
}

static void call_run(struct work *work)
{
    struct query_call *call = container_of(work, struct query_call, work);
    struct catalog_query *query = &call->request.query;
    char next[2 * FIELD_ID_SIZE_MAX + 1];

    /* One more than the page holds: that tells whether there is another. */
    call->limit = query->limit;
    query->limit = query->all ? 0 : call->limit + 1;
    buf_init(&call->body, ANSWER_SIZE_MAX);
    answer_init(&call->answer, &call->body);
    call->form->begin(&call->answer);
    work->status = catalog_find(call->catalog, query, call_take, call, &work->err);
    call_cursor(call, next);
    call->form->end(&call->answer, call->more ? next : NULL);
    if (work->status == STATUS_OK && buf_status(&call->body) != STATUS_OK)
        work->status = error_set(&work->err, buf_status(&call->body), "an answer");
}

/* --- on the loop --- */

static void call_free(struct query_call *call)
{
    query_fini(&call->request);
    buf_fini(&call->link);
    buf_fini(&call->body);
    free(call);
    queries--;
}

static void call_fail(struct query_call *call)
{
    struct error shown;

    log_msg(LOG_WARN, "query.failed", "%s", call->work.err.text);
    switch (call->work.status) {
    case STATUS_UNREACHABLE:
    case STATUS_TIMEOUT:
        error_set(&shown, STATUS_OVERLOADED, "the index database does not answer in time");
        break;
    case STATUS_TOO_LARGE:
        error_set(&shown, STATUS_BAD_VALUE,
                  "the answer is larger than %d MiB: ask with a lower limit", ANSWER_SIZE_MAX >> 20);
        break;
    default:
        error_set(&shown, STATUS_INTERNAL, "the index could not be read");
    }
    http_reply_error(call->ex, shown.status, &shown, NULL);
}

static void call_reply(struct work *work)
{
    struct query_call *call = container_of(work, struct query_call, work);
    char next[2 * FIELD_ID_SIZE_MAX + 1];

    if (work->status != STATUS_OK) {
        call_fail(call);
        call_free(call);
        return;
    }
    call_cursor(call, next);
    if (call->more && buf_status(&call->link) == STATUS_OK)
        http_reply_header(call->ex, "Link", "<%s%s>; rel=\"next\"", buf_string(&call->link), next);
    http_reply_header(call->ex, "Cache-Control", "no-cache");
    http_reply_header(call->ex, "Vary", "Accept");
    http_reply(call->ex, 200, call->form->content_type, &call->body);
    call_free(call);
}

/* --- reading the request --- */

static void encode(struct buf *buf, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (isalnum(c) || (c != '\0' && strchr("-._~/:", c) != NULL))
            buf_append(buf, &c, 1);
        else
            buf_format(buf, "%%%02X", c);
    }
}

static void link_add(struct buf *link, struct slice key, struct slice value)
{
    if (slice_equals(key, "cursor"))
        return;
    encode(link, key);
    buf_text(link, "=");
    encode(link, value);
    buf_text(link, "&");
}

/* A list of media ranges that has ours: `format` is there for those who need to be sure. */
static bool accepts_ndjson(struct http_exchange *ex)
{
    static const char wanted[] = "application/x-ndjson";
    struct slice accept = http_header_joined(ex, "Accept");

    for (size_t i = 0; i + strlen(wanted) <= accept.size; i++)
        if (strncasecmp((const char *)accept.data + i, wanted, strlen(wanted)) == 0)
            return true;
    return false;
}

static enum status call_read(struct query_call *call, struct error *err)
{
    struct query_request *request = &call->request;
    struct slice key, value;
    size_t at = 0;

    buf_text(&call->link, "/v1/fields?");
    while (http_query_next(call->ex, &at, &key, &value)) {
        enum status status = query_add(request, key, value, err);
        if (status != STATUS_OK)
            return status;
        link_add(&call->link, key, value);
    }
    buf_text(&call->link, "cursor=");
    if (!request->form_given && accepts_ndjson(call->ex))
        request->form = QUERY_NDJSON;
    call->form = request->form == QUERY_NDJSON ? &answer_ndjson : &answer_json;
    if (http_bound_sources(call->ex) != NULL) {
        enum status status = query_bind(request, http_bound_sources(call->ex), err);
        if (status != STATUS_OK)
            return status;
    }
    return query_finish(request, err);
}

void query_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct query_call *call = calloc(1, sizeof *call);
    struct error err;

    assert(call != NULL);
    queries++;
    call->ex = ex;
    call->catalog = indexer->catalog;
    query_init(&call->request);
    buf_init(&call->link, LINK_SIZE_MAX);
    enum status status = call_read(call, &err);
    if (status == STATUS_OK && queries > QUERIES_MAX)
        status = error_set(&err, STATUS_OVERLOADED, "more than %d queries at once", QUERIES_MAX);
    if (status != STATUS_OK) {
        if (status == STATUS_FORBIDDEN)
            http_refuse_source(ex);
        else
            http_reply_error(ex, status, &err, NULL);
        call_free(call);
        return;
    }
    work_start(http_loop(ex), &call->work, call_run, call_reply);
}
