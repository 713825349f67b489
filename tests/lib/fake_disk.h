/* fake_disk.h: a disk table over real files that fails when told to, and knows what a power loss would leave.
 *
 * Calls are done on real files below one directory, and kept in a model beside: for each file its bytes now and as last
 * flushed, for each directory its names now and as last flushed. fake_disk_lose_power() writes what is left of the tree to
 * another directory, to be opened with the real disk. One at a time; thread-safe while in place. */
#ifndef TESTS_LIB_FAKE_DISK_H
#define TESTS_LIB_FAKE_DISK_H

#include "storaged/store/disk.h"

/* What becomes of bytes and names that were not flushed. */
enum fake_loss {
    FAKE_LOSS_CLEAN, /* gone */
    FAKE_LOSS_TORN, /* a part of a file's new bytes is there, the rest not; names of some directories */
    FAKE_LOSS_ZERO,  /* names and sizes are there, new bytes are 0 */
    FAKE_LOSS_NOISE, /* names and sizes are there, new bytes are anything */
    FAKE_LOSS_NONE,  /* all there: the process was killed, the system went on */
    FAKE_LOSS_COUNT
};

/* Puts the table in place; root and all below it counts as flushed. Calls outside of root are not modelled. */
void fake_disk_start(const char *root);
void fake_disk_stop(void); /* the real disk again */

/* From now on the n-th call (1: the next) fails with error_number; 0: none does. */
void fake_disk_fail_at(uint64_t n, int error_number);
/* The n-th call and all after it fail with EIO and change nothing. */
void fake_disk_cut_at(uint64_t n);
/* Reads and writes move at most a few bytes at a time, and every third call is interrupted first. */
void fake_disk_dribble(bool on);
/* What becomes of writes around the page cache. They are modelled on any file system, and have to begin at or behind the
 * file's end: a page that was written through the page cache is never written around it. */
enum fake_direct { FAKE_DIRECT_TAKEN, FAKE_DIRECT_NOT_OPENED, FAKE_DIRECT_NOT_WRITTEN };
void fake_disk_direct(enum fake_direct direct);
uint64_t fake_disk_direct_size(void); /* bytes that were written so, since the start */
/* The file system holds so many bytes of files more; a write that goes beyond is short, then ENOSPC. UINT64_MAX: no end. */
void fake_disk_room(uint64_t size);

uint64_t fake_disk_calls(void);    /* since the start */
bool fake_disk_was_hit(void);      /* a call failed because of fail_at or cut_at */
unsigned fake_disk_open_fds(void); /* opened and not closed through the table */

void fake_disk_lose_power(enum fake_loss loss, uint64_t seed, const char *to);

#endif
