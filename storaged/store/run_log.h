/* run_log.h: the runs' states as told: ready, retired, incarnation, version. FORMATS.md section 6.
 *
 * Read once at start, then appended to by the writer, each record flushed before anything rests on it. */
#ifndef STORAGED_STORE_RUN_LOG_H
#define STORAGED_STORE_RUN_LOG_H

#include "proto/run_log_record.h"

#define RUN_LOG_NAME "runs.log"
#define RUN_LOG_NEW_NAME "runs.log.new"

struct run_log {
    int fd; /* owned; -1: closed */
    uint64_t id;
    uint64_t records; /* written */
};

/* Each run that was spoken of, once, with what holds. */
typedef void run_log_each(void *data, const struct run_key *run, const struct run_info *info);

/* Reads DATA_DIR/runs.log, made when missing. A torn last record is cut; purged runs told of before forget_us (wall
 * clock) are forgotten when the file is written anew. Everything kept is flushed. CORRUPT names the record. */
enum status run_log_open(struct run_log *log, int dir_fd, uint64_t forget_us, run_log_each *each,
                         void *data, struct error *err);
void run_log_close(struct run_log *log); /* safe twice, and after { .fd = -1 } */

/* Appends and flushes. FULL: it is as before. Anything else: what is on disk is unknown. */
enum status run_log_append(struct run_log *log, const struct run_key *run,
                           const struct run_info *info, struct error *err);

#endif
