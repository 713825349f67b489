/* get.c: finds a data file, looks at conditions and ranges, hands its pieces to the server.
 *
 * The size is what was flushed at the start of the answer: a file that grows meanwhile is served as it was. Nothing here
 * waits: the run's table is in memory, a file that is not open is opened on the thread pool (file_open.h), bytes are read
 * by the server. From the second request for a path on a loop nothing is allocated and no lock is taken (open_files.h). */
#include "storaged/get.h"

#include "storaged/file_open.h"
#include "storaged/node.h"
#include "storaged/request.h"

#include "proto/node_api.h"

#include <inttypes.h>
#include <stdlib.h>

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

static void get_reply(struct http_exchange *ex, struct open_file *file)
{
    static _Thread_local struct range_plan plan; /* of this call: nothing waits in it */

    http_set_user(ex, file, get_over);
    http_on_unreadable(ex, get_unreadable);
    struct range_entity entity = file->entity; /* as it is now, whatever another request finds meanwhile */
    range_plan(ex, &entity, &plan);
    if (plan.kind == RANGE_REPLIED || get_damaged(ex, file->file, entity.size, &plan))
        return;
    range_reply_file(ex, &entity, &plan, store_file_fd(file->file), 0);
}

/* --- a path that this loop has not got open --- */

struct get_wait {
    struct file_wait wait;
    struct http_exchange *ex;
};

static void get_find(struct get_wait *get);

static void get_on_open(struct file_wait *wait, enum status status, const struct error *err)
{
    struct get_wait *get = container_of(wait, struct get_wait, wait);

    if (status == STATUS_OK) {
        get_find(get);
        return;
    }
    request_fail(get->ex, err);
    free(get);
}

/* Replies, or waits until the file is open. Who came first may have put it among the loop's. */
static void get_find(struct get_wait *get)
{
    struct http_exchange *ex = get->ex;
    struct node_loop *loop = request_loop(ex);
    struct open_file *file = open_files_find(&loop->open_files, http_path(ex));
    struct store_file *store_file;
    uint64_t birth;
    struct run_key run;
    unsigned shard;
    struct error err;

    error_init(&err);
    if (file == NULL && request_run(ex, &run)) {
        enum status status = data_file_name_parse(http_param(ex, "file"), &shard, &birth)
                                 ? file_open(loop, &run, shard, birth, &get->wait, &store_file, &err)
                                 : error_set(&err, STATUS_NOT_FOUND,
                                             "a data file is called SHARD-BIRTH.grib; ../ lists them");
        if (status == STATUS_MORE)
            return;
        if (status == STATUS_OK)
            file = open_files_add(&loop->open_files, http_path(ex), store_file, birth);
        else
            request_fail(ex, &err);
    }
    if (file != NULL)
        get_reply(ex, file);
    free(get);
}

static void get_open(struct http_exchange *ex)
{
    struct get_wait *get = calloc(1, sizeof *get);

    if (get == NULL)
        abort();
    get->wait.on_open = get_on_open;
    get->ex = ex;
    get_find(get);
}

void get_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };

    if (!request_keys_known(ex, keys))
        return;
    struct open_file *file = open_files_find(&request_loop(ex)->open_files, http_path(ex));
    if (file != NULL)
        get_reply(ex, file);
    else
        get_open(ex);
}
