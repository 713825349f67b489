/* message_get.c: finds a message by its digest, and proves it before its last byte leaves.
 *
 *     FIND --> PICK --> READ --> JUDGE --whole and right, or large--> ANSWER
 *               ^ ^ |              | '--large, and ranges are asked for--> PROVE --right--> ANSWER
 *               | | '--no more-----|--------> ANSWER: 404, or 503 while  '--no, or damaged--> PICK
 *               | '----no, or damaged         one that may have it is silent
 *
 * Sources, in this order: this node, the shard's owners in every era, the newest first, then the other nodes. The first
 * piece of a source is read; a message that fits in it is hashed before a byte leaves, a larger one is streamed with its
 * last piece withheld until the hash holds, and cut where it does not: that copy is then tried last (damaged_list.h), so
 * that who asks again is served from another. Who holds such a copy, or one that can't be read, looks at it again
 * and marks it bad (store_suspect(); a peer is told). Ranges of a large message are sent when all of it has been read and
 * hashed (message_proof.h), but for a single one of another node's, which is cut out of the stream. A request that came
 * from another node
 * (Gribstore-Hop: 1) is not forwarded, and a large one's ranges are not proven here: who asked proves the whole. */
#include "storaged/message_get.h"

#include "storaged/message_proof.h"
#include "storaged/message_reader.h"
#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/peers/suspect.h"
#include "storaged/range_reply.h"
#include "storaged/request.h"

#include "proto/base/fsm.h"
#include "proto/base/log.h"
#include "proto/http/http_auth.h"
#include "proto/http/http_digest.h"
#include "proto/node_api.h"
#include "proto/placement.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum message_step {
    MESSAGE_FIND,
    MESSAGE_PICK,
    MESSAGE_READ,
    MESSAGE_JUDGE,
    MESSAGE_PROVE,
    MESSAGE_PROVEN,
    MESSAGE_ANSWER
};

enum { UNASKED_SIZE_MAX = 128 << 10, HELD_SIZE_MAX = 2 * MESSAGE_CHUNK_SIZE };

struct message_get {
    struct fsm fsm;
    struct http_exchange *ex;
    struct node_loop *loop;
    struct digest digest;
    bool hop, redirect;
    bool suspected;     /* a peer got other bytes of it from here */
    char *sources;      /* owned: what the caller may see, "hres,gfs"; NULL: all */
    struct slice asked; /* a node asks for somebody who may see these; data NULL: all */
    /* this node */
    struct work work;
    struct file_wait opening;
    struct error open_err; /* why its file could not be opened, when it may be another time */
    struct run_key run;
    struct store_place place;
    enum status find_status;
    struct error find_err;
    /* the others */
    struct cluster_view *view;
    uint16_t *nodes; /* owned: in order */
    unsigned nodes_count, next;
    bool last_resort;   /* those are asked whose copy was damaged lately: it may have been healed */
    struct buf unasked; /* names, quoted, with commas */
    bool silent_lately;
    /* the source under way */
    struct message_reader reader;
    enum status read_status;
    bool found, damaged; /* damaged: a copy was seen that is */
    struct message_proof proof;
    bool proven;
    uint64_t memory; /* of the loop's message_memory */
    /* the answer */
    char etag[DIGEST_TEXT_SIZE + 2];
    struct range_entity entity;
    struct http_range range; /* streamed */
    struct digest_stream *digests;
    struct buf held; /* streamed: withheld */
    bool reading, over;
};

#define TO(step) (1u << MESSAGE_##step)

static enum fsm_next message_find(struct fsm *fsm);
static enum fsm_next message_pick(struct fsm *fsm);
static enum fsm_next message_read(struct fsm *fsm);
static enum fsm_next message_judge(struct fsm *fsm);
static enum fsm_next message_prove(struct fsm *fsm);
static enum fsm_next message_proven(struct fsm *fsm);
static enum fsm_next message_answer(struct fsm *fsm);

