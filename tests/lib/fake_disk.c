/* fake_disk.c: a model of what is flushed, beside the real files. */
#include "tests/lib/fake_disk.h"

#include "proto/base/bytes.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAKE_FDS_MAX = 4096, FAKE_DRIBBLE_SIZE = 7, FAKE_PATH_SIZE = 1024, FAKE_SECTOR = 512 };

struct fake_node;

struct fake_name {
    char *name; /* owned */
    struct fake_node *node;
};

/* A file's bytes or a directory's names, at one moment. */
struct fake_state {
    uint8_t *bytes; /* owned */
    size_t size;
    struct fake_name *names; /* owned */
    size_t count;
};

struct fake_node {
    bool is_dir;
    struct fake_state now, flushed;
    struct fake_node *next; /* of all nodes: freed at the stop */
};

static struct {
    pthread_mutex_t mutex;
    struct fake_node *nodes, *root;
    struct fake_node *fds[FAKE_FDS_MAX];
    bool is_direct[FAKE_FDS_MAX]; /* opened for writes around the page cache */
    unsigned fds_open;
    uint64_t calls, fail_at, cut_at, room, direct_size;
    enum fake_direct direct;
    int error_number;
    bool dribble, hit;
} fake = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* --- the model --- */

static struct fake_node *fake_node_new(bool is_dir)
{
    struct fake_node *node = calloc(1, sizeof *node);

    node->is_dir = is_dir;
    node->next = fake.nodes;
    fake.nodes = node;
    return node;
}

static void fake_state_fini(struct fake_state *state)
{
    for (size_t i = 0; i < state->count; i++)
        free(state->names[i].name);
    free(state->names);
    free(state->bytes);
    *state = (struct fake_state){ 0 };
}

static void fake_state_resize(struct fake_state *state, size_t size)
{
    state->bytes = realloc(state->bytes, size + 1);
    if (size > state->size)
        memset(state->bytes + state->size, 0, size - state->size);
    state->size = size;
}

static void fake_state_add(struct fake_state *state, const char *name, struct fake_node *node)
{
    state->names = realloc(state->names, (state->count + 1) * sizeof *state->names);
    state->names[state->count++] = (struct fake_name){ .name = strdup(name), .node = node };
}

static void fake_state_copy(struct fake_state *to, const struct fake_state *from)
{
    fake_state_fini(to);
    fake_state_resize(to, from->size);
    if (from->size > 0)
        memcpy(to->bytes, from->bytes, from->size);
    for (size_t i = 0; i < from->count; i++)
        fake_state_add(to, from->names[i].name, from->names[i].node);
}

static struct fake_name *fake_state_find(const struct fake_state *state, const char *name)
{
    for (size_t i = 0; i < state->count; i++)
        if (strcmp(state->names[i].name, name) == 0)
            return &state->names[i];
    return NULL;
}

static void fake_state_remove(struct fake_state *state, const char *name)
{
    struct fake_name *found = fake_state_find(state, name);

    if (found == NULL)
        return;
    free(found->name);
    *found = state->names[--state->count];
}

/* The directory in which the last part of path stands, and that part; NULL: not modelled. */
static struct fake_node *fake_parent(int dir_fd, const char *path, char *last)
{
    char copy[FAKE_PATH_SIZE];
    struct fake_node *dir = dir_fd >= 0 && dir_fd < FAKE_FDS_MAX ? fake.fds[dir_fd] : NULL;

    snprintf(copy, sizeof copy, "%s", path);
    char *rest = copy, *slash;
    while (dir != NULL && (slash = strchr(rest, '/')) != NULL) {
        *slash = '\0';
        struct fake_name *name = fake_state_find(&dir->now, rest);
        dir = name != NULL ? name->node : NULL;
        rest = slash + 1;
    }
    snprintf(last, FAKE_PATH_SIZE, "%s", rest);
    return dir;
}

