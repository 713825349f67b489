/* shim_log.c: appends records; everything by plain system calls, so that nothing here comes back to the shim. */
#include "tests/fault/shim/shim_log.h"
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_system.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int log_fd = -1;
static int shadow_fd = -1;
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *kept; /* mapped, kept_room bytes */
static size_t kept_size, kept_room;

void shim_log_open(void)
{
    const char *folder = getenv("GRIBSTORE_SHIM_LOG");
    char path[4096];

    if (folder == NULL)
        return;
    snprintf(path, sizeof path, "%s/shadow", folder);
    shadow_fd = (int)shim_system(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    snprintf(path, sizeof path, "%s/log", folder);
    log_fd = (int)shim_system(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0 || shadow_fd < 0)
        abort(); /* a drill without its log would prove nothing */
    shim_log_add((struct shim_record){ .kind = SHIM_LOG_START }, NULL, NULL);
}

bool shim_log_on(void)
{
    return log_fd >= 0;
}

void shim_log_lock(void)
{
    pthread_mutex_lock(&log_mutex);
}

void shim_log_unlock(void)
{
    pthread_mutex_unlock(&log_mutex);
}

uint64_t shim_log_end(void)
{
    return (uint64_t)shim_system(SYS_lseek, log_fd, 0, SEEK_END);
}

static void kept_reserve(size_t size)
{
    if (size <= kept_room)
        return;
    size = (size + 0xfffff) & ~(size_t)0xfffff;
    void *room = kept == NULL
                     ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                     : mremap(kept, kept_room, size, MREMAP_MAYMOVE);
    if (room == MAP_FAILED)
        abort();
    kept = room;
    kept_room = size;
}

void shim_log_keep_nothing(void)
{
    kept_size = 0;
}

void shim_log_keep(int fd, uint64_t offset, uint64_t size)
{
    char path[64];

    kept_size = 0;
    if (size == 0)
        return;
    kept_reserve(size);
    /* Another descriptor: this one may be for writing only, or for aligned reads only. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = (int)shim_system(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (again < 0)
        abort();
    while (kept_size < size) {
        long got = shim_system(SYS_pread64, again, kept + kept_size, size - kept_size, offset + kept_size);

        if (got <= 0)
            break;
        kept_size += (size_t)got;
    }
    shim_system(SYS_close, again);
}

void shim_log_keep_file(int dir_fd, const char *path, uint64_t ino)
{
    char name[32];

    snprintf(name, sizeof name, "%ju", (uintmax_t)ino);
    if (shim_system(SYS_linkat, dir_fd, path, shadow_fd, name, 0) != 0 && errno != EEXIST)
        shim_control_unmodelled("a file that can't be kept");
}

void shim_log_add(struct shim_record record, const char *name, const char *name2)
{
    record.magic = SHIM_MAGIC;
    record.name_size = (uint16_t)(name != NULL ? strlen(name) : 0);
    record.name2_size = (uint16_t)(name2 != NULL ? strlen(name2) : 0);
    record.data_size = kept_size;
    struct iovec vec[] = {
        { &record, sizeof record },
        { (void *)(uintptr_t)name, record.name_size },
        { (void *)(uintptr_t)name2, record.name2_size },
        { kept, kept_size },
    };
    size_t size = sizeof record + record.name_size + record.name2_size + kept_size;
    if (shim_system(SYS_writev, log_fd, vec, 4) != (long)size)
        abort();
    kept_size = 0;
}
