/* gather.c: appends to memory, and hands that to the thread pool when it is full. */
#include "storaged/gather.h"

#include "storaged/node.h"
#include "storaged/store/disk.h"
#include "storaged/store/store.h"

#include <assert.h>

static void gather_begin_memory(struct gather *gather)
{
    buf_init(&gather->memory, GATHER_MEMORY_MAX + GATHER_ITEM_MAX + 1);
}

void gather_init(struct gather *gather, struct node_loop *loop, void (*on_written)(struct gather *gather))
{
    *gather = (struct gather){ .loop = loop, .fd = -1, .on_written = on_written };
    error_init(&gather->err);
    gather_begin_memory(gather);
}

void gather_fini(struct gather *gather)
{
    assert(!gather->is_busy);
    buf_fini(&gather->memory);
    store_spool_close(gather->loop->node->store, gather->fd);
    gather->fd = -1;
}

/* --- to the file --- */

static void gather_run(struct work *work)
{
    struct gather *gather = container_of(work, struct gather, work);
    enum status status = STATUS_OK;

    error_init(&gather->work_err);
    if (gather->fd < 0)
        status = store_spool_open(gather->loop->node->store, &gather->fd, &gather->work_err);
    if (status == STATUS_OK)
        status = disk_write(gather->fd, gather->file_size, gather->leaving.data,
                            gather->leaving.size, &gather->work_err);
    gather->work_status = status;
}

static void gather_spill(struct gather *gather);

static void gather_done(struct work *work)
{
    struct gather *gather = container_of(work, struct gather, work);

    gather->is_busy = false;
    if (gather->work_status == STATUS_OK) {
        gather->file_size += gather->leaving.size;
        if (gather->memory.size > GATHER_MEMORY_MAX)
            gather_spill(gather);
    } else {
        gather->status = gather->work_status;
        gather->err = gather->work_err;
        buf_clear(&gather->memory); /* it would follow what is not there */
    }
    if (!gather->is_busy)
        buf_fini(&gather->leaving);
    gather->on_written(gather); /* gather may be gone */
}

static void gather_spill(struct gather *gather)
{
    buf_fini(&gather->leaving);
    gather->leaving = gather->memory;
    gather_begin_memory(gather);
    gather->is_busy = true;
    work_start_own(&gather->work, gather->loop, gather_run, gather_done);
}

/* --- items --- */

void gather_add(struct gather *gather, const void *text, size_t size)
{
    if (gather->status != STATUS_OK)
        return;
    size_t before = gather->memory.size;
    if (gather->count++ > 0)
        buf_append(&gather->memory, ",", 1);
    buf_append(&gather->memory, text, size);
    gather->status = buf_status(&gather->memory);
    if (gather->status != STATUS_OK)
        gather->memory.size = before;
    else if (gather->memory.size > GATHER_MEMORY_MAX && !gather->is_busy)
        gather_spill(gather);
}

void gather_fail(struct gather *gather, enum status status)
{
    if (gather->status == STATUS_OK)
        gather->status = status;
}

bool gather_is_full(const struct gather *gather)
{
    return gather->is_busy && gather->memory.size > GATHER_MEMORY_MAX;
}

bool gather_is_busy(const struct gather *gather)
{
    return gather->is_busy;
}

enum status gather_end(struct gather *gather)
{
    assert(!gather->is_busy);
    if (gather->status != STATUS_OK && gather->err.text[0] == '\0')
        error_set(&gather->err, gather->status, "%s", status_title(gather->status));
    return gather->status;
}