static void fake_scan_file(int fd, struct fake_node *node)
{
    struct stat stat;

    fstat(fd, &stat);
    fake_state_resize(&node->now, (size_t)stat.st_size);
    ssize_t got = pread(fd, node->now.bytes, node->now.size, 0);
    assert(got == stat.st_size);
    (void)got;
}

static struct fake_node *fake_scan(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY);
    struct stat stat;

    assert(fd >= 0);
    fstat(fd, &stat);
    struct fake_node *node = fake_node_new(S_ISDIR(stat.st_mode));
    if (!node->is_dir) {
        fake_scan_file(fd, node);
    } else {
        DIR *dir = fdopendir(dup(fd));
        struct dirent *entry;

        while ((entry = readdir(dir)) != NULL)
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                fake_state_add(&node->now, entry->d_name, fake_scan(fd, entry->d_name));
        closedir(dir);
    }
    close(fd);
    fake_state_copy(&node->flushed, &node->now);
    return node;
}

/* --- faults --- */

/* One more call; with the mutex held. True: it fails, errno is set. */
static bool fake_fails_for_good(void)
{
    fake.calls++;
    if (fake.cut_at != 0 && fake.calls >= fake.cut_at) {
        fake.hit = true;
        errno = EIO;
        return true;
    }
    if (fake.fail_at != 0 && fake.calls == fake.fail_at) {
        fake.hit = true;
        errno = fake.error_number;
        return true;
    }
    return false;
}

/* The same for calls that a signal may interrupt. */
static bool fake_fails(void)
{
    if (fake_fails_for_good())
        return true;
    if (!fake.dribble || fake.calls % 3 != 0)
        return false;
    errno = EINTR;
    return true;
}

/* --- the table --- */

/* The file system below may have no O_DIRECT: ours has it as we are told. */
static int fake_open(int dir_fd, const char *path, int flags, mode_t mode)
{
    if ((flags & O_DIRECT) != 0 && fake.direct == FAKE_DIRECT_NOT_OPENED) {
        errno = EINVAL;
        return -1;
    }
    return openat(dir_fd, path, flags & ~O_DIRECT, mode);
}

static int fake_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
    char last[FAKE_PATH_SIZE];

    pthread_mutex_lock(&fake.mutex);
    int fd = fake_fails() ? -1 : fake_open(dir_fd, path, flags, mode);
    if (fd >= 0) {
        assert(fd < FAKE_FDS_MAX);
        struct fake_node *parent = fake_parent(dir_fd, path, last);
        struct fake_node *node = NULL;

        fake.fds_open++;
        if ((flags & O_TMPFILE) == O_TMPFILE) {
            node = fake_node_new(false);
        } else if (dir_fd == AT_FDCWD) {
            node = fake.root; /* the store opens nothing else by its path */
        } else if (parent != NULL && strcmp(last, ".") == 0) {
            node = parent;
        } else if (parent != NULL) {
            struct fake_name *name = fake_state_find(&parent->now, last);

            node = name != NULL ? name->node : NULL;
            if (node == NULL && (flags & O_CREAT) != 0) {
                node = fake_node_new(false);
                fake_state_add(&parent->now, last, node);
            }
            if (node != NULL && (flags & O_TRUNC) != 0)
                fake_state_resize(&node->now, 0);
        }
        fake.fds[fd] = node;
        fake.is_direct[fd] = (flags & O_DIRECT) != 0;
    }
    pthread_mutex_unlock(&fake.mutex);
    return fd;
}

static int fake_close(int fd)
{
    pthread_mutex_lock(&fake.mutex);
    assert(fake.fds_open > 0);
    fake.fds_open--;
    fake.fds[fd] = NULL;
    int failed = close(fd);
    pthread_mutex_unlock(&fake.mutex);
    return failed;
}

