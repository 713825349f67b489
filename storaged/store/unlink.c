/* unlink.c: the thread that empties purged/. */
#include "storaged/store/unlink.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "storaged/store/data_file.h"
#include "storaged/store/disk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct unlink_item {
    struct list list;
    int fd; /* owned; -1: none */
    uint64_t birth;
    char name[]; /* in purged/; "" where there is a birth id */
};

static struct unlink_item *unlink_item_new(const char *name, uint64_t birth)
{
    size_t size = strlen(name) + 1;
    struct unlink_item *item = malloc(sizeof *item + size);

    assert(item != NULL);
    list_init(&item->list);
    item->fd = -1;
    item->birth = birth;
    memcpy(item->name, name, size);
    return item;
}

/* With the mutex held. */
static struct unlink_item *unlinker_find_held(struct unlinker *unlinker, uint64_t birth)
{
    list_for_each (at, &unlinker->held) {
        struct unlink_item *item = container_of(at, struct unlink_item, list);
        if (item->birth == birth)
            return item;
    }
    return NULL;
}

void unlinker_hold(struct unlinker *unlinker, uint64_t birth)
{
    uv_mutex_lock(&unlinker->mutex);
    list_append(&unlinker->held, &unlink_item_new("", birth)->list);
    uv_mutex_unlock(&unlinker->mutex);
}

void unlinker_give(struct unlinker *unlinker, int fd, uint64_t birth)
{
    uv_mutex_lock(&unlinker->mutex);
    struct unlink_item *item = unlinker_find_held(unlinker, birth);
    if (item == NULL)
        item = unlink_item_new("", birth);
    else
        list_remove(&item->list);
    item->fd = fd;
    list_append(&unlinker->given, &item->list);
    uv_cond_signal(&unlinker->cond);
    uv_mutex_unlock(&unlinker->mutex);
}

void unlinker_add(struct unlinker *unlinker, const char *name)
{
    uv_mutex_lock(&unlinker->mutex);
    list_append(&unlinker->names, &unlink_item_new(name, 0)->list);
    uv_cond_signal(&unlinker->cond);
    uv_mutex_unlock(&unlinker->mutex);
}

/* Rests so long, or until the stop; false: stop. */
static bool unlinker_rest(struct unlinker *unlinker, uint64_t us)
{
    uint64_t until = clock_monotonic_us() + us;

    uv_mutex_lock(&unlinker->mutex);
    for (uint64_t now; !unlinker->stopping && (now = clock_monotonic_us()) < until;)
        uv_cond_timedwait(&unlinker->cond, &unlinker->mutex, (until - now) * 1000);
    bool goes_on = !unlinker->stopping;
    uv_mutex_unlock(&unlinker->mutex);
    return goes_on;
}

/* Cuts a file to nothing in steps; false: stop. What can't be cut is left to its close. */
static bool unlinker_cut(struct unlinker *unlinker, int fd)
{
    uint64_t size;

    if (disk_size(fd, &size, NULL) != STATUS_OK)
        return true;
    while (size > UNLINK_STEP_SIZE) {
        uint64_t begun = clock_monotonic_us();

        size -= UNLINK_STEP_SIZE;
        if (disk_truncate(fd, size, NULL) != STATUS_OK)
            return true;
        if (!unlinker_rest(unlinker, clock_monotonic_us() - begun))
            return false;
    }
    return true;
}

/* Descriptors that readers let go. */
static bool unlinker_do_given(struct unlinker *unlinker)
{
    bool goes_on = true;

    uv_mutex_lock(&unlinker->mutex);
    while (goes_on && !list_empty(&unlinker->given)) {
        struct unlink_item *item = list_first(&unlinker->given, struct unlink_item, list);

        list_remove(&item->list);
        uv_mutex_unlock(&unlinker->mutex);
        goes_on = unlinker_cut(unlinker, item->fd);
        disk_close(item->fd);
        free(item);
        uv_mutex_lock(&unlinker->mutex);
    }
    uv_mutex_unlock(&unlinker->mutex);
    return goes_on;
}

static bool unlinker_is_held(struct unlinker *unlinker, const char *name)
{
    const char *at = strchr(name, '@');
    unsigned shard;
    uint64_t birth;

    if (!data_file_parse_name(at != NULL ? at + 1 : name, &shard, &birth))
        return false;
    uv_mutex_lock(&unlinker->mutex);
    bool is_held = unlinker_find_held(unlinker, birth) != NULL;
    uv_mutex_unlock(&unlinker->mutex);
    return is_held;
}

static void unlinker_complain(const char *name, const struct error *err)
{
    struct log_line line;

    log_begin(&line, LOG_WARN, "store.purge");
    log_str(&line, "name", name);
    log_str(&line, "error", err->text);
    log_end(&line);
}

/* One file of dir_fd; false: stop. */
static bool unlinker_do_file(struct unlinker *unlinker, int dir_fd, const char *name)
{
    struct error err = { 0 };
    int fd;

    if (!unlinker_is_held(unlinker, name) &&
        disk_open(dir_fd, name, O_RDWR | O_NONBLOCK, &fd, NULL) == STATUS_OK) {
        bool goes_on = unlinker_cut(unlinker, fd);

        disk_close(fd);
        if (!goes_on)
            return false;
    }
    if (disk_unlink(dir_fd, name, &err) != STATUS_OK)
        unlinker_complain(name, &err);
    if (atomic_load(&unlinker->left) > 0)
        atomic_fetch_sub(&unlinker->left, 1);
    return unlinker_do_given(unlinker);
}

