/* run_table.h: the runs a store knows: those with a directory, and those it was told of.
 *
 * A run stays as long as the store is open, so pointers to it are good without a lock; what changes in it is under its
 * own. Only the writer adds runs and changes them. */
#ifndef STORAGED_STORE_RUN_TABLE_H
#define STORAGED_STORE_RUN_TABLE_H

#include "storaged/store/run_dir.h"

struct run {
    struct run_key key;
    uv_rwlock_t lock;
    struct run_info info; /* [lock] */
    struct run_dir *dir;  /* [lock] owned reference; NULL: nothing is here */
    uint64_t changed;     /* [lock] the store's counter at the last change */
};

struct run_table {
    uv_rwlock_t lock;
    struct run **by_key;  /* owned, ascending */
    struct run **by_time; /* the same, newest base_time first */
    size_t count, capacity;
};

void run_table_init(struct run_table *table);
void run_table_fini(struct run_table *table);
struct run *run_table_find(struct run_table *table, const struct run_key *key); /* or NULL */
struct run *run_table_add(struct run_table *table, const struct run_key *key); /* found or new: filling, 1, 0 */

/* A copy of all, by key or by time; free() it. */
struct run **run_table_list(struct run_table *table, bool by_time, size_t *count);

/* The run's directory with a reference for the caller; NULL: it has none. */
struct run_dir *run_take_dir(struct run *run);

#endif