static ssize_t fake_preadv2(int fd, const struct iovec *vec, int count, off_t offset, int flags)
{
    struct iovec first = vec[0];

    pthread_mutex_lock(&fake.mutex);
    bool fails = fake_fails();
    bool dribble = fake.dribble;
    pthread_mutex_unlock(&fake.mutex);
    if (fails)
        return -1;
    if (!dribble)
        return preadv2(fd, vec, count, offset, flags);
    if (first.iov_len > FAKE_DRIBBLE_SIZE)
        first.iov_len = FAKE_DRIBBLE_SIZE;
    return preadv2(fd, &first, 1, offset, flags);
}

/* How much of a write is taken; unit: it is taken in multiples of that. */
static size_t fake_write_size(const struct fake_node *node, const struct iovec *vec, int count,
                              off_t offset, size_t unit)
{
    size_t size = 0, dribble = unit > 1 ? unit : FAKE_DRIBBLE_SIZE;

    for (int i = 0; i < count; i++)
        size += vec[i].iov_len;
    if (fake.dribble && size > dribble)
        size = dribble;
    if (fake.room == UINT64_MAX || node == NULL)
        return size;
    uint64_t end = (uint64_t)offset + size;
    uint64_t more = end > node->now.size ? end - node->now.size : 0;
    if (more > fake.room)
        size -= more - fake.room < size ? more - fake.room : size;
    return size - size % unit;
}

static ssize_t fake_write(struct fake_node *node, int fd, const struct iovec *vec, int count,
                          off_t offset, size_t unit)
{
    size_t left = fake_write_size(node, vec, count, offset, unit);
    size_t done = 0;

    if (left == 0) {
        errno = ENOSPC;
        return -1;
    }
    for (int i = 0; i < count && left > 0; i++) {
        size_t size = vec[i].iov_len < left ? vec[i].iov_len : left;
        ssize_t wrote = pwrite(fd, vec[i].iov_base, size, offset + (off_t)done);

        assert(wrote == (ssize_t)size);
        (void)wrote;
        if (node != NULL) {
            size_t end = (size_t)offset + done + size;

            if (end > node->now.size) {
                if (fake.room != UINT64_MAX)
                    fake.room -= end - node->now.size;
                fake_state_resize(&node->now, end);
            }
            memcpy(node->now.bytes + (size_t)offset + done, vec[i].iov_base, size);
        }
        done += size;
        left -= size;
    }
    return (ssize_t)done;
}

static ssize_t fake_write_direct(struct fake_node *node, int fd, const struct iovec *vec, int count,
                                 off_t offset)
{
    size_t unit = disk_direct_unit();

    assert(node != NULL && (uint64_t)offset >= node->now.size && (size_t)offset % unit == 0);
    for (int i = 0; i < count; i++)
        assert((uintptr_t)vec[i].iov_base % unit == 0 && vec[i].iov_len % unit == 0);
    if (fake.direct == FAKE_DIRECT_NOT_WRITTEN) {
        errno = EINVAL;
        return -1;
    }
    ssize_t done = fake_write(node, fd, vec, count, offset, unit);
    if (done > 0)
        fake.direct_size += (uint64_t)done;
    return done;
}

static ssize_t fake_pwritev(int fd, const struct iovec *vec, int count, off_t offset)
{
    ssize_t done = -1;

    pthread_mutex_lock(&fake.mutex);
    if (!fake_fails())
        done = fake.is_direct[fd] ? fake_write_direct(fake.fds[fd], fd, vec, count, offset)
                                  : fake_write(fake.fds[fd], fd, vec, count, offset, 1);
    pthread_mutex_unlock(&fake.mutex);
    return done;
}

/* Both flushes: what is now is what a power loss leaves. */
static int fake_flush(int fd)
{
    pthread_mutex_lock(&fake.mutex);
    int failed = fake_fails() ? -1 : 0;
    if (failed == 0 && fake.fds[fd] != NULL)
        fake_state_copy(&fake.fds[fd]->flushed, &fake.fds[fd]->now);
    pthread_mutex_unlock(&fake.mutex);
    return failed;
}

