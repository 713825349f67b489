/* unlink.h: what lies in purged/ goes away in the background, slowly enough that the disk serves others meanwhile.
 *
 * One thread. A large file is cut in steps of UNLINK_STEP_SIZE, and after each step the thread rests as long as the step
 * took. A file that a reader still holds only loses its name; its descriptor comes by unlinker_give() once it is let go,
 * and is then cut and closed alike. What a stop or a crash leaves is found at the next start. */
#ifndef STORAGED_STORE_UNLINK_H
#define STORAGED_STORE_UNLINK_H

#include "proto/base/list.h"
#include "proto/base/status.h"

#include <stdatomic.h>
#include <uv.h>

#define UNLINK_STEP_SIZE (UINT64_C(32) << 20)

struct unlinker {
    int purged_fd; /* borrowed: DATA_DIR/purged */
    uv_thread_t thread;
    bool running;
    uv_mutex_t mutex;
    uv_cond_t cond;
    struct list names; /* of struct unlink_item: what lies in purged/ */
    struct list given; /* of struct unlink_item: descriptors to cut and close */
    struct list held;  /* of struct unlink_item: files that readers still hold, by birth id */
    bool stopping;
    _Atomic uint64_t left; /* files that are not gone yet, of the directories begun */
};

/* Starts the thread, and it with what is left in purged_fd. */
enum status unlinker_start(struct unlinker *unlinker, int purged_fd, struct error *err);
void unlinker_stop(struct unlinker *unlinker); /* soon, not when all is gone; safe when it never ran */

void unlinker_add(struct unlinker *unlinker, const char *name); /* of what was renamed into purged/ */
void unlinker_hold(struct unlinker *unlinker, uint64_t birth); /* before unlinker_add(): somebody reads this file */
void unlinker_give(struct unlinker *unlinker, int fd, uint64_t birth); /* takes fd: nobody reads it any more */

#endif
