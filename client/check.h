/* check.h: index and nodes held against each other, run by run; what differs is named, and whoever is responsible is asked to mend it.
 *
 * Whatever differs is looked at again, after a while and once the index has read what there was, until two looks say the same; only
 * that is a finding. Nothing is deleted from here, and nothing follows from what could not be listed. */
#ifndef CLIENT_CHECK_H
#define CLIENT_CHECK_H

#include "client/check_compare.h"
#include "client/session.h"

enum { CHECK_EXAMPLES = 5, CHECK_DETAIL_SIZE = 256, CHECK_SETTLE_MS = 3000, CHECK_WAIT_MS = 60000 };

struct check_finding {
    enum check_kind kind;
    bool has_run;
    struct run_key run;
    char node[NODE_ID_SIZE_MAX + 1]; /* "": of no one in particular */
    uint64_t count;                  /* messages, or 0 */
    unsigned examples_count;
    struct digest examples[CHECK_EXAMPLES];
    char detail[CHECK_DETAIL_SIZE];
    struct digest *digests; /* owned; of dangling and misplaced ones all: the index is to forget them there */
    size_t digests_count, digests_room;
};

/* What was asked for to mend something. */
struct check_action {
    const char *name;     /* "reread", "sync", "map", "sweep" */
    enum check_kind kind; /* what for */
    bool names_messages;
    bool has_run;
    struct run_key run;
    char node[NODE_ID_SIZE_MAX + 1];
    char error[CHECK_DETAIL_SIZE]; /* "": it was taken on */
};

struct check_report {
    struct check_finding *findings; /* owned; those that are left */
    size_t findings_count, findings_room;
    struct check_action *actions; /* owned */
    size_t actions_count;
    size_t mended; /* findings of the first pass that are not there any more */
    uint64_t epoch, runs, nodes, nodes_listed;
    uint64_t locations, messages; /* that the index names; copies that nodes hold */
    uint64_t took_ms;
};

struct check_options {
    const char *source;        /* NULL: all */
    const struct run_key *run; /* NULL: all */
    bool repair;
    uint64_t settle_ms, wait_ms; /* between two looks; for the index to catch up, and for what was asked for */
    void (*on_text)(void *user, const char *text); /* how it goes on; may be NULL */
    void *user;
};

/* OK: the report holds what was found. Otherwise it could not be looked at all. check_report_fini() in any case. */
enum status check_cluster(struct gs_session *session, const struct check_options *options,
                          struct check_report *report, struct error *err);
void check_report_fini(struct check_report *report);

/* The heaviest finding. Pure. */
enum check_weight check_report_weight(const struct check_report *report);

#endif
