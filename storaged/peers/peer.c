/* peer.c: keeps what is known of each other node, and says when it is worth asking again. */
#include "storaged/peers/peer.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum status peers_init(struct peers *peers, struct error *err)
{
    list_init(&peers->all);
    peers->count = 0;
    if (uv_mutex_init(&peers->mutex) != 0)
        return error_set(err, STATUS_NO_MEMORY, "peers: no mutex");
    return STATUS_OK;
}

void peers_fini(struct peers *peers)
{
    list_for_each_safe (item, after, &peers->all) {
        list_remove(item);
        free(container_of(item, struct peer, list));
    }
    uv_mutex_destroy(&peers->mutex);
}

static struct peer *peers_find(struct peers *peers, const char *id, const char *url)
{
    list_for_each (item, &peers->all) {
        struct peer *peer = container_of(item, struct peer, list);
        if (strcmp(peer->id, id) == 0 && strcmp(peer->url, url) == 0)
            return peer;
    }
    return NULL;
}

struct peer *peers_get(struct peers *peers, const char *id, const char *url)
{
    uv_mutex_lock(&peers->mutex);
    struct peer *peer = peers_find(peers, id, url);
    if (peer == NULL) {
        peer = calloc(1, sizeof *peer);
        if (peer == NULL)
            abort(); /* out of memory ends a daemon; the journal brings it back */
        snprintf(peer->id, sizeof peer->id, "%s", id);
        snprintf(peer->url, sizeof peer->url, "%s", url);
        list_append(&peers->all, &peer->list);
        peers->count++;
    }
    uv_mutex_unlock(&peers->mutex);
    return peer;
}

void peers_each(struct peers *peers, void (*each)(struct peer *peer, void *data), void *data)
{
    uv_mutex_lock(&peers->mutex);
    list_for_each (item, &peers->all)
        each(container_of(item, struct peer, list), data);
    uv_mutex_unlock(&peers->mutex);
}

bool peer_is_up(const struct peer *peer)
{
    return atomic_load_explicit(&peer->down_since_ms, memory_order_relaxed) == 0;
}

bool peer_takes_puts(const struct peer *peer)
{
    if (!peer_is_up(peer))
        return false;
    uint64_t until = atomic_load_explicit(&peer->refused_until_ms, memory_order_relaxed);
    return until == 0 || clock_monotonic_ms() >= until;
}

uint64_t peer_silent_ms(const struct peer *peer)
{
    uint64_t since = atomic_load_explicit(&peer->down_since_ms, memory_order_relaxed);
    uint64_t now = clock_monotonic_ms();

    return since == 0 || since > now ? 0 : now - since;
}

void peer_answered(struct peer *peer)
{
    if (atomic_exchange_explicit(&peer->down_since_ms, 0, memory_order_relaxed) != 0)
        log_msg(LOG_INFO, "peer.up", "node %s at %s answers again", peer->id, peer->url);
    atomic_store_explicit(&peer->failures, 0, memory_order_relaxed);
}

static uint64_t probe_delay_ms(unsigned failures)
{
    uint64_t delay = PEER_PROBE_DELAY_MIN_MS;

    while (failures-- > 1 && delay < PEER_PROBE_DELAY_MAX_MS)
        delay *= 2;
    return delay < PEER_PROBE_DELAY_MAX_MS ? delay : PEER_PROBE_DELAY_MAX_MS;
}

void peer_failed(struct peer *peer, const struct error *err)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t up = 0;
    unsigned failures = atomic_fetch_add_explicit(&peer->failures, 1, memory_order_relaxed) + 1;

    atomic_store_explicit(&peer->probe_at_ms, now + probe_delay_ms(failures), memory_order_relaxed);
    /* The clock may say 0 just after the machine's start; 0 means up. */
    if (atomic_compare_exchange_strong_explicit(&peer->down_since_ms, &up, now + (now == 0),
                                                memory_order_relaxed, memory_order_relaxed))
        log_msg(LOG_WARN, "peer.down", "node %s at %s: %s", peer->id, peer->url,
                err != NULL ? err->text : "does not answer");
}

void peer_refused(struct peer *peer)
{
    uint64_t until = clock_monotonic_ms() + PEER_REFUSED_DELAY_MS;

    if (atomic_load_explicit(&peer->refused_until_ms, memory_order_relaxed) < until)
        atomic_store_explicit(&peer->refused_until_ms, until, memory_order_relaxed);
}

/* Requests that were under way together fail together, and count once. Two loops at once may count twice. */
void peer_stalled(struct peer *peer)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t delay = PEER_STALLED_DELAY_MIN_MS;

    if (atomic_load_explicit(&peer->refused_until_ms, memory_order_relaxed) > now + PEER_REFUSED_DELAY_MS)
        return;
    unsigned stalls = atomic_fetch_add_explicit(&peer->stalls, 1, memory_order_relaxed);
    while (stalls-- > 0 && delay < PEER_STALLED_DELAY_MAX_MS)
        delay *= 2;
    delay = delay < PEER_STALLED_DELAY_MAX_MS ? delay : PEER_STALLED_DELAY_MAX_MS;
    atomic_store_explicit(&peer->refused_until_ms, now + delay, memory_order_relaxed);
}

void peer_kept(struct peer *peer)
{
    if (atomic_load_explicit(&peer->stalls, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&peer->stalls, 0, memory_order_relaxed);
    atomic_store_explicit(&peer->refused_until_ms, 0, memory_order_relaxed);
}
