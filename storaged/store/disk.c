/* disk.c: POSIX calls made whole: short reads and writes are continued, EINTR is tried again. */
#include "storaged/store/disk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DISK_DIR_MODE = 0750, DISK_FILE_MODE = 0640, DISK_VEC_MAX = IOV_MAX };

/* open(2) is variadic, the table's is not. */
static int disk_posix_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    return openat(dir_fd, path, flags, mode);
}

const struct disk_ops disk_posix = {
    .openat = disk_posix_openat,
    .close = close,
    .preadv2 = preadv2,
    .pwritev = pwritev,
    .fdatasync = fdatasync,
    .fsync = fsync,
    .ftruncate = ftruncate,
    .renameat = renameat,
    .unlinkat = unlinkat,
    .mkdirat = mkdirat,
    .fstatvfs = fstatvfs,
};

static const struct disk_ops *disk_ops = &disk_posix;

void disk_replace(const struct disk_ops *ops)
{
    disk_ops = ops != NULL ? ops : &disk_posix;
}

const struct disk_ops *disk_in_use(void)
{
    return disk_ops;
}

enum status disk_open(int dir_fd, const char *path, int flags, int *fd, struct error *err)
{
    do {
        *fd = disk_ops->openat(dir_fd, path, flags | O_CLOEXEC | O_NOFOLLOW, DISK_FILE_MODE);
    } while (*fd < 0 && errno == EINTR);
    if (*fd < 0) {
        int error_number = errno;
        enum status status = error_set_errno(err, error_number, "open %s", path);

        errno = error_number;
        return status;
    }
    return STATUS_OK;
}

void disk_close(int fd)
{
    if (fd >= 0)
        disk_ops->close(fd); /* on Linux the descriptor is gone whatever it returns; all was flushed */
}

static void disk_advance(struct iovec **vec, int *count, size_t done)
{
    while (*count > 0 && done >= (*vec)->iov_len) {
        done -= (*vec)->iov_len;
        (*vec)++;
        (*count)--;
    }
    if (done > 0) {
        assert(*count > 0);
        (*vec)->iov_base = (uint8_t *)(*vec)->iov_base + done;
        (*vec)->iov_len -= done;
    }
}

enum status disk_read(int fd, uint64_t offset, void *data, size_t size, bool may_block, struct error *err)
{
    struct iovec vec = { .iov_base = data, .iov_len = size };
    int flags = may_block ? 0 : RWF_NOWAIT;

    if (offset > INT64_MAX || size > INT64_MAX - offset)
        return error_set(err, STATUS_CORRUPT, "offset %ju is beyond any file", (uintmax_t)offset);
    while (vec.iov_len > 0) {
        ssize_t got = disk_ops->preadv2(fd, &vec, 1, (off_t)offset, flags);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN && flags != 0)
            return error_set(err, STATUS_MORE, "not in memory");
        if (got < 0 && errno == EOPNOTSUPP && flags != 0) { /* a file system in memory: no disk to wait for */
            flags = 0;
            continue;
        }
        if (got < 0)
            return error_set_errno(err, errno, "read at %ju", (uintmax_t)offset);
        if (got == 0)
            return error_set(err, STATUS_CORRUPT, "the file ends at %ju", (uintmax_t)offset);
        offset += (uint64_t)got;
        vec.iov_base = (uint8_t *)vec.iov_base + got;
        vec.iov_len -= (size_t)got;
    }
    return STATUS_OK;
}

enum status disk_read_some(int fd, uint64_t offset, void *data, size_t size, size_t *got,
                           struct error *err)
{
    uint64_t end;
    enum status status = disk_size(fd, &end, err);

    *got = 0;
    if (status != STATUS_OK)
        return status;
    uint64_t left = offset < end ? end - offset : 0;
    size_t wanted = left < size ? (size_t)left : size;
    while (*got < wanted) {
        struct iovec vec = { .iov_base = (uint8_t *)data + *got, .iov_len = size - *got };
        ssize_t some = disk_ops->preadv2(fd, &vec, 1, (off_t)(offset + *got), 0);

        if (some < 0 && errno == EINTR)
            continue;
        if (some < 0)
            return error_set_errno(err, errno, "read at %ju", (uintmax_t)(offset + *got));
        if (some == 0)
            break;
        *got += (size_t)some;
    }
    return STATUS_OK;
}

