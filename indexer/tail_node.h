/* tail_node.h: what tail.c (listing, polling) and tail_reader.c (reading journals) share of one node. */
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
    UT_hash_handle hh;
};

enum {
    TAIL_BAD_MAX = 1000
}; /* bad records that are acted on at once: the run's documents are read once for them */

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
    struct upsert_batch batch;
    struct upsert_record batch_records[UPSERT_BATCH_MAX];
    struct digest bad[TAIL_BAD_MAX]; /* messages that are bad, one record after the other */
    size_t bad_count;
    bool removes; /* records[at] is the removal of a file */
    struct journal_record removal;
    struct tail_birth removal_birth;
    struct work work;
    struct catalog_cursor cursor, cursor_was; /* being written; what it has to stand at */
    bool whole; /* a removal by list is part of what the cursor covers */
    bool wrote; /* something since the cursor was as cursor_was: it is looked at before the reader leaves */
    char **keep_only; /* owned; ended by NULL */
    bool run_gone;
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
    void (*on_stopped)(struct indexer *indexer);
};

/* One run of an answer. After a failure, too, files are the caller's to free. */
enum status tail_listing_parse(const json_t *item, struct tail_listing *listing, struct error *err);

struct tail_run *tail_find(struct tail *tail, const struct run_key *run);
void tail_run_free(struct tail *tail, struct tail_run *run);
void tail_pump(struct tail *tail);
void tail_trouble(struct tail *tail, const struct error *err); /* kept for status and log */
/* Starts reading a run that has news, if any has; or sets the timer for those that failed. */
void tail_reader_next(struct tail *tail);
void tail_reader_cancel(struct tail *tail); /* it ends sooner: its request is not waited for */
bool tail_cursor_holds(const struct tail_run *run);   /* a cursor of the journal listed */
uint64_t tail_files_hash(const struct tail_run *run); /* of what the listing names */
uint64_t tail_retry_after(uint64_t retry_ms); /* the pause after one of this many milliseconds; 0: the first */
void tails_check_settled(struct tails *tails);
void tails_stopped(struct tails *tails);

#endif
