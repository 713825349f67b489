/* peer.h: one other node: health, back-off, epoch.
 *
 * Peers are shared by all event loops: their members are atomics, and a peer lives as long as the table. A failure makes
 * a peer *down*: nobody asks it anything until a probe (probe.h) finds it again; probes come after a growing, bounded
 * delay. A peer that answers but takes no PUT now (503, 507) is left out of placement for a while; so is one that answers probes and
 * leaves copies without an answer, for longer each time. */
#ifndef STORAGED_PEERS_PEER_H
#define STORAGED_PEERS_PEER_H

#include "proto/base/list.h"
#include "proto/cluster_map.h"

#include <uv.h>

enum {
    PEER_PROBE_DELAY_MIN_MS = 100,
    PEER_PROBE_DELAY_MAX_MS = 5000,
    PEER_REFUSED_DELAY_MS = 1000, /* without PUTs, after a 503 or 507 */
    PEER_STALLED_DELAY_MIN_MS = 5000, /* without PUTs, after copies that it never answered; doubled each time, up to */
    PEER_STALLED_DELAY_MAX_MS = 60000,
    PEER_TOKEN_SAID_MS = 60000, /* between two lines of the log about one that takes no token of ours */
};

struct peer {
    char id[NODE_ID_SIZE_MAX + 1];
    char url[URL_SIZE_MAX + 1];
    _Atomic uint64_t down_since_ms;    /* monotonic; 0: up */
    _Atomic uint64_t probe_at_ms;      /* monotonic; when it is asked again */
    _Atomic uint64_t refused_until_ms; /* monotonic; takes no PUT before */
    _Atomic unsigned failures;         /* probes and requests in a row */
    _Atomic unsigned stalls;           /* times in a row that it left copies without an answer */
    _Atomic uint64_t epoch;            /* of its map, as last heard */
    _Atomic bool probing;              /* a probe is under way */
    _Atomic bool clock_off;            /* its clock is far from ours */
    _Atomic uint64_t token_said_ms; /* monotonic; that it does not take our token is said again then */
    struct list list;
};

struct peers {
    uv_mutex_t mutex; /* of the list */
    struct list all;
    unsigned count;
};

enum status peers_init(struct peers *peers, struct error *err);
void peers_fini(struct peers *peers);

/* The peer of that name and URL; made when it is new (all peers begin as up). Never NULL, valid until peers_fini(). */
struct peer *peers_get(struct peers *peers, const char *id, const char *url);
/* Each peer, under the table's lock: each() must not block. */
void peers_each(struct peers *peers, void (*each)(struct peer *peer, void *data), void *data);

bool peer_is_up(const struct peer *peer);
bool peer_takes_puts(const struct peer *peer);
uint64_t peer_silent_ms(const struct peer *peer); /* how long it has been down; 0: up */

void peer_answered(struct peer *peer);                        /* whatever it said: it is up */
void peer_failed(struct peer *peer, const struct error *err); /* no answer */
void peer_refused(struct peer *peer);                         /* no PUTs for now */
void peer_stalled(struct peer *peer); /* copies had no answer in time: no PUTs for a while */
void peer_kept(struct peer *peer);    /* it took copies */

#endif
