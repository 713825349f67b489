/* store.h: the engine's face: append, find, read, feed, purge.
 *
 * A store is one data directory: runs, each a directory of data files and a journal (FORMATS.md sections 5 and 6). Threads:
 * any number of loops call it; one writer thread does everything that changes the disk, in order: appends, run states,
 * purges. So a state told to a run is behind every append acknowledged before it, and none comes after.
 *
 * What takes time calls back: the request is embedded in its owner, belongs to the store until on_done, and comes back
 * exactly once, on the loop of its port, never from within the call that started it. Functions marked [blocking] may wait for the disk: thread pool only.
 *
 * Promises: on_done(OK) of an append means data and journal are flushed, and the names of new files too. What is not
 * flushed can't be found, read or listed. After a failed flush the store is read-only (STATUS_READ_ONLY) until reopened. */
#ifndef STORAGED_STORE_STORE_H
#define STORAGED_STORE_STORE_H

#include "proto/base/buf.h"
#include "proto/base/list.h"
#include "proto/digest.h"
#include "proto/grib_head.h"
#include "proto/journal_record.h"
#include "proto/run.h"

#include <uv.h>

struct store;

/* How far store_open() is. */
struct store_progress {
    _Atomic uint64_t runs, runs_read; /* that have a directory; 0 until they are listed */
};

/* In brackets: what a 0 stands for. */
struct store_options {
    const char *dir; /* made if missing; locked (flock): LOCKED when another process has it */
    unsigned shards; /* of the cluster: a slice of the digest space each */
    uint64_t batch_size_max;  /* bytes written before a flush [64 MiB] */
    unsigned batch_count_max; /* appends in a batch [4,096] */
    uint64_t queue_count_max; /* appends waiting; one more is OVERLOADED [65,536] */
    unsigned flush_threads;   /* that write and flush data files in parallel [4] */
    uint64_t direct_size; /* a data file's share of a batch from which on it is written around the page cache [64 KiB]; UINT64_MAX: never */
    uint64_t reserve_size; /* bytes kept free; 0: none; UINT64_MAX: max(5 %, 5 GiB) of the file system */
    uint64_t run_memory_us;   /* how long purged runs are remembered [400 days] */
    unsigned recover_threads; /* that read runs at the start [cores, at most 8] */
    uint64_t scrub_rate; /* bytes a second that are read again; 0: only what is suspected or asked for */
    /* While store_open() runs; each may be NULL. */
    void (*on_locked)(void *user); /* the directory is this process's; on the calling thread */
    void *user;
    struct store_progress *progress;
};

/* Opens, recovers (design: Recovery), starts the writer. LOCKED, CORRUPT, IO, UNSUPPORTED (a newer format). */
enum status store_open(const struct store_options *options, struct store **store, struct error *err);
/* Everything queued is done and has called back before: the caller has drained. Joins the threads. */
void store_close(struct store *store);

/* --- ports: where completions arrive --- */
struct store_port {
    uv_async_t async;
    uv_mutex_t mutex;
    struct list done;
    void (*on_change)(struct store_port *port); /* may be NULL: some run changed since the last call (coalesced) */
    void *user;
    struct list ports; /* from here on the store's */
    struct store *store;
    void (*on_closed)(struct store_port *port);
    bool changed;
};
enum status store_port_open(struct store_port *port, struct store *store, uv_loop_t *loop,
                            struct error *err);
void store_port_close(struct store_port *port, void (*on_closed)(struct store_port *port));

/* What the store keeps in a request under way; nothing in it is the caller's. */
enum store_request_kind {
    STORE_APPEND = 1,
    STORE_TELL,
    STORE_PURGE,
    STORE_BAD,
    STORE_SEAL,
    STORE_DROP,
    STORE_UNLINK,
};
struct store_request {
    struct list list;
    enum store_request_kind kind;
    enum status status;
};

/* --- append --- */
struct store_place {
    unsigned shard;
    uint64_t birth; /* of the data file */
    uint64_t offset, length;
    uint64_t stored_at_us;
    uint64_t record; /* its number in the journal */
};

struct append {
    /* in: set by the caller, borrowed until on_done */
    struct run_key run;
    struct digest digest; /* of the bytes: computed by the caller */
    struct slice data;    /* the message, or: */
    int fd;               /* -1, or an unnamed file that holds it */
    uint64_t fd_offset;
    uint64_t length;
    uint64_t stored_at_us; /* its stamp; 0: the next one of this node */
    uint64_t incarnation; /* of the run as the sender knows it; 0: whichever is here. Higher than ours: taken over; lower: STALE_RUN */
    uint64_t run_messages_max, run_bytes_max; /* what the run may hold here, this one included; 0: any */
    struct store_port *port;
    /* OK: stored, or known before (is_new false): place holds. RUN_RETIRED, PURGED, STALE_RUN, FULL, READ_ONLY, OVERLOADED, IO */
    void (*on_done)(struct append *append, enum status status);
    /* out */
    struct store_place place;
    bool is_new;
    bool over_quota; /* with FULL: the run has what it may hold, the disk has room */
    uint64_t run_incarnation;
    struct error err;
    struct store_request request; /* the store's */
};
void store_append(struct store *store, struct append *append);

