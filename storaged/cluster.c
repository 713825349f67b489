/* cluster.c: takes maps, keeps them, hands out views.
 *
 * Order of a change: cluster-map.json, then node.json where the cluster or the URL is another, then the view. A crash
 * between the two files is mended at start: the map's cluster id and URL hold (node.c). */
#include "storaged/cluster.h"

#include "storaged/json_file.h"

#include "proto/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const char map_file[] = "cluster-map.json";

enum status cluster_map_load(const char *dir, struct cluster_map **map, struct error *err)
{
    struct buf text;

    *map = NULL;
    enum status status = json_file_read(dir, map_file, MAP_JSON_SIZE_MAX, &text, err);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    *map = map_parse(text.data, text.size, err);
    buf_fini(&text);
    return *map != NULL ? STATUS_OK : error_wrap(err, "%s/%s", dir, map_file);
}

enum status cluster_map_keep(const char *dir, const struct cluster_map *map, struct error *err)
{
    struct buf text;

    buf_init(&text, MAP_JSON_SIZE_MAX);
    map_print(map, &text);
    enum status status = json_file_write(dir, map_file, &text, err);
    buf_fini(&text);
    return status;
}

/* A cluster of one that is given another one's map: whatever that one knows of its runs, this node does not. */
static bool is_taken_in(const struct cluster_map *ours, const struct cluster_map *map)
{
    return ours->epoch == 0 && strcmp(ours->cluster, map->cluster) != 0;
}

/* Takes over the caller's reference to map. */
static struct cluster_view *view_new(struct cluster *cluster, struct cluster_map *map)
{
    struct cluster_view *view = calloc(1, sizeof *view);
    struct peer **peers = calloc(map->nodes_count + 1, sizeof(struct peer *));

    if (view == NULL || peers == NULL)
        abort();
    atomic_init(&view->references, 1);
    view->map = map;
    view->self = map_index(map, cluster->self.id);
    view->peers = peers;
    for (unsigned i = 0; i < map->nodes_count; i++) {
        if (i != view->self)
            peers[i] = peers_get(&cluster->peers, map->nodes[i].id, map->nodes[i].url);
    }
    snprintf(view->url, sizeof view->url, "%s", cluster->self.url);
    snprintf(view->epoch_text, sizeof view->epoch_text, "%llu", (unsigned long long)map->epoch);
    return view;
}

void cluster_view_release(struct cluster_view *view)
{
    if (view == NULL || atomic_fetch_sub(&view->references, 1) != 1)
        return;
    map_unref(view->map);
    free(view->peers);
    free(view);
}

struct cluster_view *cluster_view(struct cluster *cluster)
{
    uv_mutex_lock(&cluster->mutex);
    struct cluster_view *view = cluster->view;
    atomic_fetch_add(&view->references, 1);
    uv_mutex_unlock(&cluster->mutex);
    return view;
}

static void cluster_show(struct cluster *cluster, struct cluster_map *map)
{
    struct cluster_view *view = view_new(cluster, map);

    uv_mutex_lock(&cluster->mutex);
    struct cluster_view *old = cluster->view;
    cluster->view = view;
    uv_mutex_unlock(&cluster->mutex);
    atomic_store(&cluster->epoch, map->epoch);
    cluster_view_release(old);
}

enum status cluster_init(struct cluster *cluster, const char *dir, const struct node_json *self,
                         struct cluster_map *map, struct error *err)
{
    *cluster = (struct cluster){ .self = *self, .dir = strdup(dir) };
    enum status status = peers_init(&cluster->peers, err);
    if (status != STATUS_OK)
        return status;
    if (cluster->dir == NULL || uv_mutex_init(&cluster->mutex) != 0 ||
        uv_mutex_init(&cluster->install) != 0)
        abort();
    cluster_show(cluster, map);
    return STATUS_OK;
}

void cluster_fini(struct cluster *cluster)
{
    if (cluster->dir == NULL)
        return;
    cluster_view_release(cluster->view);
    peers_fini(&cluster->peers);
    uv_mutex_destroy(&cluster->mutex);
    uv_mutex_destroy(&cluster->install);
    free(cluster->dir);
    *cluster = (struct cluster){ 0 };
}

static bool maps_equal(const struct cluster_map *a, const struct cluster_map *b)
{
    struct buf left, right;

    buf_init(&left, MAP_JSON_SIZE_MAX);
    buf_init(&right, MAP_JSON_SIZE_MAX);
    map_print(a, &left);
    map_print(b, &right);
    bool equal = left.size == right.size &&
                 (left.size == 0 || memcmp(left.data, right.data, left.size) == 0);
    buf_fini(&left);
    buf_fini(&right);
    return equal;
}

/* A cluster of one may be taken into any other while it is empty; with data only into one that could be its own. */
static enum status cluster_check_taken_in(struct cluster *cluster, const struct cluster_map *ours,
                                          const struct cluster_map *map, struct error *err)
{
    if (!cluster->has_data(cluster))
        return STATUS_OK;
    if (strcmp(ours->cluster, map->cluster) != 0)
        return error_set(err, STATUS_OTHER_CLUSTER,
                         "node %s holds data of cluster %s and can't be taken into cluster %s: empty it first, or let "
                         "the new cluster begin with it",
                         cluster->self.id, ours->cluster, map->cluster);
    if (ours->shards != map->shards)
        return error_set(err, STATUS_BAD_VALUE, "node %s holds data in %u shards, the map has %u",
                         cluster->self.id, ours->shards, map->shards);
    return STATUS_OK;
}

