/* node.c: puts a node together and takes it apart, in the order that makes each step safe.
 *
 * Order of the start: node.json and the map are read; the store is opened, which takes the directory's lock, and while that lasts
 * recovering.c says so; listeners, so that the port is known; who the node is gets settled and kept; then the loops run. Nothing
 * is served before that. */
#include "storaged/node.h"

#include "storaged/join.h"
#include "storaged/json_file.h"
#include "storaged/map_sync.h"
#include "storaged/peers/probe.h"
#include "storaged/peers/release.h"
#include "storaged/recovering.h"
#include "storaged/renamed.h"
#include "storaged/repair.h"
#include "storaged/space_watch.h"
#include "storaged/sync.h"

#include "proto/base/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- what the cluster asks of its node --- */

static bool node_has_data(struct cluster *cluster)
{
    struct node *node = cluster->user;
    struct store_stats stats;

    store_stats(node->store, &stats);
    return stats.messages > 0 || stats.files > 0; /* what was adopted counts as no message, and is data */
}

/* The store's files are named by shard: another number of them takes an empty store, opened anew. No PUT may begin from
 * here on, and none may be under way. */
static enum status node_on_shards(struct cluster *cluster, unsigned shards, struct error *err)
{
    struct node *node = cluster->user;

    atomic_store(&node->frozen, true);
    if (atomic_load(&node->ingests) > 0 || node_has_data(cluster)) {
        atomic_store(&node->frozen, false);
        return error_set(err, STATUS_OVERLOADED, "messages are coming in: try again");
    }
    log_msg(LOG_INFO, "node.again", "the cluster has %u shards: the node begins anew", shards);
    atomic_store(&node->again, true);
    return STATUS_OK;
}

/* From here on nothing is taken before join.c has ended, by this process or, since the marker is on disk, by the next. Who
 * joins by its settings does that anyway. */
static enum status node_on_taken_in(struct cluster *cluster, struct error *err)
{
    struct node *node = cluster->user;
    int serving = NODE_SERVING;
    struct buf empty;

    if (atomic_load(&node->state) == NODE_JOINING)
        return STATUS_OK;
    buf_init(&empty, 1);
    enum status status = json_file_write(node->settings->data, join_marker, &empty, err);
    if (status != STATUS_OK)
        return status;
    atomic_compare_exchange_strong(&node->state, &serving, NODE_JOINING);
    if (atomic_load(&node->ingests) == 0 && !node_has_data(cluster))
        return STATUS_OK;
    node_set_serving(node); /* as the cluster of one that it is */
    (void)json_file_remove(node->settings->data, join_marker, NULL); /* else the next start does */
    return error_set(err, STATUS_OVERLOADED, "messages are coming in: try again");
}

static void node_on_wanted(struct cluster *cluster)
{
    struct node *node = cluster->user;

    node_loop_wake(&node->loops[0]);
}

/* --- start --- */

struct node_start {
    bool known, marked;
    struct node_json self;
    struct cluster_map *map; /* owned until the cluster has it */
};

static enum status start_read(const struct settings *settings, struct node_start *start, struct error *err)
{
    struct buf marker;

    enum status status = node_json_load(settings->data, &start->self, err);
    start->known = status == STATUS_OK;
    if (status == STATUS_OK || status == STATUS_NOT_FOUND)
        status = cluster_map_load(settings->data, &start->map, err);
    if (status != STATUS_OK)
        return status;
    start->marked = json_file_read(settings->data, join_marker, 64, &marker, NULL) == STATUS_OK;
    buf_fini(&marker);
    return STATUS_OK;
}

/* Of the store that is being opened. */
struct start_opening {
    struct node *node;
    const char *id; /* as far as it is known */
};

static void on_locked(void *user)
{
    const struct start_opening *opening = user;
    struct node *node = opening->node;

    node->recovering = recovering_start(node->settings, &node->security, opening->id, &node->progress);
}

