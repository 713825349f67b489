/* release_code.h: why a data file is given up or stays (ARCHITECTURE.md, section 17): the words of an indexer's answer, and of a
 * node's own count. Pure. A word that was given out is never changed. */
#ifndef PROTO_RELEASE_CODE_H
#define PROTO_RELEASE_CODE_H

#include "proto/base/bytes.h"

enum release_code {
    /* an indexer says so */
    RELEASE_GRANTED,     /* the only one with which it goes */
    RELEASE_STALE_RUN,   /* the run is of another incarnation, or the index has none */
    RELEASE_RUN_RETIRED, /* it goes as a whole */
    RELEASE_PURGED,      /* it went as a whole */
    RELEASE_PAUSED,      /* the cluster is */
    RELEASE_NOT_FOUND,   /* the map has not got this node */
    RELEASE_OWNER, /* the map gives the shard to this node; a node says it as well, of a newer map */
    RELEASE_LOCKED,         /* another file of this run and shard is being given up */
    RELEASE_BEHIND,         /* the index has not read all that the node wrote */
    RELEASE_TOO_FEW_COPIES, /* an owner lacks a message, gives it up itself, or did not answer */
    RELEASE_NOT_INDEXED,    /* the index does not name a message at each owner */
    RELEASE_INCOMPLETE,     /* the index names more in the file than the node listed */
    RELEASE_ANSWERS,        /* as many are there in an answer */
    /* a node says so of itself */
    RELEASE_UNREACHABLE = RELEASE_ANSWERS, /* no indexer answered as it should */
    RELEASE_LATE,                          /* granted, and the time was over */
    RELEASE_TOO_LARGE,                     /* more digests than one may ask about */
    RELEASE_FAILED,                        /* its store could not read, or write */
    RELEASE_OTHER,                         /* what was answered is not among these */
    RELEASE_CODES,
};

const char *release_code_name(enum release_code code); /* "too-few-copies" */

/* OTHER: the text is no code. */
enum release_code release_code_parse(struct slice text);

#endif
