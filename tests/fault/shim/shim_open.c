/* shim_open.c: descriptors: open and its kin, dup, close. What O_CREAT and O_TRUNC do goes to the log. */
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_files.h"
#include "tests/fault/shim/shim_log.h"
#include "tests/fault/shim/shim_names.h"
#include "tests/fault/shim/shim_system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The fortified ones, and those that have no header. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir_fd, const char *path, int flags);
int __openat64_2(int dir_fd, const char *path, int flags);

/* With the log's lock held. */
static int open_logged(int dir_fd, const char *path, int flags, mode_t mode)
{
    struct shim_place place;
    struct stat before;
    bool is_unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    bool was_there = fstatat(dir_fd, path, &before, 0) == 0 && !is_unnamed;

    shim_log_keep_nothing();
    if (was_there && (flags & O_TRUNC) != 0 && S_ISREG(before.st_mode) && before.st_size > 0) {
        int fd = (int)shim_system(SYS_openat, dir_fd, path, O_RDONLY | O_CLOEXEC, 0);
        shim_log_keep(fd, 0, (uint64_t)before.st_size);
        shim_system(SYS_close, fd);
    }
    int fd = (int)shim_system(SYS_openat, dir_fd, path, flags, mode);
    if (fd < 0)
        return fd;
    if (was_there) {
        if ((flags & O_TRUNC) != 0 && before.st_size > 0)
            shim_log_add((struct shim_record){ .kind = SHIM_LOG_SIZE,
                                               .ino = before.st_ino,
                                               .size = (uint64_t)before.st_size },
                         NULL, NULL);
        return fd;
    }
    struct stat after;
    fstat(fd, &after);
    shim_log_add((struct shim_record){ .kind = SHIM_LOG_NEW, .ino = after.st_ino }, NULL, NULL);
    if (!is_unnamed && shim_place_of(dir_fd, path, &place))
        shim_log_add((struct shim_record){ .kind = SHIM_LOG_ADD, .dir = place.dir, .ino = after.st_ino },
                     place.name, NULL);
    return fd;
}

static int open_any(int dir_fd, const char *path, int flags, mode_t mode)
{
    char whole[SHIM_PATH_SIZE];

    if (!shim_path_of(dir_fd, path, whole)) {
        int fd = (int)shim_system(SYS_openat, dir_fd, path, flags, mode);
        shim_file_forget(fd); /* whoever had the number before */
        return fd;
    }
    struct shim_verdict verdict = shim_control_ask(SHIM_OPEN, whole, 0, 0);
    if (verdict.action == SHIM_FAIL) {
        errno = verdict.error;
        return -1;
    }
    bool changes = (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    int fd;
    if (changes && shim_log_on()) {
        shim_log_lock();
        fd = open_logged(dir_fd, path, flags, mode);
        shim_log_unlock();
    } else {
        fd = (int)shim_system(SYS_openat, dir_fd, path, flags, mode);
    }
    shim_file_forget(fd);
    if (fd >= 0)
        shim_file_track(fd, whole, flags);
    return fd;
}

#define OPEN_MODE(flags, mode)                                                                     \
    do {                                                                                           \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE)                            \
            (mode) = va_arg(list, mode_t);                                                         \
        va_end(list);                                                                              \
    } while (0)

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;

    OPEN_MODE(flags, mode);
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;

    OPEN_MODE(flags, mode);
    return open_any(AT_FDCWD, path, flags, mode);
}

int openat(int dir_fd, const char *path, int flags, ...)
{
    mode_t mode = 0;

    OPEN_MODE(flags, mode);
    return open_any(dir_fd, path, flags, mode);
}

int openat64(int dir_fd, const char *path, int flags, ...)
{
    mode_t mode = 0;

    OPEN_MODE(flags, mode);
    return open_any(dir_fd, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dir_fd, const char *path, int flags)
{
    return open_any(dir_fd, path, flags, 0);
}

int __openat64_2(int dir_fd, const char *path, int flags)
{
    return open_any(dir_fd, path, flags, 0);
}

/* --- copies and ends of descriptors --- */

int dup(int fd)
{
    int copy = (int)shim_system(SYS_dup, fd);

    if (copy >= 0)
        shim_file_copy(fd, copy);
    return copy;
}

int dup2(int from, int to)
{
    if (from == to)
        return fcntl(from, F_GETFD) < 0 ? -1 : to;
    int copy = (int)shim_system(SYS_dup3, from, to, 0);
    if (copy >= 0)
        shim_file_copy(from, copy);
    return copy;
}

int dup3(int from, int to, int flags)
{
    int copy = (int)shim_system(SYS_dup3, from, to, flags);

    if (copy >= 0)
        shim_file_copy(from, copy);
    return copy;
}

static int fcntl_any(int fd, int command, long argument)
{
    int result = (int)shim_system(SYS_fcntl, fd, command, argument);

    if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC))
        shim_file_copy(fd, result);
    return result;
}

int fcntl(int fd, int command, ...)
{
    va_list list;

    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return fcntl_any(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list list;

    va_start(list, command);
    long argument = va_arg(list, long);
    va_end(list);
    return fcntl_any(fd, command, argument);
}

int close(int fd)
{
    shim_file_forget(fd);
    return (int)shim_system(SYS_close, fd);
}

/* These close without a call that could be seen. */
int closedir(DIR *dir)
{
    static int (*real)(DIR * dir);

    if (real == NULL) {
        void *found = shim_next("closedir");
        memcpy(&real, &found, sizeof real);
    }
    shim_file_forget(dirfd(dir));
    return real(dir);
}

int fclose(FILE *file)
{
    static int (*real)(FILE * file);

    if (real == NULL) {
        void *found = shim_next("fclose");
        memcpy(&real, &found, sizeof real);
    }
    shim_file_forget(fileno(file));
    return real(file);
}

/* --- what the log does not know --- */

static FILE *fopen_any(const char *name, const char *path, const char *mode)
{
    FILE *(*real)(const char *path, const char *mode);
    void *found = shim_next(name);
    char whole[SHIM_PATH_SIZE];

    memcpy(&real, &found, sizeof real);
    if (strpbrk(mode, "wa+") != NULL && shim_path_of(AT_FDCWD, path, whole))
        shim_control_unmodelled(name);
    FILE *file = real(path, mode);
    if (file != NULL)
        shim_file_forget(fileno(file));
    return file;
}

FILE *fopen(const char *path, const char *mode)
{
    return fopen_any("fopen", path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return fopen_any("fopen64", path, mode);
}

static void *mmap_any(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if ((flags & MAP_ANONYMOUS) == 0 && (flags & MAP_TYPE) != MAP_PRIVATE &&
        (protection & PROT_WRITE) != 0 && shim_file_of(fd) != NULL)
        shim_control_unmodelled("mmap");
    long result = shim_system(SYS_mmap, at, size, protection, flags, fd, offset);
    void *address;
    memcpy(&address, &result, sizeof address);
    return address;
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap_any(at, size, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return mmap_any(at, size, protection, flags, fd, offset);
}
