/* query_route.c: GET and POST /v1/fields: the request is read on the loop, answered on the pool, replied to on the loop.
 *
 * An answer with a limit is gathered and sent whole; one without (limit=all) leaves in chunks: the next is made when the last was
 * taken, so a slow reader costs two chunks and no thread.
 *
 * What the catalog says of its troubles is for the log: it names servers. A client is told whether to come again. */
#include "indexer/map_authority.h"
#include "indexer/query_call.h"
#include "proto/base/log.h"
#include "proto/http/http_auth.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    LINK_SIZE_MAX = 16 << 10, /* of the Link header; a longer one is left out */
    SAID_SIZE_MAX = 4 << 10,  /* of Gribstore-Missing and its like; the rest is left out */
    QUERIES_MAX = 128,        /* under way and waiting for the pool */
};

static unsigned queries; /* touched on the one loop only */

static void call_free(struct query_call *call)
{
    query_run_release(call);
    missing_free(call->missing);
    query_parts_fini(&call->parts);
    query_body_fini(&call->body);
    if (call->map != NULL)
        map_unref(call->map);
    struct buf *bufs[] = { &call->link,         &call->out,        &call->scratch,   &call->more,
                           &call->missing_list, &call->hints_list, &call->gone_list, &call->cursor };
    for (unsigned i = 0; i < ARRAY_COUNT(bufs); i++)
        buf_fini(bufs[i]);
    free(call);
    queries--;
}

static struct query_call *call_new(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct query_call *call = calloc(1, sizeof *call);

    assert(call != NULL);
    if (indexer->axes_cache == NULL)
        indexer->axes_cache = axes_cache_new();
    assert(indexer->axes_cache != NULL);
    queries++;
    call->ex = ex;
    call->catalog = indexer->catalog;
    call->axes_cache = indexer->axes_cache;
    query_body_init(&call->body);
    buf_init(&call->link, LINK_SIZE_MAX);
    buf_init(&call->out, ANSWER_SIZE_MAX);
    buf_init(&call->scratch, ANSWER_SIZE_MAX);
    buf_init(&call->more, MORE_SIZE_MAX);
    buf_init(&call->cursor, MORE_SIZE_MAX);
    buf_init(&call->missing_list, MORE_SIZE_MAX / 4);
    buf_init(&call->hints_list, MORE_SIZE_MAX / 4);
    buf_init(&call->gone_list, MORE_SIZE_MAX / 4);
    answer_init(&call->answer, &call->out);
    return call;
}

/* --- replies --- */

static void call_fail(struct query_call *call)
{
    struct error shown;

    log_msg(LOG_WARN, "query.failed", "%s", call->work.err.text);
    switch (call->work.status) {
    case STATUS_UNREACHABLE:
    case STATUS_TIMEOUT:
        error_set(&shown, STATUS_OVERLOADED, "the index database does not answer in time");
        break;
    case STATUS_UNAUTHORIZED: /* the indexer, not who asks */
    case STATUS_FORBIDDEN:
    case STATUS_FULL:
    case STATUS_IO:
        error_set(&shown, STATUS_OVERLOADED, "the index database fails: /readyz says how");
        break;
    case STATUS_TOO_LARGE:
        error_set(&shown, STATUS_BAD_VALUE,
                  "the answer is larger than %d MiB: ask with a lower limit", ANSWER_SIZE_MAX >> 20);
        break;
    case STATUS_OVERLOADED:
        error_set(&shown, STATUS_OVERLOADED,
                  "answers of other queries fill the memory set apart for them");
        break;
    case STATUS_BAD_VALUE:
        shown = call->work.err;
        break;
    default:
        error_set(&shown, STATUS_INTERNAL, "the index could not be read");
    }
    http_reply_error(call->ex, shown.status, &shown, NULL);
}

/* JSON in a header: what is no plain character is escaped as JSON does, what is too long ends early. */
static void call_say(struct query_call *call, const char *name, const struct buf *list)
{
    struct buf text;

    if (list->size == 0)
        return;
    buf_init(&text, SAID_SIZE_MAX);
    for (size_t i = 0; i < list->size && text.size < SAID_SIZE_MAX - 16; i++) {
        uint8_t c = list->data[i];
        if (c >= ' ' && c < 0x7f)
            buf_append(&text, &c, 1);
        else
            buf_format(&text, "%%%02X", c);
    }
    if (text.size >= SAID_SIZE_MAX - 16)
        buf_text(&text, "...");
    http_reply_header(call->ex, name, "%s", buf_string(&text));
    buf_fini(&text);
}

