/* gather.c: appends to memory, and moves that to the unnamed file when it is full.
 *
 * The file is written on the loop: a megabyte into the page cache every few thousand messages. */
#include "storaged/gather.h"

#include "storaged/store/disk.h"
#include "storaged/store/store.h"

void gather_init(struct gather *gather, struct store *store)
{
    *gather = (struct gather){ .store = store, .fd = -1 };
    error_init(&gather->err);
    buf_init(&gather->memory, GATHER_MEMORY_MAX + GATHER_ITEM_MAX + 1);
}

void gather_fini(struct gather *gather)
{
    buf_fini(&gather->memory);
    disk_close(gather->fd);
    gather->fd = -1;
}

static enum status gather_spill(struct gather *gather)
{
    if (gather->fd < 0) {
        enum status status = store_spool_open(gather->store, &gather->fd, &gather->err);
        if (status != STATUS_OK) {
            gather->fd = -1;
            return status;
        }
    }
    enum status status = disk_write(gather->fd, gather->file_size, gather->memory.data,
                                    gather->memory.size, &gather->err);
    if (status != STATUS_OK)
        return status;
    gather->file_size += gather->memory.size;
    buf_clear(&gather->memory);
    return STATUS_OK;
}

void gather_add(struct gather *gather, const void *text, size_t size)
{
    if (gather->status != STATUS_OK)
        return;
    if (gather->count++ > 0)
        buf_append(&gather->memory, ",", 1);
    buf_append(&gather->memory, text, size);
    gather->status = buf_status(&gather->memory);
    if (gather->status == STATUS_OK && gather->memory.size > GATHER_MEMORY_MAX)
        gather->status = gather_spill(gather);
}

enum status gather_end(struct gather *gather)
{
    if (gather->status == STATUS_OK && gather->fd >= 0 && gather->memory.size > 0)
        gather->status = gather_spill(gather);
    if (gather->status != STATUS_OK && gather->err.text[0] == '\0')
        error_set(&gather->err, gather->status, "%s", status_title(gather->status));
    return gather->status;
}

uint64_t gather_size(const struct gather *gather)
{
    return gather->file_size + gather->memory.size;
}
