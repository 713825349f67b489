/* run_dir.h: a run on disk: its journal, its data files, and what memory keeps of them.
 *
 * Counted: the run has one reference, whoever reads the journal outside of the run's lock another. Made under another
 * name with its journal's header, flushed, then renamed and both parents flushed: a run's directory that can be seen has
 * a whole header. What is marked [lock] is read and changed under the run's lock (run_table.h). */
#ifndef STORAGED_STORE_RUN_DIR_H
#define STORAGED_STORE_RUN_DIR_H

#include "proto/run.h"
#include "storaged/store/data_file.h"
#include "storaged/store/digest_table.h"
#include "storaged/store/journal.h"
#include "storaged/store/store.h"

#define RUN_DIR_NEW_PREFIX ".new-" /* no base_time begins like this */

/* What a run holds of one shard. */
struct run_shard {
    unsigned shard;
    uint64_t bytes;          /* [lock] of good messages that are not adopted */
    struct digest_set set;   /* [lock] of the same */
    struct store_file *last; /* [lock] its newest file; borrowed from files; NULL */
    struct store_file *active; /* the writer's: takes the next message; borrowed, or not in files yet; NULL: make one */
};

struct run_dir {
    _Atomic unsigned references;
    int fd; /* owned */
    struct journal journal;
    struct digest_table table; /* [lock] */
    struct store_file **files; /* [lock] owned references, in the order made */
    unsigned files_count, files_capacity;
    struct run_shard **shards; /* [lock] owned, ascending */
    unsigned shards_count;
    uint64_t *bad; /* [lock] numbers of *stored* records whose message is bad, ascending */
    unsigned bad_count, bad_capacity;
    uint64_t messages, bytes; /* [lock] good, not adopted */
};

/* Make the run's directory in runs_fd; one reference, the caller's. FULL: nothing is there. Any other failure may have
 * left something half done, or unflushed. */
enum status run_dir_make(int runs_fd, const struct run_key *run, uint64_t incarnation,
                         struct run_dir **dir, struct error *err);

struct run_dir *run_dir_new(void); /* empty, fd and journal closed: recovery fills it */
void run_dir_ref(struct run_dir *dir);
void run_dir_unref(struct run_dir *dir);

/* The shard's entry, added when missing. [lock], for writing */
struct run_shard *run_dir_shard(struct run_dir *dir, unsigned shard);
struct run_shard *run_dir_find_shard(const struct run_dir *dir, unsigned shard); /* or NULL */

/* The file becomes the newest of its shard; its reference goes to dir. [lock], for writing */
void run_dir_add_file(struct run_dir *dir, struct store_file *file);

/* The file that holds *stored* record `record` of the shard; NULL: there is none. [lock] */
struct store_file *run_dir_file_of(const struct run_dir *dir, unsigned shard, uint64_t record);
struct store_file *run_dir_file_by_birth(const struct run_dir *dir, unsigned shard, uint64_t birth);

/* A good message that is flushed: into the table, the shard's sums and the file's count. [lock], for writing */
void run_dir_add_message(struct run_dir *dir, struct store_file *file, const struct digest *digest,
                         uint32_t tag, uint32_t record, uint64_t length);
/* The same message counts for nothing from now on; false: it did not before (adopted, or another record of its digest
 * counts). [lock], for writing */
bool run_dir_remove_message(struct run_dir *dir, struct store_file *file, const struct digest *digest,
                            uint32_t tag, uint32_t record, uint64_t length);

bool run_dir_is_bad(const struct run_dir *dir, uint64_t record); /* [lock] */
void run_dir_add_bad(struct run_dir *dir, uint64_t record);      /* [lock], for writing */
void run_dir_remove_bad(struct run_dir *dir, uint64_t record);   /* [lock], for writing */

#endif
