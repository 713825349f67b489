/* routes.c: the query and admin API as one table. */
#include "indexer/routes.h"

#include "indexer/indexer_status.h"
#include "indexer/lease.h"
#include "indexer/locations_route.h"
#include "indexer/map_authority.h"
#include "indexer/quarantine_route.h"
#include "indexer/query.h"
#include "indexer/reindex_job.h"
#include "indexer/release.h"
#include "indexer/release_dropped.h"
#include "indexer/reread_route.h"
#include "indexer/run_state.h"
#include "indexer/share_status.h"
#include "proto/base/config.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RUN "/v1/runs/{source}/{base_time}"

const struct http_route indexer_routes[] = {
    { HTTP_GET_, "/v1/fields", ROLE_READ | ROLE_BOUND, "fields", query_route },
    { HTTP_POST_, "/v1/fields", ROLE_READ | ROLE_BOUND, "fields", query_route },
    { HTTP_GET_, "/v1/runs", ROLE_READ | ROLE_BOUND, "runs", run_list_route },
    { HTTP_GET_, RUN, ROLE_READ, "run", run_get_route },
    { HTTP_POST_, RUN "/check", ROLE_READ, "check", run_check_route },
    { HTTP_GET_, RUN "/locations", ROLE_READ, "locations", locations_route },
    { HTTP_POST_, RUN "/reread", ROLE_ADMIN, "reread", reread_route },
    { HTTP_POST_, RUN "/ready", ROLE_ADMIN, "ready", run_ready_route },
    { HTTP_POST_, RUN "/retire", ROLE_ADMIN, "retire", run_retire_route },
    { HTTP_POST_, RUN "/reopen", ROLE_ADMIN, "reopen", run_reopen_route },
    { HTTP_POST_, "/v1/releases", ROLE_NODE | ROLE_BOUND, "releases", release_route },
    { HTTP_POST_, "/v1/releases/dropped", ROLE_NODE | ROLE_BOUND, "releases-dropped", release_dropped_route },
    { HTTP_GET_, "/v1/cluster/map", ROLE_READ | ROLE_BOUND, "map", map_authority_get_route },
    { HTTP_PUT_, "/v1/cluster/map", ROLE_ADMIN, "map", map_authority_put_route },
    { HTTP_GET_, "/v1/cluster/nodes", ROLE_READ | ROLE_BOUND, "nodes", status_nodes_route },
    { HTTP_POST_, "/v1/leases/{name}", ROLE_ADMIN | ROLE_BOUND, "lease", lease_take_route },
    { HTTP_DELETE_, "/v1/leases/{name}", ROLE_ADMIN | ROLE_BOUND, "lease-release", lease_release_route },
    { HTTP_GET_, "/v1/status", ROLE_READ | ROLE_BOUND, "status", share_status_route },
    { HTTP_POST_, "/v1/sweep", ROLE_ADMIN, "sweep", share_sweep_route },
    { HTTP_GET_, "/v1/quarantine", ROLE_READ, "quarantine", quarantine_route },
    { HTTP_POST_, "/v1/reindex", ROLE_ADMIN, "reindex", reindex_begin_route },
    { HTTP_GET_, "/v1/reindex", ROLE_READ, "reindex-status", reindex_status_route },
    { HTTP_DELETE_, "/v1/reindex", ROLE_ADMIN, "reindex-cancel", reindex_cancel_route },
    { HTTP_GET_, "/openapi.json", ROLE_NONE, "openapi", status_openapi_route },
    { HTTP_GET_, "/metrics", ROLE_READ | ROLE_BOUND, "metrics", status_metrics_route },
    { HTTP_GET_, "/healthz", ROLE_NONE, "healthz", status_health_route },
    { HTTP_GET_, "/readyz", ROLE_NONE, "readyz", status_ready_route },
    { 0, NULL, ROLE_NONE, NULL, NULL },
};

/* What a query may ask beside the path; a route that is not here takes nothing. The keys of fields are query.c's to know. */
static const struct {
    const char *route;
    const char *keys[6];
} routes_keys[] = {
    { "run", { "fingerprint", NULL } },
    { "runs", { "source", "state", NULL } },
    { "retire", { "grace", NULL } },
    { "reread", { "node", NULL } },
    { "lease-release", { "owner", NULL } },
    { "quarantine", { "source", "base_time", "class", "limit", "cursor", NULL } },
};

static const char *const *routes_keys_of(const struct http_route *route)
{
    static const char *const none[] = { NULL };

    for (size_t i = 0; i < ARRAY_COUNT(routes_keys); i++)
        if (strcmp(routes_keys[i].route, route->name) == 0)
            return routes_keys[i].keys;
    return none;
}

static bool routes_key_known(struct slice key, const char *const *known)
{
    for (; *known != NULL; known++)
        if (slice_equals(key, *known))
            return true;
    return false;
}

static void routes_refuse_key(struct http_exchange *ex, struct slice key, const char *const *known)
{
    struct error err;
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)(key.size < sizeof name ? key.size : sizeof name - 1),
             (const char *)key.data);
    const char *nearest = config_nearest(name, known);
    error_init(&err);
    if (nearest != NULL)
        error_set(&err, STATUS_UNKNOWN_KEY, "'%s' is no key of this request: did you mean '%s'?",
                  name, nearest);
    else if (known[0] != NULL)
        error_set(&err, STATUS_UNKNOWN_KEY, "'%s' is no key of this request; '%s' is one", name,
                  known[0]);
    else
        error_set(&err, STATUS_UNKNOWN_KEY, "'%s': this request takes no keys", name);
    http_reply_error(ex, STATUS_UNKNOWN_KEY, &err, NULL);
}

static bool routes_query_known(struct http_exchange *ex, const struct http_route *route)
{
    const char *const *known = routes_keys_of(route);
    struct slice key, value;
    size_t at = 0;

    /* Who looks at a daemon's health may add what he likes. */
    if (route->role == ROLE_NONE || strcmp(route->name, "fields") == 0)
        return true;
    while (http_query_next(ex, &at, &key, &value)) {
        if (routes_key_known(key, known))
            continue;
        routes_refuse_key(ex, key, known);
        return false;
    }
    return true;
}

/* Whoever names a cluster is a process of one. The map may be seen by those who look for theirs. */
static bool routes_same_cluster(struct http_exchange *ex, const struct http_route *route)
{
    const struct cluster_map *map = map_authority_map(http_context(ex));
    struct slice theirs = http_header(ex, HEADER_CLUSTER);
    struct error err;

    if (theirs.data == NULL || map == NULL)
        return true;
    http_reply_header(ex, HEADER_CLUSTER, "%s", map->cluster);
    http_reply_header(ex, HEADER_EPOCH, "%" PRIu64, map->epoch);
    if (slice_equals(theirs, map->cluster) || strcmp(route->name, "map") == 0)
        return true;
    error_init(&err);
    error_set(&err, STATUS_OTHER_CLUSTER,
              "this index is of cluster %s, the request comes from cluster %.*s", map->cluster,
              (int)(theirs.size < CLUSTER_ID_SIZE ? theirs.size : CLUSTER_ID_SIZE),
              (const char *)theirs.data);
    http_reply_error(ex, STATUS_OTHER_CLUSTER, &err, NULL);
    return false;
}

bool indexer_routes_before(struct http_exchange *ex, const struct http_route *route)
{
    return routes_same_cluster(ex, route) && routes_query_known(ex, route);
}
