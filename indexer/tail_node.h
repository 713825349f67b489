/* tail_node.h: what the files of a tail share of one node: tail.c conducts, tail_runs.c knows the runs, tail_cursors.c what the catalog says
 * of them, tail_reader.c reads a journal, with tail_records.c, tail_window.c, tail_goes.c; tail_settle.c tells who waits for it. */
#ifndef INDEXER_TAIL_NODE_H
#define INDEXER_TAIL_NODE_H

#include "indexer/node_request.h"
#include "indexer/tail.h"
#include "indexer/upsert.h"
#include "proto/base/fsm.h"
#include "proto/journal_record.h"

#include <uthash.h>

enum {
    TAIL_SEQ_SIZE = 64,
    TAIL_RETRY_MS_MIN = 200,
    TAIL_RETRY_MS_MAX = 5000,
};

struct tail_file {
    unsigned shard;
    uint64_t birth;
};

/* One run of an answer of /cluster/runs. */
struct tail_listing {
    struct run_key run;
    struct run_info info;
    uint64_t journal_id, records;
    struct tail_file *files; /* owned */
    size_t files_count;
};

/* A file that a *file* record of the journal named, and that record's number. */
struct tail_named {
    struct tail_file file;
    uint64_t record;
};

struct tail_birth {
    uint64_t birth; /* 0: no file yet */
    bool is_void;
};

struct tail_run {
    struct run_key run;
    char name[RUN_TEXT_SIZE];
    struct run_info info;
    uint64_t journal_id; /* 0: the node has none */
    uint64_t records;
    struct tail_file *files; /* owned */
    size_t files_count;
    bool listed;
    bool weighed;      /* its state was compared with the catalog's since it was listed */
    uint64_t retry_ms; /* how long it waits after its next failure; 0: the last reading went well */
    uint64_t not_before_ms; /* monotonic: it failed, and the others have their turn until then */
    bool skipped; /* not read now: retired, purged, another incarnation; looked at again when its listing changes */
    bool stale; /* the catalog may name files that the listing has not */
    bool unsure; /* the cursor is another one than was thought: nothing is read before it is known again */
    bool has_cursor;
    struct catalog_cursor cursor;
    uint64_t scanned;          /* records read by this process */
    uint32_t check;            /* checksum of the last of them */
    struct tail_birth *births; /* owned; file in effect a shard, as of scanned */
    size_t births_count;
    struct tail_named *named; /* owned; in journal order, each once */
    size_t named_count;
    unsigned generation; /* counts up with tails_reread() */
    uint64_t seen_ns;    /* when its cursor was last found in the catalog */
    uint64_t touched_ns; /* when the cursor was last written here, or tried to be */
    /* A reading that failed had written something since its cursor: it is looked at before anybody forgets it (tail_debts.c). */
    bool owes, owes_whole;
    struct catalog_cursor owed;
    UT_hash_handle hh;
};

enum {
    TAIL_BAD_MAX = 1000, /* bad records that are acted on at once: the run's documents are read once for them */
    TAIL_WINDOW_MAX = 4, /* batches of a node under way at once: heads, decoding and writing go on side by side */
    TAIL_UNCOVERED_MAX = 8 * UPSERT_BATCH_MAX, /* records written, then the cursor follows at the latest */
    TAIL_COMPANY_MS = 5000, /* who has started no batch for so long is not waited for (tail_window.c) */
};

/* A batch under way, and the place behind it. */
struct tail_slot {
    struct upsert_batch batch;
    struct upsert_record records[UPSERT_BATCH_MAX];
    enum { TAIL_SLOT_UNDER_WAY, TAIL_SLOT_DONE, TAIL_SLOT_FAILED } state;
    uint64_t end;   /* number of the record behind it */
    uint32_t check; /* checksum of the one before that */
};

enum tail_window_wait { TAIL_WINDOW_NOBODY, TAIL_WINDOW_ROOM, TAIL_WINDOW_IDLE };

/* The batches of one reader, in journal order, and the cursor that follows them. */
struct tail_window {
    struct tail_slot slots[TAIL_WINDOW_MAX]; /* a ring; those that are done at its front leave */
    unsigned first, count;
    uint64_t end; /* all before it is in the catalog */
    uint32_t check;
    bool writing, cursor_failed;
    enum status status; /* the first failure: nothing is started any more */
    struct error err;
    enum tail_window_wait wait; /* what the reader's machine waits for */
    struct work work;
};

/* Reads one run to its end; tail_reader.c. */
struct tail_reader {
    struct fsm fsm;
    struct tail *tail;
    struct tail_run *run;
    unsigned generation;
    uint64_t journal_id; /* being read */
    struct node_request request;
    bool request_open, request_sent; /* has memory; is under way */
    uint8_t *records;                /* borrowed from the request's answer */
    size_t records_count, at;
    uint64_t first; /* number of records[0] */
    uint64_t front_us,
        front_ms; /* stored_at of the last message that a batch was started with; when that was, monotonic */
    struct tail_window window;
    struct digest bad[TAIL_BAD_MAX]; /* messages that are bad, one record after the other */
    size_t bad_count;
    bool removes; /* the last record taken is the removal of a file */
    struct journal_record removal;
    struct work work;
    struct catalog_cursor cursor, cursor_was; /* being written; what it has to stand at */
    bool whole; /* a removal by list is part of what the cursor covers */
    bool wrote; /* something since the cursor was as cursor_was: it is looked at before the reader leaves */
    char **keep_only; /* owned; ended by NULL */
    bool run_gone;
    size_t kept; /* of a node that is out: what is named nowhere else, by the removal just done */
};