static void call_reply_head(struct query_call *call)
{
    if (call->cursor.size > 0) {
        if (call->link.size > 0 && buf_status(&call->link) == STATUS_OK)
            http_reply_header(call->ex, "Link", "<%s%s>; rel=\"next\"", buf_string(&call->link),
                              buf_string(&call->cursor));
        http_reply_header(call->ex, "Gribstore-Next", "%s", buf_string(&call->cursor));
    }
    if (call->form != &answer_json) {
        call_say(call, "Gribstore-Missing", &call->missing_list);
        call_say(call, "Gribstore-Hints", &call->hints_list);
        call_say(call, "Gribstore-Gone", &call->gone_list);
    }
    call_say(call, "Gribstore-Ignored", &call->body.ignored);
    http_reply_header(call->ex, "Cache-Control", "no-cache");
    http_reply_header(call->ex, "Vary", "Accept");
}

static void call_on_over(struct http_exchange *ex)
{
    call_free(http_user(ex));
}

static void call_push(struct query_call *call)
{
    http_stream_push(call->ex, &call->out, call->last);
    query_run_release(call);
}

static void call_chunk_done(struct work *work)
{
    struct query_call *call = container_of(work, struct query_call, work);

    if (work->status == STATUS_OK) {
        call_push(call);
        return;
    }
    log_msg(LOG_WARN, "query.failed", "in the middle of an answer: %s", work->err.text);
    http_stream_fail(call->ex);
}

static void call_on_ready(struct http_exchange *ex)
{
    struct query_call *call = http_user(ex);

    if (call->out.size > 0)
        call_push(call); /* the first chunk was made before it was known that there are more */
    else
        work_start(http_loop(ex), &call->work, query_run, call_chunk_done);
}

