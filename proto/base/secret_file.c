/* secret_file.c: looks at the mode of the file that it has opened, then reads that one. */
#include "proto/base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_MODE_REFUSED = S_IWGRP | S_IXGRP | S_IRWXO };

static enum status secret_check(const char *path, const struct stat *info, struct error *err)
{
    if (!S_ISREG(info->st_mode))
        return error_set(err, STATUS_BAD_VALUE, "%s is not a file", path);
    if (info->st_uid != geteuid() && info->st_uid != 0)
        return error_set(err, STATUS_BAD_VALUE, "%s belongs to another user: chown it", path);
    if ((info->st_mode & SECRET_MODE_REFUSED) != 0)
        return error_set(err, STATUS_BAD_VALUE,
                         "%s has mode %04o and others could read or change it: chmod 600 %s", path,
                         (unsigned)(info->st_mode & 07777), path);
    return STATUS_OK;
}

static enum status secret_read_all(const char *path, int fd, struct buf *text, struct error *err)
{
    enum { PIECE = 64 << 10 };

    for (;;) {
        size_t room = text->size_max - text->size < PIECE ? text->size_max - text->size + 1 : PIECE;
        uint8_t piece[PIECE];
        ssize_t size = read(fd, piece, room);

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return error_set_errno(err, errno, "%s", path);
        buf_append(text, piece, (size_t)size);
        secret_wipe(piece, (size_t)size);
        if (buf_status(text) != STATUS_OK)
            return error_set(err, buf_status(text), "%s: more than %zu bytes", path, text->size_max);
        if (size == 0)
            return STATUS_OK;
    }
}

enum status secret_file_read(const char *path, size_t size_max, struct buf *text, struct error *err)
{
    struct stat info;

    buf_init(text, size_max);
    /* Never stuck at a pipe: what is no file is refused behind. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", path);
    enum status status = STATUS_OK;
    if (fstat(fd, &info) != 0)
        status = error_set_errno(err, errno, "%s", path);
    if (status == STATUS_OK)
        status = secret_check(path, &info, err);
    if (status == STATUS_OK)
        status = secret_read_all(path, fd, text, err);
    close(fd);
    if (status != STATUS_OK) {
        secret_wipe(text->data, text->size);
        buf_fini(text);
    }
    return status;
}

void secret_wipe(void *data, size_t size)
{
    if (data != NULL)
        OPENSSL_cleanse(data, size);
}
