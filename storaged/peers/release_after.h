/* release_after.h: what was dropped, until it is unlinked: the index forgets it, the grace passes, it forgets it again. On loop 0.
 *
 *     TELL --removed--> GRACE --time--> FINAL --removed--> unlinked, out of the list
 *
 * What is dropped is in the journals; this is only how far each file is. So after a start all of them are at TELL, and the grace is
 * counted anew: it may become longer by that, and never shorter. Files of one run go in one request, one request at a time. */
#ifndef STORAGED_PEERS_RELEASE_AFTER_H
#define STORAGED_PEERS_RELEASE_AFTER_H

#include "storaged/peers/release_ask.h"

enum {
    RELEASE_GRACE_FILES_MAX = 65536, /* in the list; with so many nothing more is asked for */
    RELEASE_TELL_MIN_MS = 200,       /* until the index is asked again whether it has come so far */
    RELEASE_TELL_MAX_MS = 30000,
    RELEASE_TELL_TIMEOUT_MS = 30000,
};

enum release_after_step { RELEASE_TELL, RELEASE_GRACE, RELEASE_FINAL };

struct release_after_file {
    struct run_key run;
    uint64_t incarnation, journal_id, records; /* records: behind its *dropped* record */
    unsigned shard;
    uint64_t birth, size;
    enum release_after_step step;
    uint64_t due_ms, rest_ms; /* monotonic; the next rest when it is not removed yet */
};

struct release_after {
    /* in */
    struct node_loop *loop;
    struct release_indexers indexers;
    uint64_t grace_ms;
    void (*on_done)(struct release_after *after); /* a request came to its end */
    void *user;
    /* out */
    struct release_after_file *files; /* owned */
    size_t count, capacity;
    uint64_t bytes;
    bool busy, stop;
    char error[200]; /* of the last request; "": it was answered */
    /* of the request under way */
    struct cluster_view *view;
    struct store_drop drop;
    struct store_drop_file named[RELEASE_FILES_MAX];
    bool removed[RELEASE_FILES_MAX];
    enum release_after_step step;
    struct transfer_request request;
    bool asking;
    struct buf body;
    struct error err;
    char url[RELEASE_URL_SIZE];
};

void release_after_init(struct release_after *after, struct node_loop *loop, uint64_t grace_ms);
void release_after_fini(struct release_after *after);

/* Takes what an asking dropped. */
void release_after_add(struct release_after *after, const struct release_ask *ask, unsigned file,
                       uint64_t size);
/* The store's list of what is dropped and not unlinked: what is not in it any more goes from ours (its run was purged), what is new
 * is told. Not while busy. */
void release_after_take(struct release_after *after, const struct store_dropped *files, size_t count);

/* When the next file wants something; UINT64_MAX: none does. */
uint64_t release_after_due_ms(const struct release_after *after);
/* One of those that are due is begun, with its neighbours. Not while busy. */
void release_after_go(struct release_after *after);
void release_after_cancel(struct release_after *after); /* a request under way ends soon; nothing more is unlinked */

#endif
