/* disk.h: the only open, preadv2, pwritev, fdatasync, rename, unlink of the store: its door to the disk.
 *
 * Calls are those of POSIX with short writes and EINTR dealt with: all bytes or an error. A test replaces the table to
 * make the n-th call fail, or to forget what was not flushed. */
#ifndef STORAGED_STORE_DISK_H
#define STORAGED_STORE_DISK_H

#include "proto/base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>

struct disk_ops {
    int (*openat)(int dir_fd, const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*preadv2)(int fd, const struct iovec *vec, int count, off_t offset, int flags);
    ssize_t (*pwritev)(int fd, const struct iovec *vec, int count, off_t offset);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*ftruncate)(int fd, off_t size);
    int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
    int (*unlinkat)(int dir_fd, const char *path, int flags);
    int (*mkdirat)(int dir_fd, const char *path, mode_t mode);
    int (*fstatvfs)(int fd, struct statvfs *space);
};
extern const struct disk_ops disk_posix;
void disk_replace(const struct disk_ops *ops); /* NULL: back to disk_posix. Not while threads run */
const struct disk_ops *disk_in_use(void);

enum status disk_open(int dir_fd, const char *path, int flags, int *fd,
                      struct error *err); /* O_CLOEXEC and O_NOFOLLOW are added; errno says why not */
void disk_close(int fd);                  /* -1 is fine */
/* Exactly size bytes, or IO; MORE: with may_block false, not all of them are in the page cache. CORRUPT: the file ends before.
 * NO_MEMORY: the system had none for them, which says nothing of the disk. */
enum status disk_read(int fd, uint64_t offset, void *data, size_t size, bool may_block,
                      struct error *err);
/* At most size bytes, as many as the file has there: *got. IO, NO_MEMORY. */
enum status disk_read_some(int fd, uint64_t offset, void *data, size_t size, size_t *got,
                           struct error *err);
/* The page cache need not keep these bytes: asked, not promised. */
void disk_forget(int fd, uint64_t offset, uint64_t size);
bool disk_set_direct(int fd, bool direct); /* O_DIRECT on or off; false: it can't be */
enum status disk_write(int fd, uint64_t offset, const void *data, size_t size, struct error *err);
enum status disk_writev(int fd, uint64_t offset, struct iovec *vec, int count,
                        struct error *err); /* vec is used up */
/* A second descriptor of a file, for writes around the page cache, from memory straight to the disk. UNSUPPORTED: the
 * file system, or the system, has no such writes. */
enum status disk_open_direct(int dir_fd, const char *path, int *fd, struct error *err);
/* What disk_write_direct() takes offset, size and memory in multiples of: a page, so that no page of the file is written
 * both ways, and every disk's block. */
size_t disk_direct_unit(void);
/* By a descriptor of disk_open_direct(). It promises no more than disk_write() does: a flush does. UNSUPPORTED: this file is not
 * written so after all; what lies there now is unknown, until disk_write() has written it. */
enum status disk_write_direct(int fd, uint64_t offset, const void *data, size_t size, struct error *err);
/* Asks the system to begin writing what was written to the file; waits for nothing and promises nothing. Files begun
 * together are flushed with fewer commits of the file system. */
void disk_begin_flush(int fd);
/* fdatasync; fsync of a directory. IO after any failure, also for want of space: what is on disk is unknown then, and
 * asking again would prove nothing. */
enum status disk_flush(int fd, struct error *err);
enum status disk_flush_dir(int fd, struct error *err);
enum status disk_flush_dir_at(int dir_fd, const char *path, struct error *err); /* opened for it */
enum status disk_truncate(int fd, uint64_t size, struct error *err);
enum status disk_rename(int from_dir, const char *from, int to_dir, const char *to, struct error *err);
enum status disk_unlink(int dir_fd, const char *path, struct error *err);
enum status disk_make_dir(int dir_fd, const char *path, struct error *err); /* EXISTS when it was there */
enum status disk_remove_dir(int dir_fd, const char *path, struct error *err); /* it is empty */

/* What is asked, not changed: straight from the system. */
enum status disk_size(int fd, uint64_t *size, struct error *err);
/* Of a file by its name; modified in seconds since 1970. NOT_FOUND. */
enum status disk_stat_at(int dir_fd, const char *path, uint64_t *size, int64_t *modified,
                         struct error *err);
/* Bytes of the file system that holds fd: all, and what we may still write. It may wait for that file system. */
enum status disk_space(int fd, uint64_t *size, uint64_t *free, struct error *err);
/* The names in a directory, without "." and "..", sorted; free with disk_names_free(). */
enum status disk_list(int dir_fd, const char *path, char ***names, size_t *count, struct error *err);
void disk_names_free(char **names, size_t count);

#endif
