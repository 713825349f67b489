/* mirror.h: this cluster is brought to another one's runs: what it lacks is copied, fingerprints are compared, states follow.
 *
 * Each step may be done twice, so a mirror that stopped anywhere is begun anew and goes on. Nothing is deleted here, and what is
 * here and not there is only said; runs are retired here as they are there only where that was asked for. */
#ifndef CLIENT_MIRROR_H
#define CLIENT_MIRROR_H

#include "client/session.h"
#include "proto/run.h"

enum { MIRROR_DETAIL_SIZE = 256, MIRROR_INDEX_WAIT_MS = 600000 };

enum mirror_result {
    MIRROR_EQUAL, /* the same messages, the same current issues */
    MIRROR_LACKS, /* a dry run: so much would be copied */
    MIRROR_MOVES, /* the run there is being filled: what came meanwhile is the next mirror's */
    MIRROR_DIFFERS, /* something is here and not there, or an issue is the current one on one side only */
    MIRROR_UNREAD,  /* messages that nobody there could give */
    MIRROR_REFUSED, /* the run here takes nothing: it is retired, or purged */
    MIRROR_RETIRED, /* it is retired or purged there, and so here now */
};
const char *mirror_result_name(enum mirror_result result); /* "equal" */

struct mirror_run {
    struct run_key run;
    enum mirror_result result;
    char state_there[16], state_here[16]; /* at the end; "": not known */
    char fingerprint_there[96], fingerprint_here[96];
    uint64_t messages, size; /* there */
    uint64_t copied, bytes;  /* now */
    uint64_t lacking;        /* a dry run: what would be */
    uint64_t unread, bad_copies, too_few;
    uint64_t only_here;     /* messages that are not there */
    uint64_t other_current; /* messages that are a current issue on one side only */
    char detail[MIRROR_DETAIL_SIZE];
};

struct mirror_options {
    struct gs_session *from;   /* the other cluster */
    const char *source;        /* NULL: all */
    const struct run_key *run; /* NULL: all */
    bool ready_only;           /* runs that are being filled there are left for later */
    bool dry_run, retire;
    uint64_t wait_ms;                                         /* for the index here, of each run */
    void (*on_text)(void *user, const char *text);            /* how it goes on; may be NULL */
    void (*on_run)(void *user, const struct mirror_run *run); /* each at its end; may be NULL */
    void *user;
};

struct mirror_report {
    /* Of a dry run copied and bytes are what is lacking. */
    uint64_t runs, equal, copied, bytes, unread, took_ms;
    enum mirror_result worst; /* EQUAL, LACKS and RETIRED are none */
};

/* The other's runs, oldest first. OK: the report holds what came of each; otherwise what ended it. */
enum status mirror_cluster(struct gs_session *to, const struct mirror_options *options,
                           struct mirror_report *report, struct error *err);

#endif
