/* upsert_write.h: what batches decoded to, into the catalog, so many writes at a time; what waits meanwhile is written as one.
 *
 * Batches of several nodes that are ready together, replicas of the same messages as a rule, become one write: their locations are merged
 * before the database sees them: journals of two nodes have much the same order, and stamps tell which of their batches
 * belong together. Nobody waits for company: a write begins at the end of the loop's turn, or when an earlier one ends. */
#ifndef INDEXER_UPSERT_WRITE_H
#define INDEXER_UPSERT_WRITE_H

#include "indexer/decoded_cache.h"
#include "indexer/upsert.h"

enum {
    UPSERT_WRITES_MAX = 4,      /* under way at once: of 16 threads of the pool */
    UPSERT_MESSAGES_MAX = 3000, /* of one write, unless a batch alone has more */
};

/* One record of a batch. */
struct upsert_item {
    struct decoded *decoded; /* held; NULL: not looked up, or without heads */
    bool ours;               /* pending, and its batch decodes it */
    const char *headless;    /* why the node gave no heads; NULL: it did, or was not asked */
    unsigned heads_first, heads_count; /* its batch's */
};

/* Embedded in its owner. */
struct upsert_write {
    const struct upsert_batch *batch; /* borrowed, as its records, */
    const struct upsert_item *items;  /* and what became of each, until on_done */
    /* OK: all of it is in the catalog or in quarantine. Once, later; writes may be added from within. */
    void (*on_done)(struct upsert_write *write, enum status status, const struct error *err);
    /* the writer's */
    bool alone; /* with others it failed */
    uint64_t stamp_min, stamp_max;
    struct list list;
};

struct upsert_writer;

void upsert_writer_metrics(void); /* once a process */
struct upsert_writer *upsert_writer_new(struct indexer *indexer);
void upsert_writer_free(struct upsert_writer *writer); /* nothing is under way */
void upsert_writer_add(struct upsert_writer *writer, struct upsert_write *write);

#endif
