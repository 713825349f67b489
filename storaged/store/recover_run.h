/* recover_run.h: one run's directory, read at start. The rules are recover.h's, 2 to 6. */
#ifndef STORAGED_STORE_RECOVER_RUN_H
#define STORAGED_STORE_RECOVER_RUN_H

#include "storaged/store/closed.h"
#include "storaged/store/run_table.h"

/* The directory open as dir->fd, its journal open as dir->journal: fills the rest. STATUS_CORRUPT: the journal is damaged
 * elsewhere than in its last batch; the data files have all that it named, dir is spent. */
enum status recover_run(struct store *store, const struct closed *closed, const struct run_key *run,
                        struct run_dir *dir, struct error *err);

#endif