static const struct fsm_step message_steps[] = {
    [MESSAGE_FIND] = { "find", message_find, TO(PICK) },
    [MESSAGE_PICK] = { "pick", message_pick, TO(PICK) | TO(READ) | TO(ANSWER) }, /* again when its file is open */
    [MESSAGE_READ] = { "read", message_read, TO(JUDGE) },
    [MESSAGE_JUDGE] = { "judge", message_judge, TO(PICK) | TO(PROVE) | TO(ANSWER) },
    [MESSAGE_PROVE] = { "prove", message_prove, TO(PROVEN) },
    [MESSAGE_PROVEN] = { "proven", message_proven, TO(PICK) | TO(ANSWER) },
    [MESSAGE_ANSWER] = { "answer", message_answer, 0 },
};

static void message_free(struct message_get *get)
{
    struct node_loop *loop = get->loop;

    message_proof_fini(&get->proof);
    message_reader_close(&get->reader);
    loop->message_memory -= get->memory;
    if (get->digests != NULL)
        digest_stream_free(get->digests);
    cluster_view_release(get->view);
    free(get->nodes);
    free(get->sources);
    buf_fini(&get->unasked);
    buf_fini(&get->held);
    free(get);
    node_loop_end(loop);
}

static void message_over(struct http_exchange *ex)
{
    struct message_get *get = http_user(ex);

    get->over = true;
    if (!get->reading)
        message_free(get);
}

/* --- find: is it here --- */

/* A message of a source that the caller's token is not for is not there, here and on other nodes. */
static bool find_allows(void *data, const struct run_key *run)
{
    const struct message_get *get = data;
    struct slice source = slice_text(run->source);

    return (get->sources == NULL || token_list_has(slice_text(get->sources), source)) &&
           (get->asked.data == NULL || token_list_has(get->asked, source));
}

static enum status find_here(struct message_get *get, bool may_block)
{
    return store_find_where(get->loop->node->store, &get->digest, may_block, find_allows, get,
                            &get->run, &get->place, &get->find_err);
}

static void find_run(struct work *work)
{
    struct message_get *get = container_of(work, struct message_get, work);

    get->find_status = find_here(get, true);
}

static void find_done(struct work *work)
{
    fsm_resume(&container_of(work, struct message_get, work)->fsm, STATUS_OK, NULL);
}

static enum fsm_next message_find(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);
    struct error err;

    error_init(&err);
    get->find_status = find_here(get, false);
    if (get->find_status != STATUS_MORE)
        return fsm_go(fsm, MESSAGE_PICK);
    enum status status = work_start(&get->work, get->loop, find_run, find_done, &err);
    if (status != STATUS_OK)
        return fsm_fail(fsm, status, &err);
    return fsm_wait(fsm, 1, MESSAGE_PICK);
}

/* --- pick: who is asked next --- */

static void nodes_add(struct message_get *get, unsigned node)
{
    if (node == get->view->self)
        return;
    for (unsigned i = 0; i < get->nodes_count; i++) {
        if (get->nodes[i] == node)
            return;
    }
    get->nodes[get->nodes_count++] = (uint16_t)node;
}

/* The shard's owners of every era, the newest first, then all others. */
static void nodes_order(struct message_get *get)
{
    const struct cluster_map *map = get->view->map;
    unsigned shard = digest_shard(&get->digest, map->shards);

    get->nodes = calloc(map->nodes_count + 1, sizeof *get->nodes);
    if (get->nodes == NULL)
        abort();
    for (unsigned era = map->eras_count; era-- > 0;) {
        const uint16_t *owners = &map->eras[era].owners[(size_t)shard * map->replicas];
        for (unsigned i = 0; i < map->replicas && owners[i] != NODE_NONE; i++)
            nodes_add(get, owners[i]);
    }
    for (unsigned node = 0; node < map->nodes_count; node++) {
        if (map->nodes[node].state != NODE_OUT)
            nodes_add(get, node);
    }
}

