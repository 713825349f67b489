/* drop.h: giving up a data file: sealed, dropped, unlinked. For the writer's thread. ARCHITECTURE.md section 17.
 *
 *     own --seal--> sealed --drop--> dropped, in grace --unlink--> gone
 *
 * Each step stands alone in the writer's queue, so it is in order with appends, bad messages, states and purges:
 *
 *   seal    An append before it is in the file and among its records, so among the digests that are asked about; one behind
 *           it goes into another file. Files of former processes take no messages anyway. Nothing is kept on disk: a start
 *           seals them all.
 *   drop    The deadline is looked at last, when all that may take time (the journal's reading) is done. Then the records, in one
 *           write and one flush, then under the run's lock: the files are void, their messages out of sums, set hashes and
 *           counts at once, the run has changed. The table of digests is cleaned in pieces behind that; what it still names is
 *           void, so nobody finds it. A PUT of such a digest stands behind in the queue and stores it anew. A purge
 *           before leaves nothing to drop (another journal, or none), one behind takes the file with it.
 *   unlink  First 410 for whoever comes, then the name goes to purged/, where the unlinker cuts the file once its last reader
 *           let go. No directory is flushed: a name that a crash brings back is dropped by its journal, is served, and is
 *           asked about again.
 *
 * A drop that is refused (no room, not in time, an unreadable journal) leaves everything as it was, and its grant is not used.
 * When a write or the flush fails what is on disk is not known before the next start: the files count for nothing in memory
 * meanwhile, since somebody may not count on what that start may find dropped; they are served either way. */
#ifndef STORAGED_STORE_DROP_H
#define STORAGED_STORE_DROP_H

#include "storaged/store/data_file.h"
#include "storaged/store/store.h"

enum {
    DROP_FILES_MAX = 1024, /* of a request */
    DROP_CHUNK = 4096,     /* records read at once */
    DROP_CLEAN = 512,      /* messages that leave the table under one lock */
};

/* Answer through the request's port (store.h). */
void drop_seal(struct store *store, struct store_drop *drop);
void drop_write(struct store *store, struct store_drop *drop);
void drop_unlink(struct store *store, struct store_drop *drop);

/* Name in purged/ of one data file. */
enum { DROP_PURGED_NAME_SIZE = RUN_TEXT_SIZE + 2 * DATA_FILE_NAME_SIZE };
void drop_purged_name(const struct run_key *run, const char *file, char name[DROP_PURGED_NAME_SIZE]);

#endif
