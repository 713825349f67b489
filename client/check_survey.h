/* check_survey.h: the cluster at one moment: its map, the runs of the index, what each node says of itself. */
#ifndef CLIENT_CHECK_SURVEY_H
#define CLIENT_CHECK_SURVEY_H

#include "client/check_look.h"
#include "client/runs.h"

/* A run as a node lists it. */
struct check_survey_run {
    struct run_key run;
    struct run_info info;
    uint64_t records;
};

struct check_survey_node {
    uint64_t epoch, missing;       /* of its map; damaged messages without a good copy there */
    struct check_survey_run *runs; /* owned; by run */
    size_t runs_count;
};

struct check_survey {
    struct cluster_map *map;         /* owned */
    struct run_list runs;            /* of the index */
    struct check_node *state;        /* owned; of each node of the map */
    struct check_survey_node *nodes; /* owned; the same */
    struct check_bad *bad;           /* owned */
    size_t bad_count;
};

/* Nodes that do not answer are not listed, which is no failure. source NULL: runs of all. check_survey_fini() in any case. */
enum status check_survey_take(struct gs_session *session, const char *source,
                              struct check_survey *survey, struct error *err);
void check_survey_fini(struct check_survey *survey);
const struct check_survey_run *check_survey_find(const struct check_survey_node *node,
                                                 const struct run_key *run); /* or NULL */

/* A node's answer to /cluster/runs; MALFORMED, also when it is not a full one. *runs is the caller's to free. Pure. */
enum status check_survey_read_runs(const json_t *answer, struct check_survey_run **runs,
                                   size_t *count, struct error *err);

#endif
