/* census.h: what a run holds in the index: counts, bytes, fingerprint, and which digests with how many copies; from one scan of
 * its documents and quarantine, kept until the run changes (census_touch), never counted incrementally. */
#ifndef INDEXER_CENSUS_H
#define INDEXER_CENSUS_H

#include "indexer/indexer.h"
#include "proto/digest.h"
#include "proto/run.h"

struct census {
    uint64_t messages;    /* distinct live digests, quarantined ones too */
    uint64_t fields;      /* documents */
    uint64_t bytes;       /* of distinct live messages */
    uint64_t quarantined; /* messages */
    struct digest_set fingerprint;
};

/* What is known of one digest. copies: distinct nodes that hold it. */
struct census_digest {
    bool known, quarantined;
    unsigned copies;
};

enum status censuses_start(struct indexer *indexer, struct error *err);
void censuses_stop(struct indexer *indexer);
void census_touch(struct indexer *indexer, const struct run_key *run); /* the run's documents changed */

/* All cursors of the catalog: a run whose cursors moved has changed, by another indexer's hand too. */
void censuses_refresh(struct indexer *indexer, const struct catalog_cursor *cursors, size_t count);

/* A census of the run as of now or later. on_done once; the result is borrowed during the call. */
struct census_request {
    struct run_key run;
    const struct digest *digests; /* borrowed; may be NULL */
    size_t digests_count;
    struct census_digest *answers; /* digests_count, filled */
    void (*on_done)(struct census_request *request, enum status status, const struct census *census,
                    const struct error *err);
    void *user;
    struct list list;
};
void census_take(struct indexer *indexer, struct census_request *request);

#endif
