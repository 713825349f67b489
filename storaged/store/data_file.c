/* data_file.c: descriptors and holders of data files. */
#include "storaged/store/data_file.h"

#include "proto/base/log.h"
#include "storaged/store/disk.h"
#include "storaged/store/store.h"
#include "storaged/store/store_metrics.h"
#include "storaged/store/unlink.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void file_cache_init(struct file_cache *cache, struct unlinker *unlinker)
{
    *cache = (struct file_cache){ .unlinker = unlinker };
    uv_mutex_init(&cache->mutex);
    list_init(&cache->idle);
}

void file_cache_fini(struct file_cache *cache)
{
    assert(list_empty(&cache->idle));
    uv_mutex_destroy(&cache->mutex);
}

struct store_file *data_file_new(struct file_cache *cache, unsigned shard, uint64_t birth)
{
    struct store_file *file = calloc(1, sizeof *file);

    assert(file != NULL);
    file->cache = cache;
    assert(shard <= UINT16_MAX);
    file->shard = (uint16_t)shard;
    file->birth = birth;
    file->fd = file->direct_fd = -1;
    file->references = 1;
    list_init(&file->idle);
    return file;
}

void data_file_name(unsigned shard, uint64_t birth, char name[DATA_FILE_NAME_SIZE])
{
    int length = snprintf(name, DATA_FILE_NAME_SIZE, "%04u-%016" PRIx64 ".grib", shard, birth);

    assert(length > 0 && length < DATA_FILE_NAME_SIZE);
}

bool data_file_parse_name(const char *name, unsigned *shard, uint64_t *birth)
{
    const char *dash = strchr(name, '-');
    uint8_t bytes[8];
    uint64_t number;
    char again[DATA_FILE_NAME_SIZE];

    if (dash == NULL || strlen(dash) != 22 ||
        decimal_parse(name, (size_t)(dash - name), 0xffff, &number) != 0 ||
        hex_parse(dash + 1, 16, bytes, sizeof bytes) != 0)
        return false;
    *shard = (unsigned)number;
    *birth = get_u64(bytes);
    data_file_name(*shard, *birth, again);
    return strcmp(name, again) == 0 && *birth != 0;
}

/* With the mutex held. */
static void data_file_close_idle(struct store_file *file)
{
    assert(file->holders == 0);
    list_remove(&file->idle);
    file->cache->idle_count--;
    disk_close(file->fd);
    disk_close(file->direct_fd);
    file->fd = file->direct_fd = -1;
}

/* With the mutex held; frees it with its last reference. */
static void data_file_drop(struct store_file *file)
{
    assert(file->references > 0);
    if (--file->references > 0)
        return;
    if (file->fd >= 0)
        data_file_close_idle(file);
    if (file->damaged != NULL)
        damage_ranges_fini(file->damaged);
    free(file->damaged);
    free(file);
}

void data_file_unref(struct store_file *file)
{
    struct file_cache *cache = file->cache;

    uv_mutex_lock(&cache->mutex);
    data_file_drop(file);
    uv_mutex_unlock(&cache->mutex);
}

/* With the mutex held and the file open. */
static void data_file_take(struct store_file *file)
{
    if (file->holders++ == 0 && !list_empty(&file->idle)) {
        list_remove(&file->idle);
        file->cache->idle_count--;
    }
    file->references++;
}

enum status data_file_make(struct store_file *file, int dir_fd, struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];
    int fd;

    data_file_name(file->shard, file->birth, name);
    enum status status = disk_open(dir_fd, name, O_RDWR | O_CREAT | O_EXCL, &fd, err);
    if (status != STATUS_OK)
        return status;
    uv_mutex_lock(&file->cache->mutex);
    file->own = true;
    file->fd = fd;
    data_file_take(file);
    uv_mutex_unlock(&file->cache->mutex);
    return STATUS_OK;
}

enum status data_file_try_hold(struct store_file *file, struct error *err)
{
    enum status status = STATUS_OK;

    uv_mutex_lock(&file->cache->mutex);
    if (file->purged)
        status = STATUS_PURGED;
    else if (file->fd < 0)
        status = STATUS_MORE;
    else
        data_file_take(file);
    uv_mutex_unlock(&file->cache->mutex);
    if (status == STATUS_PURGED)
        error_set(err, status, "data file %04u-%016" PRIx64 ".grib was purged", file->shard, file->birth);
    return status;
}

/* What was opened, outside of the mutex: whoever comes second, or after a purge, closes his own. */
static void data_file_opened(struct store_file *file, int fd)
{
    uv_mutex_lock(&file->cache->mutex);
    if (file->fd < 0 && !file->purged) {
        file->fd = fd;
        fd = -1;
        list_append(&file->cache->idle, &file->idle);
        file->cache->idle_count++;
    }
    uv_mutex_unlock(&file->cache->mutex);
    disk_close(fd);
}

