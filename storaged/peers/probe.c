/* probe.c: a tick looks which peers are due, and asks them for /healthz. */
#include "storaged/peers/probe.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/http/http_condition.h"

#include <stdio.h>
#include <stdlib.h>

struct probe {
    struct node_loop *loop;
    uv_timer_t timer;
    unsigned running;
    bool stopped;
};

struct question {
    struct probe *probe;
    struct peer *peer;
    struct cluster_view *view;
    struct transfer_request request;
    char url[URL_SIZE_MAX + 16];
};

/* Stamps say which of two issues is newer, and a stamp far ahead is refused. */
static void check_clock(struct peer *peer, const struct transfer_request *request)
{
    const char *text = transfer_answer_header(request, "date");
    int64_t now = (int64_t)(clock_wall_us() / 1000000);
    int64_t theirs;

    if (text == NULL || !http_date_parse(slice_text(text), &theirs))
        return;
    int64_t off = theirs > now ? theirs - now : now - theirs;
    bool warned = atomic_exchange(&peer->clock_off, off > CLOCK_OFF_MAX_S);
    if (off > CLOCK_OFF_MAX_S && !warned)
        log_msg(LOG_WARN, "clock.skew", "node %s at %s is %lld s off this node's clock", peer->id,
                peer->url, (long long)off);
}

static void on_answer(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct question *question = request->user;
    struct node_loop *loop = question->probe->loop;
    struct peer *peer = question->peer;
    struct error err;

    error_init(&err);
    peer_request_done(&loop->node->cluster, peer, request, status, failure, &err);
    if (status == STATUS_OK)
        check_clock(peer, request);
    if (peer_is_up(peer))
        atomic_store(&peer->probe_at_ms, clock_monotonic_ms() + PROBE_PERIOD_MS);
    atomic_store(&peer->probing, false);
    question->probe->running--;
    transfer_request_fini(request);
    cluster_view_release(question->view);
    free(question);
    node_loop_end(loop);
}

static void ask(struct probe *probe, struct peer *peer)
{
    struct question *question = calloc(1, sizeof *question);
    struct transfer_request *request;

    if (question == NULL)
        abort();
    request = &question->request;
    question->probe = probe;
    question->peer = peer;
    question->view = cluster_view(&probe->loop->node->cluster);
    snprintf(question->url, sizeof question->url, "%s/healthz", peer->url);
    peer_request_init(request, question->view);
    request->method = "GET";
    request->url = question->url;
    request->timeout_ms = PROBE_TIMEOUT_MS;
    request->on_done = on_answer;
    request->user = question;
    atomic_store(&peer->probing, true);
    probe->running++;
    node_loop_begin(probe->loop);
    transfer_start(probe->loop->transfer, request);
}

static void on_tick(uv_timer_t *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);
    struct cluster_view *view = cluster_view(&probe->loop->node->cluster);
    uint64_t now = clock_monotonic_ms();

    for (unsigned i = 0; i < view->map->nodes_count && probe->running < PROBES_MAX; i++) {
        struct peer *peer = view->peers[i];
        if (peer == NULL || view->map->nodes[i].state == NODE_OUT || atomic_load(&peer->probing) ||
            atomic_load(&peer->probe_at_ms) > now)
            continue;
        ask(probe, peer);
    }
    cluster_view_release(view);
}

struct probe *probe_start(struct node_loop *loop)
{
    struct probe *probe = calloc(1, sizeof *probe);

    if (probe == NULL)
        abort();
    probe->loop = loop;
    uv_timer_init(&loop->uv, &probe->timer);
    uv_timer_start(&probe->timer, on_tick, PROBE_TICK_MS, PROBE_TICK_MS);
    return probe;
}

void probe_stop(struct probe *probe)
{
    if (probe == NULL || probe->stopped)
        return;
    probe->stopped = true;
    uv_close((uv_handle_t *)&probe->timer, NULL);
}

void probe_free(struct probe *probe)
{
    free(probe);
}
