/* get.c: finds a data file, looks at conditions and ranges, hands its pieces to the server.
 *
 * The size is what was flushed at the start of the answer: a file that grows meanwhile is served as it was. Nothing here
 * waits: the run's table is in memory, bytes are read by the server. From the second request for a path on a loop nothing
 * is allocated and no lock is taken (open_files.h). */
#include "storaged/get.h"

#include "storaged/node.h"
#include "storaged/request.h"

#include "proto/node_api.h"

#include <inttypes.h>

static void get_over(struct http_exchange *ex)
{
    open_files_release(http_user(ex));
}

/* What the disk would not give is looked at again; the client has other locations. */
static void get_unreadable(struct http_exchange *ex, const struct http_unreadable *what)
{
    const struct open_file *file = http_user(ex);

    store_file_suspect(request_loop(ex)->node->store, file->file, what->offset, what->size);
    if (what->may_reply)
        request_fail_with(ex, STATUS_DAMAGED,
                          "bytes from %" PRIu64
                          " on can't be read here: /sha256/{digest} has them from another node",
                          what->offset);
}

static struct open_file *get_open(struct http_exchange *ex)
{
    struct node_loop *loop = request_loop(ex);
    struct store_file *file;
    uint64_t birth;
    struct run_key run;
    unsigned shard;
    struct error err;

    if (!request_run(ex, &run))
        return NULL;
    if (!data_file_name_parse(http_param(ex, "file"), &shard, &birth)) {
        request_fail_with(ex, STATUS_NOT_FOUND, "a data file is called SHARD-BIRTH.grib; ../ lists them");
        return NULL;
    }
    error_init(&err);
    if (store_file_open(loop->node->store, &run, shard, birth, &file, &err) == STATUS_OK)
        return open_files_add(&loop->open_files, http_path(ex), file, birth);
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

    if (!request_keys_known(ex, keys))
        return;
    struct open_file *file = open_files_find(&request_loop(ex)->open_files, http_path(ex));
    if (file == NULL)
        file = get_open(ex);
    if (file == NULL)
        return;
    http_set_user(ex, file, get_over);
    http_on_unreadable(ex, get_unreadable);
    struct range_entity entity = file->entity; /* as it is now, whatever another request finds meanwhile */
    range_plan(ex, &entity, &plan);
    if (plan.kind == RANGE_REPLIED || get_damaged(ex, file->file, entity.size, &plan))
        return;
    range_reply_file(ex, &entity, &plan, store_file_fd(file->file), 0);
}