void disk_forget(int fd, uint64_t offset, uint64_t size)
{
    posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

bool disk_set_direct(int fd, bool direct)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

enum status disk_write(int fd, uint64_t offset, const void *data, size_t size, struct error *err)
{
    struct iovec vec = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };

    return disk_writev(fd, offset, &vec, 1, err);
}

enum status disk_writev(int fd, uint64_t offset, struct iovec *vec, int count, struct error *err)
{
    disk_advance(&vec, &count, 0); /* empty ones in front */
    while (count > 0) {
        int some = count < DISK_VEC_MAX ? count : DISK_VEC_MAX;
        ssize_t done = disk_ops->pwritev(fd, vec, some, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return error_set_errno(err, errno, "write at %ju", (uintmax_t)offset);
        if (done == 0)
            return error_set(err, STATUS_IO, "write at %ju: nothing was taken", (uintmax_t)offset);
        offset += (uint64_t)done;
        disk_advance(&vec, &count, (size_t)done);
    }
    return STATUS_OK;
}

enum status disk_open_direct(int dir_fd, const char *path, int *fd, struct error *err)
{
    do {
        *fd = disk_ops->openat(dir_fd, path, O_WRONLY | O_DIRECT | O_CLOEXEC | O_NOFOLLOW, 0);
    } while (*fd < 0 && errno == EINTR);
    if (*fd < 0 && (errno == EINVAL || errno == EOPNOTSUPP))
        return error_set(err, STATUS_UNSUPPORTED, "open %s: %s", path, strerror(errno));
    if (*fd < 0)
        return error_set_errno(err, errno, "open %s", path);
    return STATUS_OK;
}

size_t disk_direct_unit(void)
{
    static const size_t block_size_max = 4096;
    long page_size = sysconf(_SC_PAGESIZE);

    return page_size > (long)block_size_max ? (size_t)page_size : block_size_max;
}

enum status disk_write_direct(int fd, uint64_t offset, const void *data, size_t size, struct error *err)
{
    struct iovec vec = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };

    assert(offset % disk_direct_unit() == 0 && size % disk_direct_unit() == 0 &&
           (uintptr_t)data % disk_direct_unit() == 0);
    while (vec.iov_len > 0) {
        ssize_t done = disk_ops->pwritev(fd, &vec, 1, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) /* also behind a short write of half a block */
            return error_set(err, STATUS_UNSUPPORTED, "direct write: %s", strerror(errno));
        if (done < 0)
            return error_set_errno(err, errno, "direct write at %ju", (uintmax_t)offset);
        if (done == 0)
            return error_set(err, STATUS_IO, "direct write at %ju: nothing was taken", (uintmax_t)offset);
        offset += (uint64_t)done;
        vec.iov_base = (uint8_t *)vec.iov_base + done;
        vec.iov_len -= (size_t)done;
    }
    return STATUS_OK;
}

void disk_begin_flush(int fd)
{
    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* an error is kept for the flush that follows */
}

static enum status disk_synced(int (*sync)(int), int fd, struct error *err)
{
    int failed;

    do {
        failed = sync(fd);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0)
        return error_set(err, STATUS_IO, "flush: %s", strerror(errno));
    return STATUS_OK;
}

enum status disk_flush(int fd, struct error *err)
{
    return disk_synced(disk_ops->fdatasync, fd, err);
}

enum status disk_flush_dir(int fd, struct error *err)
{
    return disk_synced(disk_ops->fsync, fd, err);
}

enum status disk_flush_dir_at(int dir_fd, const char *path, struct error *err)
{
    int fd;
    enum status status = disk_open(dir_fd, path, O_RDONLY | O_DIRECTORY, &fd, err);