static enum status start_store(struct node *node, const struct node_start *start, struct error *err)
{
    const struct settings *settings = node->settings;
    const char *wanted = settings->id != NULL ? settings->id : "";
    struct start_opening opening = { .node = node, .id = start->known ? start->self.id : wanted };
    struct store_options options = {
        .dir = settings->data,
        .shards = start->map != NULL ? start->map->shards : (unsigned)settings->shards,
        .batch_size_max = settings->batch_size,
        .flush_threads = (unsigned)settings->flush_threads,
        .direct_size = settings->direct_size == 0 ? UINT64_MAX : settings->direct_size,
        .reserve_size = settings->reserve == 0 ? UINT64_MAX : settings->reserve,
        .run_memory_us = settings->run_memory_ms * 1000,
        .scrub_rate = settings->scrub_rate,
        .on_locked = on_locked,
        .user = &opening,
        .progress = &node->progress,
    };

    return store_open(&options, &node->store, err);
}

/* What is asked of others, and of what they bring. */
static enum status start_access(struct node *node, struct error *err)
{
    const char *sources = node->settings->sources;
    enum status status = security_open(&node->security, &node->settings->security, err);

    return status == STATUS_OK && sources != NULL ? sources_open(sources, &node->sources, err) : status;
}

/* The first loop's listener decides the port when 0 was asked for; the others share it. */
static enum status start_loops(struct node *node, struct error *err)
{
    char host[256];
    unsigned port;

    node->loops_count = (unsigned)node->settings->loops;
    node->loops = calloc(node->loops_count, sizeof *node->loops);
    if (node->loops == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%u event loops", node->loops_count);
    snprintf(node->listen, sizeof node->listen, "%s", node->settings->listen);
    for (unsigned i = 0; i < node->loops_count; i++) {
        enum status status = node_loop_open(&node->loops[i], node, i, node->listen, err);
        if (status != STATUS_OK)
            return status;
        if (i > 0 || !http_address_parse(node->listen, host, sizeof host, &port))
            continue;
        bool v6 = strchr(host, ':') != NULL;
        snprintf(node->listen, sizeof node->listen, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "",
                 http_server_port(node->loops[0].server));
    }
    return STATUS_OK;
}

/* By another URL than was kept: the node was renamed while it was down, if somebody's map says so. */
static enum status start_renamed(struct node *node, struct node_start *start, struct error *err)
{
    const struct map_node *self = start->map != NULL ? map_find(start->map, start->self.id) : NULL;
    char url[NODE_JSON_URL_SIZE];
    struct cluster_map *newer;

    if (!start->known || self == NULL || start->map->epoch == 0)
        return STATUS_OK;
    snprintf(start->self.url, sizeof start->self.url, "%s", self->url);
    node_json_url(node->settings, node->listen, url);
    if (strcmp(url, start->self.url) == 0 ||
        renamed_ask(&node->security, start->map, start->self.id, url, &newer, NULL) != STATUS_OK)
        return STATUS_OK; /* settling it says what is amiss */
    log_msg(LOG_WARN, "node.renamed", "the map of epoch %" PRIu64 " calls this node %s, it was %s",
            newer->epoch, url, start->self.url);
    map_unref(start->map);
    start->map = newer;
    snprintf(start->self.url, sizeof start->self.url, "%.*s", URL_SIZE_MAX, url);
    return cluster_map_keep(node->settings->data, newer, err);
}

/* Who is it: settled against what was kept, and kept. A crash between the two files of a change left the older cluster
 * and URL in node.json: the map's hold. */
static enum status start_name(struct node *node, struct node_start *start, struct error *err)
{
    const struct settings *settings = node->settings;
    struct node_json before = start->self;

    enum status status = start_renamed(node, start, err);
    if (status != STATUS_OK)
        return status;
    status = node_json_settle(settings, node->listen, start->known, &start->self, err);
    if (status != STATUS_OK)
        return status;
    if (start->map != NULL)
        snprintf(start->self.cluster, sizeof start->self.cluster, "%s", start->map->cluster);
    if (start->known && node_json_equal(&before, &start->self))
        return STATUS_OK;
    return node_json_save(settings->data, &start->self, err);
}

/* Joining begins on an empty disk, or when a cluster takes the node in, and goes on until it has ended. */
static bool start_joins(const struct node *node, const struct node_start *start)
{
    bool has_map = start->map != NULL && start->map->epoch > 0;
    bool wished = node->settings->join != NULL && node->settings->join[0] != '\0';

    return has_map ? start->marked : wished;
}

static enum status start_cluster(struct node *node, struct node_start *start, struct error *err)
{
    const struct settings *settings = node->settings;
    const struct node_json *self = &start->self;
    struct buf empty;

