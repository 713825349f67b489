/* lease.c: named leases over HTTP, kept in the catalog. */
#include "indexer/lease.h"

#include "proto/base/json_read.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <stdlib.h>

struct lease {
    struct work work;
    struct indexer *indexer;
    struct http_exchange *exchange;
    char name[LEASE_NAME_MAX + 1], owner[64], holder[64];
    uint64_t ttl_ms;
};

static enum status lease_copy(const char *what, struct slice text, char *to, size_t size,
                              struct error *err)
{
    if (text.size == 0 || text.size >= size)
        return error_set(err, STATUS_BAD_VALUE, "%s: 1 to %zu characters", what, size - 1);
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 127)
            return error_set(err, STATUS_BAD_VALUE, "%s: only visible ASCII characters", what);
    memcpy(to, text.data, text.size);
    to[text.size] = '\0';
    return STATUS_OK;
}

static void lease_take_run(struct work *work)
{
    struct lease *lease = container_of(work, struct lease, work);
    work->status = catalog_lease_take(lease->indexer->catalog, lease->name, lease->owner,
                                      lease->ttl_ms, lease->holder, &work->err);
}

static void lease_on_taken(struct work *work)
{
    struct lease *lease = container_of(work, struct lease, work);
    struct buf body;

    buf_init(&body, 4096);
    if (work->status == STATUS_OK) {
        struct json_writer json;
        json_init(&json, &body);
        json_object_begin(&json);
        json_put_string(&json, "name", lease->name);
        json_put_string(&json, "owner", lease->owner);
        json_put_u64(&json, "ttl_ms", lease->ttl_ms);
        json_object_end(&json);
        http_reply(lease->exchange, 200, "application/json", &body);
    } else {
        struct buf extra;
        struct json_writer json;
        buf_init(&extra, 4096);
        if (work->status == STATUS_CONFLICT) {
            error_set(&work->err, STATUS_CONFLICT, "lease %s is held by %s", lease->name, lease->holder);
            buf_text(&extra, "\"holder\":");
            json_init(&json, &extra);
            json_text(&json, lease->holder);
        }
        struct error shown;
        error_init(&shown);
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(lease->exchange, status, &shown, extra.size > 0 ? &extra : NULL);
        buf_fini(&extra);
    }
    buf_fini(&body);
    free(lease);
}

static void lease_release_run(struct work *work)
{
    struct lease *lease = container_of(work, struct lease, work);
    work->status = catalog_lease_release(lease->indexer->catalog, lease->name, lease->owner, &work->err);
}

static void lease_on_released(struct work *work)
{
    struct lease *lease = container_of(work, struct lease, work);

    if (work->status == STATUS_OK || work->status == STATUS_NOT_FOUND)
        http_reply(lease->exchange, 204, NULL, NULL);
    else {
        struct error shown;
        error_init(&shown);
        enum status status = work_status_shown(work->status, &work->err, &shown);
        http_reply_error(lease->exchange, status, &shown, NULL);
    }
    free(lease);
}

static enum status lease_parse(struct slice body, struct lease *lease, struct error *err)
{
    json_t *value = NULL;
    const char *owner;
    enum status status = json_parse(body.data, body.size, &value, err);

    if (status == STATUS_OK)
        status = json_get_string(value, "owner", &owner, err);
    if (status == STATUS_OK)
        status = lease_copy("owner", slice_text(owner), lease->owner, sizeof lease->owner, err);
    if (status == STATUS_OK)
        status = json_get_u64(value, "ttl_ms", LEASE_TTL_MS_MAX, &lease->ttl_ms, err);
    json_decref(value);
    return status;
}

/* A rotation's lease is named after its source: who may not change the source must not stop its rotation either. Other
 * names are nobody's. */
static bool lease_allowed(struct http_exchange *ex)
{
    static const char prefix[] = "rotate-";
    struct slice name = http_param(ex, "name");
    size_t size = sizeof prefix - 1;

    if (http_bound_sources(ex) == NULL)
        return true;
    if (name.size > size && memcmp(name.data, prefix, size) == 0 &&
        http_allows_source(ex, slice_of(name.data + size, name.size - size)))
        return true;
    http_refuse_source(ex);
    return false;
}

static void lease_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct lease *lease = calloc(1, sizeof *lease);
    struct error err;

    assert(lease != NULL);
    error_init(&err);
    error_init(&lease->work.err);
    lease->indexer = http_context(ex);
    lease->exchange = ex;
    if (status != STATUS_OK)
        error_set(&err, status, "the lease: %s", status_title(status));
    else
        status = lease_copy("name", http_param(ex, "name"), lease->name, sizeof lease->name, &err);
    if (status == STATUS_OK)
        status = lease_parse(body, lease, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        free(lease);
        return;
    }
    work_start(http_loop(ex), &lease->work, lease_take_run, lease_on_taken);
}

void lease_take_route(struct http_exchange *ex)
{
    if (lease_allowed(ex))
        http_body_gather(ex, 4096, lease_on_body);
}

void lease_release_route(struct http_exchange *ex)
{
    struct error err;

    if (!lease_allowed(ex))
        return;
    struct lease *lease = calloc(1, sizeof *lease);
    assert(lease != NULL);
    error_init(&err);
    error_init(&lease->work.err);
    lease->indexer = http_context(ex);
    lease->exchange = ex;
    enum status status = lease_copy("name", http_param(ex, "name"), lease->name, sizeof lease->name,
                                    &err);
    if (status == STATUS_OK)
        status = lease_copy("owner", http_query(ex, "owner"), lease->owner, sizeof lease->owner, &err);
    if (status != STATUS_OK) {
        http_reply_error(ex, status, &err, NULL);
        free(lease);
        return;
    }
    work_start(http_loop(ex), &lease->work, lease_release_run, lease_on_released);
}
