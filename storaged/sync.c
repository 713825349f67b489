/* sync.c: which peer is looked at, and when. */
#include "storaged/sync.h"

#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/request.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/http/token_bucket.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SYNC_ANSWER_MAX = 1 << 20 };

struct sync_peer {
    struct peer *peer;
    char seq[SYNC_SEQ_SIZE];
    uint64_t due_ms, looked_us; /* monotonic; wall clock of the end of the last look */
    bool was_down, settled;
    uint64_t messages, bytes, failed; /* of all looks */
    char error[160];                  /* of the last look; "": it came to its end */
};

struct sync {
    struct node_loop *loop;
    uv_timer_t timer;
    uint64_t epoch; /* that the peers are those of */
    struct sync_look look;
    size_t looked;                /* its peer */
    bool looking, stopped, waits; /* waits: for the rate */
    struct token_bucket bucket;
    uv_mutex_t mutex;        /* of what follows: any loop prints it */
    bool asked;              /* somebody wants all to be looked at now */
    struct sync_peer *peers; /* owned */
    size_t peers_count;
    struct sync_progress progress;
    uint64_t began_us;
};

/* --- the peers --- */

/* Another map: another table, and all is looked at. */
static void peers_take(struct sync *sync, const struct cluster_view *view)
{
    uv_mutex_lock(&sync->mutex);
    free(sync->peers);
    sync->peers = calloc(view->map->nodes_count + 1, sizeof *sync->peers);
    if (sync->peers == NULL)
        abort();
    sync->peers_count = 0;
    for (unsigned i = 0; i < view->map->nodes_count; i++)
        if (view->peers[i] != NULL && view->map->nodes[i].state != NODE_OUT)
            sync->peers[sync->peers_count++] = (struct sync_peer){ .peer = view->peers[i] };
    uv_mutex_unlock(&sync->mutex);
    sync->epoch = view->map->epoch;
}

/* Asked for: all of each peer, now. */
static void peers_take_anew(struct sync *sync, uint64_t now_ms)
{
    uv_mutex_lock(&sync->mutex);
    for (size_t i = 0; sync->asked && i < sync->peers_count; i++) {
        sync->peers[i].seq[0] = '\0';
        sync->peers[i].due_ms = now_ms;
        sync->peers[i].settled = false;
    }
    sync->asked = false;
    uv_mutex_unlock(&sync->mutex);
}

/* Who has waited longest. */
static struct sync_peer *peers_due(struct sync *sync, uint64_t now_ms)
{
    struct sync_peer *due = NULL;

    for (size_t i = 0; i < sync->peers_count; i++) {
        struct sync_peer *peer = &sync->peers[i];
        bool up = peer_is_up(peer->peer);
        if (up && peer->was_down)
            peer->due_ms = now_ms;
        peer->was_down = !up;
        if (up && peer->due_ms <= now_ms && (due == NULL || peer->due_ms < due->due_ms))
            due = peer;
    }
    return due;
}

/* --- a look --- */

/* What is read is charged, so a large message makes the next ones wait. */
static bool may_read(struct sync_look *look, uint64_t bytes)
{
    struct sync *sync = look->user;
    uint64_t rate = sync->loop->node->settings->sync_rate, now_us = clock_monotonic_ms() * 1000;
    uint64_t wait_ms;

    if (rate == 0)
        return true;
    sync->waits = !token_bucket_has(&sync->bucket, now_us, &wait_ms);
    if (sync->waits)
        return false;
    token_bucket_charge(&sync->bucket, rate, bytes, now_us);
    return true;
}

static void look_log(const struct sync_look *look, enum status status, const struct error *err)
{
    const struct sync_progress *progress = &look->progress;
    struct log_line line;

    if (progress->messages == 0 && progress->failed == 0 && status == STATUS_OK)
        return;
    log_begin(&line, progress->failed > 0 || status != STATUS_OK ? LOG_WARN : LOG_INFO, "sync");
    log_str(&line, "from", look->peer->id);
    log_u64(&line, "messages", progress->messages);
    log_u64(&line, "bytes", progress->bytes);
    log_u64(&line, "failed", progress->failed);
    if (status != STATUS_OK)
        log_str(&line, "error", err->text);
    log_end(&line);
}

static void on_looked(struct sync_look *look, enum status status, const struct error *err)
{
    struct sync *sync = look->user;
    struct sync_peer *peer = &sync->peers[sync->looked];
    uint64_t period_ms = sync->loop->node->settings->sync_period_ms;

    look_log(look, status, err);
    uv_mutex_lock(&sync->mutex);
    memcpy(peer->seq, look->seq, sizeof peer->seq);
    peer->due_ms = clock_monotonic_ms() +
                   (look->more && period_ms > SYNC_MORE_MS ? SYNC_MORE_MS : period_ms);
    peer->looked_us = clock_wall_us();
    peer->settled = look->settled;
    peer->messages += look->progress.messages;
    peer->bytes += look->progress.bytes;
    peer->failed += look->progress.failed;
    snprintf(peer->error, sizeof peer->error, "%.150s", status == STATUS_OK ? "" : err->text);
    sync->progress = (struct sync_progress){ .messages = 0 };
    sync->looking = false;
    uv_mutex_unlock(&sync->mutex);
    metric_set(&metric_sync_left, 0);
}

static void look_begin(struct sync *sync, struct sync_peer *peer)
{
    uv_mutex_lock(&sync->mutex);
    sync->looking = true;
    sync->looked = (size_t)(peer - sync->peers);
    sync->began_us = clock_wall_us();
    uv_mutex_unlock(&sync->mutex);
    sync->look.loop = sync->loop;
    sync->look.peer = peer->peer;
    memcpy(sync->look.seq, peer->seq, sizeof peer->seq);
    sync->look.may_read = may_read;
    sync->look.on_done = on_looked;
    sync->look.user = sync;
    sync->look.stop = false;
    sync_look_start(&sync->look);
}