static void note_unasked(struct message_get *get, const struct peer *peer, bool lately)
{
    buf_format(&get->unasked, "%s\"%s\"", get->unasked.size > 0 ? "," : "", peer->id);
    get->silent_lately |= lately;
}

static bool is_damaged(const struct message_get *get, const struct peer *peer)
{
    return damaged_list_has(&get->loop->damaged, &get->digest, peer,
                            peer == NULL ? get->place.record : 0, uv_now(&get->loop->uv));
}

/* Others may have it; if none has, who asked is told that it may be here. */
static void note_unopened(struct message_get *get, enum status status, const struct error *err)
{
    get->find_status = STATUS_NOT_FOUND;
    if (status != STATUS_NOT_FOUND && status != STATUS_PURGED)
        get->open_err = *err;
}

static void on_open(struct file_wait *wait, enum status status, const struct error *err)
{
    struct message_get *get = container_of(wait, struct message_get, opening);

    if (status != STATUS_OK)
        note_unopened(get, status, err);
    fsm_resume(&get->fsm, STATUS_OK, NULL);
}

/* OK: it is read here. MORE: when its file is open. */
static enum status pick_here(struct message_get *get)
{
    struct store_file *file;
    struct error err;

    error_init(&err);
    if (get->find_status != STATUS_OK)
        return STATUS_NOT_FOUND;
    if (is_damaged(get, NULL)) {
        get->damaged = true;
        get->find_status = STATUS_NOT_FOUND;
        return STATUS_NOT_FOUND;
    }
    get->opening.on_open = on_open;
    enum status status = file_open(get->loop, &get->run, get->place.shard, get->place.birth,
                                   &get->opening, &file, &err);
    if (status == STATUS_OK) {
        get->find_status = STATUS_NOT_FOUND; /* once */
        message_reader_open_file(&get->reader, file, &get->place);
    } else if (status != STATUS_MORE) {
        note_unopened(get, status, &err);
    }
    return status;
}

static bool pick_peer(struct message_get *get)
{
    if (get->hop)
        return false;
    if (get->nodes == NULL)
        nodes_order(get);
    while (get->next < get->nodes_count) {
        struct peer *peer = get->view->peers[get->nodes[get->next++]];
        if (is_damaged(get, peer) != get->last_resort)
            continue;
        if (peer_is_up(peer)) {
            message_reader_open_peer(&get->reader, peer);
            return true;
        }
        note_unasked(get, peer, peer_silent_ms(peer) < MESSAGE_SILENT_MAX_MS);
    }
    if (get->last_resort)
        return false;
    get->last_resort = true;
    get->next = 0;
    return pick_peer(get);
}

static enum fsm_next message_pick(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);

    if (get->suspected && get->find_status == STATUS_OK)
        store_suspect(get->loop->node->store, &get->run, &get->place);
    get->suspected = false; /* once */

    message_proof_fini(&get->proof);
    message_reader_close(&get->reader);
    enum status status = pick_here(get);
    if (status == STATUS_MORE)
        return fsm_wait(fsm, 1, MESSAGE_PICK);
    if (status == STATUS_OK || pick_peer(get))
        return fsm_go(fsm, MESSAGE_READ);
    return fsm_go(fsm, MESSAGE_ANSWER);
}

/* --- read: its first piece --- */

static void on_first_piece(struct message_reader *reader, enum status status, const struct error *err)
{
    struct message_get *get = container_of(reader, struct message_get, reader);

    (void)err;
    get->read_status = status;
    fsm_resume(&get->fsm, STATUS_OK, NULL);
}

/* What it may hold until its last byte is with the client: all of a small one; of a large one, or of one whose size is not
 * known yet, what is read, what is withheld and what is being sent. */
static bool read_has_room(struct message_get *get)
{
    struct node_loop *loop = get->loop;
    uint64_t most = loop->budget.size / MESSAGE_MEMORY_SHARE;
    uint64_t need = get->reader.file != NULL && get->reader.size <= MESSAGE_MEMORY_MAX
                        ? get->reader.size
                        : MESSAGE_STREAM_MEMORY;

    loop->message_memory -= get->memory;
    get->memory = 0;
    /* One is always served, however little there is. */
    if (loop->message_memory > 0 &&
        need > most - (loop->message_memory < most ? loop->message_memory : most))
        return false;
    loop->message_memory += need;
    get->memory = need;
    return true;
}