    bool joins = start_joins(node, start);
    bool first = start->map == NULL;
    if (first)
        start->map = map_single(self->cluster, (unsigned)settings->shards, self->id, self->url,
                                self->host, self->colo, (uint32_t)settings->weight);
    if (start->map == NULL)
        return error_set(err, STATUS_BAD_VALUE, "no map of a cluster of one could be made");
    enum status status = cluster_init(&node->cluster, settings->data, self, start->map, err);
    start->map = NULL;
    if (status != STATUS_OK)
        return status;
    node->cluster.on_shards = node_on_shards;
    node->cluster.has_data = node_has_data;
    node->cluster.on_taken_in = node_on_taken_in;
    node->cluster.on_wanted = node_on_wanted;
    node->cluster.user = node;
    atomic_store(&node->state, joins ? NODE_JOINING : NODE_SERVING);
    buf_init(&empty, 1);
    if (joins && !start->marked)
        return json_file_write(settings->data, join_marker, &empty, err);
    if (!joins && start->marked) /* of a cluster that did not take it in after all */
        status = json_file_remove(settings->data, join_marker, err);
    if (status != STATUS_OK)
        return status;
    return first && !joins ? cluster_save(&node->cluster, err) : STATUS_OK;
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct node *node = handle->data;

    if (number == SIGHUP) {
        node_reload(node);
        return;
    }
    if (atomic_load(&node->state) == NODE_DRAINING)
        _exit(128 + number); /* the second time: at once; the disk is as after a crash, which is fine */
    node_drain(node);
}

/* At the start, or when a cluster has taken the node in. On loop 0. */
static void join_if_wanted(struct node *node)
{
    const char *urls = node->settings->join;

    if (atomic_load(&node->join) == NULL && atomic_load(&node->state) == NODE_JOINING)
        atomic_store(&node->join, join_start(&node->loops[0], urls != NULL ? urls : ""));
}

static void start_services(struct node *node)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    struct node_loop *loop = &node->loops[0];

    node->map_sync = map_sync_new(loop);
    node->probe = probe_start(loop);
    node->repair = repair_start(loop);
    node->space_watch = space_watch_start(loop);
    node->sync = sync_start(loop);
    node->release = release_start(loop);
    for (unsigned i = 0; i < ARRAY_COUNT(numbers); i++) {
        uv_signal_init(&loop->uv, &node->signals[i]);
        node->signals[i].data = node;
        uv_signal_start(&node->signals[i], on_signal, numbers[i]);
    }
    node->signals_opened = true;
    join_if_wanted(node);
}

static void log_serving(struct node *node)
{
    struct store_stats stats;
    struct log_line line;

    store_stats(node->store, &stats);
    struct cluster_view *view = cluster_view(&node->cluster);
    log_begin(&line, LOG_INFO, "node.serving");
    log_str(&line, "node", node->cluster.self.id);
    log_str(&line, "url", view->url);
    log_str(&line, "listen", node->listen);
    log_str(&line, "cluster", view->map->cluster);
    log_u64(&line, "epoch", view->map->epoch);
    log_u64(&line, "loops", node->loops_count);
    log_u64(&line, "runs", stats.runs);
    log_u64(&line, "messages", stats.messages);
    log_end(&line);
    cluster_view_release(view);
}

enum status node_open(const struct settings *settings, struct node **result, struct error *err)
{
    struct node *node = calloc(1, sizeof *node);
    struct node_start start = { 0 };

    *result = NULL;
    if (node == NULL)
        return error_set(err, STATUS_NO_MEMORY, "node");
    node->settings = settings;
    capacity_init(&node->capacity, (unsigned)settings->high_water, (unsigned)settings->low_water);
    enum status status = start_access(node, err);
    if (status == STATUS_OK)
        status = start_read(settings, &start, err);
    if (status == STATUS_OK)
        status = start_store(node, &start, err);
    if (status == STATUS_OK)
        status = start_loops(node, err);
    if (status == STATUS_OK)
        status = start_name(node, &start, err);
    if (status == STATUS_OK)
        status = start_cluster(node, &start, err);
    map_unref(start.map);
    recovering_stop(node->recovering); /* whoever comes now waits for the loops */
    if (status != STATUS_OK) {
        node_close(node);
        return status;
    }
    start_services(node);
    log_serving(node);
    *result = node;
    return STATUS_OK;
}

