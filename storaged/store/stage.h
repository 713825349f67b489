/* stage.h: bytes on their way to the end of a data file, around the page cache where that pays.
 *
 *        offset                                                    end
 *          |<- page ->|<---- pages, from the stage's memory ---->|<- page
 *           page cache              straight to the disk          page cache
 *
 * Messages begin and end anywhere, such writes in whole pages only. So what shares a page with other bytes, those before
 * or those to come, goes through the page cache, and no page is ever written both ways: readers find each byte where it
 * is. The file has no byte more than it was given, and no byte that was committed is written again.
 *
 * Not thread-safe: one a thread, used for one file after the other. */
#ifndef STORAGED_STORE_STAGE_H
#define STORAGED_STORE_STAGE_H

#include "proto/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STAGE_SIZE = 1 << 20 };

struct stage {
    uint8_t *memory; /* owned: STAGE_SIZE, made at the first use */
    size_t used;
    int fd, direct_fd; /* borrowed until the end */
    uint64_t offset;   /* of the stage's first byte in the file */
    uint64_t limit;    /* what goes the same way as it ends here */
    uint64_t end;
    bool is_direct; /* what is up to limit */
    bool refused;   /* direct_fd takes nothing after all; all of it went through the page cache */
};

void stage_init(struct stage *stage);
void stage_fini(struct stage *stage);

/* Bytes [offset, end) of a file will be put, in order. */
void stage_begin(struct stage *stage, int fd, int direct_fd, uint64_t offset, uint64_t end);

/* Room for the next bytes, at least one before the end: fill it, then stage_filled(). Errors are those of disk_write(). */
uint8_t *stage_room(struct stage *stage, size_t *size);
enum status stage_filled(struct stage *stage, size_t size, struct error *err);
/* The same with bytes that lie in memory. */
enum status stage_put(struct stage *stage, const uint8_t *data, size_t size, struct error *err);

#endif