/* It turned out to need no more than that. */
static void read_keep_room(struct message_get *get, uint64_t size)
{
    assert(size <= get->memory);
    get->loop->message_memory -= get->memory - size;
    get->memory = size;
}

static enum fsm_next message_read(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);
    struct message_reader *reader = &get->reader;

    reader->on_piece = on_first_piece;
    if (!read_has_room(get)) {
        struct error err;
        error_set(&err, STATUS_OVERLOADED, "messages on their way out hold all the memory they may");
        return fsm_fail(fsm, STATUS_OVERLOADED, &err);
    }
    if (reader->file != NULL && reader->size <= MESSAGE_INLINE_MAX &&
        message_reader_try(reader, MESSAGE_INLINE_MAX)) {
        get->read_status = STATUS_OK;
        return fsm_go(fsm, MESSAGE_JUDGE);
    }
    if (reader->peer != NULL && get->redirect)
        message_reader_probe(reader);
    else
        message_reader_next(reader, MESSAGE_MEMORY_MAX);
    return fsm_wait(fsm, 1, MESSAGE_JUDGE);
}

/* --- judge: is it right --- */

static void note_damaged(struct message_get *get)
{
    struct node_loop *loop = get->loop;
    char text[DIGEST_TEXT_SIZE];

    damaged_list_add(&loop->damaged, &get->digest, get->reader.peer,
                     get->reader.peer == NULL ? get->place.record : 0, uv_now(&loop->uv));
    metric_add(&metric_copies_damaged, 1);
    get->damaged = true;
    if (get->reader.peer != NULL)
        suspect_tell(loop, get->reader.peer, &get->digest);
    else
        store_suspect(loop->node->store, &get->run, &get->place);
    digest_print(&get->digest, text);
    log_msg(LOG_ERROR, "message.damaged", "%s does not have its digest on %s", text,
            get->reader.peer != NULL ? get->reader.peer->id : "this node");
}

/* This node's copy can't be read. */
static void note_unreadable(struct message_get *get)
{
    get->damaged = true;
    store_suspect(get->loop->node->store, &get->run, &get->place);
}

/* The piece is the whole message. */
static bool is_right(struct message_get *get)
{
    struct digest digest;

    digest_of(get->reader.piece.data, get->reader.piece.size, &digest);
    if (digest_compare(&digest, &get->digest) == 0)
        return true;
    note_damaged(get);
    return false;
}

/* The source did not give it. */
static void note_no(struct message_get *get, enum status status)
{
    const struct message_reader *reader = &get->reader;
    bool said_no = status == STATUS_NOT_FOUND || status_http(status) == 410;

    if (reader->file != NULL && (status == STATUS_IO || status == STATUS_CORRUPT))
        note_unreadable(get);
    if (reader->peer != NULL && !said_no)
        note_unasked(get, reader->peer, true);
}

static void judge_describe(struct message_get *get)
{
    char digest[DIGEST_TEXT_SIZE];

    digest_print(&get->digest, digest);
    snprintf(get->etag, sizeof get->etag, "\"%s\"", digest);
    get->entity = (struct range_entity){
        .content_type = TYPE_GRIB,
        .etag = get->etag,
        .cache_control = http_is_public(get->ex) ? "public, max-age=31536000, immutable"
                                                 : "private, max-age=31536000, immutable",
        .modified = get->reader.modified,
        .size = get->reader.size,
    };
}

