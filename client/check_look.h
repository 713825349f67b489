/* check_look.h: one look at a run: all that the index names of it, shard by shard against all that the nodes list. */
#ifndef CLIENT_CHECK_LOOK_H
#define CLIENT_CHECK_LOOK_H

#include "client/check_compare.h"
#include "client/session.h"

#include <jansson.h>

enum { CHECK_ERROR_SIZE = 256 };

/* A node of the map, as of this check. */
struct check_node {
    bool listed; /* its runs, and so far each shard that was asked for, were told */
    char error[CHECK_ERROR_SIZE];
};

/* A message that a node says is damaged there. */
struct check_bad {
    struct run_key run;
    struct digest digest;
    uint16_t node;
};

struct check_look {
    struct gs_session *session;
    const struct cluster_map *map;
    struct run_key run;
    struct check_node *nodes; /* of the map; who fails is not listed any more */
    const struct check_bad *bad;
    size_t bad_count;
    /* out */
    uint64_t locations, messages; /* that the index names; copies that nodes hold */
    unsigned holders;             /* nodes that know the run */
};

/* Differences are appended to found. NOT_FOUND: the index does not know the run. */
enum status check_look(struct check_look *look, struct check_items *found, struct error *err);

/* One member of a shard's list. MALFORMED. Pure. */
enum status check_read_member(const json_t *member, struct check_copy *copy, struct error *err);

#endif
