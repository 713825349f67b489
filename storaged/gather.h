/* gather.h: text that grows without bound: the last part in memory, what came before in an unnamed file of the store.
 *
 * An answer is gathered while a body is read and sent after it. A full memory is written to the file on the thread pool, while
 * the next fills. Failures stick and are told at the end. */
#ifndef STORAGED_GATHER_H
#define STORAGED_GATHER_H

#include "storaged/work.h"

#include "proto/base/buf.h"

enum {
    GATHER_MEMORY_MAX = 1 << 20,
    GATHER_ITEM_MAX = 1 << 20, /* a single line */
};

struct node_loop;

struct gather {
    struct node_loop *loop; /* borrowed */
    struct buf memory;      /* what is behind the file */
    int fd;                 /* -1: all is in memory */
    uint64_t file_size;
    uint64_t count; /* items added */
    enum status status;
    struct error err;
    void (*on_written)(struct gather *gather); /* gather_is_busy() and gather_is_full() may be false now */
    /* its own */
    struct buf leaving; /* on its way to the file */
    bool is_busy;
    struct work work;
    enum status work_status;
    struct error work_err;
};

void gather_init(struct gather *gather, struct node_loop *loop,
                 void (*on_written)(struct gather *gather));
void gather_fini(struct gather *gather); /* not while it is busy; safe twice */

/* One more item of a JSON array: a comma goes in front of all but the first. Not while it is full. */
void gather_add(struct gather *gather, const void *text, size_t size);
void gather_fail(struct gather *gather, enum status status); /* an item could not be made */
bool gather_is_full(const struct gather *gather); /* the memory is, and the one before is still on its way */
bool gather_is_busy(const struct gather *gather); /* something is on its way to the file */

/* No more comes, and it is not busy. The first failure so far: then what there is are the first items, whole. */
enum status gather_end(struct gather *gather);

#endif
