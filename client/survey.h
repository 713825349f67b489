/* survey.h: what every node of a map holds, how full it is, how far it is behind; all asked at once.
 *
 * A node answers GET /cluster/map (is it there, of which cluster and epoch), /readyz, /cluster/runs (all its data files),
 * /cluster/capacity, /cluster/sync and /cluster/releases. What one does not say, or says badly, is not known; a node whose
 * listing does not hold is as one that gave none. Nothing follows from what is missing (design.md, section 5). */
#ifndef CLIENT_SURVEY_H
#define CLIENT_SURVEY_H

#include "client/session.h"
#include "proto/run.h"

enum {
    SURVEY_TIMEOUT_MS = 10000,
    SURVEY_STALL_MS = 30000,       /* of a listing */
    SURVEY_AT_ONCE = 16,           /* nodes asked at the same time */
    SURVEY_LISTING_MAX = 64 << 20, /* bytes of one node's listing */
    SURVEY_ANSWER_MAX = 8 << 20,   /* of its other answers but the map */
    SURVEY_HOLDINGS_MAX = 1 << 20, /* (run, shard) pairs of one node */
    SURVEY_RUNS_MAX = 20000,       /* in all */
};

/* What a node holds of one shard of one run. */
struct survey_holding {
    uint32_t run; /* index into survey->runs */
    uint32_t shard;
    uint64_t messages, bytes;
};

struct survey_disk {
    bool known;
    uint64_t total, free, reserve, used, high_water; /* bytes; high_water: of used */
};

struct survey_node {
    char id[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1];
    bool comes; /* is to be a member */
    bool reachable, ready, other_cluster;
    struct error err; /* why it is not reachable or not ready */
    uint64_t epoch;   /* of its map */
    bool listed;
    struct error listed_err;
    struct survey_holding *holdings; /* owned; ordered by run and shard */
    size_t holdings_count;
    uint64_t messages, bytes; /* of all holdings */
    struct survey_disk disk;
    bool sync_known, settled; /* settled: it lacks nothing of any peer that is up, and is looking at none */
    uint64_t sync_rate; /* bytes a second; 0: no limit */
    uint64_t pull_left; /* bytes, of the look under way */
    bool releases_known;
    char give_up_refused[64]; /* why files were refused last, and how many: "locked 3, behind 1" */
    uint64_t give_up_files, grace_files; /* to be given up; given up, and served through their grace */
};

struct survey_run {
    struct run_key key;
    struct run_info info; /* the highest that a node which holds it lists */
    uint32_t was;         /* survey_order()'s */
};

struct survey {
    struct survey_node *nodes; /* owned; one for each of the map, in its order, then who comes */
    size_t nodes_count;
    struct survey_run *runs; /* owned; ordered */
    size_t runs_count, runs_capacity, run_hint;
    bool index_known;       /* the indexer told its runs */
    bool has_data;          /* anybody holds anything, or the index has a run that is not purged */
    int64_t oldest, newest; /* with has_data */
};

/* Asks all nodes of the map, those that are out too, and the indexers; and, last, a node that is to come (NULL: none), which
 * may be of another cluster. OK even when nobody answers. */
enum status survey_run_all(struct gs_session *session, const struct cluster_map *map,
                           const struct map_node *comes, struct survey *survey, struct error *err);
void survey_fini(struct survey *survey);

const struct survey_node *survey_find(const struct survey *survey, const char *id); /* NULL: not asked */

/* The index of a run, which is added when it is new; in the order of coming until survey_order(). NO_MEMORY, TOO_LARGE.
 * For who makes a survey by hand, as its tests do. */
enum status survey_add_run(struct survey *survey, const struct run_key *key, uint32_t *run,
                           struct error *err);
/* Runs in order, holdings too, and what follows from all of them. */
enum status survey_order(struct survey *survey, struct error *err);

/* The readers of answers. Pure. */
enum status survey_read_listing(struct survey *survey, struct survey_node *node, unsigned shards,
                                struct slice json, struct error *err);
void survey_read_capacity(struct survey_node *node, struct slice json);
void survey_read_sync(struct survey_node *node, struct slice json);
void survey_read_releases(struct survey_node *node, struct slice json);

#endif
