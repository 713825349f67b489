/* peer_request.h: requests to another node: the headers they carry, and what their answers say of the peer. */
#ifndef STORAGED_PEERS_PEER_REQUEST_H
#define STORAGED_PEERS_PEER_REQUEST_H

#include "storaged/cluster.h"

#include "proto/transfer/transfer.h"

enum {
    PEER_CONNECT_TIMEOUT_MS = 2000,
    PEER_STALL_TIMEOUT_MS = 10000,
    PEER_HEADERS_COUNT = 2, /* that peer_request_init() takes of the request's */
};

/* Headers of the cluster and the time limits; view is borrowed until on_done. Returns how many headers it took: the
 * caller's go behind them. */
unsigned peer_request_init(struct transfer_request *request, const struct cluster_view *view);

/* After on_done: what it means for the peer's health, for the map. The status of the whole: that of the transfer, or what
 * the answer tells (OK for 2xx); err names the peer. */
enum status peer_request_done(struct cluster *cluster, struct peer *peer,
                              const struct transfer_request *request, enum status status,
                              const struct error *failure, struct error *err);

/* After on_done: 507 for the sake of one run: the peer takes others. */
bool peer_over_quota(const struct transfer_request *request);

#endif
