/* message_holders.c: the nodes that may have a message, one after the other. */
#include "storaged/message_holders.h"

#include "storaged/node.h"

#include "proto/placement.h"

#include <stdlib.h>

void message_holders_init(struct message_holders *holders, struct node_loop *loop,
                          const struct digest *digest)
{
    *holders = (struct message_holders){
        .loop = loop,
        .view = cluster_view(&loop->node->cluster),
        .digest = *digest,
    };
    buf_init(&holders->unasked, MESSAGE_UNASKED_SIZE_MAX);
}

void message_holders_fini(struct message_holders *holders)
{
    cluster_view_release(holders->view);
    free(holders->nodes);
    buf_fini(&holders->unasked);
}

/* --- the order --- */

static void holders_add(struct message_holders *holders, unsigned node)
{
    if (node == holders->view->self)
        return;
    for (unsigned i = 0; i < holders->count; i++) {
        if (holders->nodes[i] == node)
            return;
    }
    holders->nodes[holders->count++] = (uint16_t)node;
}

static void holders_order(struct message_holders *holders)
{
    const struct cluster_map *map = holders->view->map;
    unsigned shard = digest_shard(&holders->digest, map->shards);

    holders->nodes = calloc(map->nodes_count + 1, sizeof *holders->nodes);
    if (holders->nodes == NULL)
        abort();
    for (unsigned era = map->eras_count; era-- > 0;) {
        const uint16_t *owners = &map->eras[era].owners[(size_t)shard * map->replicas];
        for (unsigned i = 0; i < map->replicas && owners[i] != NODE_NONE; i++)
            holders_add(holders, owners[i]);
    }
    for (unsigned node = 0; node < map->nodes_count; node++) {
        if (map->nodes[node].state != NODE_OUT)
            holders_add(holders, node);
    }
}

/* --- one after the other --- */

static void holders_note(struct message_holders *holders, const struct peer *peer, bool lately)
{
    buf_format(&holders->unasked, "%s\"%s\"", holders->unasked.size > 0 ? "," : "", peer->id);
    holders->silent_lately |= lately;
}

/* The next of this round. */
static struct peer *holders_of_round(struct message_holders *holders)
{
    struct node_loop *loop = holders->loop;

    while (holders->next < holders->count) {
        struct peer *peer = holders->view->peers[holders->nodes[holders->next++]];
        bool damaged = damaged_list_has(&loop->damaged, &holders->digest, peer, 0, uv_now(&loop->uv));

        if (damaged != holders->last_resort)
            continue;
        if (peer_is_up(peer))
            return peer;
        holders_note(holders, peer, peer_silent_ms(peer) < MESSAGE_SILENT_MAX_MS);
    }
    return NULL;
}

struct peer *message_holders_next(struct message_holders *holders)
{
    if (holders->nodes == NULL)
        holders_order(holders);
    struct peer *peer = holders_of_round(holders);
    if (peer != NULL || holders->last_resort)
        return peer;
    holders->last_resort = true;
    holders->next = 0;
    return holders_of_round(holders);
}

void message_holders_no_answer(struct message_holders *holders, const struct peer *peer)
{
    holders_note(holders, peer, true);
}
