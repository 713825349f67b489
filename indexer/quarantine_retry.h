/* quarantine_retry.h: messages of quarantine are tried again by another decoder than the one that refused them.
 *
 * When decoders are ready and are another ecCodes release, or another form of our own (decode.h), than entries name, those entries' heads are
 * read from where the messages lie and decoded. What decodes is written as documents and leaves the quarantine
 * (catalog_quarantine_resolve()); what does not gets the new reason and release, and is not tried again by the same. An entry that no node could be
 * asked for stays as it is until the next time. In the background, some hundred at a time; of several indexers on one database one, by a
 * lease, which only saves work: doing it twice, or ending anywhere, is harmless. */
#ifndef INDEXER_QUARANTINE_RETRY_H
#define INDEXER_QUARANTINE_RETRY_H

#include "indexer/indexer.h"

struct quarantine_retries;

enum status quarantine_retries_start(struct indexer *indexer, struct error *err);
/* What is under way ends with its piece. */
void quarantine_retries_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

/* All entries, whoever refused them: soon, or after what is under way. */
void quarantine_retry_wanted(struct indexer *indexer);
void quarantine_retry_cancel(struct indexer *indexer); /* after the piece that is under way */

struct quarantine_retry_status {
    bool running, wanted;
    bool all;                                      /* not only those of other decoders */
    uint64_t looked_at, decoded, refused, skipped; /* of the one that runs, or of the last */
    uint64_t started_us, ended_us;                 /* wall clock; 0: not */
    char error[256];                               /* of the last one, "" */
};
void quarantine_retry_status(const struct indexer *indexer, struct quarantine_retry_status *status);

#endif
