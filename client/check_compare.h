/* check_compare.h: what the index names of a shard against what the nodes list of it. Pure.
 *
 * The one rule: nothing follows from what was not listed. So nothing is said to be missing on a node that did not answer, and
 * copies that such a node may hold count as there. */
#ifndef CLIENT_CHECK_COMPARE_H
#define CLIENT_CHECK_COMPARE_H

#include "proto/cluster_map.h"
#include "proto/digest.h"
#include "proto/run.h"

enum check_kind {
    CHECK_LOST,
    CHECK_UNCONFIRMED,
    CHECK_DANGLING,
    CHECK_MISPLACED,
    CHECK_UNINDEXED,
    CHECK_MISSING_COPY,
    CHECK_UNDER_REPLICATED,
    CHECK_DAMAGED,
    CHECK_RUN_NOT_INDEXED,
    CHECK_RUN_NOT_HELD,
    CHECK_STATE,
    CHECK_MAP,
    CHECK_NOT_LISTED,
    CHECK_INDEX_BEHIND,
    CHECK_SURPLUS,
    CHECK_SUPERSEDED,
    CHECK_RETIREMENT,
    CHECK_KINDS
};

/* The heaviest one found makes the exit code. */
enum check_weight {
    CHECK_NOTE,       /* as it should be, and worth saying */
    CHECK_UNSEEN,     /* could not be looked at */
    CHECK_DIFFERENCE, /* is to be mended */
    CHECK_LOSS        /* bytes are gone */
};

struct check_kind_info {
    const char *name; /* stable */
    enum check_weight weight;
    bool of_index;                    /* comes and goes with how far the index has read */
    const char *explanation, *repair; /* repair NULL: there is none */
};
const struct check_kind_info *check_kind_info(enum check_kind kind);

enum { CHECK_NODE_NONE = 0xffff }; /* no node; of a copy: one that the map has not, or counts out */

/* Where a copy of a message is said to lie. */
struct check_copy {
    struct digest digest;
    uint64_t birth, offset, length;
    uint64_t stored_at_us; /* of what a node lists */
    uint16_t node;         /* index into map->nodes, or CHECK_NODE_NONE */
    bool bad;              /* of the index: no place, but a message that is damaged on this node */
};
struct check_copies {
    struct check_copy *items; /* owned */
    size_t count, room;
};
enum status check_copies_add(struct check_copies *copies, const struct check_copy *copy,
                             struct error *err);
void check_copies_sort(struct check_copies *copies); /* by digest, node, place */
void check_copies_fini(struct check_copies *copies);

struct check_item {
    struct digest digest;
    uint16_t node; /* CHECK_NODE_NONE: of no one in particular */
    uint8_t kind;  /* enum check_kind */
};
struct check_items {
    struct check_item *items; /* owned */
    size_t count, room;
};
void check_items_fini(struct check_items *items);
/* Only those stay that are in both. Both are in the order of check_run(). */
void check_items_keep(struct check_items *items, const struct check_items *again);

struct check_frame {
    const struct cluster_map *map;
    int64_t base_time;
    const bool *listed; /* of each node of the map: what it holds of this shard is known */
    /* The index leaves out the oldest issues of a field that has very many. Some field of the run has as many as there is room for, and
     * the oldest of these has this stamp (the highest of all such fields); 0: there is none. */
    uint64_t superseded_before_us;
};

/* Both sorted, of one shard; what differs is appended, in the order of digest, kind, node. NO_MEMORY. */
enum status check_shard(const struct check_frame *frame, unsigned shard, const struct check_copy *index,
                        size_t index_count, const struct check_copy *held, size_t held_count,
                        struct check_items *found, struct error *err);

#endif
