/* stage.c: which bytes go which way, and their alignment. */
#include "storaged/store/stage.h"

#include "storaged/store/disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void stage_init(struct stage *stage)
{
    *stage = (struct stage){ .fd = -1, .direct_fd = -1 };
}

void stage_fini(struct stage *stage)
{
    free(stage->memory);
    stage->memory = NULL;
}

/* What comes next: up to a page's border through the page cache, whole pages straight to the disk, the rest again not. */
static void stage_aim(struct stage *stage)
{
    uint64_t unit = disk_direct_unit();
    uint64_t first = (stage->offset + unit - 1) / unit * unit;
    uint64_t last = stage->end / unit * unit;

    stage->is_direct = first == stage->offset && first < last && !stage->refused;
    if (stage->is_direct)
        stage->limit = last;
    else
        stage->limit = first < last && first > stage->offset ? first : stage->end;
}

void stage_begin(struct stage *stage, int fd, int direct_fd, uint64_t offset, uint64_t end)
{
    if (stage->memory == NULL) {
        stage->memory = aligned_alloc(disk_direct_unit(), STAGE_SIZE);
        assert(stage->memory != NULL);
    }
    stage->fd = fd;
    stage->direct_fd = direct_fd;
    stage->offset = offset;
    stage->end = end;
    stage->used = 0;
    stage->refused = direct_fd < 0;
    stage_aim(stage);
}

static enum status stage_write(struct stage *stage, struct error *err)
{
    if (stage->is_direct) {
        enum status status = disk_write_direct(stage->direct_fd, stage->offset, stage->memory,
                                               stage->used, err);
        if (status != STATUS_UNSUPPORTED)
            return status;
        stage->refused = true;
    }
    return disk_write(stage->fd, stage->offset, stage->memory, stage->used, err);
}

uint8_t *stage_room(struct stage *stage, size_t *size)
{
    uint64_t left = stage->limit - stage->offset - stage->used;

    *size = STAGE_SIZE - stage->used;
    if (left < *size)
        *size = (size_t)left;
    assert(*size > 0);
    return stage->memory + stage->used;
}

enum status stage_filled(struct stage *stage, size_t size, struct error *err)
{
    stage->used += size;
    assert(stage->used <= STAGE_SIZE && stage->offset + stage->used <= stage->limit);
    if (stage->used < STAGE_SIZE && stage->offset + stage->used < stage->limit)
        return STATUS_OK;
    enum status status = stage_write(stage, err);
    if (status != STATUS_OK)
        return status;
    stage->offset += stage->used;
    stage->used = 0;
    if (stage->offset == stage->limit || stage->refused)
        stage_aim(stage);
    return STATUS_OK;
}

enum status stage_put(struct stage *stage, const uint8_t *data, size_t size, struct error *err)
{
    while (size > 0) {
        size_t room;
        uint8_t *to = stage_room(stage, &room);

        if (room > size)
            room = size;
        memcpy(to, data, room);
        enum status status = stage_filled(stage, room, err);
        if (status != STATUS_OK)
            return status;
        data += room;
        size -= room;
    }
    return STATUS_OK;
}
