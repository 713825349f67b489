/* node_api.h: the paths and header names of a node's API (design: the HTTP face of a node). */
#ifndef PROTO_NODE_API_H
#define PROTO_NODE_API_H

#include "proto/digest.h"
#include "proto/run.h"

/* In all requests and answers between processes: cluster id and epoch of the sender's map. */
#define HEADER_CLUSTER "Gribstore-Cluster"
#define HEADER_EPOCH "Gribstore-Epoch"

#define HEADER_HOP "Gribstore-Hop" /* 1: do not forward again */
#define HEADER_SOURCES                                                                             \
    "Gribstore-Sources" /* with HEADER_HOP: whose messages may be given, "hres,gfs" */
#define HEADER_SUSPECT                                                                             \
    "Gribstore-Suspect" /* with HEADER_HOP: this copy had another digest when it was read: look at it again */
#define HEADER_QUOTA                                                                               \
    "Gribstore-Quota" /* with 507: not the disk, the run has what its source may hold here */
#define HEADER_STORED_AT "Gribstore-Stored-At" /* stamp of a replica body's first message */
#define HEADER_INCARNATION "Gribstore-Incarnation"
#define HEADER_JOURNAL "Gribstore-Journal" /* journal id of a feed's answer */
#define HEADER_RECORDS "Gribstore-Records" /* records in the journal at that moment */
#define HEADER_REQUEST_ID "X-Request-Id"

enum {
    NODE_PORT_DEFAULT = 8410,
    INDEXER_PORT_DEFAULT = 8400,
    HAVE_DIGESTS_MAX = 100000,
    HEADS_RECORDS_MAX = 10000,
    DATA_FILE_NAME_SIZE = 32, /* "16383-" + 16 + ".grib" and its end */
    DATA_PATH_SIZE = 6 + RUN_TEXT_SIZE + 1 + DATA_FILE_NAME_SIZE,
};

/* "0017-6f3a92c1d0e4b7a5.grib" */
void data_file_name_print(unsigned shard, uint64_t birth, char name[DATA_FILE_NAME_SIZE]);
bool data_file_name_parse(struct slice name, unsigned *shard, uint64_t *birth); /* exactly as printed */

/* "/data/hres/20130408T0000Z/0017-6f3a92c1d0e4b7a5.grib" */
void data_path_print(const struct run_key *run, unsigned shard, uint64_t birth,
                     char path[DATA_PATH_SIZE]);

#endif