static int fake_ftruncate(int fd, off_t size)
{
    pthread_mutex_lock(&fake.mutex);
    int failed = fake_fails() ? -1 : ftruncate(fd, size);
    if (failed == 0 && fake.fds[fd] != NULL)
        fake_state_resize(&fake.fds[fd]->now, (size_t)size);
    pthread_mutex_unlock(&fake.mutex);
    return failed;
}

static int fake_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    char from_last[FAKE_PATH_SIZE], to_last[FAKE_PATH_SIZE];

    pthread_mutex_lock(&fake.mutex);
    int failed = fake_fails_for_good() ? -1 : renameat(from_dir, from, to_dir, to);
    struct fake_node *from_node = fake_parent(from_dir, from, from_last);
    struct fake_node *to_node = fake_parent(to_dir, to, to_last);
    if (failed == 0 && from_node != NULL && to_node != NULL) {
        struct fake_node *moved = fake_state_find(&from_node->now, from_last)->node;

        fake_state_remove(&from_node->now, from_last);
        fake_state_remove(&to_node->now, to_last);
        fake_state_add(&to_node->now, to_last, moved);
    }
    pthread_mutex_unlock(&fake.mutex);
    return failed;
}

static int fake_unlinkat(int dir_fd, const char *path, int flags)
{
    char last[FAKE_PATH_SIZE];

    pthread_mutex_lock(&fake.mutex);
    int failed = fake_fails_for_good() ? -1 : unlinkat(dir_fd, path, flags);
    struct fake_node *parent = fake_parent(dir_fd, path, last);
    if (failed == 0 && parent != NULL)
        fake_state_remove(&parent->now, last);
    pthread_mutex_unlock(&fake.mutex);
    return failed;
}

static int fake_mkdirat(int dir_fd, const char *path, mode_t mode)
{
    char last[FAKE_PATH_SIZE];

    pthread_mutex_lock(&fake.mutex);
    int failed = fake_fails_for_good() ? -1 : mkdirat(dir_fd, path, mode);
    struct fake_node *parent = fake_parent(dir_fd, path, last);
    if (failed == 0 && parent != NULL)
        fake_state_add(&parent->now, last, fake_node_new(true));
    pthread_mutex_unlock(&fake.mutex);
    return failed;
}

static const struct disk_ops fake_ops = {
    .fstatvfs = fstatvfs,
    .openat = fake_openat,
    .close = fake_close,
    .preadv2 = fake_preadv2,
    .pwritev = fake_pwritev,
    .fdatasync = fake_flush,
    .fsync = fake_flush,
    .ftruncate = fake_ftruncate,
    .renameat = fake_renameat,
    .unlinkat = fake_unlinkat,
    .mkdirat = fake_mkdirat,
};

/* --- settings --- */

void fake_disk_start(const char *root)
{
    fake.root = fake_scan(AT_FDCWD, root);
    fake.calls = fake.fail_at = fake.cut_at = fake.direct_size = 0;
    fake.direct = FAKE_DIRECT_TAKEN;
    fake.room = UINT64_MAX;
    fake.dribble = fake.hit = false;
    fake.fds_open = 0;
    memset(fake.fds, 0, sizeof fake.fds);
    disk_replace(&fake_ops);
}

void fake_disk_stop(void)
{
    disk_replace(NULL);
    while (fake.nodes != NULL) {
        struct fake_node *node = fake.nodes;

        fake.nodes = node->next;
        fake_state_fini(&node->now);
        fake_state_fini(&node->flushed);
        free(node);
    }
    fake.root = NULL;
}

