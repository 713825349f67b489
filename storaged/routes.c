/* routes.c: method and path -> conductor, in the order of the data's way. */
#include "storaged/routes.h"

#include "storaged/capacity.h"
#include "storaged/cluster_api.h"
#include "storaged/get.h"
#include "storaged/have.h"
#include "storaged/heads.h"
#include "storaged/ingest.h"
#include "storaged/journal_feed.h"
#include "storaged/listing.h"
#include "storaged/message_get.h"
#include "storaged/node.h"
#include "storaged/node_status.h"
#include "storaged/peers/release.h"
#include "storaged/purge.h"
#include "storaged/request.h"
#include "storaged/run_tell.h"
#include "storaged/scrub_api.h"
#include "storaged/sync.h"

#include "proto/http/http_auth.h"
#include "proto/node_api.h"

#define MAP_ROUTE "cluster-map"

/* Copies come from nodes, and from clients that place for themselves; a map comes from nodes, the indexer and who makes a
 * cluster. Whoever may read may see the map: who places for himself needs it, and the indexer shows the same one. */
const struct http_route routes_node[] = {
    { HTTP_PUT_, "/ingest/{source}", ROLE_INGEST, "ingest", ingest_handle },
    { HTTP_PUT_, "/ingest/{source}/", ROLE_INGEST, "ingest", ingest_handle },
    { HTTP_PUT_, "/ingest/{source}/{name}", ROLE_INGEST, "ingest", ingest_handle },
    { HTTP_PUT_, "/sha256/{digest}", ROLE_INGEST | ROLE_BOUND, "put-message", ingest_handle_digest },
    { HTTP_PUT_, "/replica/{source}", ROLE_INGEST | ROLE_NODE, "replica", ingest_handle_replica },
    { HTTP_POST_, "/have", ROLE_INGEST | ROLE_NODE | ROLE_BOUND, "have", have_handle },
    { HTTP_GET_, "/data/{source}/{base_time}/{file}", ROLE_READ, "data", get_handle },
    { HTTP_GET_, "/sha256/{digest}", ROLE_READ | ROLE_BOUND, "message", message_get_handle },
    { HTTP_GET_, "/data/{source}/{base_time}/", ROLE_READ, "listing", listing_handle },
    { HTTP_GET_, "/cluster/runs", ROLE_NODE | ROLE_ADMIN, "runs", journal_feed_runs },
    { HTTP_GET_, "/cluster/runs/{source}/{base_time}", ROLE_NODE, "run", run_tell_get },
    { HTTP_PUT_, "/cluster/runs/{source}/{base_time}", ROLE_NODE, "run-state", run_tell_handle },
    { HTTP_GET_, "/cluster/journal/{source}/{base_time}", ROLE_NODE, "journal", journal_feed_records },
    { HTTP_POST_, "/cluster/heads/{source}/{base_time}", ROLE_NODE, "heads", heads_handle },
    { HTTP_GET_, "/cluster/shards/{source}/{base_time}", ROLE_NODE | ROLE_ADMIN, "shards", listing_shards },
    { HTTP_GET_, "/cluster/map", ROLE_READ | ROLE_BOUND, MAP_ROUTE, cluster_api_get },
    { HTTP_PUT_, "/cluster/map", ROLE_NODE | ROLE_ADMIN, MAP_ROUTE, cluster_api_put },
    { HTTP_GET_, "/cluster/capacity", ROLE_READ | ROLE_BOUND, "capacity", capacity_handle }, /* as /metrics says it */
    { HTTP_GET_, "/cluster/scrub", ROLE_NODE | ROLE_ADMIN, "scrub", scrub_api_get },
    { HTTP_POST_, "/cluster/scrub", ROLE_ADMIN, "scrub-start", scrub_api_start },
    { HTTP_GET_, "/cluster/sync", ROLE_NODE | ROLE_ADMIN, "sync", sync_handle },
    { HTTP_POST_, "/cluster/sync", ROLE_ADMIN, "sync-start", sync_ask },
    { HTTP_GET_, "/cluster/releases", ROLE_NODE | ROLE_ADMIN, "releases", release_handle },
    { HTTP_GET_, "/cluster/releases/{source}/{base_time}/{file}", ROLE_NODE, "release",
      release_handle_file },
    { HTTP_DELETE_, "/data/{source}/{base_time}/", ROLE_ADMIN, "purge", purge_handle },
    { HTTP_GET_, "/metrics", ROLE_READ | ROLE_BOUND, "metrics", node_status_metrics },
    { HTTP_GET_, "/healthz", ROLE_NONE, "healthz", node_status_health },
    { HTTP_GET_, "/readyz", ROLE_NONE, "readyz", node_status_ready },
    { HTTP_GET_, "/openapi.json", ROLE_NONE, "openapi", node_status_openapi },
    { 0 },
};

/* Only members of one cluster speak to each other; a map may come from the cluster that takes this node in. */
static bool same_cluster(struct http_exchange *ex, const struct http_route *route,
                         struct slice theirs, const struct cluster_view *view)
{
    if (slice_equals(theirs, view->map->cluster) || slice_equals(slice_text(route->name), MAP_ROUTE))
        return true;
    request_fail_with(
        ex, STATUS_OTHER_CLUSTER,
        "this node belongs to cluster %s, the request comes from cluster %.*s", view->map->cluster,
        (int)(theirs.size < CLUSTER_ID_SIZE ? theirs.size : CLUSTER_ID_SIZE), theirs.data);
    return false;
}

/* Spoken between processes of a cluster, or to clients that place for themselves: such an answer always says which one, and how new
 * its map is. */
static bool is_the_clusters(const struct http_route *route)
{
    static const char cluster[] = "/cluster/", replica[] = "/replica/";

    return strncmp(route->pattern, cluster, sizeof cluster - 1) == 0 ||
           strncmp(route->pattern, replica, sizeof replica - 1) == 0;
}

/* A node that hears of an epoch asks all others until it has that map. Without tokens a word is taken. */
static bool is_believed(const struct http_exchange *ex)
{
    return request_loop(ex)->node->security.auth == NULL || http_caller_has(ex, ROLE_NODE | ROLE_ADMIN);
}

static void heard_epoch(struct http_exchange *ex, struct cluster *cluster)
{
    struct slice text = http_header(ex, HEADER_EPOCH);
    uint64_t epoch;

    if (text.data != NULL && decimal_parse((const char *)text.data, text.size, UINT64_MAX, &epoch) == 0)
        cluster_heard(cluster, epoch);
}

bool routes_before(struct http_exchange *ex, const struct http_route *route)
{
    struct slice theirs = http_header(ex, HEADER_CLUSTER);

    if (theirs.data == NULL && !is_the_clusters(route))
        return true;
    struct cluster *cluster = &request_loop(ex)->node->cluster;
    struct cluster_view *view = cluster_view(cluster);
    http_reply_header(ex, HEADER_CLUSTER, "%s", view->map->cluster);
    http_reply_header(ex, HEADER_EPOCH, "%s", view->epoch_text);
    bool go = theirs.data == NULL || same_cluster(ex, route, theirs, view);
    /* An epoch of another cluster says nothing. */
    if (go && theirs.data != NULL && slice_equals(theirs, view->map->cluster) && is_believed(ex))
        heard_epoch(ex, cluster);
    cluster_view_release(view);
    return go;
}
