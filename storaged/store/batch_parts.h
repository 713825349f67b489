/* batch_parts.h: what a batch is made of; for batch.c and batch_write.c only. */
#ifndef STORAGED_STORE_BATCH_PARTS_H
#define STORAGED_STORE_BATCH_PARTS_H

#include "storaged/store/batch.h"
#include "storaged/store/store_state.h"

/* An append in the batch. */
struct batch_item {
    struct append *append;
    struct batch_file *file; /* where it is written; NULL: nothing to write (known, refused, or the same as another) */
    struct batch_item *same; /* the item before it with the same digest; NULL */
    struct batch_item *next; /* in its file */
    enum status status;
};

/* A data file that the batch writes to. */
struct batch_file {
    struct flush_job job;    /* writes its messages through a stage */
    struct store_file *file; /* held */
    struct run_shard *shard;
    struct batch_file *next; /* of its run */
    struct batch_item *first, *last;
    uint64_t size; /* bytes that the batch adds */
    int direct_fd; /* borrowed; -1: through the page cache */
    bool is_new;
    bool has_spooled; /* some of its messages come in unnamed files */
    bool is_unread;   /* one of those could not be read */
};

/* A run that the batch writes to. */
struct batch_run {
    struct run *run;
    struct batch_file *first, *last;
    struct buf records; /* encoded */
    uint64_t count;     /* of records */
    bool has_new_files;
};

struct batch {
    struct store *store; /* borrowed */
    unsigned count_max;
    struct batch_item *items;
    struct batch_file *files;
    struct batch_run *runs;
    struct flush *flushes;
    struct flush_job **jobs;
    struct iovec *vec;
    unsigned count, files_count, runs_count;
    uint64_t size;     /* bytes of messages to write */
    uint64_t room;     /* bytes that may be written, asked for at the batch's first new message; */
    bool has_room;     /* when this is set */
    unsigned *buckets; /* item number + 1 by digest, probed linearly */
    unsigned buckets_count; /* a power of two, at least twice count_max */
    uint64_t seed;          /* of the buckets */
};

/* Writes what was planned: data files, then journals. Nothing is flushed. */
enum status batch_write(struct batch *batch, struct error *err);
/* It failed with that status: is nothing wrong with what was written? Then batch_undo() makes it as if the batch had not been. */
bool batch_may_undo(const struct batch *batch, enum status status);
enum status batch_undo(struct batch *batch, struct error *err);
/* Flushes data files, journals and directories side by side. */
enum status batch_flush(struct batch *batch, struct error *err);

#endif
