/* check.h: one run's directory, looked at and not touched: every record, every digest, every data file. For --fsck.
 *
 * The journal is read twice, in order; then the data files, several at a time, each in order, as the disk has them (medium.h).
 * Memory: four bytes a message of the run, and what was found. */
#ifndef STORAGED_STORE_CHECK_H
#define STORAGED_STORE_CHECK_H

#include "proto/digest.h"
#include "proto/run.h"
#include "storaged/store/closed.h"

#include <stdatomic.h>
#include <uv.h>

enum check_kind {
    CHECK_DAMAGED, /* a message's bytes don't have its digest, or can't be read */
    CHECK_JOURNAL, /* a record does not hold, or is out of place */
    CHECK_MISSING, /* a file that records name */
    CHECK_HEADER,  /* of a journal, of a log */
    CHECK_STRAY,   /* a file nobody names */
    CHECK_TAIL,    /* what a crash leaves: the next start cuts it */
    CHECK_BAD,     /* known to be bad, and no good copy behind it */
    CHECK_DROPPED, /* a file that was given up, in its grace */
    CHECK_KINDS
};
extern const char *const check_names[CHECK_KINDS];

struct check_finding {
    enum check_kind kind;
    const struct run_key *run; /* NULL: none */
    const char *file;          /* NULL: none */
    bool has_record, has_message;
    uint64_t record;
    struct digest digest; /* with has_message, as what follows */
    uint64_t offset, length;
    const char *detail;
};

struct check {
    /* in */
    const struct closed *closed; /* borrowed */
    unsigned shards;             /* 0: not known */
    unsigned threads;
    /* From any of the threads, one at a time. */
    void (*on_finding)(void *user, const struct check_finding *finding);
    void *user;
    /* out, growing */
    _Atomic uint64_t runs, files, messages, bytes;
    _Atomic uint64_t found[CHECK_KINDS];
    uv_mutex_t mutex; /* over on_finding */
};

void check_init(struct check *check);
void check_fini(struct check *check);

/* Thread-safe; counts it. */
void check_tell(struct check *check, const struct check_finding *finding);

/* runs/{source}/{name} in source_fd. Not OK: it could not be looked at (no memory, no descriptors); damage is a finding. */
enum status check_run(struct check *check, int source_fd, const char *name,
                      const struct run_key *run, struct error *err);

#endif
