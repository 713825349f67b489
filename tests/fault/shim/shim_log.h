/* shim_log.h: what was changed below the root, and what made it durable, for replay.py to build what the disk could hold.
 *
 * The log lies in a folder beside the data directory (GRIBSTORE_SHIM_LOG: `log`, and `shadow/` with a hard link to every
 * file that lost its last name). A record is written after its change, under one mutex that is held over both, so the log
 * has the order of the changes; a change without its record (the process was killed in between) counts as durable,
 * which a disk may do as well. A write carries the bytes that it went over: taken back from the end on, records turn the
 * directory as it is into what it was when its changes were last flushed. A flush covers the records before it began. */
#ifndef TESTS_FAULT_SHIM_LOG_H
#define TESTS_FAULT_SHIM_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum shim_record_kind {
    SHIM_LOG_WRITE = 1, /* ino, offset, length; size: of the file before; data: what was there */
    SHIM_LOG_SIZE,      /* ino, length: the new size; size: the old one; data: what was cut off */
    SHIM_LOG_NEW,       /* ino: a file or directory that was not there before */
    SHIM_LOG_ADD,       /* dir, name, ino; other: the inode that had the name, or 0 */
    SHIM_LOG_REMOVE,    /* dir, name, ino */
    SHIM_LOG_RENAME,    /* dir, name -> dir2, name2; ino; other: as for ADD */
    SHIM_LOG_FLUSH,     /* ino; other: end of the log when the flush began */
    SHIM_LOG_FLUSH_DIR,
    SHIM_LOG_FLUSH_ALL,
    SHIM_LOG_FLUSH_FAILED, /* what it covered is lost, whatever a later flush says */
    SHIM_LOG_START,        /* of a process: one change of each may be without its record */
};

/* Followed by name, name2, data. Numbers of this machine; replay.py knows the layout. */
struct shim_record {
    uint32_t magic, kind;
    uint64_t ino, dir, dir2, other, offset, length, size, data_size;
    uint32_t is_dir;
    uint16_t name_size, name2_size;
};

void shim_log_open(void); /* where GRIBSTORE_SHIM_LOG is set */
bool shim_log_on(void);
void shim_log_lock(void);
void shim_log_unlock(void);
/* With the lock held. */
uint64_t shim_log_end(void);
/* Keeps `size` bytes at offset of the open file for the next record's data; fewer where it ends before. */
void shim_log_keep(int fd, uint64_t offset, uint64_t size);
void shim_log_keep_nothing(void);
/* A second name for the file, so that its bytes outlive its first. */
void shim_log_keep_file(int dir_fd, const char *path, uint64_t ino);
/* Appends the record with what was kept. name and name2 may be NULL. */
void shim_log_add(struct shim_record record, const char *name, const char *name2);

#endif
