/* peer_request.c: the words that nodes of a cluster put around every request between them. */
#include "storaged/peers/peer_request.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/node_api.h"

unsigned peer_request_init(struct transfer_request *request, const struct cluster_view *view)
{
    transfer_request_init(request);
    request->connect_timeout_ms = PEER_CONNECT_TIMEOUT_MS;
    request->stall_timeout_ms = PEER_STALL_TIMEOUT_MS;
    request->headers[0] = (struct transfer_header){ HEADER_CLUSTER, view->map->cluster };
    request->headers[1] = (struct transfer_header){ HEADER_EPOCH, view->epoch_text };
    return PEER_HEADERS_COUNT;
}

static void note_epoch(struct cluster *cluster, struct peer *peer, const struct transfer_request *request)
{
    const char *text = transfer_answer_header(request, HEADER_EPOCH);
    uint64_t epoch;

    if (text == NULL || decimal_parse(text, strlen(text), UINT64_MAX, &epoch) != 0)
        return;
    atomic_store(&peer->epoch, epoch);
    cluster_heard(cluster, epoch);
}

/* Nothing works with that node until somebody sees to it; /healthz, which probes ask for, needs no token. */
static void note_token(struct peer *peer, int http_status, const struct error *err)
{
    uint64_t now = clock_monotonic_ms();

    if ((http_status != 401 && http_status != 403) || atomic_load(&peer->token_said_ms) > now)
        return;
    atomic_store(&peer->token_said_ms, now + PEER_TOKEN_SAID_MS);
    log_msg(LOG_ERROR, "peer.token", "node %s at %s does not take this node's token (--node-token): %s",
            peer->id, peer->url, err->text);
}

bool peer_over_quota(const struct transfer_request *request)
{
    return request->http_status == 507 && transfer_answer_header(request, HEADER_QUOTA) != NULL;
}

enum status peer_request_done(struct cluster *cluster, struct peer *peer,
                              const struct transfer_request *request, enum status status,
                              const struct error *failure, struct error *err)
{
    if (status != STATUS_OK) {
        if (status == STATUS_UNREACHABLE || status == STATUS_TIMEOUT || status == STATUS_UNTRUSTED)
            peer_failed(peer, failure);
        error_set(err, status, "%s", failure != NULL ? failure->text : status_title(status));
        return error_wrap(err, "node %s", peer->id);
    }
    peer_answered(peer);
    status = transfer_answer_status(request, err);
    if (status != STATUS_OTHER_CLUSTER)
        note_epoch(cluster, peer, request);
    else
        log_msg(LOG_ERROR, "peer.other-cluster", "node %s at %s: %s", peer->id, peer->url, err->text);
    note_token(peer, request->http_status, err);
    if ((request->http_status == 503 || request->http_status == 507) && !peer_over_quota(request))
        peer_refused(peer);
    return status == STATUS_OK ? status : error_wrap(err, "node %s", peer->id);
}