enum status data_file_hold(struct store_file *file, int dir_fd, struct error *err)
{
    char name[DATA_FILE_NAME_SIZE];
    int fd;
    enum status status;

    data_file_name(file->shard, file->birth, name);
    while ((status = data_file_try_hold(file, err)) == STATUS_MORE) {
        status = disk_open(dir_fd, name, file->own ? O_RDWR : O_RDONLY, &fd, err);
        if (status == STATUS_OK) {
            data_file_opened(file, fd);
            continue;
        }
        /* A purge took its name meanwhile, or another has opened it. */
        enum status now = data_file_try_hold(file, err);
        return now != STATUS_MORE ? now : status;
    }
    return status;
}

int data_file_direct(struct store_file *file, int dir_fd)
{
    char name[DATA_FILE_NAME_SIZE];
    int fd;

    assert(file->own);
    if (file->direct_refused || file->direct_fd >= 0)
        return file->direct_refused ? -1 : file->direct_fd;
    data_file_name(file->shard, file->birth, name);
    enum status status = disk_open_direct(dir_fd, name, &fd, NULL);
    if (status != STATUS_OK) { /* for good, or for want of descriptors: the page cache takes it */
        file->direct_refused = status == STATUS_UNSUPPORTED;
        return -1;
    }
    uv_mutex_lock(&file->cache->mutex);
    file->direct_fd = fd;
    uv_mutex_unlock(&file->cache->mutex);
    return fd;
}

/* With the mutex held: nobody holds it now. */
static void data_file_rest(struct store_file *file)
{
    struct file_cache *cache = file->cache;

    if (file->purged) {
        disk_close(file->direct_fd);
        unlinker_give(cache->unlinker, file->fd, file->birth);
        file->fd = file->direct_fd = -1;
        return;
    }
    list_append(&cache->idle, &file->idle);
    if (++cache->idle_count > FILE_CACHE_IDLE_MAX)
        data_file_close_idle(list_first(&cache->idle, struct store_file, idle));
}

void data_file_release(struct store_file *file)
{
    struct file_cache *cache = file->cache;

    uv_mutex_lock(&cache->mutex);
    assert(file->holders > 0);
    if (--file->holders == 0)
        data_file_rest(file);
    data_file_drop(file);
    uv_mutex_unlock(&cache->mutex);
}

void data_file_purge(struct store_file *file)
{
    uv_mutex_lock(&file->cache->mutex);
    if (file->holders > 0 && !file->purged)
        unlinker_hold(file->cache->unlinker, file->birth);
    else if (file->fd >= 0 && !file->purged)
        data_file_close_idle(file);
    file->purged = true;
    atomic_store(&file->is_gone, true);
    atomic_fetch_add(&file->cache->gone, 1); /* behind the flag: who sees the count finds the file */
    uv_mutex_unlock(&file->cache->mutex);
}

void data_file_add_damage(struct store_file *file, uint64_t offset, uint64_t length)
{
    uv_mutex_lock(&file->cache->mutex);
    if (file->damaged == NULL) {
        file->damaged = calloc(1, sizeof *file->damaged);
        assert(file->damaged != NULL);
    }
    if (damage_ranges_add(file->damaged, offset, length)) {
        metric_add(&store_metric_damaged_files, 1);
        log_msg(LOG_ERROR, "store.damaged",
                "data file %04u-%016" PRIx64 " has more than %d bad messages: none of it is served",
                file->shard, file->birth, DAMAGE_RANGES_MAX);
    }
    atomic_store(&file->is_damaged, true);
    uv_mutex_unlock(&file->cache->mutex);
}

void store_file_release(struct store_file *file)
{
    data_file_release(file);
}

bool store_file_is_gone(const struct store_file *file)
{
    return atomic_load_explicit(&file->is_gone, memory_order_acquire);
}

int store_file_fd(const struct store_file *file)
{
    return file->fd;
}

uint64_t store_file_size(const struct store_file *file)
{
    return atomic_load_explicit(&file->size, memory_order_acquire);
}

int64_t store_file_modified(const struct store_file *file)
{
    return atomic_load_explicit(&file->modified, memory_order_relaxed);
}

bool store_file_damaged(const struct store_file *file, uint64_t offset, uint64_t length)
{
    if (!atomic_load(&file->is_damaged))
        return false;
    uv_mutex_lock(&file->cache->mutex);
    bool touched = damage_ranges_touch(file->damaged, offset, length);
    uv_mutex_unlock(&file->cache->mutex);
    return touched;
}