/* The files of one directory in purged/, then the directory. */
static bool unlinker_do_dir(struct unlinker *unlinker, const char *name)
{
    struct error err = { 0 };
    char **names;
    size_t count;
    int fd;
    bool goes_on = true;

    enum status status = disk_open(unlinker->purged_fd, name, O_RDONLY | O_DIRECTORY, &fd, &err);
    if (status == STATUS_OK)
        status = disk_list(fd, ".", &names, &count, &err);
    if (status != STATUS_OK) {
        unlinker_complain(name, &err);
        disk_close(fd);
        return true;
    }
    atomic_fetch_add(&unlinker->left, count);
    for (size_t i = 0; i < count && goes_on; i++)
        goes_on = unlinker_do_file(unlinker, fd, names[i]);
    disk_names_free(names, count);
    disk_close(fd);
    if (goes_on && disk_remove_dir(unlinker->purged_fd, name, &err) != STATUS_OK)
        unlinker_complain(name, &err);
    return goes_on;
}

/* Whatever lies in purged/ by this name; false: stop. */
static bool unlinker_do_name(struct unlinker *unlinker, const char *name)
{
    unsigned shard;
    uint64_t birth;
    const char *at = strchr(name, '@'); /* a lone data file: {source}-{base_time}@{name} */

    if (at == NULL || !data_file_parse_name(at + 1, &shard, &birth))
        return unlinker_do_dir(unlinker, name);
    atomic_fetch_add(&unlinker->left, 1);
    return unlinker_do_file(unlinker, unlinker->purged_fd, name);
}

/* The next name; with the mutex held, which is let go meanwhile. */
static void unlinker_do_next(struct unlinker *unlinker)
{
    struct unlink_item *item = list_first(&unlinker->names, struct unlink_item, list);

    list_remove(&item->list);
    uv_mutex_unlock(&unlinker->mutex);
    unlinker_do_name(unlinker, item->name);
    free(item);
    uv_mutex_lock(&unlinker->mutex);
}

static void unlinker_main(void *data)
{
    struct unlinker *unlinker = data;

    uv_mutex_lock(&unlinker->mutex);
    while (!unlinker->stopping) {
        if (!list_empty(&unlinker->given)) {
            uv_mutex_unlock(&unlinker->mutex);
            unlinker_do_given(unlinker);
            uv_mutex_lock(&unlinker->mutex);
        } else if (!list_empty(&unlinker->names)) {
            unlinker_do_next(unlinker);
        } else {
            uv_cond_wait(&unlinker->cond, &unlinker->mutex);
        }
    }
    uv_mutex_unlock(&unlinker->mutex);
}

/* What an earlier process left. */
static enum status unlinker_find_left(struct unlinker *unlinker, struct error *err)
{
    char **names;
    size_t count;

    enum status status = disk_list(unlinker->purged_fd, ".", &names, &count, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        list_append(&unlinker->names, &unlink_item_new(names[i], 0)->list);
    disk_names_free(names, count);
    return STATUS_OK;
}

static void unlink_items_free(struct list *items)
{
    list_for_each_safe (at, after, items) {
        struct unlink_item *item = container_of(at, struct unlink_item, list);

        disk_close(item->fd);
        free(item);
    }
    list_init(items);
}

static void unlinker_fini(struct unlinker *unlinker)
{
    unlink_items_free(&unlinker->names);
    unlink_items_free(&unlinker->given);
    unlink_items_free(&unlinker->held);
    uv_cond_destroy(&unlinker->cond);
    uv_mutex_destroy(&unlinker->mutex);
}

enum status unlinker_start(struct unlinker *unlinker, int purged_fd, struct error *err)
{
    *unlinker = (struct unlinker){ .purged_fd = purged_fd };
    list_init(&unlinker->names);
    list_init(&unlinker->given);
    list_init(&unlinker->held);
    uv_mutex_init(&unlinker->mutex);
    uv_cond_init(&unlinker->cond);
    enum status status = unlinker_find_left(unlinker, err);
    if (status == STATUS_OK) {
        int failed = uv_thread_create(&unlinker->thread, unlinker_main, unlinker);

        if (failed != 0)
            status = error_set(err, STATUS_IO, "thread: %s", uv_strerror(failed));
    }
    if (status != STATUS_OK)
        unlinker_fini(unlinker);
    unlinker->running = status == STATUS_OK;
    return status;
}

void unlinker_stop(struct unlinker *unlinker)
{
    if (!unlinker->running)
        return;
    uv_mutex_lock(&unlinker->mutex);
    unlinker->stopping = true;
    uv_cond_broadcast(&unlinker->cond);
    uv_mutex_unlock(&unlinker->mutex);
    uv_thread_join(&unlinker->thread);
    unlinker_fini(unlinker);
    unlinker->running = false;
}
