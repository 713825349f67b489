/* indexer_api.h: the paths of the indexer's API that the client uses, and what it takes for granted about the answers where
 * the contracts leave room. One place: when the indexer differs, this changes.
 *
 * - POST .../check answers `missing` and `under_replicated` as lists of digests of the request, each digest in one of them at most.
 * - POST .../retire takes ?grace=, a duration ("60s").
 * - POST /v1/leases/{name} is 200 for who holds it already (renewal), 409 with `holder` otherwise.
 * - The answers of .../ready and .../retire are the run. A purged run may be forgotten: 404 counts as purged.
 * - GET /v1/cluster/map is 404 or 503 while there is no map; its epoch for If-Match is then 0.
 * - GET .../locations has a field's places together: those of its current issue, then those of its older ones, newest first. */
#ifndef CLIENT_INDEXER_API_H
#define CLIENT_INDEXER_API_H

#define INDEXER_FIELDS_PATH "/v1/fields"
#define INDEXER_RUNS_PATH "/v1/runs"
#define INDEXER_MAP_PATH "/v1/cluster/map"
#define INDEXER_NODES_PATH "/v1/cluster/nodes"
#define INDEXER_LEASES_PATH "/v1/leases"
#define INDEXER_READY_PATH "/readyz"
#define INDEXER_STATUS_PATH "/v1/status"
#define INDEXER_QUARANTINE_PATH "/v1/quarantine"
#define INDEXER_SWEEP_PATH "/v1/sweep"
#define INDEXER_REINDEX_PATH "/v1/reindex"

enum {
    INDEXER_PAGE_FIELDS = 1000,     /* fields asked for at once */
    INDEXER_ANSWER_MAX = 256 << 20, /* the largest answer taken */
    INDEXER_LEASE_TTL_MS = 30000,
    INDEXER_ISSUES_MAX = 64, /* of one field; the oldest beyond are left out (FORMATS.md, section 9) */
};

#endif