struct tail {
    struct indexer *indexer;
    char id[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1];
    struct tail_run *runs;
    char seq[TAIL_SEQ_SIZE];
    bool polling, reading, loading, stopping;
    bool out; /* the map counts the node out: nothing is asked of it, all that the index says of it goes */
    bool cursors_known, listed_once, reachable;
    bool relist;       /* the next listing has to be a full one */
    uint64_t even_ms;  /* monotonic: when it was last caught up, or began */
    uint64_t known_ns; /* when the cursors were */
    uint64_t last_heard_us, records_read, retry_ms;
    char error[256];
    struct node_request poll;
    struct tail_reader reader;
    uv_timer_t retry; /* after trouble with the node's listing or the cursors: nothing is started before */
    uv_timer_t again; /* runs that failed are read again then */
    struct work load;
    struct catalog_cursor *loaded; /* owned, while loading */
    size_t loaded_count, loaded_capacity;
    struct list list;
};

struct tails {
    struct indexer *indexer;
    struct list list;
    struct list settles;
    struct list debts;
    void (*on_stopped)(struct indexer *indexer);
};

/* --- tail_runs.c --- */
struct tail_run *tail_find(struct tail *tail, const struct run_key *run);
struct tail_run *tail_run_make(struct tail *tail, const struct run_key *run); /* or the one that is there */
void tail_run_free(struct tail *tail, struct tail_run *run);
/* An answer of /cluster/runs. */
enum status tail_take_answer(struct tail *tail, const json_t *answer, struct error *err);
bool tail_cursor_holds(const struct tail_run *run);   /* a cursor of the journal listed */
uint64_t tail_files_hash(const struct tail_run *run); /* of what the listing names */
/* It is read again from the beginning of its journal, or not at all. */
void tail_run_rescan(struct tail_run *run);

/* --- tail.c --- */
void tail_pump(struct tail *tail);
void tail_stop_if_idle(struct tail *tail);
void tail_trouble(struct tail *tail, const struct error *err); /* kept for status and log */
/* The node answers: what was wrong with it is over, but for runs that can't be read. */
void tail_well(struct tail *tail);
void tail_retry_later(struct tail *tail); /* after trouble with the whole node */
uint64_t tail_retry_after(uint64_t retry_ms); /* the pause after one of this many milliseconds; 0: the first */
void tails_stop_if_idle(struct tails *tails);

/* --- tail_cursors.c --- */
void tail_load_cursors(struct tail *tail); /* then tail_pump() */

/* --- tail_reader.c --- */
/* Starts reading a run that has news, if any has; or sets the timer for those that failed. */
void tail_reader_next(struct tail *tail);
void tail_reader_cancel(struct tail *tail); /* it ends sooner: its request is not waited for */
/* The run is another one than when the reader began, or the tail ends: it leaves without a cursor. */
bool tail_reader_overtaken(const struct tail_reader *reader);
/* The cursor stands elsewhere than was thought: what is stored is read again, and whose the node is now is asked. */
void tail_reader_lost(struct tail_reader *reader);

/* --- tail_records.c --- */
/* Takes records of the chunk, in order, until something has to be done with them: into the slot, or into bad and removal. */
enum status tail_records_take(struct tail_reader *reader, struct tail_slot *slot, struct error *err);

/* --- tail_window.c: batches under way at once --- */
void tail_window_init(struct tail_reader *reader); /* everything before run->scanned, or the cursor, is done */
struct tail_slot *tail_window_free(struct tail_reader *reader); /* NULL: no room now; kept by tail_window_put() alone */
/* What the free slot holds (nothing at all is fine) is under way; run->scanned is the place behind it. */
void tail_window_put(struct tail_reader *reader);
bool tail_window_idle(const struct tail_reader *reader); /* nothing is under way, and the cursor covers what was done */
/* Waits for room or idleness (and for idleness after a failure), then the step; or fails with the first failure of a batch or a cursor. */
enum fsm_next tail_window_wait(struct tail_reader *reader, enum tail_window_wait wait, unsigned step);
/* The cursor that stands for what is done now, in reader->cursor, and the one that has to be there, in cursor_was. */
void tail_window_set_cursor(struct tail_reader *reader, uint64_t end, uint32_t check, bool complete);
struct catalog_cursor tail_window_cursor_now(const struct tail_reader *reader);
void tail_window_put_cursor(struct tail_reader *reader, struct work *work); /* on the pool */
void tail_window_cursor_is_put(struct tail_reader *reader, const struct work *work); /* on the loop */

/* --- tail_goes.c: what is removed, while the window is idle; each resumes the reader's machine --- */
void tail_reconcile(struct tail_reader *reader); /* what the listing does not have */
void tail_remove(struct tail_reader *reader);    /* what the last records taken say */
void tail_finish(struct tail_reader *reader); /* what a first reading did not name; then the cursor says so */
void tail_keep_free(struct tail_reader *reader);

/* --- tail_debts.c --- */
/* The cursor is looked at until the database answers: catalog_cursor_check(). */
void tail_debt_add(struct indexer *indexer, const struct catalog_cursor *was, bool whole);
void tail_debts_stop(struct tails *tails); /* each is tried once more; then tails_stop_if_idle() */
void tail_run_owes(struct tail_reader *reader); /* the reader ends: what it leaves to its run */
void tail_run_leave_debt(struct tail *tail, struct tail_run *run); /* the run goes, or takes another cursor */

/* --- tail_settle.c --- */
void tails_check_settled(struct tails *tails);

/* --- tail_listing.c --- */
/* One run of an answer. After a failure, too, files are the caller's to free. */
enum status tail_listing_parse(const json_t *item, struct tail_listing *listing, struct error *err);

#endif
