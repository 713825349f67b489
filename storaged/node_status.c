/* node_status.c: what a node says of itself. */
#include "storaged/node_status.h"

#include "storaged/node.h"
#include "storaged/openapi.h"
#include "storaged/repair.h"
#include "storaged/request.h"

#include "proto/base/metric.h"

#include <stdio.h>

enum { STATUS_SIZE_MAX = 16 << 20 };

/* --- metrics --- */

static void print_store(struct buf *buf, const struct store_stats *stats)
{
    uint64_t used = stats->disk_size > stats->disk_free ? stats->disk_size - stats->disk_free : 0;

    metric_head(buf, "gribstore_runs", "Runs on this node.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_runs", NULL, (double)stats->runs);
    metric_head(buf, "gribstore_messages", "Messages on this node.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_messages", NULL, (double)stats->messages);
    metric_head(buf, "gribstore_message_bytes", "Bytes of the messages on this node.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_message_bytes", NULL, (double)stats->bytes);
    metric_head(buf, "gribstore_files", "Data files, served and about to be unlinked.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_files", "state=\"serving\"", (double)stats->files);
    metric_sample(buf, "gribstore_files", "state=\"purging\"", (double)stats->files_purging);
    metric_head(buf, "gribstore_disk_bytes", "The data directory's file system.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_disk_bytes", "state=\"used\"", (double)used);
    metric_sample(buf, "gribstore_disk_bytes", "state=\"free\"", (double)stats->disk_free);
    metric_sample(buf, "gribstore_disk_bytes", "state=\"reserved\"", (double)stats->disk_reserved);
    metric_head(buf, "gribstore_read_only",
                "1: a write failed, the node takes no PUT until it is restarted.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_read_only", NULL, stats->read_only);
}

static void print_cluster(struct buf *buf, struct cluster *cluster)
{
    struct cluster_view *view = cluster_view(cluster);

    metric_head(buf, "gribstore_map_epoch", "Epoch of the cluster map in use.", METRIC_GAUGE);
    metric_sample(buf, "gribstore_map_epoch", NULL, (double)view->map->epoch);
    if (view->map->nodes_count > 1)
        metric_head(buf, "gribstore_peer_up", "Does the other node answer.", METRIC_GAUGE);
    for (unsigned i = 0; i < view->map->nodes_count; i++) {
        char labels[NODE_ID_SIZE_MAX + 16];
        if (view->peers[i] == NULL)
            continue;
        snprintf(labels, sizeof labels, "node=\"%s\"", view->map->nodes[i].id);
        metric_sample(buf, "gribstore_peer_up", labels, peer_is_up(view->peers[i]));
    }
    cluster_view_release(view);
}

void node_status_metrics(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct node_loop *loop = request_loop(ex);
    struct capacity_now capacity;
    struct buf body;

    if (!request_keys_known(ex, keys))
        return;
    buf_init(&body, STATUS_SIZE_MAX);
    metric_print(&body);
    print_store(&body, node_loop_stats(loop));
    capacity_look(&loop->node->capacity, node_loop_stats(loop), &capacity);
    capacity_print_metrics(&body, &capacity);
    print_cluster(&body, &loop->node->cluster);
    metric_head(&body, "gribstore_ingests", "Bodies under way.", METRIC_GAUGE);
    metric_sample(&body, "gribstore_ingests", NULL, (double)atomic_load(&loop->node->ingests));
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply(ex, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

/* --- health --- */

void node_status_health(struct http_exchange *ex)
{
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply_text(ex, 200, TYPE_JSON, "{\"status\":\"ok\"}");
}

/* --- readiness --- */

static void print_check(struct json_writer *json, const char *name, bool ok, const char *detail,
                        bool *ready)
{
    json_object_begin(json);
    json_put_string(json, "name", name);
    json_put_bool(json, "ok", ok);
    if (detail[0] != '\0')
        json_put_string(json, "detail", detail);
    json_object_end(json);
    *ready &= ok;
}

static bool print_checks(struct json_writer *json, struct node *node)
{
    enum node_phase state = node_phase(node);
    char joining[ERROR_TEXT_SIZE], missing[ERROR_TEXT_SIZE], high[ERROR_TEXT_SIZE];
    struct capacity_now capacity;
    struct store_stats stats;
    bool ready = true;

    store_stats(node->store, &stats);
    node_describe_join(node, joining, sizeof joining);
    print_check(json, "joined", state != NODE_JOINING, joining, &ready);
    bool leaving = state == NODE_DRAINING || atomic_load(&node->frozen);
    print_check(json, "serving", !leaving, leaving ? "about to stop" : "", &ready);
    print_check(json, "writable", !stats.read_only, stats.error, &ready);
    print_check(json, "disk", !stats.full,
                stats.full ? "no more is free than what is kept in reserve" : "", &ready);
    capacity_look(&node->capacity, &stats, &capacity);
    capacity_describe(&capacity, high, sizeof high);
    print_check(json, "high-water", true, high, &ready); /* a warning: PUTs are taken */
    repair_describe(node->repair, missing, sizeof missing);
    print_check(json, "messages", true, missing, &ready); /* others have them: no reason to be left out */
    return ready;
}

void node_status_ready(struct http_exchange *ex)
{
    struct node *node = request_loop(ex)->node;
    struct json_writer json;
    struct buf body, checks;

    buf_init(&checks, STATUS_SIZE_MAX);
    json_init(&json, &checks);
    json_array_begin(&json);
    bool ready = print_checks(&json, node);
    json_array_end(&json);
    buf_init(&body, STATUS_SIZE_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_bool(&json, "ready", ready);
    json_put_string(&json, "node", node->cluster.self.id);
    json_key(&json, "checks");
    json_raw(&json, checks.data, checks.size);
    json_object_end(&json);
    buf_fini(&checks);
    http_reply_header(ex, "Cache-Control", "no-store");
    if (!ready)
        http_reply_header(ex, "Retry-After", "1");
    request_reply_json(ex, ready ? 200 : 503, &body);
}

void node_status_openapi(struct http_exchange *ex)
{
    http_reply_text(ex, 200, TYPE_JSON, storaged_openapi);
}