/* --- run --- */

enum node_result node_run(struct node *node)
{
    struct error err;

    for (unsigned i = 1; i < node->loops_count; i++) {
        error_init(&err);
        if (node_loop_start(&node->loops[i], &err) != STATUS_OK) {
            log_msg(LOG_ERROR, "node.thread", "%s", err.text);
            abort();
        }
    }
    node_loop_run(&node->loops[0]);
    for (unsigned i = 1; i < node->loops_count; i++)
        node_loop_join(&node->loops[i]);
    return atomic_load(&node->again) ? NODE_AGAIN : NODE_LEFT;
}

void node_drain(struct node *node)
{
    if (atomic_exchange(&node->state, NODE_DRAINING) == NODE_DRAINING)
        return;
    log_msg(LOG_INFO, "node.draining", "no new connections; what is under way is finished");
    for (unsigned i = 0; i < node->loops_count; i++)
        node_loop_wake(&node->loops[i]);
}

void node_reload(struct node *node)
{
    struct error err;

    error_init(&err);
    security_reload(&node->security);
    if (node->sources != NULL)
        security_log_reload("sources", sources_reload(node->sources, &err), &err);
    log_msg(LOG_INFO, "node.reload", "node %s: other settings take a restart", node->cluster.self.id);
}

static void stop_services(struct node *node)
{
    join_stop(atomic_load(&node->join));
    map_sync_stop(node->map_sync);
    probe_stop(node->probe);
    repair_stop(node->repair);
    space_watch_stop(node->space_watch);
    sync_stop(node->sync);
    release_stop(node->release);
    /* Signals stay until the loop has nothing else: the second one must be heard. They do not keep the loop. */
    for (unsigned i = 0; node->signals_opened && i < ARRAY_COUNT(node->signals); i++)
        uv_unref((uv_handle_t *)&node->signals[i]);
}

void node_on_wake(struct node_loop *loop)
{
    struct node *node = loop->node;

    if (atomic_load(&node->state) == NODE_DRAINING) {
        if (loop->number == 0)
            stop_services(node);
        node_loop_drain(loop);
    } else if (loop->number == 0) {
        join_if_wanted(node);
        map_sync_go(node->map_sync);
        repair_go(node->repair);
    }
}

void node_close(struct node *node)
{
    recovering_free(node->recovering);
    for (unsigned i = 0; node->signals_opened && i < ARRAY_COUNT(node->signals); i++)
        uv_close((uv_handle_t *)&node->signals[i], NULL);
    for (unsigned i = 0; node->loops != NULL && i < node->loops_count; i++)
        node_loop_close(&node->loops[i]);
    join_free(atomic_load(&node->join));
    map_sync_free(node->map_sync);
    probe_free(node->probe);
    repair_free(node->repair);
    space_watch_free(node->space_watch);
    sync_free(node->sync);
    release_free(node->release);
    if (node->store != NULL)
        store_close(node->store);
    cluster_fini(&node->cluster);
    security_close(&node->security);
    sources_close(node->sources);
    capacity_fini(&node->capacity);
    free(node->loops);
    free(node);
}

/* --- state --- */

enum node_phase node_phase(struct node *node)
{
    return (enum node_phase)atomic_load(&node->state);
}

void node_set_serving(struct node *node)
{
    int joining = NODE_JOINING;

    atomic_compare_exchange_strong(&node->state, &joining, NODE_SERVING);
}

/* The count goes up before the flag is looked at, the flag before the count: one of the two sees the other. */
bool node_ingest_begin(struct node *node, struct error *err)
{
    atomic_fetch_add(&node->ingests, 1);
    if (atomic_load(&node->state) == NODE_JOINING || atomic_load(&node->frozen)) {
        atomic_fetch_sub(&node->ingests, 1);
        error_set(err, STATUS_NOT_READY,
                  "the node takes no PUT before it has the cluster's map and run states");
        return false;
    }
    return true;
}

void node_ingest_end(struct node *node)
{
    atomic_fetch_sub(&node->ingests, 1);
}

void node_describe_join(struct node *node, char *text, size_t size)
{
    struct join *join = atomic_load(&node->join);

    text[0] = '\0';
    if (node_phase(node) == NODE_JOINING && join != NULL)
        join_describe(join, text, size);
}
