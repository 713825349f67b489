/* reindex_main.h: `indexer --reindex-names`: names of all fields made anew, with progress in the log, then the end.
 *
 * Nothing is listened on, no node is asked. With MongoDB it may run beside indexers; with SQLite the indexer has to be stopped, as it holds
 * the file's lock. */
#ifndef INDEXER_REINDEX_MAIN_H
#define INDEXER_REINDEX_MAIN_H

#include "indexer/indexer.h"

/* The exit code: 0 done, 1 failed. A signal ends the process: done again, it goes on. */
int reindex_main(const struct settings *settings);

#endif
