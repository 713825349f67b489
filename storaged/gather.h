/* gather.h: text that grows without bound: the first part in memory, the rest in an unnamed file of the store.
 *
 * An answer is gathered while a body is read and sent after it. Failures stick and are told at the end. */
#ifndef STORAGED_GATHER_H
#define STORAGED_GATHER_H

#include "proto/base/buf.h"

enum {
    GATHER_MEMORY_MAX = 1 << 20,
    GATHER_ITEM_MAX = 1 << 20, /* a single line */
};

struct store;

struct gather {
    struct store *store; /* borrowed */
    struct buf memory;   /* what is not in the file yet */
    int fd;              /* -1: all is in memory */
    uint64_t file_size;
    uint64_t count; /* items added */
    enum status status;
    struct error err;
};

void gather_init(struct gather *gather, struct store *store);
void gather_fini(struct gather *gather); /* closes and frees; safe twice */

/* One more item of a JSON array: a comma goes in front of all but the first. */
void gather_add(struct gather *gather, const void *text, size_t size);

/* No more comes: what has to be in the file is written. The first failure so far. */
enum status gather_end(struct gather *gather);
uint64_t gather_size(const struct gather *gather);

#endif
