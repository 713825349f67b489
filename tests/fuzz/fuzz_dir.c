/* fuzz_dir.c: one directory a process. */
#include "tests/fuzz/fuzz_dir.h"

#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

static char dir[FUZZ_PATH_SIZE];

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    return ftw->level == 0 ? 0 : remove(path);
}

void fuzz_dir_clear(void)
{
    nftw(fuzz_dir(), remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void dir_remove(void)
{
    fuzz_dir_clear();
    rmdir(dir);
}

const char *fuzz_dir(void)
{
    if (dir[0] != '\0')
        return dir;
    snprintf(dir, sizeof dir, "%s/gribstore-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    MUST(mkdtemp(dir) != NULL);
    atexit(dir_remove);
    return dir;
}

void fuzz_file(const char *name, const void *data, size_t size)
{
    char path[2 * FUZZ_PATH_SIZE];

    snprintf(path, sizeof path, "%s/%s", fuzz_dir(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
    close(fd);
}