static void sync_show(struct sync *sync)
{
    uv_mutex_lock(&sync->mutex);
    sync->progress = sync->look.progress;
    uv_mutex_unlock(&sync->mutex);
    metric_set(&metric_sync_left, (int64_t)sync->look.progress.bytes_left);
}

static void sync_begin(struct sync *sync)
{
    uint64_t now_ms = clock_monotonic_ms();

    peers_take_anew(sync, now_ms);
    struct sync_peer *due = peers_due(sync, now_ms);
    if (due != NULL)
        look_begin(sync, due);
}

/* While the map is paused nobody is looked at; with the map that ends it all of them are. */
static void on_tick(uv_timer_t *timer)
{
    struct sync *sync = container_of(timer, struct sync, timer);
    struct node *node = sync->loop->node;

    if (node_phase(node) != NODE_SERVING)
        return;
    struct cluster_view *view = cluster_view(&node->cluster);
    bool other = view->map->epoch != sync->epoch || sync->peers == NULL;
    if (sync->looking) {
        sync->look.stop |= other || view->map->paused;
        sync_show(sync);
        sync_look_go(&sync->look);
    } else {
        if (other)
            peers_take(sync, view);
        if (!view->map->paused)
            sync_begin(sync);
    }
    cluster_view_release(view);
}

/* --- start and stop --- */

struct sync *sync_start(struct node_loop *loop)
{
    struct sync *sync;

    if (loop->node->settings->sync_period_ms == 0)
        return NULL;
    sync = calloc(1, sizeof *sync);
    if (sync == NULL || uv_mutex_init(&sync->mutex) != 0)
        abort();
    sync->loop = loop;
    uv_timer_init(&loop->uv, &sync->timer);
    uv_timer_start(&sync->timer, on_tick, SYNC_TICK_MS, SYNC_TICK_MS);
    return sync;
}

void sync_stop(struct sync *sync)
{
    if (sync == NULL || sync->stopped)
        return;
    sync->stopped = true;
    uv_close((uv_handle_t *)&sync->timer, NULL);
    if (!sync->looking)
        return;
    sync->look.stop = true;
    sync_look_go(&sync->look);
}

void sync_free(struct sync *sync)
{
    if (sync == NULL)
        return;
    uv_mutex_destroy(&sync->mutex);
    free(sync->peers);
    free(sync);
}

/* --- GET /cluster/sync --- */

static void print_peer(struct json_writer *json, const struct sync_peer *peer)
{
    json_object_begin(json);
    json_put_string(json, "node", peer->peer->id);
    json_put_bool(json, "up", peer_is_up(peer->peer));
    json_put_bool(json, "settled", peer->settled);
    json_put_time(json, "looked_at", peer->looked_us);
    json_put_u64(json, "messages", peer->messages);
    json_put_u64(json, "bytes", peer->bytes);
    json_put_u64(json, "failed", peer->failed);
    json_put_string(json, "error", peer->error[0] != '\0' ? peer->error : NULL);
    json_object_end(json);
}

static void print_now(struct json_writer *json, const struct sync *sync)
{
    const struct sync_progress *progress = &sync->progress;
    char run[RUN_TEXT_SIZE];

    json_put_bool(json, "running", sync->looking);
    if (!sync->looking)
        return;
    json_put_time(json, "began", sync->began_us);
    if (sync->looked < sync->peers_count)
        json_put_string(json, "node", sync->peers[sync->looked].peer->id);
    if (progress->run.source[0] != '\0') {
        run_key_print(&progress->run, run);
        json_put_string(json, "run", run);
    }
    json_put_u64(json, "messages", progress->messages);
    json_put_u64(json, "bytes", progress->bytes);
    json_put_u64(json, "failed", progress->failed);
    json_put_u64(json, "shards_left", progress->shards_left);
    json_put_u64(json, "bytes_left", progress->bytes_left);
    uint64_t took_us = clock_wall_us() - sync->began_us;
    if (progress->bytes > 0 && took_us > 0)
        json_put_double(json, "seconds_left",
                        (double)progress->bytes_left / (double)progress->bytes * (double)took_us / 1e6);
}

static void sync_reply(struct http_exchange *ex, int http_status)
{
    struct node *node = request_loop(ex)->node;
    struct sync *sync = node->sync;
    struct json_writer json;
    struct buf body;

    buf_init(&body, SYNC_ANSWER_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    json_put_u64(&json, "rate", node->settings->sync_rate);
    json_key(&json, "period_seconds");
    json_double(&json, (double)node->settings->sync_period_ms / 1000);
    if (sync != NULL) {
        uv_mutex_lock(&sync->mutex);
        print_now(&json, sync);
        json_key(&json, "nodes");
        json_array_begin(&json);
        for (size_t i = 0; i < sync->peers_count; i++)
            print_peer(&json, &sync->peers[i]);
        json_array_end(&json);
        uv_mutex_unlock(&sync->mutex);
    }
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    request_reply_json(ex, http_status, &body);
}

void sync_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };

    if (request_keys_known(ex, keys))
        sync_reply(ex, 200);
}

void sync_ask(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct sync *sync = request_loop(ex)->node->sync;

    if (!request_keys_known(ex, keys))
        return;
    if (sync == NULL) {
        request_fail_with(ex, STATUS_CONFLICT, "this node asks nobody: its sync-period is 0");
        return;
    }
    uv_mutex_lock(&sync->mutex);
    sync->asked = true;
    uv_mutex_unlock(&sync->mutex);
    sync_reply(ex, 202);
}