/* Are ranges of a large message asked for, that can't be cut out of one pass over it? */
static bool judge_wants_proof(struct message_get *get)
{
    static _Thread_local struct range_plan plan; /* of this call */
    const struct message_reader *reader = &get->reader;

    if (get->hop || reader->piece.size == reader->size || (reader->peer != NULL && get->redirect) ||
        !range_asked(get->ex, &get->entity, &plan) || (reader->peer != NULL && plan.count == 1))
        return false;
    return message_proof_may(&get->proof); /* no room to keep it: it is sent whole */
}

static enum fsm_next message_judge(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);
    struct message_reader *reader = &get->reader;

    if (get->read_status != STATUS_OK) {
        note_no(get, get->read_status);
        return fsm_go(fsm, MESSAGE_PICK);
    }
    if (reader->peer != NULL && get->redirect)
        get->found = true;
    else
        get->found = reader->piece.size < reader->size || is_right(get);
    if (!get->found)
        return fsm_go(fsm, MESSAGE_PICK);
    if (reader->piece.size == reader->size)
        read_keep_room(get, reader->size);
    judge_describe(get);
    return fsm_go(fsm, judge_wants_proof(get) ? MESSAGE_PROVE : MESSAGE_ANSWER);
}

/* --- prove: all of it, before a range of it leaves --- */

static void on_proven(struct message_proof *proof, enum status status, const struct error *err)
{
    struct message_get *get = container_of(proof, struct message_get, proof);

    get->proven = status == STATUS_OK;
    if (proof->keeping) { /* no disk to keep it on: not the copy's fault */
        fsm_resume(&get->fsm, STATUS_OVERLOADED, err);
        return;
    }
    if (status == STATUS_DIGEST_MISMATCH)
        note_damaged(get);
    else if (status != STATUS_OK)
        note_no(get, status);
    else
        read_keep_room(get, 0); /* it is sent out of a file */
    get->found = get->proven;
    fsm_resume(&get->fsm, STATUS_OK, NULL);
}

static enum fsm_next message_prove(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);

    get->proof.on_done = on_proven;
    message_proof_start(&get->proof);
    return fsm_wait(fsm, 1, MESSAGE_PROVEN);
}

static enum fsm_next message_proven(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);

    return fsm_go(fsm, get->found ? MESSAGE_ANSWER : MESSAGE_PICK);
}

/* --- answer --- */

static void reply_not_found(struct message_get *get)
{
    bool joining = !get->hop && node_phase(get->loop->node) == NODE_JOINING; /* it knows nobody to ask */
    struct error err;
    struct buf extra;

    error_init(&err);
    buf_init(&extra, UNASKED_SIZE_MAX);
    if (get->unasked.size > 0) {
        buf_text(&extra, "\"unasked\":[");
        buf_append(&extra, get->unasked.data, get->unasked.size);
        buf_text(&extra, "]");
    }
    if (joining)
        error_set(&err, STATUS_HOLDER_DOWN, "this node does not know yet who may have it");
    else if (get->silent_lately)
        error_set(&err, STATUS_HOLDER_DOWN, "no node that answers has it, and some do not answer");
    else if (get->open_err.status != STATUS_OK)
        err = get->open_err;
    else if (get->damaged)
        error_set(&err, STATUS_DAMAGED, "the message is damaged, and no other node has it whole");
    else
        error_set(&err, STATUS_NOT_FOUND, "no node has a message with this digest");
    http_reply_error(get->ex, err.status, &err, extra.size > 0 ? &extra : NULL);
    buf_fini(&extra);
}

static void reply_redirect(struct message_get *get)
{
    http_reply_header(get->ex, "Location", "%s", get->reader.url);
    http_reply(get->ex, 307, NULL, NULL);
}

static void reply_digest(struct message_get *get, const struct range_plan *plan)
{
    char field[HTTP_DIGEST_TEXT_SIZE];

    http_digest_print(get->digest.bytes, field);
    http_reply_header(get->ex, "Repr-Digest", "%s", field);
    if (plan->kind == RANGE_WHOLE && range_digest_wanted(get->ex))
        http_reply_header(get->ex, "Content-Digest", "%s", field);
}

/* --- streamed: a large one --- */

static void stream_next(struct http_exchange *ex);