void fake_disk_fail_at(uint64_t n, int error_number)
{
    pthread_mutex_lock(&fake.mutex);
    fake.fail_at = n == 0 ? 0 : fake.calls + n;
    fake.error_number = error_number;
    fake.hit = false;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_disk_cut_at(uint64_t n)
{
    pthread_mutex_lock(&fake.mutex);
    fake.cut_at = n == 0 ? 0 : fake.calls + n;
    fake.hit = false;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_disk_dribble(bool on)
{
    pthread_mutex_lock(&fake.mutex);
    fake.dribble = on;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_disk_room(uint64_t size)
{
    pthread_mutex_lock(&fake.mutex);
    fake.room = size;
    pthread_mutex_unlock(&fake.mutex);
}

void fake_disk_direct(enum fake_direct direct)
{
    pthread_mutex_lock(&fake.mutex);
    fake.direct = direct;
    pthread_mutex_unlock(&fake.mutex);
}

uint64_t fake_disk_direct_size(void)
{
    pthread_mutex_lock(&fake.mutex);
    uint64_t size = fake.direct_size;
    pthread_mutex_unlock(&fake.mutex);
    return size;
}

uint64_t fake_disk_calls(void)
{
    pthread_mutex_lock(&fake.mutex);
    uint64_t calls = fake.calls;
    pthread_mutex_unlock(&fake.mutex);
    return calls;
}

bool fake_disk_was_hit(void)
{
    pthread_mutex_lock(&fake.mutex);
    bool hit = fake.hit;
    pthread_mutex_unlock(&fake.mutex);
    return hit;
}

unsigned fake_disk_open_fds(void)
{
    return fake.fds_open;
}

/* --- power loss --- */

static uint64_t fake_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* A part of the new bytes, sector by sector, and of the new size. */
static void fake_tear(const struct fake_node *node, uint64_t *seed, struct fake_state *left)
{
    const struct fake_state *now = &node->now, *flushed = &node->flushed;

    if (now->size > flushed->size)
        fake_state_resize(left, flushed->size + fake_random(seed) % (now->size - flushed->size + 1));
    for (size_t at = 0; at < left->size; at += FAKE_SECTOR) {
        size_t size = left->size - at < FAKE_SECTOR ? left->size - at : FAKE_SECTOR;

        if (at < now->size && fake_random(seed) % 2 == 0)
            memcpy(left->bytes + at, now->bytes + at, size < now->size - at ? size : now->size - at);
    }
}

/* What is left of a file's bytes. */
static void fake_left(const struct fake_node *node, enum fake_loss loss, uint64_t *seed,
                      struct fake_state *left)
{
    const struct fake_state *now = &node->now, *flushed = &node->flushed;

    fake_state_copy(left, loss == FAKE_LOSS_NONE ? now : flushed);
    if (loss == FAKE_LOSS_TORN)
        fake_tear(node, seed, left);
    if ((loss == FAKE_LOSS_ZERO || loss == FAKE_LOSS_NOISE) && now->size > flushed->size) {
        fake_state_resize(left, now->size);
        if (loss == FAKE_LOSS_NOISE)
            for (size_t i = flushed->size; i < now->size; i++)
                left->bytes[i] = (uint8_t)fake_random(seed);
    }
}

static void fake_leave(const struct fake_node *node, enum fake_loss loss, uint64_t *seed,
                       int dir_fd, const char *name)
{
    if (!node->is_dir) {
        struct fake_state left = { 0 };
        int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

        fake_left(node, loss, seed, &left);
        assert(fd >= 0);
        ssize_t wrote = left.size > 0 ? pwrite(fd, left.bytes, left.size, 0) : 0;
        assert(wrote == (ssize_t)left.size);
        (void)wrote;
        close(fd);
        fake_state_fini(&left);
        return;
    }
    bool is_now = loss == FAKE_LOSS_TORN ? fake_random(seed) % 2 == 0 : loss != FAKE_LOSS_CLEAN;
    const struct fake_state *state = is_now ? &node->now : &node->flushed;
    mkdirat(dir_fd, name, 0700); /* the first is there */
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY);
    assert(fd >= 0);
    for (size_t i = 0; i < state->count; i++)
        fake_leave(state->names[i].node, loss, seed, fd, state->names[i].name);
    close(fd);
}

void fake_disk_lose_power(enum fake_loss loss, uint64_t seed, const char *to)
{
    uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    pthread_mutex_lock(&fake.mutex);
    fake_leave(fake.root, loss, &state, AT_FDCWD, to);
    pthread_mutex_unlock(&fake.mutex);
}
