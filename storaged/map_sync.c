/* map_sync.c: asks one source after another for its map, installs what is newer, rests when nobody had it.
 *
 *     REST --heard of a higher epoch--> ASK --map--> INSTALL --> ASK the next, or REST when the epoch is reached
 *
 * Sources: the nodes of the map in use, then its indexers. */
#include "storaged/map_sync.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"
#include "storaged/work.h"

#include "proto/base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct map_sync {
    struct node_loop *loop;
    uv_timer_t timer;
    struct cluster_view *view; /* while sources are asked */
    unsigned next;             /* source */
    uint64_t delay_ms;
    struct transfer_request request;
    struct work work;
    enum status status;
    struct error err;
    bool running, stopped;
    char url[URL_SIZE_MAX + 32];
};

static void sync_next(struct map_sync *sync);

static bool sync_wanted(const struct map_sync *sync)
{
    const struct cluster *cluster = &sync->loop->node->cluster;

    return !sync->stopped && atomic_load(&cluster->epoch_wanted) > atomic_load(&cluster->epoch);
}

static void on_timer(uv_timer_t *timer)
{
    map_sync_go(container_of(timer, struct map_sync, timer));
}

static void sync_end(struct map_sync *sync)
{
    cluster_view_release(sync->view);
    sync->view = NULL;
    sync->running = false;
    if (!sync_wanted(sync)) {
        sync->delay_ms = MAP_SYNC_DELAY_MIN_MS;
        return;
    }
    uv_timer_start(&sync->timer, on_timer, sync->delay_ms, 0);
    sync->delay_ms = sync->delay_ms * 2 < MAP_SYNC_DELAY_MAX_MS ? sync->delay_ms * 2
                                                                : MAP_SYNC_DELAY_MAX_MS;
}

static void install_run(struct work *work)
{
    struct map_sync *sync = container_of(work, struct map_sync, work);
    struct cluster_map *map = map_parse(sync->request.answer.data, sync->request.answer.size, &sync->err);

    if (map == NULL) {
        sync->status = STATUS_BAD_VALUE;
        return;
    }
    sync->status = cluster_install(&sync->loop->node->cluster, map, &sync->err);
    map_unref(map);
}

static void install_done(struct work *work)
{
    struct map_sync *sync = container_of(work, struct map_sync, work);
    struct node *node = sync->loop->node;

    if (sync->status != STATUS_OK && sync->status != STATUS_STALE_EPOCH)
        log_msg(LOG_WARN, "map.refused", "%s: %s", sync->url, sync->err.text);
    transfer_request_fini(&sync->request);
    if (atomic_load(&node->again))
        node_drain(node);
    sync_next(sync);
}

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct map_sync *sync = request->user;
    struct node_loop *loop = sync->loop;

    (void)failure; /* the next source is asked; health is the probes' business */
    error_init(&sync->err);
    if (status == STATUS_OK && request->http_status == 200) {
        work_start_own(&sync->work, loop, install_run, install_done);
    } else {
        transfer_request_fini(request);
        sync_next(sync);
    }
    node_loop_end(loop);
}

/* The URL of source number n; false when there are no more, "" when it is to be passed over. */
static bool source_url(struct map_sync *sync, unsigned n)
{
    const struct cluster_map *map = sync->view->map;

    sync->url[0] = '\0';
    if (n < map->nodes_count) {
        const struct peer *peer = sync->view->peers[n];
        if (peer != NULL && peer_is_up(peer))
            snprintf(sync->url, sizeof sync->url, "%s/cluster/map", peer->url);
        return true;
    }
    n -= map->nodes_count;
    if (n < map->indexers_count)
        snprintf(sync->url, sizeof sync->url, "%s/v1/cluster/map", map->indexers[n]);
    return n < map->indexers_count;
}

static void sync_next(struct map_sync *sync)
{
    do {
        if (!sync_wanted(sync) || !source_url(sync, sync->next++)) {
            sync_end(sync);
            return;
        }
    } while (sync->url[0] == '\0');
    peer_request_init(&sync->request, sync->view);
    sync->request.method = "GET";
    sync->request.url = sync->url;
    sync->request.answer_max = MAP_JSON_SIZE_MAX;
    sync->request.on_done = on_answer;
    sync->request.user = sync;
    node_loop_begin(sync->loop);
    transfer_start(sync->loop->transfer, &sync->request);
}

void map_sync_go(struct map_sync *sync)
{
    if (sync->running || !sync_wanted(sync))
        return;
    uv_timer_stop(&sync->timer);
    sync->running = true;
    sync->next = 0;
    sync->view = cluster_view(&sync->loop->node->cluster);
    sync_next(sync);
}

struct map_sync *map_sync_new(struct node_loop *loop)
{
    struct map_sync *sync = calloc(1, sizeof *sync);

    if (sync == NULL)
        abort();
    sync->loop = loop;
    sync->delay_ms = MAP_SYNC_DELAY_MIN_MS;
    uv_timer_init(&loop->uv, &sync->timer);
    return sync;
}

void map_sync_stop(struct map_sync *sync)
{
    if (sync == NULL || sync->stopped)
        return;
    sync->stopped = true;
    uv_close((uv_handle_t *)&sync->timer, NULL);
}

void map_sync_free(struct map_sync *sync)
{
    free(sync);
}
