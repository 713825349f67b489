/* shim_data.c: bytes of files: read, written, cut, flushed. */
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_files.h"
#include "tests/fault/shim/shim_log.h"
#include "tests/fault/shim/shim_system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The fortified ones. */
ssize_t __read_chk(int fd, void *data, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *data, size_t size, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *data, size_t size, off64_t offset, size_t room);

static uint64_t vec_size(const struct iovec *vec, int count)
{
    uint64_t size = 0;

    for (int i = 0; i < count; i++)
        size += vec[i].iov_len;
    return size;
}

/* The first `size` bytes of vec, in a vector of its own; how many entries. */
static int vec_cut(const struct iovec *vec, int count, uint64_t size, struct iovec cut[IOV_MAX])
{
    int kept = 0;

    for (int i = 0; i < count && i < IOV_MAX && size > 0; i++) {
        cut[kept] = vec[i];
        if (cut[kept].iov_len > size)
            cut[kept].iov_len = size;
        size -= cut[kept++].iov_len;
    }
    return kept;
}

static uint64_t file_size(int fd)
{
    struct stat stat;

    return fstat(fd, &stat) == 0 && stat.st_size > 0 ? (uint64_t)stat.st_size : 0;
}

/* Where a call without an offset works. */
static uint64_t file_position(int fd)
{
    int flags = (int)shim_system(SYS_fcntl, fd, F_GETFL, 0);
    long at = (flags & O_APPEND) != 0 ? (long)file_size(fd) : shim_system(SYS_lseek, fd, 0L, SEEK_CUR);

    return at < 0 ? 0 : (uint64_t)at;
}

/* Some of the bytes of a short call: at least one, never all. */
static uint64_t some_of(uint64_t size)
{
    return size < 2 ? size : 1 + shim_random() % (size - 1);
}

/* --- reading --- */

static ssize_t read_any(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    struct iovec cut[IOV_MAX];
    const struct shim_file *file = shim_file_of(fd);

    if (file == NULL)
        return shim_system(SYS_preadv2, fd, vec, count, offset, 0L, flags);
    uint64_t size = vec_size(vec, count);
    uint64_t at = offset < 0 ? file_position(fd) : (uint64_t)offset;
    struct shim_verdict verdict = shim_control_ask(SHIM_READ, file->path, at, size);
    if (verdict.action == SHIM_FAIL) {
        errno = verdict.error;
        return -1;
    }
    if (verdict.action == SHIM_SHORT)
        verdict.length = some_of(size);
    if (verdict.length < size) {
        count = vec_cut(vec, count, verdict.length, cut);
        vec = cut;
    }
    return shim_system(SYS_preadv2, fd, vec, count, offset, 0L, flags);
}

static ssize_t read_one(int fd, void *data, size_t size, off_t offset)
{
    struct iovec vec = { data, size };

    return read_any(fd, &vec, 1, offset, 0);
}

ssize_t read(int fd, void *data, size_t size)
{
    if (shim_file_of(fd) == NULL)
        return shim_system(SYS_read, fd, data, size);
    return read_one(fd, data, size, -1);
}

ssize_t __read_chk(int fd, void *data, size_t size, size_t room)
{
    if (size > room)
        abort();
    return read(fd, data, size);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset)
{
    return read_one(fd, data, size, offset);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset)
{
    return read_one(fd, data, size, offset);
}

ssize_t __pread_chk(int fd, void *data, size_t size, off_t offset, size_t room)
{
    if (size > room)
        abort();
    return read_one(fd, data, size, offset);
}

ssize_t __pread64_chk(int fd, void *data, size_t size, off64_t offset, size_t room)
{
    if (size > room)
        abort();
    return read_one(fd, data, size, offset);
}

ssize_t readv(int fd, const struct iovec *vec, int count)
{
    if (shim_file_of(fd) == NULL)
        return shim_system(SYS_readv, fd, vec, count);
    return read_any(fd, vec, count, -1, 0);
}

