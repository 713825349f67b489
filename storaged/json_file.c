/* json_file.c: reads and replaces a file through the store's door to the disk. */
#include "storaged/json_file.h"

#include "storaged/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static enum status dir_open(const char *dir, int *fd, struct error *err)
{
    *fd = -1;
    return disk_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, fd, err);
}

static enum status file_read(int fd, size_t size_max, struct buf *text, struct error *err)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return error_set_errno(err, errno, "fstat");
    if (stat.st_size < 0 || (uint64_t)stat.st_size > size_max)
        return error_set(err, STATUS_TOO_LARGE, "larger than %zu bytes", size_max);
    size_t size = (size_t)stat.st_size;
    buf_init(text, size_max + 1);
    uint8_t *at = buf_reserve(text, size + 1);
    if (at == NULL)
        return buf_status(text);
    enum status status = disk_read(fd, 0, at, size, true, err);
    if (status == STATUS_OK)
        text->size = size;
    else
        buf_fini(text);
    return status;
}

enum status json_file_read(const char *dir, const char *name, size_t size_max, struct buf *text,
                           struct error *err)
{
    int dir_fd, fd = -1;

    *text = (struct buf){ 0 };
    enum status status = dir_open(dir, &dir_fd, err);
    if (status == STATUS_OK)
        status = disk_open(dir_fd, name, O_RDONLY, &fd, err);
    if (status == STATUS_OK)
        status = file_read(fd, size_max, text, err);
    disk_close(fd);
    disk_close(dir_fd);
    if (status != STATUS_OK)
        error_wrap(err, "%s/%s", dir, name);
    return status;
}

static enum status file_write(int dir_fd, const char *name, const struct buf *text, struct error *err)
{
    int fd = -1;

    enum status status = buf_status(text);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", status_title(status));
    status = disk_open(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, &fd, err);
    if (status == STATUS_OK)
        status = disk_write(fd, 0, text->data, text->size, err);
    if (status == STATUS_OK)
        status = disk_flush(fd, err);
    disk_close(fd);
    return status;
}

enum status json_file_write(const char *dir, const char *name, const struct buf *text, struct error *err)
{
    char other[64];
    int dir_fd;

    snprintf(other, sizeof other, "%s.new", name);
    enum status status = dir_open(dir, &dir_fd, err);
    if (status == STATUS_OK)
        status = file_write(dir_fd, other, text, err);
    if (status == STATUS_OK)
        status = disk_rename(dir_fd, other, dir_fd, name, err);
    if (status == STATUS_OK)
        status = disk_flush_dir(dir_fd, err);
    disk_close(dir_fd);
    if (status != STATUS_OK)
        error_wrap(err, "%s/%s", dir, name);
    return status;
}

enum status json_file_remove(const char *dir, const char *name, struct error *err)
{
    int dir_fd;

    enum status status = dir_open(dir, &dir_fd, err);
    if (status == STATUS_OK) {
        status = disk_unlink(dir_fd, name, err);
        if (status == STATUS_NOT_FOUND)
            status = STATUS_OK;
    }
    if (status == STATUS_OK)
        status = disk_flush_dir(dir_fd, err);
    disk_close(dir_fd);
    if (status != STATUS_OK)
        error_wrap(err, "%s/%s", dir, name);
    return status;
}
