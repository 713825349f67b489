/* locations_route.c: places of a run as lines: a chunk is made on the pool when the one before was taken, so that a run of any size costs two
 * chunks, and a slow reader no thread.
 *
 * A chunk ends behind a document, or behind an entry of quarantine; the next one begins there. A place of documents that come or go meanwhile
 * is there or not: who compares looks twice. The last line says that it is the last: an answer without it was cut. */
#include "indexer/locations_route.h"

#include "indexer/catalog/catalog.h"
#include "indexer/run_state.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"

#include <assert.h>
#include <stdlib.h>

enum {
    LOCATIONS_CHUNK_SIZE = 512 << 10,
    LOCATIONS_OUT_MAX = 32 << 20, /* one document's places more than a chunk */
    LOCATIONS_CALLS_MAX = 16,     /* under way at once */
};

enum locations_phase { LOCATIONS_FIELDS, LOCATIONS_QUARANTINE, LOCATIONS_END };

struct locations_call {
    struct work work;
    struct http_exchange *ex;
    struct catalog *catalog; /* borrowed */
    struct run_key run;
    enum locations_phase phase;
    struct field_id after;
    struct digest after_digest; /* of quarantine */
    uint64_t count;
    struct buf out; /* the next chunk */
    bool full, last;
};

static unsigned locations_calls; /* touched on the one loop only */

/* --- on the pool --- */

static void location_print(struct locations_call *call, const struct catalog_location *location)
{
    static const char *const names[] = {
        [CATALOG_AS_FIELD] = "field", [CATALOG_AS_OLDER] = "older", [CATALOG_AS_QUARANTINE] = "quarantine"
    };
    char digest[DIGEST_TEXT_SIZE];
    struct json_writer json;

    digest_print(&location->digest, digest);
    json_init(&json, &call->out);
    json_object_begin(&json);
    json_put_string(&json, "digest", digest);
    json_put_u64(&json, "length", location->length);
    json_put_u64(&json, "stored_at", location->stored_at_us);
    json_put_string(&json, "node", location->node);
    json_put_string(&json, "file", location->file);
    json_put_u64(&json, "offset", location->offset);
    json_put_string(&json, "as", names[location->as]);
    json_object_end(&json);
    buf_text(&call->out, "\n");
    call->count++;
}

/* Whether the next document may still come. */
static bool call_goes_on(struct locations_call *call)
{
    call->full = call->out.size >= LOCATIONS_CHUNK_SIZE;
    return !call->full && buf_status(&call->out) == STATUS_OK;
}

static bool call_on_document(void *data, const struct field_id *id,
                             const struct catalog_location *locations, size_t count)
{
    struct locations_call *call = data;

    for (size_t i = 0; i < count; i++)
        location_print(call, &locations[i]);
    call->after = *id;
    return call_goes_on(call);
}

static bool call_on_entry(void *data, const struct quarantine_entry *entry)
{
    struct locations_call *call = data;
    struct catalog_location location = { .as = CATALOG_AS_QUARANTINE,
                                         .digest = entry->digest,
                                         .length = entry->length,
                                         .stored_at_us = entry->stored_at_us };

    if (run_key_compare(&entry->run, &call->run) != 0)
        return false; /* behind all of this run */
    for (unsigned i = 0; i < entry->locations_count; i++) {
        location.node = entry->locations[i].node;
        location.file = entry->locations[i].file;
        location.offset = entry->locations[i].offset;
        location_print(call, &location);
    }
    call->after_digest = entry->digest;
    return call_goes_on(call);
}

static void call_end(struct locations_call *call)
{
    buf_format(&call->out, "{\"end\":true,\"locations\":%llu}\n", (unsigned long long)call->count);
    call->last = true;
}

static void call_run(struct work *work)
{
    struct locations_call *call = container_of(work, struct locations_call, work);
    struct quarantine_entry behind = { .run = call->run, .digest = call->after_digest };

    buf_init(&call->out, LOCATIONS_OUT_MAX);
    call->full = false;
    work->status = STATUS_OK;
    if (call->phase == LOCATIONS_FIELDS) {
        work->status = catalog_scan_locations(call->catalog, &call->run, &call->after,
                                              call_on_document, call, &work->err);
        call->phase += !call->full;
    }
    if (work->status == STATUS_OK && call->phase == LOCATIONS_QUARANTINE) {
        work->status = catalog_quarantine_scan_behind(call->catalog, &behind, call_on_entry, call,
                                                      &work->err);
        call->phase += !call->full;
    }
    if (work->status == STATUS_OK && call->phase == LOCATIONS_END)
        call_end(call);
    if (work->status == STATUS_OK && buf_status(&call->out) != STATUS_OK)
        work->status = error_set(&work->err, buf_status(&call->out), "the places of one document");
}

/* --- on the loop --- */

static void call_free(struct locations_call *call)
{
    buf_fini(&call->out);
    free(call);
    locations_calls--;
}

static void call_on_over(struct http_exchange *ex)
{
    call_free(http_user(ex));
}

static void call_on_chunk(struct work *work)
{
    struct locations_call *call = container_of(work, struct locations_call, work);

    if (work->status == STATUS_OK) {
        http_stream_push(call->ex, &call->out, call->last);
        return;
    }
    log_msg(LOG_WARN, "locations.failed", "in the middle of an answer: %s", work->err.text);
    http_stream_fail(call->ex);
}

static void call_on_ready(struct http_exchange *ex)
{
    struct locations_call *call = http_user(ex);

    if (call->out.size > 0)
        http_stream_push(ex, &call->out, call->last); /* the first, made before the reply was begun */
    else
        work_start(http_loop(ex), &call->work, call_run, call_on_chunk);
}

static void call_reply(struct work *work)
{
    struct locations_call *call = container_of(work, struct locations_call, work);
    struct error shown;

    if (work->status != STATUS_OK) {
        error_init(&shown);
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(call->ex, status, &shown, NULL);
        call_free(call);
        return;
    }
    http_reply_header(call->ex, "Cache-Control", "no-store");
    http_set_user(call->ex, call, call_on_over);
    http_stream_start(call->ex, 200, "application/x-ndjson", HTTP_LENGTH_UNKNOWN, call_on_ready);
}

static enum status locations_check(struct http_exchange *ex, struct run_key *run, struct error *err)
{
    struct catalog_run known;
    enum status status = run_key_parse(http_param(ex, "source"), http_param(ex, "base_time"), run, err);

    if (status == STATUS_OK && !run_state_get(http_context(ex), run, &known))
        status = error_set(err, STATUS_NOT_FOUND,
                           "there is no such run in the index; GET /v1/runs lists them");
    if (status == STATUS_OK && locations_calls >= LOCATIONS_CALLS_MAX)
        status = error_set(err, STATUS_OVERLOADED, "more than %d lists of locations at once",
                           LOCATIONS_CALLS_MAX);
    return status;
}

void locations_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct locations_call *call;
    struct run_key run;
    struct error err;

    error_init(&err);
    enum status status = locations_check(ex, &run, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        return;
    }
    call = calloc(1, sizeof *call);
    assert(call != NULL);
    locations_calls++;
    *call = (struct locations_call){ .ex = ex, .catalog = indexer->catalog, .run = run };
    work_start(indexer->loop, &call->work, call_run, call_reply);
}