ssize_t preadv(int fd, const struct iovec *vec, int count, off_t offset)
{
    return read_any(fd, vec, count, offset, 0);
}

ssize_t preadv64(int fd, const struct iovec *vec, int count, off64_t offset)
{
    return read_any(fd, vec, count, offset, 0);
}

ssize_t preadv2(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    return read_any(fd, vec, count, offset, flags);
}

ssize_t preadv64v2(int fd, const struct iovec *vec, int count, off64_t offset, int flags)
{
    return read_any(fd, vec, count, offset, flags);
}

/* --- writing --- */

/* Notes that [at, at + size) of the file may change: what is there goes with the next record. [lock] */
static uint64_t write_prepare(int fd, uint64_t at, uint64_t size)
{
    uint64_t end = file_size(fd);

    shim_log_keep_nothing();
    if (at < end)
        shim_log_keep(fd, at, at + size < end ? size : end - at);
    return end;
}

static void write_note(const struct shim_file *file, uint64_t at, uint64_t done, uint64_t end,
                       bool is_flushed)
{
    shim_log_add(
        (struct shim_record){
            .kind = SHIM_LOG_WRITE, .ino = file->ino, .offset = at, .length = done, .size = end },
        NULL, NULL);
    if (is_flushed)
        shim_log_add(
            (struct shim_record){ .kind = SHIM_LOG_FLUSH, .ino = file->ino, .other = shim_log_end() },
            NULL, NULL);
}

/* A write that `make` does; size is what it wants to change. */
struct write_call {
    int fd, in_fd;
    const struct iovec *vec;
    int count, flags;
    off_t offset;
    off_t *in_offset, *out_offset;
    uint64_t size;
};
typedef ssize_t write_make(const struct write_call *call);

static ssize_t write_any(const struct write_call *whole, write_make *make)
{
    struct write_call some = *whole, *call = &some;
    struct iovec cut[IOV_MAX];
    const struct shim_file *file = shim_file_of(call->fd);

    if (file == NULL)
        return make(call);
    uint64_t at = call->offset < 0 ? file_position(call->fd) : (uint64_t)call->offset;
    struct shim_verdict verdict = shim_control_ask(SHIM_WRITE, file->path, at, call->size);
    if (verdict.action == SHIM_FAIL) {
        errno = verdict.error;
        return -1;
    }
    if (verdict.action == SHIM_LIE)
        return (ssize_t)call->size;
    if (verdict.action == SHIM_SHORT) {
        call->size = some_of(call->size);
        if (call->vec != NULL) {
            call->count = vec_cut(call->vec, call->count, call->size, cut);
            call->vec = cut;
        }
    }
    if (!shim_log_on())
        return make(call);
    shim_log_lock();
    if (call->offset < 0)
        at = file_position(call->fd);
    uint64_t end = write_prepare(call->fd, at, call->size);
    ssize_t done = make(call);
    if (done > 0)
        write_note(file, at, (uint64_t)done, end,
                   file->is_sync || (call->flags & (RWF_DSYNC | RWF_SYNC)) != 0);
    shim_log_unlock();
    return done;
}

static ssize_t make_pwritev2(const struct write_call *call)
{
    return shim_system(SYS_pwritev2, call->fd, call->vec, call->count, call->offset, 0L, call->flags);
}

static ssize_t write_vec(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    struct write_call call = {
        .fd = fd,
        .vec = vec,
        .count = count,
        .flags = flags,
        .offset = offset,
        .size = vec_size(vec, count),
    };

    return write_any(&call, make_pwritev2);
}

