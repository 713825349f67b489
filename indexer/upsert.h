/* upsert.h: records of a journal -> heads -> keys -> documents in the catalog, then on_done: the cursor may be written.
 *
 * A batch is stored records of one node and run, in journal order. A digest under way in another batch is waited for; one decoded
 * lately comes from the cache; the others' heads are asked from the node of the batch. A refused head makes a quarantine entry of its message. */
#ifndef INDEXER_UPSERT_H
#define INDEXER_UPSERT_H

#include "indexer/indexer.h"
#include "proto/run.h"

enum {
    UPSERT_BATCH_MAX = 1000,
    UPSERT_AHEAD_MAX = 24, /* batches under way of all nodes; beyond, a node has one (decoders.h: queue_max) */
};

struct upsert_record {
    struct digest digest;
    uint64_t record; /* its number in the journal */
    unsigned shard;
    uint64_t birth, offset, length, stored_at_us;
};

struct upsert_batch {
    struct run_key run;
    uint64_t incarnation, journal_id;
    char node[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1];
    size_t count;
    struct upsert_record *records; /* owned by the caller, borrowed until on_done */
    /* OK: all of it is in the catalog or in quarantine. JOURNAL_CHANGED, UNREACHABLE...: nothing may be concluded, do it again. */
    void (*on_done)(struct upsert_batch *batch, enum status status, const struct error *err);
    void *user;
    void *machine; /* the upserts' */
};

enum status upserts_start(struct indexer *indexer, struct error *err);
void upserts_stop(struct indexer *indexer);
/* May a node that has a batch under way start another? */
bool upserts_have_room(const struct indexer *indexer);
/* The message decodes after all: that it was refused is not remembered any more. */
void upserts_forget_refusal(struct indexer *indexer, const struct digest *digest);
void upsert_start(struct indexer *indexer, struct upsert_batch *batch);

#endif
