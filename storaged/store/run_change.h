/* run_change.h: a run's state as told, and its purge. For the writer's thread. */
#ifndef STORAGED_STORE_RUN_CHANGE_H
#define STORAGED_STORE_RUN_CHANGE_H

#include "storaged/store/run_table.h"

/* Answer through the request's port (store.h: store_run_tell(), store_run_purge()). */
void run_change_tell(struct store *store, struct run_change *change);
void run_change_purge(struct store *store, struct run_change *change);

/* A higher state than the run's: into the log, then its directory away where it does not belong to it any more. */
enum status run_change_take(struct store *store, struct run *run, const struct run_info *info,
                            struct error *err);

/* Does the state still allow a directory of that incarnation? */
bool run_change_keeps(const struct run_info *info, uint64_t incarnation);

/* Name in purged/ of a run's directory. */
enum { PURGED_NAME_SIZE = RUN_TEXT_SIZE + 24 };
void run_change_purged_name(const struct run_key *run, uint64_t journal_id, char name[PURGED_NAME_SIZE]);

#endif
