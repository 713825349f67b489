/* runs.h: runs as the indexer tells them, and what may be asked of them. */
#ifndef CLIENT_RUNS_H
#define CLIENT_RUNS_H

#include "client/session.h"
#include "proto/digest.h"
#include "proto/run.h"

#include <jansson.h>

/* From contracts' Runs; base_time in the compact form. Pure. */
enum status run_from_json(const json_t *json, struct gs_run *run, struct error *err);

/* A list of runs, ordered by source, then base_time. */
struct run_list {
    struct gs_run *items; /* owned */
    size_t count;
};
void run_list_fini(struct run_list *list);
enum status run_list_get(struct gs_session *session, const char *source, struct run_list *list,
                         struct error *err);

/* GET, or POST with an action ("ready", "retire?grace=60s"); action NULL: GET. */
enum status run_ask(struct gs_session *session, const struct run_key *key, const char *action,
                    struct gs_run *run, struct error *err);

/* Which of the digests the index lacks, or has with too few copies: these stay in digests (*count of them), the others
 * leave. One that the indexer could not decode counts as there. */
enum status run_check(struct gs_session *session, const struct run_key *key, struct digest *digests,
                      size_t *count, struct error *err);

/* The answer to such a question about count digests; left has room for as many. Pure. */
enum status run_check_read(const json_t *json, size_t count, struct digest *left,
                           size_t *left_count, struct error *err);

/* What rotation retires of one source's runs: those filling or ready that are older than the keep-th newest ready one. Runs
 * that were pushed (base_times, sorted) count as ready, listed or not, and are never retired. Sets retire[i]. Pure. */
void runs_past_retention(const struct run_list *list, unsigned keep, const int64_t *pushed,
                         size_t pushed_count, bool *retire);

#endif
