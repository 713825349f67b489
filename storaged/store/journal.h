/* journal.h: 64-byte records: append, read, show up to the last flushed one. FORMATS.md section 5.
 *
 * One per run. The writer appends; anybody reads records below journal_flushed(). What lies behind the last batch that
 * was written is cut at once after a failed write (journal_cut()), or never, after a failed flush. */
#ifndef STORAGED_STORE_JOURNAL_H
#define STORAGED_STORE_JOURNAL_H

#include "proto/journal_record.h"

#include <stdatomic.h>

/* A digest table names records by 32 bits. */
#define JOURNAL_RECORDS_MAX UINT64_C(0xfffffffe)
#define JOURNAL_NAME "journal"
#define JOURNAL_NEW_NAME "journal.new" /* while it is rebuilt */

struct journal {
    int fd; /* owned; -1: closed */
    struct journal_header header;
    uint64_t written;         /* records; the writer's */
    _Atomic uint64_t flushed; /* records that may be shown */
};

/* A new file `name` in dir_fd with its header, flushed (its name is not). EXISTS, FULL, IO. */
enum status journal_make(struct journal *journal, int dir_fd, const char *name,
                         const struct journal_header *header, struct error *err);

/* An existing one: its header is checked, nothing counts as written yet. NOT_FOUND, CORRUPT (a header that does not hold, or
 * can't be read twice), UNSUPPORTED, IO. */
enum status journal_open(struct journal *journal, int dir_fd, const char *name, struct error *err);
void journal_close(struct journal *journal); /* safe twice, and after { .fd = -1 } */

static inline uint64_t journal_offset(uint64_t record)
{
    return JOURNAL_HEADER_SIZE + record * JOURNAL_RECORD_SIZE;
}

/* count encoded records behind what is written, in one write; not counted as written before journal_wrote(). */
enum status journal_write(struct journal *journal, const uint8_t *records, uint64_t count,
                          struct error *err);
void journal_wrote(struct journal *journal, uint64_t count);
enum status journal_cut(struct journal *journal, struct error *err); /* to what is written */
void journal_show(struct journal *journal); /* what is written is flushed now */
uint64_t journal_flushed(const struct journal *journal);

/* count records from `from` on, as bytes. MORE, IO, CORRUPT as disk_read(). */
enum status journal_read(const struct journal *journal, uint64_t from, uint64_t count,
                         bool may_block, uint8_t *records, struct error *err);

/* One record, checked. */
enum status journal_read_record(const struct journal *journal, uint64_t number, bool may_block,
                                struct journal_record *record, struct error *err);

#endif