static void call_reply(struct work *work)
{
    struct query_call *call = container_of(work, struct query_call, work);
    bool documents = !call->body.requests[0].count && !call->body.requests[0].axes;
    const char *type = documents ? call->form->content_type : "application/json";

    if (work->status != STATUS_OK) {
        call_fail(call);
        call_free(call);
        return;
    }
    call_reply_head(call);
    if (call->streaming && !call->last) {
        call->started = true;
        http_set_user(call->ex, call, call_on_over);
        http_stream_start(call->ex, 200, type, HTTP_LENGTH_UNKNOWN, call_on_ready);
        return;
    }
    http_reply(call->ex, 200, type, &call->out);
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
static bool accepts(struct http_exchange *ex, const char *wanted)
{
    struct slice accept = http_header_joined(ex, "Accept");
    size_t size = strlen(wanted);

    for (size_t i = 0; i + size <= accept.size; i++)
        if (strncasecmp((const char *)accept.data + i, wanted, size) == 0)
            return true;
    return false;
}

/* The URL's pairs, for each of the requests. */
static enum status call_read_url(struct query_call *call, struct query_request *request, struct error *err)
{
    struct slice key, value;
    size_t at = 0;

    while (http_query_next(call->ex, &at, &key, &value)) {
        enum status status = query_add(request, key, value, err);
        if (status != STATUS_OK)
            return status;
    }
    if (http_bound_sources(call->ex) != NULL) {
        enum status status = query_bind(request, http_bound_sources(call->ex), err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static void call_link(struct query_call *call)
{
    struct slice key, value;
    size_t at = 0;

    buf_text(&call->link, "/v1/fields?");
    while (http_query_next(call->ex, &at, &key, &value))
        link_add(&call->link, key, value);
    buf_text(&call->link, "cursor=");
}

static void call_choose_form(struct query_call *call)
{
    static const struct answer_form *const forms[] = { &answer_json, &answer_ndjson, &answer_csv };
    struct query_request *first = &call->body.requests[0];

    if (!first->form_given && accepts(call->ex, "application/x-ndjson"))
        first->form = QUERY_NDJSON;
    else if (!first->form_given && accepts(call->ex, "text/csv"))
        first->form = QUERY_CSV;
    call->form = forms[first->form];
    call->streaming = first->whole && !first->count && !first->axes;
}

/* The map is held while the pool looks at it. */
static enum status call_choose_colo(struct query_call *call, struct error *err)
{
    const char *colo = call->body.requests[0].colo;
    struct cluster_map *map;
    char known[256] = "";

    if (colo[0] == '\0')
        return STATUS_OK;
    map = map_authority_map(http_context(call->ex));
    for (unsigned i = 0; map != NULL && i < map->nodes_count; i++) {
        const char *name = map->nodes[i].colo;
        size_t size = strlen(known);
        if (strcmp(name, colo) == 0) {
            call->map = map_ref(map);
            return STATUS_OK;
        }
        if (name[0] != '\0' && strstr(known, name) == NULL && size + strlen(name) + 3 < sizeof known)
            snprintf(known + size, sizeof known - size, "%s%s", size > 0 ? ", " : "", name);
    }
    return error_set(err, STATUS_BAD_VALUE, "colo: %.64s is none; there are: %s", colo,
                     known[0] != '\0' ? known : "none so far");
}

/* Of several requests the first one says how the answer is given. */
static enum status call_finish(struct query_call *call, struct error *err)
{
    const struct query_request *first = &call->body.requests[0];
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < call->body.count; i++) {
        struct query_request *request = &call->body.requests[i];
        status = call_read_url(call, request, err);
        if (status == STATUS_OK && i != first->cursor_part)
            request->query.after.size = 0; /* the cursor is that of one of them */
        if (status == STATUS_OK)
            status = query_finish(request, err);
    }
    if (status == STATUS_OK && query_body_over(&call->body))
        status = error_set(err, STATUS_BAD_VALUE, "more than %d values in all", QUERY_BODY_VALUES_MAX);
    if (status != STATUS_OK)
        return status;
    call_choose_form(call);
    return call_choose_colo(call, err);
}

static void call_refuse(struct query_call *call, enum status status, const struct error *err)
{
    if (status == STATUS_FORBIDDEN)
        http_refuse_source(call->ex);
    else
        http_reply_error(call->ex, status, err, NULL);
    call_free(call);
}

static void call_start(struct query_call *call, enum status status, struct error *err)
{
    if (status == STATUS_OK)
        status = call_finish(call, err);
    if (status == STATUS_OK && queries > QUERIES_MAX)
        status = error_set(err, STATUS_OVERLOADED, "more than %d queries at once", QUERIES_MAX);
    if (status != STATUS_OK)
        call_refuse(call, status, err);
    else
        work_start(http_loop(call->ex), &call->work, query_run, call_reply);
}

/* --- a body --- */

static bool type_is(struct http_exchange *ex, const char *type)
{
    struct slice given = http_header(ex, "Content-Type");
    size_t size = strlen(type);

    return given.size >= size && strncasecmp((const char *)given.data, type, size) == 0 &&
           (given.size == size || given.data[size] == ';' || given.data[size] == ' ');
}

/* By its type, where that says something; curl says form for everything. */
static bool body_is_json(struct http_exchange *ex, struct slice body)
{
    size_t at = 0;

    if (type_is(ex, "application/json"))
        return true;
    if (type_is(ex, "text/plain") || type_is(ex, "application/x-mars"))
        return false;
    while (at < body.size && isspace(body.data[at]))
        at++;
    return at < body.size && (body.data[at] == '{' || body.data[at] == '[');
}

static void query_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct query_call *call;
    struct error err;

    error_init(&err);
    if (status != STATUS_OK) {
        error_set(&err, status, "a request is a text of at most %d KiB", QUERY_BODY_MAX >> 10);
        http_reply_error(ex, status, &err, NULL);
        return;
    }
    call = call_new(ex);
    status = body_is_json(ex, body) ? query_body_json(&call->body, body, &err)
                                    : query_body_text(&call->body, body, &err);
    call_start(call, status, &err);
}

/* What is wrong with the URL is said before a body is waited for. */
static enum status url_check(struct http_exchange *ex, struct error *err)
{
    struct query_request request;
    struct slice key, value;
    enum status status = STATUS_OK;
    size_t at = 0;

    query_init(&request);
    while (status == STATUS_OK && http_query_next(ex, &at, &key, &value))
        status = query_add(&request, key, value, err);
    query_fini(&request);
    return status;
}

void query_route(struct http_exchange *ex)
{
    struct query_call *call;
    struct error err;

    error_init(&err);
    if (http_method(ex) == HTTP_POST_) {
        enum status status = url_check(ex, &err);
        if (status == STATUS_OK)
            http_body_gather(ex, QUERY_BODY_MAX, query_on_body);
        else
            http_reply_error(ex, status, &err, NULL);
        return;
    }
    call = call_new(ex);
    call_link(call);
    call_start(call, query_body_add(&call->body, &err) != NULL ? STATUS_OK : err.status, &err);
}
