/* run_guard.h: may documents of a run be written now? As the catalog says, not as this process remembers: it may have slept, and another indexer
 * retired, purged or reopened the run meanwhile. It blocks: the pool only.
 *
 * A look before a write can't stop what comes between the two. So there is one behind it, too: what was written into a run that nobody
 * else removes records from any more is removed by who wrote it. A write of which nobody knows whether it was done is tried again, and
 * the look before that removes what it left. One that dies between write and look leaves it to the sweep. */
#ifndef INDEXER_RUN_GUARD_H
#define INDEXER_RUN_GUARD_H

#include "indexer/catalog/catalog.h"

/* STALE_RUN: the run is retired, purged, of another incarnation, or not in the catalog. */
enum status run_guard_check(struct catalog *catalog, const struct run_key *run,
                            uint64_t incarnation, struct error *err);

#endif