static ssize_t write_one(int fd, const void *data, size_t size, off_t offset)
{
    struct iovec vec = { (void *)(uintptr_t)data, size };

    return write_vec(fd, &vec, 1, offset, 0);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (shim_file_of(fd) == NULL)
        return shim_system(SYS_write, fd, data, size);
    return write_one(fd, data, size, -1);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return write_one(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return write_one(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *vec, int count)
{
    if (shim_file_of(fd) == NULL)
        return shim_system(SYS_writev, fd, vec, count);
    return write_vec(fd, vec, count, -1, 0);
}

ssize_t pwritev(int fd, const struct iovec *vec, int count, off_t offset)
{
    return write_vec(fd, vec, count, offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *vec, int count, off64_t offset)
{
    return write_vec(fd, vec, count, offset, 0);
}

ssize_t pwritev2(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    return write_vec(fd, vec, count, offset, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *vec, int count, off64_t offset, int flags)
{
    return write_vec(fd, vec, count, offset, flags);
}

/* --- from file to file --- */

static ssize_t make_sendfile(const struct write_call *call)
{
    return shim_system(SYS_sendfile, call->fd, call->in_fd, call->in_offset, call->size);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size)
{
    const struct shim_file *file = shim_file_of(in);
    struct write_call call = { .fd = out, .in_fd = in, .in_offset = offset, .offset = -1, .size = size };

    if (file != NULL) {
        uint64_t at = offset != NULL ? (uint64_t)*offset : file_position(in);
        struct shim_verdict verdict = shim_control_ask(SHIM_READ, file->path, at, size);

        if (verdict.action == SHIM_FAIL) {
            errno = verdict.error;
            return -1;
        }
        if (verdict.action == SHIM_SHORT)
            verdict.length = some_of(size);
        if (verdict.length < size)
            call.size = verdict.length;
    }
    return write_any(&call, make_sendfile);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size)
{
    return sendfile(out, in, offset, size);
}

static ssize_t make_copy(const struct write_call *call)
{
    return shim_system(SYS_copy_file_range, call->in_fd, call->in_offset, call->fd,
                       call->out_offset, call->size, call->flags);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size,
                        unsigned flags)
{
    struct write_call call = {
        .fd = out,
        .in_fd = in,
        .in_offset = in_offset,
        .out_offset = out_offset,
        .offset = out_offset != NULL ? *out_offset : -1,
        .size = size,
        .flags = (int)flags,
    };

    return write_any(&call, make_copy);
}

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned flags)
{
    if (shim_file_of(out) != NULL)
        shim_control_unmodelled("splice");
    return shim_system(SYS_splice, in, in_offset, out, out_offset, size, flags);
}

/* --- sizes --- */

enum { SIZE_CUT = -1 }; /* in the place of fallocate's mode */

/* [lock] */
static int size_logged(int fd, const struct shim_file *file, int mode, uint64_t offset, uint64_t length)
{
    uint64_t before = file_size(fd);

    shim_log_keep_nothing();
    if (mode == SIZE_CUT && length < before)
        shim_log_keep(fd, length, before - length);
    else if (mode > 0)
        write_prepare(fd, offset, length);
    int failed = mode == SIZE_CUT ? (int)shim_system(SYS_ftruncate, fd, length)
                                  : (int)shim_system(SYS_fallocate, fd, mode, offset, length);
    if (failed != 0)
        return failed;
    if (mode == FALLOC_FL_KEEP_SIZE)
        return 0; /* room, but nothing that can be read */
    if (mode > 0 && (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
        shim_control_unmodelled("fallocate");
    if (mode > 0)
        shim_log_add(
            (struct shim_record){
                .kind = SHIM_LOG_WRITE, .ino = file->ino, .offset = offset, .length = length, .size = before },
            NULL, NULL);
    else if (file_size(fd) != before)
        shim_log_add(
            (struct shim_record){
                .kind = SHIM_LOG_SIZE, .ino = file->ino, .length = file_size(fd), .size = before },
            NULL, NULL);
    return 0;
}

static int size_any(int fd, int mode, uint64_t offset, uint64_t length)
{
    const struct shim_file *file = shim_file_of(fd);

    if (file != NULL) {
        struct shim_verdict verdict = shim_control_ask(SHIM_TRUNCATE, file->path, 0, 0);

        if (verdict.action == SHIM_LIE)
            return 0;
        if (verdict.action == SHIM_FAIL) {
            errno = verdict.error;
            return -1;
        }
    }
    if (file == NULL || !shim_log_on())
        return mode == SIZE_CUT ? (int)shim_system(SYS_ftruncate, fd, length)
                                : (int)shim_system(SYS_fallocate, fd, mode, offset, length);
    shim_log_lock();
    int failed = size_logged(fd, file, mode, offset, length);
    shim_log_unlock();
    return failed;
}

int ftruncate(int fd, off_t size)
{
    return size_any(fd, SIZE_CUT, 0, (uint64_t)size);
}

int ftruncate64(int fd, off64_t size)
{
    return size_any(fd, SIZE_CUT, 0, (uint64_t)size);
}

int truncate(const char *path, off_t size)
{
    char whole[SHIM_PATH_SIZE];

    if (shim_path_of(AT_FDCWD, path, whole))
        shim_control_unmodelled("truncate");
    return (int)shim_system(SYS_truncate, path, size);
}

int truncate64(const char *path, off64_t size)
{
    return truncate(path, size);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return size_any(fd, mode, (uint64_t)offset, (uint64_t)length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return size_any(fd, mode, (uint64_t)offset, (uint64_t)length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    int before = errno;
    int failed = size_any(fd, 0, (uint64_t)offset, (uint64_t)length) != 0 ? errno : 0;

    errno = before;
    return failed;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return posix_fallocate(fd, offset, length);
}

/* --- flushing --- */

/* Takes the record that says so; end: of the log when the flush began. */
static void flush_note(enum shim_record_kind kind, uint64_t ino, uint64_t end)
{
    shim_log_lock();
    shim_log_keep_nothing();
    shim_log_add((struct shim_record){ .kind = kind, .ino = ino, .other = end }, NULL, NULL);
    shim_log_unlock();
}

static uint64_t flush_begin(void)
{
    if (!shim_log_on())
        return 0;
    shim_log_lock();
    uint64_t end = shim_log_end();
    shim_log_unlock();
    return end;
}

static int flush_any(int fd, long number)
{
    const struct shim_file *file = shim_file_of(fd);

    if (file == NULL)
        return (int)shim_system(number, fd);
    bool is_all = number == SYS_syncfs;
    uint64_t end = flush_begin();
    uint64_t ino = file->ino;
    bool is_dir = file->is_dir && !is_all;
    struct shim_verdict verdict = shim_control_ask(is_dir ? SHIM_FLUSH_DIR : SHIM_FLUSH, file->path,
                                                   0, 0);
    if (verdict.action == SHIM_LIE)
        return 0;
    if (verdict.action == SHIM_FAIL) {
        if (shim_log_on() && verdict.error != EINTR)
            flush_note(SHIM_LOG_FLUSH_FAILED, ino, end);
        errno = verdict.error;
        return -1;
    }
    if (!shim_control_has(SHIM_SKIP_FLUSH)) {
        int failed = (int)shim_system(number, fd);
        if (failed != 0)
            return failed;
    }
    if (shim_log_on())
        flush_note(is_all   ? SHIM_LOG_FLUSH_ALL
                   : is_dir ? SHIM_LOG_FLUSH_DIR
                            : SHIM_LOG_FLUSH,
                   ino, end);
    return 0;
}

int fsync(int fd)
{
    return flush_any(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return flush_any(fd, SYS_fdatasync);
}

int syncfs(int fd)
{
    return flush_any(fd, SYS_syncfs);
}

void sync(void)
{
    uint64_t end = flush_begin();

    shim_system(SYS_sync);
    if (shim_log_on())
        flush_note(SHIM_LOG_FLUSH_ALL, 0, end);
}
