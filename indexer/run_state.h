/* run_state.h: filling, ready, retired, purged: changed in the catalog by compare and set, then told to the nodes.
 *
 * A run that a node lists and the catalog has not is entered as the node tells it (filling, incarnation 1, version 0 when nobody spoke of
 * it); a node whose state of a run is lower is told, one whose is higher is believed when the catalog's is lower (an older database). */
#ifndef INDEXER_RUN_STATE_H
#define INDEXER_RUN_STATE_H

#include "indexer/indexer.h"
#include "proto/run.h"

enum status run_states_start(struct indexer *indexer,
                             struct error *err); /* reads the catalog's runs; retirements go on (retire.h) */
void run_states_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer));

/* The state as the catalog has it (kept in memory, written through). false: not known. */
bool run_state_get(const struct indexer *indexer, const struct run_key *run, struct catalog_run *state);
/* May the tail write documents of this run? filling or ready, and of this incarnation. */
bool run_state_takes(const struct indexer *indexer, const struct run_key *run, uint64_t incarnation);

/* A node's listing says this of a run: enters it, or tells the node. on_known when the catalog has the run (at once when it had). */
void run_state_seen(struct indexer *indexer, const char *node_url, const struct run_key *run,
                    const struct run_info *info, void (*on_known)(void *data, enum status status),
                    void *data);

/* A change asked for. CONFLICT and err: the run is in another state. */
struct run_state_change {
    struct run_key run;
    enum run_state to; /* READY (from filling; or undo of a retirement), RETIRED, FILLING (reopen: from purged) */
    bool reopen;
    uint64_t grace_ms; /* RETIRED */
    void (*on_done)(struct run_state_change *change, enum status status,
                    const struct catalog_run *run, const struct error *err);
    void *user;
};
void run_state_change(struct indexer *indexer, struct run_state_change *change);

/* For retire.c: the step that begins is written (the version stays), of the run as retire.c knows it: CONFLICT when it has moved on. PURGED
 * takes the run there. on_done once, later. */
void run_state_step(struct indexer *indexer, const struct catalog_run *run, unsigned step,
                    void (*on_done)(void *data, enum status status), void *data);
void run_state_purged(struct indexer *indexer, const struct run_key *run,
                      void (*on_done)(void *data, enum status status), void *data);

/* All runs of the catalog, read after started_ns (uv_hrtime): what another indexer changed is followed; what went back, because the database is
 * an older one, is taken as it is, and the nodes are heard again. */
void run_states_refresh(struct indexer *indexer, const struct catalog_run *runs, size_t count,
                        uint64_t started_ns);

/* All known runs, in no order; each() returns false to stop. */
void run_state_each(const struct indexer *indexer,
                    bool (*each)(void *data, const struct catalog_run *run), void *data);

void run_list_route(struct http_exchange *ex); /* GET /v1/runs[?source=&state=] -> {"runs": [...]} */
void run_get_route(struct http_exchange *ex);  /* GET /v1/runs/{source}/{base_time} */
void run_check_route(struct http_exchange *ex);  /* POST .../check */
void run_ready_route(struct http_exchange *ex);  /* POST .../ready */
void run_retire_route(struct http_exchange *ex); /* POST .../retire[?grace=60s] */
void run_reopen_route(struct http_exchange *ex); /* POST .../reopen */

#endif