/* What of a piece was asked for; it becomes what is withheld. */
static void stream_hold(struct message_get *get, uint64_t begin, const struct buf *piece)
{
    uint64_t first = get->range.offset > begin ? get->range.offset - begin : 0;
    uint64_t end = get->range.offset + get->range.length;
    uint64_t last = end > begin ? end - begin : 0;

    if (last > piece->size)
        last = piece->size;
    buf_init(&get->held, HELD_SIZE_MAX);
    if (first < last)
        buf_append(&get->held, piece->data + first, (size_t)(last - first));
}

static bool stream_is_right(struct message_get *get)
{
    struct digest digest;

    digest_stream_final(get->digests, &digest);
    if (digest_compare(&digest, &get->digest) == 0)
        return true;
    note_damaged(get);
    return false;
}

/* Pushes what was withheld so far: all before this piece that was asked for. True: something went out. */
static bool stream_push(struct message_get *get, bool last)
{
    struct buf out = get->held;

    if (out.size == 0 && !last)
        return false;
    buf_init(&get->held, HELD_SIZE_MAX);
    http_stream_push(get->ex, &out, last);
    return true;
}

static void stream_take(struct message_get *get)
{
    struct message_reader *reader = &get->reader;
    uint64_t begin = reader->at - reader->piece.size;
    struct buf before = get->held;

    digest_stream_update(get->digests, reader->piece.data, reader->piece.size);
    stream_hold(get, begin, &reader->piece);
    if (reader->at == reader->size) {
        if (!stream_is_right(get)) {
            buf_fini(&before);
            http_stream_fail(get->ex);
            return;
        }
        buf_append(&before, get->held.data, get->held.size);
        buf_fini(&get->held);
        get->held = before;
        stream_push(get, true);
        return;
    }
    if (get->held.size == 0) { /* nothing of this piece was asked for: what was withheld stays so */
        buf_fini(&get->held);
        get->held = before;
        stream_next(get->ex);
        return;
    }
    struct buf now = get->held;
    get->held = before;
    bool pushed = stream_push(get, false);
    buf_fini(&get->held);
    get->held = now;
    if (!pushed)
        stream_next(get->ex);
}

static void on_next_piece(struct message_reader *reader, enum status status, const struct error *err)
{
    struct message_get *get = container_of(reader, struct message_get, reader);

    get->reading = false;
    if (get->over) {
        message_free(get);
        return;
    }
    if (status == STATUS_OK && reader->piece.size > 0) {
        stream_take(get);
        return;
    }
    if (reader->file != NULL)
        note_unreadable(get);
    log_msg(LOG_WARN, "message.cut", "%s", err != NULL ? err->text : "no more bytes");
    http_stream_fail(get->ex);
}

static void stream_next(struct http_exchange *ex)
{
    struct message_get *get = http_user(ex);

    get->reading = true;
    get->reader.on_piece = on_next_piece;
    message_reader_next(&get->reader, MESSAGE_CHUNK_SIZE);
}

static void stream_begin(struct http_exchange *ex)
{
    struct message_get *get = http_user(ex);

    if (get->reader.at == get->reader.piece.size) /* the first piece is here already */
        stream_take(get);
    else
        stream_next(ex);
}

static void stream_ready(struct http_exchange *ex)
{
    struct message_get *get = http_user(ex);

    if (get->digests == NULL) {
        get->digests = digest_stream_new();
        stream_begin(ex);
        return;
    }
    stream_next(ex);
}

static void reply_stream(struct message_get *get, const struct range_plan *plan)
{
    int http_status = 200;

    get->range = (struct http_range){ .offset = 0, .length = get->entity.size };
    if (plan->kind == RANGE_SOME && plan->count == 1) {
        get->range = plan->ranges[0];
        http_status = 206;
        http_reply_header(get->ex, "Content-Range", "bytes %llu-%llu/%llu",
                          (unsigned long long)get->range.offset,
                          (unsigned long long)(get->range.offset + get->range.length - 1),
                          (unsigned long long)get->entity.size);
    }
    range_reply_validators(get->ex, &get->entity);
    http_stream_start(get->ex, http_status, get->entity.content_type, get->range.length, stream_ready);
}

