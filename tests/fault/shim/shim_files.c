/* shim_files.c: a table by descriptor. */
#include "tests/fault/shim/shim_files.h"
#include "tests/fault/shim/shim_system.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES_MAX = 65536 };

static struct shim_file *files;
static char root[SHIM_PATH_SIZE];

void shim_files_open(void)
{
    const char *path = getenv("GRIBSTORE_SHIM_ROOT");

    if (path == NULL || path[0] != '/' || strlen(path) >= sizeof root)
        return;
    /* Only pages that are touched take memory. */
    void *mapped = mmap(NULL, FILES_MAX * sizeof *files, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        abort();
    snprintf(root, sizeof root, "%s", path);
    files = mapped;
}

struct shim_file *shim_file_of(int fd)
{
    if (files == NULL || fd < 0 || fd >= FILES_MAX || !files[fd].is_tracked)
        return NULL;
    return &files[fd];
}

void shim_file_track(int fd, const char *path, int flags)
{
    struct stat stat;

    if (fd < 0 || fd >= FILES_MAX || fstat(fd, &stat) != 0)
        return;
    struct shim_file *file = &files[fd];
    file->is_dir = S_ISDIR(stat.st_mode);
    file->is_sync = (flags & (O_SYNC | O_DSYNC)) != 0;
    file->ino = stat.st_ino;
    snprintf(file->path, sizeof file->path, "%s", path);
    file->is_tracked = true;
}

void shim_file_copy(int from, int to)
{
    const struct shim_file *file = shim_file_of(from);

    if (to < 0 || to >= FILES_MAX || to == from)
        return;
    shim_file_forget(to);
    if (file == NULL)
        return;
    files[to].is_dir = file->is_dir;
    files[to].is_sync = file->is_sync;
    files[to].ino = file->ino;
    memcpy(files[to].path, file->path, sizeof file->path);
    files[to].is_tracked = true;
}

void shim_file_forget(int fd)
{
    if (files != NULL && fd >= 0 && fd < FILES_MAX)
        files[fd].is_tracked = false;
}

/* Appends the parts of text to the path of `*size` characters, taking "." and ".." as what they mean. */
static bool path_append(char path[SHIM_PATH_SIZE], size_t *size, const char *text)
{
    while (*text != '\0') {
        size_t part = strcspn(text, "/");

        if (part == 2 && memcmp(text, "..", 2) == 0) {
            while (*size > 0 && path[--*size] != '/')
                ;
        } else if (part > 0 && !(part == 1 && text[0] == '.')) {
            if (*size + part + 2 > SHIM_PATH_SIZE)
                return false;
            path[(*size)++] = '/';
            memcpy(path + *size, text, part);
            *size += part;
        }
        text += part;
        text += strspn(text, "/");
    }
    path[*size] = '\0';
    return true;
}

bool shim_path_of(int dir_fd, const char *name, char path[SHIM_PATH_SIZE])
{
    const struct shim_file *dir = shim_file_of(dir_fd);
    size_t size = 0;

    if (files == NULL || name == NULL)
        return false;
    path[0] = '\0';
    if (name[0] != '/' && dir == NULL) {
        char here[SHIM_PATH_SIZE];

        if (dir_fd != AT_FDCWD || shim_system(SYS_getcwd, here, sizeof here) <= 0 ||
            !path_append(path, &size, here))
            return false;
    }
    if (name[0] != '/' && dir != NULL && !path_append(path, &size, dir->path))
        return false;
    if (!path_append(path, &size, name))
        return false;
    size_t root_size = strlen(root);
    return strncmp(path, root, root_size) == 0 && (path[root_size] == '\0' || path[root_size] == '/');
}
