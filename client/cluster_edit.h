/* cluster_edit.h: the cluster's map as its authority has it, another one put in its place, and the wait until all is where it
 * belongs. */
#ifndef CLIENT_CLUSTER_EDIT_H
#define CLIENT_CLUSTER_EDIT_H

#include "client/cluster_moves.h"
#include "proto/cluster_change.h"

/* The map as the indexer has it: that one is changed, by compare and set. Without an indexer, in the map and answering, as the nodes
 * have it: *of_indexer false, and they are told one after the other. UNREACHABLE: the map names an indexer, and none answers. */
enum status cluster_map_now(struct gs_session *session, struct cluster_map **map, bool *of_indexer,
                            struct error *err);

/* STALE_EPOCH: another one came first, *newer (the caller's; NULL when it was not shown). */
enum status cluster_map_put(struct gs_session *session, const struct cluster_map *before,
                            const struct cluster_map *after, bool of_indexer,
                            struct cluster_map **newer, struct error *err);

/* Who answers at this URL, to be a member of the map's cluster: id, URL, host, colo and weight as the node was started with; alone,
 * or one that took this cluster's map from `join` and is not in it. OTHER_CLUSTER: it belongs to another one; EXISTS: it is a
 * member. */
enum status cluster_ask_node(struct gs_session *session, const struct cluster_map *map,
                             const char *url, struct map_node *node, struct error *err);

/* ---- reasons not to ---- */

enum cluster_reason {
    REASON_FEWER_COPIES, /* a shard would have fewer copies, or none */
    REASON_HIGH_WATER,   /* a node would be filled past its mark */
    REASON_NOT_REACHABLE,
    REASON_HAS_DATA, /* who comes holds something; who is to leave the map does */
    REASONS_COUNT
};

const char *cluster_reason_name(enum cluster_reason reason); /* "high-water" */
bool cluster_reason_parse(const char *name, enum cluster_reason *reason);

/* Why this should not be done: a line each, with the node's name and what to do, in buf; returns a bit for each reason. Pure. */
unsigned cluster_reasons(enum cluster_action action, const char *subject, const struct cluster_map *before,
                         const struct cluster_map *after, const struct survey *survey,
                         const struct cluster_moves *moves, struct buf *buf);

/* ---- waiting ---- */

struct cluster_progress {
    uint64_t pull_bytes, give_up_bytes; /* left, by what nodes list */
    uint64_t bytes_first;               /* left of both when it began */
    unsigned leaving_runs;              /* retired: they go by themselves, and are not waited for */
    unsigned behind;                    /* nodes that have not got this epoch yet */
    unsigned silent;                    /* nodes that did not answer */
    unsigned unsettled; /* nodes that have not compared all yet, or have files to give up */
    bool done, newer;   /* newer: a later map holds; this wait ends with it */
    uint64_t took_ms;
};

/* Until nothing is left to pull or to give up under this map: on_look after each look, about one a second. TIMEOUT. */
enum status cluster_wait_done(struct gs_session *session, const struct cluster_map *map,
                              uint64_t timeout_ms,
                              void (*on_look)(const struct cluster_progress *progress, void *data),
                              void *data, struct error *err);

/* What a survey says of it. Pure. */
enum status cluster_progress_read(const struct cluster_map *map, const struct survey *survey,
                                  struct cluster_progress *progress, struct error *err);

#endif
