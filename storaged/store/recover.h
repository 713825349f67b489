/* recover.h: at start: read each run's journal, prove its tail, cut the rest, flush again. Before anything is served.
 *
 * Rules (design: Recovery), each of which can be repeated after a crash within it:
 *   1. A run's directory that its state in runs.log does not allow goes to purged/. So does what was half made.
 *   2. In a journal only the last batch can be torn. Its records are checked and its messages re-hashed; the journal ends
 *      before its first record that does not hold. The journal is cut and flushed before any data file is cut.
 *   3. Any other damage, or a journal that can't be read (twice): it is made anew from the data files (rebuild.h), its messages
 *      adopted. What lies between them is damaged.
 *   4. A *file* record whose file is missing or empty is void. A message of an earlier batch that lies behind its file's end,
 *      or in one that is missing and was not dropped, is bad: the journal says so, indexers take its place away, and it is
 *      fetched anew.
 *   5. A data file ends after its last record that holds; one without a *file* record goes to purged/.
 *      One that is dropped counts for nothing; as long as it is there it is served, with what is bad in it damaged as ever.
 *   6. What was kept of the last batch is written and flushed again, with its files and the directories: the page cache may show
 *      more than the disk has. */
#ifndef STORAGED_STORE_RECOVER_H
#define STORAGED_STORE_RECOVER_H

#include "proto/base/status.h"

struct store;

/* Fills the store's table of runs and opens its run log. CORRUPT, UNSUPPORTED, IO, FULL. */
enum status recover_store(struct store *store, struct error *err);

#endif
