/* scrub.h: re-hash everything, slowly; and what somebody could not read, at once. [a thread of its own]
 *
 * A pass goes over all runs by name; in a run over its journal in pieces of SCRUB_CHUNK records, and within a piece file by
 * file, by offset. Journals' records are checked, and each message that counts is hashed as the disk has it (medium.h). What
 * does not hold is read a second time before it is marked bad (damage.h). The thread reads at most `rate` bytes a second,
 * with the lowest priority for processor and disk; a pass begins SCRUB_PERIOD_US after the last one began, or when asked for.
 *
 * Its place is kept in DATA_DIR/scrub.json, written now and then and not flushed: a lost or damaged one costs a pass from
 * the beginning. Suspects (store_suspect()) are read before anything else, whatever the rate; SCRUB_SUSPECTS_MAX wait, what
 * comes then is left to the next pass. */
#ifndef STORAGED_STORE_SCRUB_H
#define STORAGED_STORE_SCRUB_H

#include "storaged/store/medium.h"
#include "storaged/store/store.h"

enum {
    SCRUB_CHUNK = 2048,        /* records read at once */
    SCRUB_SUSPECTS_MAX = 1024, /* waiting */
};
#define SCRUB_PERIOD_US (UINT64_C(24) * 3600 * 1000000)
#define SCRUB_PLACE_NAME "scrub.json"

struct run_dir;

/* Bytes a second, by the time that must pass. All zero: none were read. */
struct scrub_pace {
    uint64_t rate;    /* 0: as fast as it goes */
    uint64_t next_us; /* when the next read may begin */
};
enum { SCRUB_BURST_US = 1000000 }; /* time that was not used counts for so long */
/* Microseconds to wait behind a read of size bytes. */
uint64_t scrub_pace_wait(struct scrub_pace *pace, uint64_t now_us, size_t size);

/* Where a pass stands. */
struct scrub_place {
    struct run_key run; /* source "": before the first */
    uint64_t journal_id;
    uint64_t record;        /* first of the piece */
    uint64_t birth, offset; /* the last message of the piece that was read; 0: none was */
};

struct scrub_suspect {
    struct run_key run;       /* source "": whichever has the file */
    struct store_place place; /* record 0: whatever touches its bytes */
};

/* A message to be read. */
struct scrub_item {
    uint64_t record, offset, length;
    uint64_t birth;
    unsigned shard;
    struct digest digest;
};

struct scrub {
    struct store *store; /* borrowed */
    uv_thread_t thread;
    bool running;
    uv_mutex_t mutex;
    uv_cond_t cond;
    /* under the mutex */
    bool stopping;
    bool asked;                                        /* a pass is to begin now, */
    uint64_t asked_rate;                               /* at this rate */
    struct scrub_suspect suspects[SCRUB_SUSPECTS_MAX]; /* a ring */
    unsigned suspects_first, suspects_count;
    struct store_scrub_info info;
    unsigned findings_next; /* in the ring info.findings */
    /* the thread's */
    struct medium medium;
    struct scrub_pace pace;
    struct scrub_place place;
    struct run_dir *dir; /* reference: of the piece under way */
    struct scrub_item *items;
    unsigned items_count;
    uint64_t saved_us; /* monotonic: when the place was written last */
    bool urgent;       /* a suspect is read: no pace */
};

enum status scrub_start(struct scrub *scrub, struct store *store, struct error *err);
void scrub_stop(struct scrub *scrub); /* soon, with its place kept; safe when it never ran */

#endif
