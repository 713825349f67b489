/* get.c: opens a data file, looks at conditions and ranges, hands its pieces to the server.
 *
 * The size is what was flushed at the start of the answer: a file that grows meanwhile is served as it was. Nothing here
 * waits: the run's table is in memory, bytes are read by the server. */
#include "storaged/get.h"

#include "storaged/node.h"
#include "storaged/request.h"

#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>

enum { ETAG_SIZE = 48 };

static void get_over(struct http_exchange *ex)
{
    store_file_release(http_user(ex));
}

/* What the disk would not give is looked at again; the client has other locations. */
static void get_unreadable(struct http_exchange *ex, const struct http_unreadable *what)
{
    store_file_suspect(request_loop(ex)->node->store, http_user(ex), what->offset, what->size);
    if (what->may_reply)
        request_fail_with(ex, STATUS_DAMAGED,
                          "bytes from %" PRIu64 " on can't be read here: /sha256/{digest} has them from another node",
                          what->offset);
}

static struct store_file *get_open(struct http_exchange *ex, uint64_t *birth)
{
    struct store_file *file;
    struct run_key run;
    unsigned shard;
    struct error err;

    if (!request_run(ex, &run))
        return NULL;
    if (!data_file_name_parse(http_param(ex, "file"), &shard, birth)) {
        request_fail_with(ex, STATUS_NOT_FOUND, "a data file is called SHARD-BIRTH.grib; ../ lists them");
        return NULL;
    }
    error_init(&err);
    if (store_file_open(request_loop(ex)->node->store, &run, shard, *birth, &file, &err) == STATUS_OK)
        return file;
    request_fail(ex, &err);
    return NULL;
}

/* Do the bytes that were asked for touch a damaged message? It has replied 410 then. A HEAD asks for none: clients begin
 * with one, whichever message they want. */
static bool get_damaged(struct http_exchange *ex, const struct store_file *file, uint64_t size,
                        const struct range_plan *plan)
{
    const struct http_range whole = { .offset = 0, .length = size };
    const struct http_range *range = plan->kind == RANGE_WHOLE ? &whole : plan->ranges;
    unsigned count = plan->kind == RANGE_WHOLE ? 1 : plan->count;

    if (http_method(ex) == HTTP_HEAD_)
        return false;
    for (unsigned i = 0; i < count; i++, range++) {
        if (!store_file_damaged(file, range->offset, range->length))
            continue;
        request_fail_with(ex, STATUS_DAMAGED,
                          "bytes %" PRIu64 "-%" PRIu64
                          " hold a damaged message: /sha256/{digest} has it from another node",
                          range->offset, range->offset + range->length - 1);
        return true;
    }
    return false;
}

void get_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    static _Thread_local struct range_plan plan; /* of this call: nothing waits in it */
    char etag[ETAG_SIZE];
    uint64_t birth;

    if (!request_keys_known(ex, keys))
        return;
    struct store_file *file = get_open(ex, &birth);
    if (file == NULL)
        return;
    http_set_user(ex, file, get_over);
    http_on_unreadable(ex, get_unreadable);
    struct range_entity entity = {
        .content_type = TYPE_GRIB,
        .etag = etag,
        .cache_control = "no-cache",
        .modified = store_file_modified(file),
        .size = store_file_size(file),
    };
    snprintf(etag, sizeof etag, "\"%016" PRIx64 "-%" PRIu64 "\"", birth, entity.size);
    range_plan(ex, &entity, &plan);
    if (plan.kind == RANGE_REPLIED || get_damaged(ex, file, entity.size, &plan))
        return;
    range_reply_file(ex, &entity, &plan, store_file_fd(file), 0);
}