/* The next stamps: max(now, last given + 1) and count - 1 more. Thread-safe. Stamps that came with copies are taken into account
 * by store_stamp_seen(). A last one that is far ahead of the clock was given by a clock that was wrong, here or elsewhere, and
 * came with sync, which takes any: it is not followed, else every node that has the message would give stamps that the others
 * refuse (put.h: 5 min), for as long as that clock was off. */
enum { STORE_STAMP_AHEAD_MAX_US = 240000000 };
uint64_t store_stamp(struct store *store, uint64_t count);
void store_stamp_seen(struct store *store, uint64_t stored_at_us);

/* May so many bytes be written beside what is appended, without touching the reserve? FULL: no. [blocking] */
enum status store_check_room(struct store *store, uint64_t size, struct error *err);

/* An unnamed file in the data directory (O_TMPFILE), for bodies too large for memory. [blocking] */
enum status store_spool_open(struct store *store, int *fd, struct error *err);
/* Takes fd: what it held is freed in the background. -1 is fine. */
void store_spool_close(struct store *store, int fd);

/* --- find --- */
/* A good, flushed message. NOT_FOUND; PURGED and RUN_RETIRED are not told apart from it. MORE: the journal's record is
 * not in the page cache and may_block was false: ask again on the thread pool with may_block. */
enum status store_find(struct store *store, const struct run_key *run, const struct digest *digest,
                       bool may_block, struct store_place *place, struct error *err);
/* The same over all runs, newest base_time first. */
enum status store_find_any(struct store *store, const struct digest *digest, bool may_block,
                           struct run_key *run, struct store_place *place, struct error *err);
/* The same over the runs that allows() takes. */
enum status store_find_where(struct store *store, const struct digest *digest, bool may_block,
                             bool (*allows)(void *data, const struct run_key *run), void *data,
                             struct run_key *run, struct store_place *place, struct error *err);

/* --- data files --- */
struct store_file; /* counted; open while anybody holds it */
/* NOT_FOUND; PURGED (the run is purged and remembered, or the file was dropped and its grace is over): 410. [blocking]: an open(2) */
enum status store_file_open(struct store *store, const struct run_key *run, unsigned shard,
                            uint64_t birth, struct store_file **file, struct error *err);
/* The same without waiting. MORE: it is not open, store_file_open() has to. */
enum status store_file_try_open(struct store *store, const struct run_key *run, unsigned shard,
                                uint64_t birth, struct store_file **file, struct error *err);
void store_file_release(struct store_file *file);
bool store_file_is_gone(const struct store_file *file); /* purged: who opens it now does not get it */
uint64_t store_files_gone(struct store *store); /* how many were, ever; ports are told of a change after it has grown */
int store_file_fd(const struct store_file *file);
uint64_t store_file_size(const struct store_file *file);    /* flushed bytes, now */
int64_t store_file_modified(const struct store_file *file); /* of the last flush, seconds since 1970 */
bool store_file_damaged(const struct store_file *file, uint64_t offset, uint64_t length); /* touches a bad message */

/* --- runs --- */
struct store_file_info {
    unsigned shard;
    uint64_t birth, size, count; /* flushed bytes, good messages */
    int64_t modified;            /* seconds since 1970 */
    bool own;                    /* made by this process: it may take messages */
};
struct store_run_info {
    struct run_key run;
    struct run_info info;
    uint64_t journal_id; /* 0: no directory (purged, or only spoken of) */
    uint64_t records, messages, bytes;
    uint64_t changed; /* the store's change counter at its last change */
    unsigned files_count;
    struct store_file_info *files; /* in the order made */
};
/* Runs whose change counter is > since (0: all), ordered by run; *counter: the store's now. Free with
 * store_runs_free(). One run by store_run_get(): NOT_FOUND. */
enum status store_runs(struct store *store, uint64_t since, struct store_run_info **runs,
                       size_t *count, uint64_t *counter);
enum status store_run_get(struct store *store, const struct run_key *run, struct store_run_info *info);
void store_runs_free(struct store_run_info *runs, size_t count);
void store_run_info_fini(struct store_run_info *info);
uint64_t store_boot_id(const struct store *store); /* random, new at each open */
uint64_t store_counter(struct store *store);       /* the change counter now */

