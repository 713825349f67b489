/* sync_look.h: one look at one peer: what it has of this node's shards, and this node lacks, is pulled from it.
 *
 * Run states that are higher there are taken over first. Then, run by run, newest base_time first, counts and set hashes of
 * shards are compared (FORMATS.md section 8); of shards that differ the members are listed, and what is missing here comes as
 * ranges (sync_pull.h), while the next shard is being listed. Nothing is removed, whoever lacks it. On loop 0.
 *
 * A look is settled when all that the peer told is here; then the next one begins where it ended (`seq`). What is younger than
 * SYNC_YOUNG_MS is left: its copies may be on their way. */
#ifndef STORAGED_SYNC_LOOK_H
#define STORAGED_SYNC_LOOK_H

#include "storaged/sync_pull.h"

enum {
    SYNC_SEQ_SIZE = 64,
    SYNC_SLOTS = 8,         /* pulls under way */
    SYNC_TASKS_MAX = 65536, /* shards of runs that a look takes on; more wait for the next */
    SYNC_YOUNG_MS = 5000,
};

struct sync_run;
struct sync_task;

struct sync_progress {
    struct run_key run;               /* where it is; source "": it compares */
    uint64_t shards_left;             /* that differ, and were not looked into yet */
    uint64_t bytes_left;              /* that the peer has more of, as far as is known */
    uint64_t messages, bytes, failed; /* stored here by this look; did not hold or could not be stored */
};

/* A pull, maybe of a task before the one that is looked into. */
struct sync_slot {
    struct sync_pull pull;
    struct sync_message *messages; /* owned: its own; NULL: the slot is free */
    uint64_t bytes;                /* of them */
};

struct sync_look {
    /* in */
    struct node_loop *loop;
    struct peer *peer;
    char seq[SYNC_SEQ_SIZE]; /* in: "" looks at all; out: where the next begins, when settled */
    /* May bytes more be read now? False: `go` is called when they may. */
    bool (*may_read)(struct sync_look *look, uint64_t bytes);
    void (*on_done)(struct sync_look *look, enum status status, const struct error *err);
    void *user;
    bool stop; /* set from outside: it ends soon */
    /* out */
    bool settled, more; /* more: there was more than a look takes on */
    struct sync_progress progress;
    /* its own */
    struct fsm fsm;
    struct cluster_view *view;
    struct transfer_request request;
    struct work work;
    struct error err; /* of work */
    enum status status;
    struct run_change change;
    char url[URL_SIZE_MAX + RUN_TEXT_SIZE + 64];
    char next_seq[SYNC_SEQ_SIZE];
    struct sync_run *runs; /* owned */
    size_t runs_count, run;
    struct sync_task *tasks; /* owned */
    size_t tasks_count, tasks_size, task;
    struct sync_message *missing; /* owned: of the task */
    size_t missing_count, missing_next;
    struct sync_slot slots[SYNC_SLOTS];
    enum status pull_status; /* the first failure of a pull that ends the look */
    struct error pull_err;
    bool pulls_lacked; /* some of what was to be fetched did not come */
    uint64_t flying;   /* bytes of pulls under way */
    bool pulling;  /* the machine waits for slots: the rest of the task's messages is to be begun */
    bool draining; /* it waits for the last pull to come back */
    bool going, again; /* sync_look_go() is on the stack, and was called once more */
};

void sync_look_start(struct sync_look *look);
void sync_look_go(struct sync_look *look); /* bytes may be read again, or it is to stop */

#endif
