/* repair_message.c: who has it, piece by piece, proof, append.
 *
 *     PICK --> READ --> TAKE --last piece--> STORE --> DONE
 *      ^        ^  '------|--- WRITE
 *      |        '---------'
 *      '--no, or other bytes; nobody left: DONE */
#include "storaged/repair_message.h"

#include "storaged/message_get.h"
#include "storaged/node.h"
#include "storaged/peers/suspect.h"
#include "storaged/store/disk.h"

#include "proto/base/log.h"
#include "proto/placement.h"

#include <stdlib.h>

enum repair_step { REPAIR_PICK, REPAIR_READ, REPAIR_TAKE, REPAIR_WRITE, REPAIR_STORE, REPAIR_DONE };

#define TO(step) (1u << REPAIR_##step)

static enum fsm_next repair_pick(struct fsm *fsm);
static enum fsm_next repair_read(struct fsm *fsm);
static enum fsm_next repair_take(struct fsm *fsm);
static enum fsm_next repair_write(struct fsm *fsm);
static enum fsm_next repair_store(struct fsm *fsm);
static enum fsm_next repair_done(struct fsm *fsm);

static const struct fsm_step repair_steps[] = {
    [REPAIR_PICK] = { "pick", repair_pick, TO(READ) },
    [REPAIR_READ] = { "read", repair_read, TO(TAKE) },
    [REPAIR_TAKE] = { "take", repair_take, TO(PICK) | TO(READ) | TO(WRITE) | TO(STORE) },
    [REPAIR_WRITE] = { "write", repair_write, TO(READ) | TO(STORE) },
    [REPAIR_STORE] = { "store", repair_store, TO(DONE) },
    [REPAIR_DONE] = { "done", repair_done, 0 },
};

/* --- pick --- */

static void nodes_add(struct repair_message *message, unsigned node)
{
    const struct cluster_view *view = message->view;

    if (node == view->self || view->map->nodes[node].state == NODE_OUT)
        return;
    for (unsigned i = 0; i < message->nodes_count; i++)
        if (message->nodes[i] == node)
            return;
    message->nodes[message->nodes_count++] = (uint16_t)node;
}

/* The owners, then whoever else there is: a handoff may have it. */
static void nodes_order(struct repair_message *message)
{
    const struct cluster_map *map = message->view->map;
    unsigned owners_count;
    const uint16_t *owners = placement_owners(map, message->missing.run.base_time,
                                              digest_shard(&message->missing.digest, map->shards),
                                              &owners_count);

    message->nodes = calloc(map->nodes_count + 1, sizeof *message->nodes);
    if (message->nodes == NULL)
        abort();
    for (unsigned i = 0; i < owners_count; i++)
        nodes_add(message, owners[i]);
    for (unsigned node = 0; node < map->nodes_count; node++)
        nodes_add(message, node);
}

/* What another peer's copy had brought. */
static void repair_forget(struct repair_message *message)
{
    struct digest unused;

    message_reader_close(&message->reader);
    digest_stream_final(message->hash, &unused);
    buf_clear(&message->data);
    message->written = 0;
}

static enum fsm_next repair_pick(struct fsm *fsm)
{
    struct repair_message *message = container_of(fsm, struct repair_message, fsm);
    struct error err;

    repair_forget(message);
    while (message->next < message->nodes_count) {
        struct peer *peer = message->view->peers[message->nodes[message->next++]];
        if (peer == NULL || !peer_is_up(peer))
            continue;
        message_reader_open_peer(&message->reader, peer);
        return fsm_go(fsm, REPAIR_READ);
    }
    error_init(&err);
    return fsm_fail(fsm, error_set(&err, STATUS_NOT_FOUND, "no node that answers has it whole"), &err);
}

/* --- read, take, write --- */

static void on_piece(struct message_reader *reader, enum status status, const struct error *err)
{
    struct repair_message *message = container_of(reader, struct repair_message, reader);

    (void)err;
    message->read_status = status;
    fsm_resume(&message->fsm, STATUS_OK, NULL); /* a failure is the next peer's turn */
}

static enum fsm_next repair_read(struct fsm *fsm)
{
    struct repair_message *message = container_of(fsm, struct repair_message, fsm);

    message->reader.on_piece = on_piece;
    message_reader_next(&message->reader, MESSAGE_CHUNK_SIZE);
    return fsm_wait(fsm, 1, REPAIR_TAKE);
}

static bool is_right(struct repair_message *message)
{
    struct digest digest;

    digest_stream_final(message->hash, &digest);
    return digest_compare(&digest, &message->missing.digest) == 0;
}

