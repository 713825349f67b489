/* release_request.h: what a node asks when it gives up files: the bodies of POST /v1/releases and /v1/releases/dropped. Pure.
 *
 * Everything in them is the network's: every member is checked, lists have limits, and a digest that several files name is kept once. */
#ifndef INDEXER_RELEASE_REQUEST_H
#define INDEXER_RELEASE_REQUEST_H

#include "proto/cluster_map.h"
#include "proto/digest.h"

enum {
    RELEASE_DIGESTS_MAX = 200000,       /* of several files together */
    RELEASE_FILE_DIGESTS_MAX = 1000000, /* of one file that is asked for alone */
    RELEASE_FILES_MAX = 10000,
    RELEASE_BODY_MAX = 72 << 20,
    RELEASE_DROPPED_BODY_MAX = 1 << 20,
};
#define RELEASE_NONE UINT32_MAX

struct release_file {
    unsigned shard;
    uint64_t birth;
    size_t first, count; /* of its members */
};

struct release_request {
    char node[NODE_ID_SIZE_MAX + 1];
    struct run_key run;
    uint64_t incarnation, journal, records;
    struct release_file *files; /* owned */
    size_t files_count;
    uint32_t *members; /* owned: places in digests, file by file */
    size_t members_count;
    struct digest *digests; /* owned; distinct */
    size_t digests_count;
    uint32_t *slots; /* owned: a hash table over digests */
    size_t slots_count;
    uint64_t seed; /* random: who sends digests can't make them collide */
};

/* BAD_VALUE, BAD_REQUEST: err names the member. TOO_LARGE: more than one request may ask for. After a failure, too, to be ended. */
enum status release_request_parse(struct slice body, struct release_request *request, struct error *err);
void release_request_fini(struct release_request *request);
/* The place of a digest in digests, or RELEASE_NONE. */
uint32_t release_request_find(const struct release_request *request, const struct digest *digest);
/* Whether each digest lies in the shard of its file, and each shard in the map. BAD_VALUE names the first that does not. */
enum status release_request_fits(const struct release_request *request, unsigned shards,
                                 struct error *err);

struct release_dropped {
    char node[NODE_ID_SIZE_MAX + 1];
    struct run_key run;
    uint64_t incarnation, journal, records;
    uint64_t *births; /* owned */
    size_t births_count;
    bool final;
};

enum status release_dropped_parse(struct slice body, struct release_dropped *dropped, struct error *err);
void release_dropped_fini(struct release_dropped *dropped);

/* Names of locks: "release/hres/20130408T0000Z/17", those of a run with their common front; whose a lock is: "n1 6f3a92c1d0e4b7a5". */
enum {
    RELEASE_LOCK_SIZE = 8 + RUN_TEXT_SIZE + 1 + 8,
    RELEASE_HOLDER_SIZE = NODE_ID_SIZE_MAX + 1 + 17
};
void release_lock_prefix(const struct run_key *run, char prefix[RELEASE_LOCK_SIZE]);
void release_lock_name(const struct run_key *run, unsigned shard, char name[RELEASE_LOCK_SIZE]);
void release_holder_print(const char *node, uint64_t birth, char holder[RELEASE_HOLDER_SIZE]);
bool release_holder_parse(const char *holder, char node[NODE_ID_SIZE_MAX + 1], uint64_t *birth);

#endif
