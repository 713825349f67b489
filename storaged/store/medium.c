/* medium.c: reads past the page cache, in aligned windows. */
#include "storaged/store/medium.h"

#include "storaged/store/disk.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

void medium_init(struct medium *medium)
{
    *medium = (struct medium){ .fd = -1 };
    medium->window = aligned_alloc(MEDIUM_ALIGN, MEDIUM_WINDOW);
    medium->hash = digest_stream_new();
    assert(medium->window != NULL);
}

void medium_fini(struct medium *medium)
{
    medium_close(medium);
    free(medium->window);
    digest_stream_free(medium->hash);
}

void medium_close(struct medium *medium)
{
    disk_close(medium->fd);
    medium->fd = -1;
    medium->window_size = 0;
}

enum status medium_open(struct medium *medium, int dir_fd, const char *name, struct error *err)
{
    medium_close(medium);
    enum status status = disk_open(dir_fd, name, O_RDONLY | O_DIRECT, &medium->fd, err);
    medium->direct = status == STATUS_OK;
    if (status == STATUS_IO) /* EINVAL where there is no O_DIRECT */
        status = disk_open(dir_fd, name, O_RDONLY, &medium->fd, err);
    return status;
}

static uint64_t medium_down(uint64_t offset)
{
    return offset & ~(uint64_t)(MEDIUM_ALIGN - 1);
}

/* At most size bytes from the aligned offset on into the window, as many as there are. */
static enum status medium_fill(struct medium *medium, uint64_t offset, size_t size, struct error *err)
{
    enum status status;
    size_t got = 0;

    medium->window_size = 0;
    if (!medium->direct)
        disk_forget(medium->fd, offset, size);
    do {
        status = disk_read_some(medium->fd, offset, medium->window, size, &got, err);
        if (status != STATUS_IO || !medium->direct)
            break;
        /* The file system took the flag and not the read (its blocks are larger, or it is the disk): the other way tells. */
        medium->direct = false;
        if (!disk_set_direct(medium->fd, false))
            break;
        disk_forget(medium->fd, offset, size);
    } while (true);
    if (medium->on_read != NULL && !medium->on_read(medium->user, got))
        return error_set(err, STATUS_CANCELLED, "asked to stop");
    if (status != STATUS_OK)
        return status;
    medium->window_offset = offset;
    medium->window_size = got;
    return STATUS_OK;
}

/* Bytes at offset, at least one and at most `left`, in the window. What a wide read can't have is read narrowly: a sector
 * that is gone takes only those with it that lie in it. */
static enum status medium_look(struct medium *medium, uint64_t offset, uint64_t left,
                               const uint8_t **bytes, size_t *size, struct error *err)
{
    if (offset < medium->window_offset || offset - medium->window_offset >= medium->window_size) {
        uint64_t begin = medium_down(offset);
        enum status status = medium_fill(medium, begin, MEDIUM_WINDOW, err);

        if (status == STATUS_IO) {
            uint64_t need = medium_down(offset + left + MEDIUM_ALIGN - 1) - begin;

            if (need < MEDIUM_WINDOW)
                status = medium_fill(medium, begin, (size_t)need, err);
        }
        if (status != STATUS_OK)
            return status;
        if (offset - begin >= medium->window_size)
            return error_set(err, STATUS_CORRUPT, "the file ends at %ju",
                             (uintmax_t)(begin + medium->window_size));
    }
    size_t at = (size_t)(offset - medium->window_offset);
    *bytes = medium->window + at;
    *size = medium->window_size - at;
    if (*size > left)
        *size = (size_t)left;
    return STATUS_OK;
}

enum status medium_read(struct medium *medium, uint64_t offset, uint8_t *data, size_t size,
                        struct error *err)
{
    while (size > 0) {
        const uint8_t *bytes;
        size_t some;
        enum status status = medium_look(medium, offset, size, &bytes, &some, err);

        if (status != STATUS_OK)
            return status;
        memcpy(data, bytes, some);
        data += some;
        offset += some;
        size -= some;
    }
    return STATUS_OK;
}

enum status medium_digest(struct medium *medium, uint64_t offset, uint64_t length,
                          struct digest *digest, struct error *err)
{
    enum status status = STATUS_OK;

    while (length > 0 && status == STATUS_OK) {
        const uint8_t *bytes;
        size_t some;

        status = medium_look(medium, offset, length, &bytes, &some, err);
        if (status != STATUS_OK)
            break;
        digest_stream_update(medium->hash, bytes, some);
        offset += some;
        length -= some;
    }
    digest_stream_final(medium->hash, digest); /* after a failure, too: it is ready again */
    return status;
}

void medium_forget(struct medium *medium, uint64_t offset, uint64_t length)
{
    medium->window_size = 0;
    disk_forget(medium->fd, medium_down(offset), length + MEDIUM_ALIGN);
}
