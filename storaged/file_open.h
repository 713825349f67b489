/* file_open.h: opens data files for the requests of a loop, on the thread pool: an open(2) may wait for the disk.
 *
 * A file that is open already is there at once. Else the request waits, and whoever asks for the same file meanwhile waits
 * for the same open. Opens take at most half of the pool's threads, so that reads of files that are open go on when the
 * disk is slow to open others; more of them stand in line. Each belongs to one loop and is used on its thread only. */
#ifndef STORAGED_FILE_OPEN_H
#define STORAGED_FILE_OPEN_H

#include "storaged/store/store.h"

enum {
    FILE_OPENS_MAX = 256
}; /* files of a loop that are being opened or stand in line; one more is OVERLOADED */

struct node_loop;

struct file_wait {
    struct list list;
    /* OK: file_open() has the file now, unless it was purged or dropped in this moment. */
    void (*on_open)(struct file_wait *wait, enum status status, const struct error *err);
};

struct file_opens {
    struct list running, waiting; /* of struct file_opening */
    unsigned running_count, count;
};
void file_opens_init(struct file_opens *opens);

/* OK: *file, held. MORE: on_open() is called later, exactly once, however the request fares; wait is the caller's until
 * then. NOT_FOUND, PURGED, OVERLOADED: not here, or not now. */
enum status file_open(struct node_loop *loop, const struct run_key *run, unsigned shard, uint64_t birth,
                      struct file_wait *wait, struct store_file **file, struct error *err);

#endif