static enum fsm_next repair_take(struct fsm *fsm)
{
    struct repair_message *message = container_of(fsm, struct repair_message, fsm);
    struct message_reader *reader = &message->reader;

    if (message->read_status != STATUS_OK || reader->piece.size == 0 ||
        reader->size != message->missing.length)
        return fsm_go(fsm, REPAIR_PICK);
    digest_stream_update(message->hash, reader->piece.data, reader->piece.size);
    buf_append(&message->data, reader->piece.data, reader->piece.size);
    if (buf_status(&message->data) != STATUS_OK)
        return fsm_fail(fsm, buf_status(&message->data), NULL);
    if (reader->at == reader->size && !is_right(message)) {
        suspect_tell(message->loop, reader->peer, &message->missing.digest);
        return fsm_go(fsm, REPAIR_PICK);
    }
    if (message->missing.length > REPAIR_MEMORY_MAX)
        return fsm_go(fsm, REPAIR_WRITE);
    return fsm_go(fsm, reader->at == reader->size ? REPAIR_STORE : REPAIR_READ);
}

static void write_run(struct work *work)
{
    struct repair_message *message = container_of(work, struct repair_message, work);
    struct store *store = message->loop->node->store;
    enum status status = STATUS_OK;

    error_init(&message->work_err);
    if (message->fd < 0) /* it is there twice until it is stored */
        status = store_check_room(store, 2 * message->missing.length, &message->work_err);
    if (status == STATUS_OK && message->fd < 0)
        status = store_spool_open(store, &message->fd, &message->work_err);
    if (status == STATUS_OK)
        status = disk_write(message->fd, message->written, message->data.data, message->data.size,
                            &message->work_err);
    message->work_status = status;
}

static void write_done(struct work *work)
{
    struct repair_message *message = container_of(work, struct repair_message, work);

    message->written += message->data.size;
    buf_clear(&message->data);
    fsm_resume(&message->fsm, message->work_status, &message->work_err);
}

static enum fsm_next repair_write(struct fsm *fsm)
{
    struct repair_message *message = container_of(fsm, struct repair_message, fsm);
    bool is_last = message->reader.at == message->reader.size;

    work_start_own(&message->work, message->loop, write_run, write_done);
    return fsm_wait(fsm, 1, is_last ? REPAIR_STORE : REPAIR_READ);
}

/* --- store --- */

static void on_stored(struct append *append, enum status status)
{
    struct repair_message *message = container_of(append, struct repair_message, append);

    fsm_resume(&message->fsm, status, &append->err);
}

static enum fsm_next repair_store(struct fsm *fsm)
{
    struct repair_message *message = container_of(fsm, struct repair_message, fsm);
    const struct store_missing *missing = &message->missing;

    message->append = (struct append){
        .run = missing->run,
        .digest = missing->digest,
        .data = slice_of(message->data.data, message->data.size),
        .fd = message->fd,
        .length = missing->length,
        .stored_at_us = missing->stored_at_us,
        .incarnation = missing->incarnation,
        .port = &message->loop->port,
        .on_done = on_stored,
    };
    store_append(message->loop->node->store, &message->append);
    return fsm_wait(fsm, 1, REPAIR_DONE);
}

static enum fsm_next repair_done(struct fsm *fsm)
{
    struct repair_message *message = container_of(fsm, struct repair_message, fsm);
    struct node_loop *loop = message->loop;
    enum status status = fsm->status;
    struct error err = fsm->err;

    message_reader_close(&message->reader);
    digest_stream_free(message->hash);
    cluster_view_release(message->view);
    free(message->nodes);
    buf_fini(&message->data);
    store_spool_close(loop->node->store, message->fd);
    message->on_done(message, status, &err); /* message may be gone */
    node_loop_end(loop);
    return FSM_END;
}

void repair_message_start(struct repair_message *message, struct node_loop *loop)
{
    message->loop = loop;
    message->view = cluster_view(&loop->node->cluster);
    message->nodes_count = message->next = 0;
    message->fd = -1;
    message->written = 0;
    message->hash = digest_stream_new();
    buf_init(&message->data, REPAIR_MEMORY_MAX);
    message_reader_init(&message->reader, loop, &message->missing.digest);
    nodes_order(message);
    node_loop_begin(loop);
    fsm_start(&message->fsm, "repair", repair_steps, ARRAY_COUNT(repair_steps), REPAIR_PICK, REPAIR_DONE);
}
