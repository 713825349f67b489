/* closed.h: which journals were flushed whole when the store was closed: DATA_DIR/closed (FORMATS.md section 15).
 *
 * The last batch of a journal may be torn by a crash, so recovery proves it, and can't tell what a crash tore from what the disk
 * damaged since. A journal that ends exactly where it did when the store was closed in order was flushed to its end: its last
 * batch is not torn. So it need not be proven, nor flushed again, and what does not hold in it is damage and not cut. An entry
 * names a journal by its id and its length: a file that is out of date says nothing of journals that went on. */
#ifndef STORAGED_STORE_CLOSED_H
#define STORAGED_STORE_CLOSED_H

#include "proto/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOSED_NAME "closed"
enum { CLOSED_HEADER_SIZE = 24, CLOSED_ENTRY_SIZE = 16, CLOSED_SUM_SIZE = 8 };

struct closed_entry {
    uint64_t journal_id, records;
};

/* All zero: none. */
struct closed {
    struct closed_entry *entries; /* owned; by journal id */
    size_t count;
};

void closed_fini(struct closed *closed);
void closed_add(struct closed *closed, uint64_t journal_id, uint64_t records);

/* Another name, flushed, renamed, the directory flushed. Sorts the entries. */
enum status closed_save(int dir_fd, struct closed *closed, struct error *err);
/* Empty where there is none, or none that holds. */
void closed_load(int dir_fd, struct closed *closed);

bool closed_has(const struct closed *closed, uint64_t journal_id, uint64_t records);

#endif