static void on_unreadable(struct http_exchange *ex, const struct http_unreadable *what)
{
    struct message_get *get = http_user(ex);

    if (what->fd != get->proof.fd)
        note_unreadable(get);
    if (what->may_reply)
        request_fail_with(ex, STATUS_DAMAGED, "the message can't be read on this node");
}

static void reply_message(struct message_get *get)
{
    static _Thread_local struct range_plan plan; /* of this call */
    struct message_reader *reader = &get->reader;
    uint64_t offset;

    http_on_unreadable(get->ex, on_unreadable);
    range_plan(get->ex, &get->entity, &plan);
    if (plan.kind == RANGE_REPLIED)
        return;
    reply_digest(get, &plan);
    metric_add(&metric_forwarded, reader->peer != NULL);
    if (reader->piece.size == reader->size)
        range_reply_memory(get->ex, &get->entity, &plan,
                           slice_of(reader->piece.data, reader->piece.size));
    else if (get->proven) {
        int fd = message_proof_file(&get->proof, &offset);
        range_reply_file(get->ex, &get->entity, &plan, fd, offset);
    } else if (get->hop && plan.kind == RANGE_SOME)
        range_reply_file(get->ex, &get->entity, &plan, store_file_fd(reader->file), reader->offset);
    else
        reply_stream(get, &plan);
}

static enum fsm_next message_answer(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);

    if (fsm->status != STATUS_OK)
        request_fail(get->ex, &fsm->err);
    else if (!get->found)
        reply_not_found(get);
    else if (get->reader.peer != NULL && get->redirect)
        reply_redirect(get);
    else
        reply_message(get);
    return FSM_END;
}

/* Copied: what is read for an answer outlives the request by a moment. */
static void message_set_sources(struct message_get *get, struct http_exchange *ex)
{
    const char *bound = http_bound_sources(ex);

    if (get->hop)
        get->asked = http_header(ex, HEADER_SOURCES);
    if (bound == NULL)
        return;
    get->sources = strdup(bound);
    if (get->sources == NULL)
        abort();
}

/* Reading again costs as much as the message is long: who may read does not have it done. Without tokens a word is taken. */
static bool is_from_node(const struct http_exchange *ex)
{
    return request_loop(ex)->node->security.auth == NULL || http_caller_has(ex, ROLE_NODE);
}

void message_get_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct slice hop = http_header(ex, HEADER_HOP);
    struct digest digest;

    if (!request_keys_known(ex, keys))
        return;
    if (!digest_parse(http_param(ex, "digest"), &digest)) {
        request_fail_with(ex, STATUS_BAD_VALUE, "digest: 64 lower-case hex digits");
        return;
    }
    struct message_get *get = calloc(1, sizeof *get);
    if (get == NULL)
        abort();
    get->ex = ex;
    get->loop = request_loop(ex);
    get->digest = digest;
    get->hop = hop.data != NULL;
    get->suspected = get->hop && http_header(ex, HEADER_SUSPECT).data != NULL && is_from_node(ex);
    get->redirect = get->loop->node->settings->redirect;
    message_set_sources(get, ex);
    get->view = cluster_view(&get->loop->node->cluster);
    error_init(&get->find_err);
    error_init(&get->open_err);
    buf_init(&get->unasked, UNASKED_SIZE_MAX);
    buf_init(&get->held, HELD_SIZE_MAX);
    message_reader_init(&get->reader, get->loop, &digest);
    get->reader.sources = get->sources;
    message_proof_init(&get->proof, &get->reader);
    node_loop_begin(get->loop);
    http_set_user(ex, get, message_over);
    fsm_start(&get->fsm, "message", message_steps, ARRAY_COUNT(message_steps), MESSAGE_FIND,
              MESSAGE_ANSWER);
}