static enum status cluster_check(struct cluster *cluster, const struct cluster_map *ours,
                                 const struct cluster_map *map, struct error *err)
{
    if (map->epoch == 0)
        return error_set(err, STATUS_STALE_EPOCH,
                         "a map of epoch 0 is a cluster of one: it is not handed on");
    if (ours->epoch == 0)
        return cluster_check_taken_in(cluster, ours, map, err);
    if (strcmp(ours->cluster, map->cluster) != 0)
        return error_set(err, STATUS_OTHER_CLUSTER,
                         "node %s belongs to cluster %s, the map is of cluster %s",
                         cluster->self.id, ours->cluster, map->cluster);
    if (ours->shards != map->shards)
        return error_set(err, STATUS_BAD_VALUE,
                         "the cluster has %u shards, the map has %u: that never changes",
                         ours->shards, map->shards);
    if (map->epoch == ours->epoch && maps_equal(ours, map))
        return STATUS_OK;
    if (map->epoch <= ours->epoch)
        return error_set(err, STATUS_STALE_EPOCH, "the map has epoch %llu, this node's has %llu",
                         (unsigned long long)map->epoch, (unsigned long long)ours->epoch);
    return STATUS_OK;
}

/* node.json follows the map: its cluster, and this node's URL in it (cluster rename). */
static enum status cluster_follow(struct cluster *cluster, const struct cluster_map *map,
                                  struct error *err)
{
    const struct map_node *node = map_find(map, cluster->self.id);
    struct node_json self = cluster->self;

    snprintf(self.cluster, sizeof self.cluster, "%s", map->cluster);
    if (node != NULL)
        snprintf(self.url, sizeof self.url, "%s", node->url);
    if (node_json_equal(&self, &cluster->self))
        return STATUS_OK;
    enum status status = node_json_save(cluster->dir, &self, err);
    if (status != STATUS_OK)
        return status;
    if (strcmp(self.url, cluster->self.url) != 0)
        log_msg(LOG_WARN, "node.renamed", "the map calls this node %s, it was %s", self.url,
                cluster->self.url);
    /* Only what may change is written: the id is read by anybody. */
    memcpy(cluster->self.cluster, self.cluster, sizeof self.cluster);
    memcpy(cluster->self.url, self.url, sizeof self.url);
    return STATUS_OK;
}

static void cluster_log_install(const struct cluster_map *map)
{
    struct log_line line;

    log_begin(&line, LOG_INFO, "map.installed");
    log_str(&line, "cluster", map->cluster);
    log_u64(&line, "epoch", map->epoch);
    log_u64(&line, "nodes", map->nodes_count);
    log_u64(&line, "eras", map->eras_count);
    log_end(&line);
}

static enum status cluster_install_locked(struct cluster *cluster, struct cluster_map *map,
                                          struct error *err)
{
    const struct cluster_map *ours = cluster->view->map; /* changes only under install, which we hold */
    bool reshard = ours->shards != map->shards;

    enum status status = cluster_check(cluster, ours, map, err);
    if (status != STATUS_OK || map->epoch == ours->epoch)
        return status;
    if (reshard)
        status = cluster->on_shards(cluster, map->shards, err);
    if (status == STATUS_OK && is_taken_in(ours, map))
        status = cluster->on_taken_in(cluster, err);
    if (status == STATUS_OK)
        status = cluster_map_keep(cluster->dir, map, err);
    if (status == STATUS_OK)
        status = cluster_follow(cluster, map, err);
    if (status != STATUS_OK)
        return status;
    cluster_log_install(map);
    if (!reshard) /* else the node begins anew and reads it */
        cluster_show(cluster, map_ref(map));
    return STATUS_OK;
}

enum status cluster_install(struct cluster *cluster, struct cluster_map *map, struct error *err)
{
    uv_mutex_lock(&cluster->install);
    bool taken_in = is_taken_in(cluster->view->map, map);
    enum status status = cluster_install_locked(cluster, map, err);
    uv_mutex_unlock(&cluster->install);
    if (taken_in)
        cluster->on_wanted(cluster);
    return status;
}

enum status cluster_save(struct cluster *cluster, struct error *err)
{
    struct cluster_view *view = cluster_view(cluster);
    enum status status = cluster_map_keep(cluster->dir, view->map, err);

    cluster_view_release(view);
    return status;
}

void cluster_heard(struct cluster *cluster, uint64_t epoch)
{
    uint64_t wanted = atomic_load(&cluster->epoch_wanted);

    while (epoch > wanted) {
        if (!atomic_compare_exchange_weak(&cluster->epoch_wanted, &wanted, epoch))
            continue;
        if (epoch > atomic_load(&cluster->epoch))
            cluster->on_wanted(cluster);
        return;
    }
}
