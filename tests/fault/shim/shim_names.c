/* shim_names.c: names that come, go and move. */
#include "tests/fault/shim/shim_names.h"
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_log.h"
#include "tests/fault/shim/shim_system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool shim_place_of(int dir_fd, const char *path, struct shim_place *place)
{
    struct stat stat;
    char *slash;

    if (!shim_path_of(dir_fd, path, place->path) || (slash = strrchr(place->path, '/')) == NULL)
        return false;
    /* By the descriptor, as the directory may have another name by now. */
    const char *last = strrchr(path, '/');
    char folder[SHIM_PATH_SIZE];
    snprintf(folder, sizeof folder, "%.*s", last != NULL ? (int)(last - path + 1) : 1,
             last != NULL ? path : ".");
    if (fstatat(dir_fd, folder, &stat, 0) != 0)
        return false;
    place->dir = stat.st_ino;
    place->name = slash + 1;
    return true;
}

/* PASS: the call is to be made and, with the log on, noted under its lock. */
static bool names_pass(enum shim_op op, const char *path, int *result)
{
    struct shim_verdict verdict = shim_control_ask(op, path, 0, 0);

    if (verdict.action == SHIM_PASS || verdict.action == SHIM_SHORT)
        return true;
    *result = 0; /* a lie */
    if (verdict.action == SHIM_FAIL) {
        errno = verdict.error;
        *result = -1;
    }
    return false;
}

/* The inode of a name; 0: none has it. */
static uint64_t names_inode(int dir_fd, const char *path, bool *is_dir)
{
    struct stat stat;

    if (fstatat(dir_fd, path, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return 0;
    *is_dir = S_ISDIR(stat.st_mode);
    return stat.st_ino;
}

/* --- unlink, rmdir --- */

static int unlink_logged(int dir_fd, const char *path, int flags, const struct shim_place *place)
{
    bool is_dir = false;
    uint64_t ino = names_inode(dir_fd, path, &is_dir);

    if (ino != 0 && !is_dir)
        shim_log_keep_file(dir_fd, path, ino);
    int failed = (int)shim_system(SYS_unlinkat, dir_fd, path, flags);
    if (failed == 0) {
        shim_log_keep_nothing();
        shim_log_add(
            (struct shim_record){ .kind = SHIM_LOG_REMOVE, .dir = place->dir, .ino = ino, .is_dir = is_dir },
            place->name, NULL);
    }
    return failed;
}

static int unlink_any(int dir_fd, const char *path, int flags)
{
    struct shim_place place;
    int result;

    if (!shim_place_of(dir_fd, path, &place))
        return (int)shim_system(SYS_unlinkat, dir_fd, path, flags);
    if (!names_pass(SHIM_UNLINK, place.path, &result))
        return result;
    if (!shim_log_on())
        return (int)shim_system(SYS_unlinkat, dir_fd, path, flags);
    shim_log_lock();
    result = unlink_logged(dir_fd, path, flags, &place);
    shim_log_unlock();
    return result;
}

int unlink(const char *path)
{
    return unlink_any(AT_FDCWD, path, 0);
}

int unlinkat(int dir_fd, const char *path, int flags)
{
    return unlink_any(dir_fd, path, flags);
}

int rmdir(const char *path)
{
    return unlink_any(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int failed = unlink_any(AT_FDCWD, path, 0);

    return failed != 0 && errno == EISDIR ? unlink_any(AT_FDCWD, path, AT_REMOVEDIR) : failed;
}

/* --- rename --- */

static int rename_logged(int from_dir, const char *from, int to_dir, const char *to, unsigned flags,
                         const struct shim_place *source, const struct shim_place *target)
{
    bool is_dir = false, was_dir = false;
    uint64_t ino = names_inode(from_dir, from, &is_dir);
    uint64_t other = names_inode(to_dir, to, &was_dir);

    if (other != 0 && !was_dir)
        shim_log_keep_file(to_dir, to, other);
    int failed = (int)shim_system(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (failed != 0)
        return failed;
    shim_log_keep_nothing();
    shim_log_add((struct shim_record){ .kind = SHIM_LOG_RENAME,
                                       .dir = source->dir,
                                       .dir2 = target->dir,
                                       .ino = ino,
                                       .other = other,
                                       .is_dir = is_dir },
                 source->name, target->name);
    return 0;
}

static int rename_any(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    struct shim_place source, target;
    int result;
    bool is_ours = shim_place_of(from_dir, from, &source);

    if (shim_place_of(to_dir, to, &target) != is_ours)
        shim_control_unmodelled("rename over the border");
    if (!is_ours)
        return (int)shim_system(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (!names_pass(SHIM_RENAME, source.path, &result))
        return result;
    if (!shim_log_on())
        return (int)shim_system(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if ((flags & ~1u) != 0) /* all but RENAME_NOREPLACE */
        shim_control_unmodelled("renameat2");
    shim_log_lock();
    result = rename_logged(from_dir, from, to_dir, to, flags, &source, &target);
    shim_log_unlock();
    return result;
}

int rename(const char *from, const char *to)
{
    return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return rename_any(from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return rename_any(from_dir, from, to_dir, to, flags);
}

/* --- mkdir, link --- */

static int mkdir_any(int dir_fd, const char *path, mode_t mode)
{
    struct shim_place place;
    bool is_dir;
    int result;

    if (!shim_place_of(dir_fd, path, &place))
        return (int)shim_system(SYS_mkdirat, dir_fd, path, mode);
    if (!names_pass(SHIM_MAKE, place.path, &result))
        return result;
    if (!shim_log_on())
        return (int)shim_system(SYS_mkdirat, dir_fd, path, mode);
    shim_log_lock();
    result = (int)shim_system(SYS_mkdirat, dir_fd, path, mode);
    if (result == 0) {
        uint64_t ino = names_inode(dir_fd, path, &is_dir);

        shim_log_keep_nothing();
        shim_log_add((struct shim_record){ .kind = SHIM_LOG_NEW, .ino = ino, .is_dir = 1 }, NULL, NULL);
        shim_log_add(
            (struct shim_record){ .kind = SHIM_LOG_ADD, .dir = place.dir, .ino = ino, .is_dir = 1 },
            place.name, NULL);
    }
    shim_log_unlock();
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdir_any(AT_FDCWD, path, mode);
}

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return mkdir_any(dir_fd, path, mode);
}

static int link_any(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    struct shim_place place;
    bool is_dir;
    int result;

    if (!shim_place_of(to_dir, to, &place))
        return (int)shim_system(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (!names_pass(SHIM_MAKE, place.path, &result))
        return result;
    if (!shim_log_on())
        return (int)shim_system(SYS_linkat, from_dir, from, to_dir, to, flags);
    shim_log_lock();
    result = (int)shim_system(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (result == 0) {
        shim_log_keep_nothing();
        shim_log_add((struct shim_record){ .kind = SHIM_LOG_ADD,
                                           .dir = place.dir,
                                           .ino = names_inode(to_dir, to, &is_dir) },
                     place.name, NULL);
    }
    shim_log_unlock();
    return result;
}

int link(const char *from, const char *to)
{
    return link_any(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    return link_any(from_dir, from, to_dir, to, flags);
}

int symlinkat(const char *target, int dir_fd, const char *path)
{
    char whole[SHIM_PATH_SIZE];

    if (shim_path_of(dir_fd, path, whole))
        shim_control_unmodelled("symlink");
    return (int)shim_system(SYS_symlinkat, target, dir_fd, path);
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}
