/* routes.c: the query and admin API as one table. */
#include "indexer/routes.h"

#include "indexer/indexer_status.h"
#include "indexer/lease.h"
#include "indexer/map_authority.h"
#include "indexer/query.h"
#include "indexer/run_state.h"

#define RUN "/v1/runs/{source}/{base_time}"

const struct http_route indexer_routes[] = {
    { HTTP_GET_, "/v1/fields", ROLE_READ, "fields", query_route },
    { HTTP_GET_, "/v1/runs", ROLE_READ, "runs", run_list_route },
    { HTTP_GET_, RUN, ROLE_READ, "run", run_get_route },
    { HTTP_POST_, RUN "/check", ROLE_READ, "check", run_check_route },
    { HTTP_POST_, RUN "/ready", ROLE_ADMIN, "ready", run_ready_route },
    { HTTP_POST_, RUN "/retire", ROLE_ADMIN, "retire", run_retire_route },
    { HTTP_POST_, RUN "/reopen", ROLE_ADMIN, "reopen", run_reopen_route },
    { HTTP_GET_, "/v1/cluster/map", ROLE_READ, "map", map_authority_get_route },
    { HTTP_PUT_, "/v1/cluster/map", ROLE_ADMIN, "map", map_authority_put_route },
    { HTTP_GET_, "/v1/cluster/nodes", ROLE_READ, "nodes", status_nodes_route },
    { HTTP_POST_, "/v1/leases/{name}", ROLE_ADMIN, "lease", lease_take_route },
    { HTTP_DELETE_, "/v1/leases/{name}", ROLE_ADMIN, "lease", lease_release_route },
    { HTTP_GET_, "/openapi.json", ROLE_NONE, "openapi", status_openapi_route },
    { HTTP_GET_, "/metrics", ROLE_READ, "metrics", status_metrics_route },
    { HTTP_GET_, "/healthz", ROLE_NONE, "healthz", status_health_route },
    { HTTP_GET_, "/readyz", ROLE_NONE, "readyz", status_ready_route },
    { 0, NULL, ROLE_NONE, NULL, NULL },
};