/* What is known of a run's state (never fails: filling, 1, 0). */
void store_run_state(struct store *store, const struct run_key *run, struct run_info *info);

/* Tell a state: only a higher (incarnation, version) is taken, an equal one is OK, a lower one STALE_RUN with `info` set to what is here. Retired:
 * later appends are refused, and on_done comes after all earlier ones are acknowledged. Purged, or a higher
 * incarnation: the directory goes to purged/ and is unlinked in the background. on_done(OK) = flushed in runs.log. */
struct run_change {
    struct run_key run;
    struct run_info info; /* in; out: what holds now */
    struct store_port *port;
    void (*on_done)(struct run_change *change, enum status status);
    struct error err;
    struct store_request request; /* the store's */
};
void store_run_tell(struct store *store, struct run_change *change);

/* DELETE: works only on a run that is retired at exactly info's incarnation and version, else STALE_RUN; renamed, both
 * parents flushed, then on_done; unlinked in the background. Nothing there (already gone): OK. */
void store_run_purge(struct store *store, struct run_change *purge);

/* --- the feed --- [blocking] */
/* Raw records from `from` on, at most count_max, with void bits set; *total: flushed records. JOURNAL_CHANGED: the id is
 * another, from is beyond the end, or the checksum of record from - 1 is not `check` (when has_check). NOT_FOUND. */
enum status store_journal_read(struct store *store, const struct run_key *run, uint64_t journal_id,
                               uint64_t from, bool has_check, uint32_t check, size_t count_max,
                               struct buf *records, uint64_t *total, struct error *err);
/* The place of a *stored* record that is not void, with its file held (release it). JOURNAL_CHANGED, NOT_FOUND (void). */
enum status store_record_open(struct store *store, const struct run_key *run, uint64_t journal_id,
                              uint64_t record, struct store_place *place, struct store_file **file,
                              struct error *err);

/* Per shard of a run: count, bytes and set hash of good, flushed, not adopted messages. shards entries. NOT_FOUND. */
struct store_shard {
    uint64_t bytes;
    struct digest_set set;
};
enum status store_shards(struct store *store, const struct run_key *run, struct store_shard *shards);
/* Each such message of one shard, to each(); [blocking]. */
enum status store_shard_list(struct store *store, const struct run_key *run, unsigned shard,
                             void (*each)(void *data, const struct digest *digest,
                                          const struct store_place *place),
                             void *data, struct error *err);

/* --- damage --- */
/* A message whose bytes can't be read, or don't have its digest, is *bad*: its journal says so, ranges that touch it are
 * damaged (410), and its digest counts as missing: an append of it stores it anew, behind. */
struct store_bad {
    /* in */
    struct run_key run;
    uint64_t journal_id, record; /* the *stored* record */
    const char *why;             /* for the log; borrowed until on_done */
    struct store_port *port; /* NULL: on_done comes on the writer's thread, or at once when the queue is full; it must not wait */
    /* OK: it is bad, flushed (is_new: since now). NOT_FOUND: the record counts for nothing (purged, dropped, another
     * journal). READ_ONLY, FULL, IO with is_new: the journal could not be told, it is bad until the store is opened anew. */
    void (*on_done)(struct store_bad *bad, enum status status);
    /* out */
    bool is_new;
    uint64_t incarnation; /* of the run */
    struct store_place place;
    struct digest digest;
    struct error err;
    struct store_request request; /* the store's */
};
void store_mark_bad(struct store *store, struct store_bad *bad);

/* Told of each message that turns bad, on the writer's thread: takes note, waits for nothing. One at a time; NULL: nobody. */
void store_on_bad(struct store *store, void (*on_bad)(void *user, const struct store_bad *bad),
                  void *user);

/* Bad messages whose digest has no good record in its run here: each is to come from elsewhere. [blocking] False from
 * each() ends it. */
struct store_missing {
    struct run_key run;
    uint64_t incarnation; /* that it belongs to: what is stored for it goes into no other */
    struct digest digest;
    uint64_t length, stored_at_us;
};
void store_missing_each(struct store *store,
                        bool (*each)(void *user, const struct store_missing *missing), void *user);

/* --- giving up data files (drop.h) --- */
struct store_drop_file {
    unsigned shard;
    uint64_t birth;
    enum status status; /* out; OK: done. NOT_FOUND: there is no such file, or it is past that step */
};