    if (status != STATUS_OK)
        return status;
    status = disk_flush_dir(fd, err);
    disk_close(fd);
    if (status != STATUS_OK)
        return error_wrap(err, "directory %s", path);
    return STATUS_OK;
}

enum status disk_truncate(int fd, uint64_t size, struct error *err)
{
    int failed;

    do {
        failed = disk_ops->ftruncate(fd, (off_t)size);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0)
        return error_set_errno(err, errno, "cut to %ju bytes", (uintmax_t)size);
    return STATUS_OK;
}

enum status disk_rename(int from_dir, const char *from, int to_dir, const char *to, struct error *err)
{
    if (disk_ops->renameat(from_dir, from, to_dir, to) != 0)
        return error_set_errno(err, errno, "rename %s to %s", from, to);
    return STATUS_OK;
}

enum status disk_unlink(int dir_fd, const char *path, struct error *err)
{
    if (disk_ops->unlinkat(dir_fd, path, 0) != 0)
        return error_set_errno(err, errno, "unlink %s", path);
    return STATUS_OK;
}

enum status disk_make_dir(int dir_fd, const char *path, struct error *err)
{
    if (disk_ops->mkdirat(dir_fd, path, DISK_DIR_MODE) != 0)
        return error_set_errno(err, errno, "make directory %s", path);
    return STATUS_OK;
}

enum status disk_remove_dir(int dir_fd, const char *path, struct error *err)
{
    if (disk_ops->unlinkat(dir_fd, path, AT_REMOVEDIR) != 0)
        return error_set_errno(err, errno, "remove directory %s", path);
    return STATUS_OK;
}

enum status disk_size(int fd, uint64_t *size, struct error *err)
{
    struct stat stat;

    if (fstat(fd, &stat) != 0)
        return error_set_errno(err, errno, "stat");
    *size = (uint64_t)stat.st_size;
    return STATUS_OK;
}

enum status disk_stat_at(int dir_fd, const char *path, uint64_t *size, int64_t *modified,
                         struct error *err)
{
    struct stat stat;

    if (fstatat(dir_fd, path, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return error_set_errno(err, errno, "stat %s", path);
    if (!S_ISREG(stat.st_mode))
        return error_set(err, STATUS_IO, "%s is no file", path);
    *size = (uint64_t)stat.st_size;
    *modified = stat.st_mtime;
    return STATUS_OK;
}

enum status disk_space(int fd, uint64_t *size, uint64_t *free, struct error *err)
{
    struct statvfs stat;

    if (disk_ops->fstatvfs(fd, &stat) != 0)
        return error_set_errno(err, errno, "space of the file system");
    *size = (uint64_t)stat.f_blocks * stat.f_frsize;
    *free = (uint64_t)stat.f_bavail * stat.f_frsize;
    return STATUS_OK;
}

static int disk_name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Takes the names of an open directory; errno != 0 afterwards: it could not be read to its end. */
static void disk_take_names(DIR *dir, char ***names, size_t *count)
{
    struct dirent *entry;

    errno = 0;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char **more = realloc(*names, (*count + 1) * sizeof **names);
        char *name = strdup(entry->d_name);
        assert(more != NULL && name != NULL);
        *names = more;
        more[(*count)++] = name;
        errno = 0;
    }
}

enum status disk_list(int dir_fd, const char *path, char ***names, size_t *count, struct error *err)
{
    int fd;
    enum status status = disk_open(dir_fd, path, O_RDONLY | O_DIRECTORY, &fd, err);

    *names = NULL;
    *count = 0;
    if (status != STATUS_OK)
        return status;
    DIR *dir = fdopendir(dup(fd)); /* so that closing goes through the table, too */
    disk_close(fd);
    if (dir == NULL)
        return error_set_errno(err, errno, "list %s", path);
    disk_take_names(dir, names, count);
    int failed = errno;
    closedir(dir);
    if (failed != 0) {
        disk_names_free(*names, *count);
        *names = NULL;
        *count = 0;
        return error_set_errno(err, failed, "list %s", path);
    }
    if (*count > 0)
        qsort(*names, *count, sizeof **names, disk_name_order);
    return STATUS_OK;
}

void disk_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}
