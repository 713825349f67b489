/* store_state.h: what a store is made of; for the files of this folder only.
 *
 * Who may touch what:
 *   writer thread   everything on disk, the run log, run->info and run->dir (changed under the run's lock)
 *   any thread      reads a run under its lock; holds a run_dir or a store_file by reference beyond it
 *   atomics         counter, stamp, read_only, disk_size, disk_free
 * Locks, the outer first: run_table.lock, run.lock, file_cache.mutex, unlinker.mutex; port mutexes, the scrub's and
 * bad_mutex stand alone. None is held over a call that writes or flushes. */
#ifndef STORAGED_STORE_STORE_STATE_H
#define STORAGED_STORE_STORE_STATE_H

#include "storaged/store/flusher.h"
#include "storaged/store/run_log.h"
#include "storaged/store/run_table.h"
#include "storaged/store/scrub.h"
#include "storaged/store/unlink.h"
#include "storaged/store/writer.h"

#define STORE_RUNS_DIR "runs"
#define STORE_PURGED_DIR "purged"

struct store {
    struct store_options options;
    int dir_fd, runs_fd, purged_fd; /* owned */
    uint64_t boot_id;
    _Atomic uint64_t counter; /* of changes */
    _Atomic uint64_t stamp;   /* the last given or seen */
    struct run_table runs;
    struct run_log log; /* the writer's */
    struct file_cache files;
    struct unlinker unlinker;
    struct flusher flusher; /* the writer's */
    struct writer writer;
    struct scrub scrub;
    uv_mutex_t bad_mutex; /* over who is told of bad messages; the writer holds it while it tells */
    void (*on_bad)(void *user, const struct store_bad *bad);
    void *on_bad_user;
    uv_mutex_t mutex; /* over ports, error and space */
    struct list ports;
    char error[ERROR_TEXT_SIZE]; /* why it is read-only */
    _Atomic bool read_only;
    _Atomic uint64_t disk_size, disk_free; /* as last looked at */
};

/* A write or flush failed and what is on disk is unknown: no more writes until the store is opened anew. */
void store_fail(struct store *store, const struct error *err);
bool store_is_read_only(struct store *store);

/* The run changed: [lock], for writing. Ports are told by store_notify() afterwards. */
void store_run_changed(struct store *store, struct run *run);
void store_notify(struct store *store);

/* Tells who asked to be told (store_on_bad()). */
void store_tell_bad(struct store *store, const struct store_bad *bad);

/* Hands a request back on the loop of its port; without one, here and now. */
void store_request_done(struct store_port *port, struct store_request *request, enum status status);
void store_port_done(struct store_port *port, struct store_request *request, enum status status);

/* store_find() in one run. NOT_FOUND also when it has no directory. */
enum status store_run_find(struct run *run, const struct digest *digest, bool may_block,
                           struct store_place *place, struct error *err);

/* Bytes that may be written before the reserve is touched. */
enum status store_room(struct store *store, uint64_t *room, struct error *err);

#endif