/* A step for some files of one run, in the writer's order. All three: NOT_FOUND, the journal is another. */
struct store_drop {
    /* in, borrowed until on_done */
    struct run_key run;
    uint64_t journal_id; /* sealing: 0, whichever is here */
    struct store_drop_file *files;
    unsigned count;
    uint64_t deadline_us; /* of store_drop(), on clock_monotonic_us() */
    struct store_port *port;
    void (*on_done)(struct store_drop *drop, enum status status);
    /* out */
    uint64_t incarnation, records; /* of the journal; records: flushed */
    struct error err;
    struct store_request request; /* the store's */
};
/* No more messages go into these files: the next one of their shard opens another file. journal_id is filled in. */
void store_seal(struct store *store, struct store_drop *drop);
/* Writes *dropped* records of files that are sealed. From their flush on the files count for nothing, but ranges of them are
 * served on. OK: `records` is behind them. TIMEOUT: the deadline was past, READ_ONLY, FULL, IO, CORRUPT (the journal can't be
 * read): nothing was written, and the files count. IO after which the store is read-only: what is on disk is not known before
 * it is opened anew, and they count for nothing until then. */
void store_drop(struct store *store, struct store_drop *drop);
/* Dropped files answer PURGED (410) from now on, and go from the disk in the background. A file whose status is neither OK
 * nor NOT_FOUND is still there: try again. READ_ONLY. */
void store_unlink(struct store *store, struct store_drop *drop);

/* The digests of all *stored* records of these files, bad and adopted ones too, to each(); records before `records`. *behind: who
 * has read so many records has read all of these files; what came behind them is of others. JOURNAL_CHANGED, NOT_FOUND, CORRUPT,
 * IO. [blocking] */
enum status store_drop_digests(struct store *store, const struct store_drop *drop,
                               void (*each)(void *user, unsigned file, const struct digest *digest),
                               void *user, uint64_t *behind, struct error *err);

enum store_file_state {
    STORE_FILE_UNKNOWN, /* no such run, no such file */
    STORE_FILE_COUNTS,
    STORE_FILE_DROPPED, /* served until it is unlinked */
    STORE_FILE_GONE,
};
enum store_file_state store_file_state(struct store *store, const struct run_key *run,
                                       unsigned shard, uint64_t birth);

/* Files that are dropped and not unlinked, of all runs; free() it. */
struct store_dropped {
    struct run_key run;
    uint64_t incarnation, journal_id, records; /* records: flushed ones, now */
    unsigned shard;
    uint64_t birth, size;
};
void store_list_dropped(struct store *store, struct store_dropped **files, size_t *count);

/* Somebody could not read these bytes, or they had the wrong digest: they are read again soon, and what does not hold
 * then is marked bad. place->record 0: every message that touches place's bytes of the file. From any thread, at once. */
void store_suspect(struct store *store, const struct run_key *run, const struct store_place *place);
void store_file_suspect(struct store *store, const struct store_file *file, uint64_t offset,
                        uint64_t length);

/* --- scrub: everything is read again (scrub.h) --- */
enum { STORE_SCRUB_FINDINGS = 100, STORE_SCRUB_DETAIL_SIZE = 160 };
enum store_finding_kind { STORE_FINDING_DAMAGED, STORE_FINDING_JOURNAL };
struct store_scrub_finding {
    enum store_finding_kind kind;
    uint64_t time_us;
    struct run_key run;
    uint64_t record;
    /* of a message */
    unsigned shard;
    uint64_t birth, offset, length;
    struct digest digest;
    char detail[STORE_SCRUB_DETAIL_SIZE];
};
struct store_scrub_pass {
    uint64_t begun_us, completed_us; /* wall clock; 0: not */
    uint64_t messages, bytes, found;
};
struct store_scrub_info {
    bool is_running, is_asked; /* a pass is under way; one is about to begin */
    uint64_t rate;             /* of the pass; 0: any */
    uint64_t bytes_total;      /* what there was when it began */
    struct run_key run;        /* where it is; source "": nowhere yet */
    struct store_scrub_pass pass, last;
    unsigned suspects;
    uint64_t findings_total; /* since the start; the newest of them: */
    unsigned findings_count;
    struct store_scrub_finding findings[STORE_SCRUB_FINDINGS];
};
void store_scrub(struct store *store, uint64_t rate); /* a pass from the beginning, now; rate 0: as fast as it goes */
void store_scrub_status(struct store *store, struct store_scrub_info *info);

/* --- health --- */
struct store_stats {
    uint64_t runs, messages, bytes, files, files_purging;
    uint64_t bad; /* messages, since their runs were made; healed ones too */
    uint64_t disk_size, disk_free,
        disk_reserved; /* when the disk was last asked: at an append, or by store_look_at_space() */
    bool read_only;    /* a write or flush failed: error says which */
    bool full;         /* free <= reserve */
    char error[ERROR_TEXT_SIZE];
};
void store_stats(struct store *store, struct store_stats *stats);
void store_look_at_space(struct store *store); /* what others write fills the disk, too [blocking] */
void store_metrics_register(void); /* gribstore_put_bytes_total, gribstore_put_dedup_total, gribstore_fsync_duration_seconds... */

#endif
