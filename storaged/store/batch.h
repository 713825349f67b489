/* batch.h: one group commit: plan, write, flush, show, acknowledge.
 *
 *   plan    each append as it is taken: known already, refused, or given its file, offset and record number
 *   write   a data file's messages in one pwritev, then each run's journal records in one
 *   flush   all touched data files, journals and directories side by side
 *   show    under the runs' locks: tables, sums, sizes, journal ends
 *   answer  each append, through its port
 *
 * When the disk is full before the flush, the batch is undone: data files and journals are cut to where they ended, new
 * files unlinked; a data file that can't be cut takes nothing more, a journal that can't be cut makes the store
 * read-only. Any other failed write, and each failed flush, makes it read-only at once and undoes nothing: what is on disk is
 * unknown then, and recovery decides. */
#ifndef STORAGED_STORE_BATCH_H
#define STORAGED_STORE_BATCH_H

#include "storaged/store/store.h"

struct batch;

struct batch *batch_new(struct store *store); /* borrowed: store */
void batch_free(struct batch *batch);

/* Plans an append and takes it off its list; batch_commit() will answer it. False: it has to wait for the next batch. */
bool batch_take(struct batch *batch, struct append *append);

/* Makes what was taken durable and answers it; the batch is empty again. */
void batch_commit(struct batch *batch);

#endif
