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

#include "storaged/message_get_parts.h"
#include "storaged/node.h"
#include "storaged/request.h"

#include "proto/http/http_auth.h"
#include "proto/node_api.h"

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
    message_stream_fini(&get->stream);
    message_reader_close(&get->reader);
    loop->message_memory -= get->memory;
    message_holders_fini(&get->holders);
    free(get->sources);
    free(get);
    node_loop_end(loop);
}

static void message_over(struct http_exchange *ex)
{
    struct message_get *get = http_user(ex);

    if (message_stream_leave(&get->stream))
        message_free(get);
}

static void message_on_left(struct message_stream *stream)
{
    message_free(container_of(stream, struct message_get, stream));
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
    struct node_loop *loop = get->loop;
    struct store_file *file;
    struct error err;

    error_init(&err);
    if (get->find_status != STATUS_OK) { /* a record that can't be read is no proof that it is not here */
        note_unopened(get, get->find_status, &get->find_err);
        return STATUS_NOT_FOUND;
    }
    if (damaged_list_has(&loop->damaged, &get->digest, NULL, get->place.record, uv_now(&loop->uv))) {
        get->damaged = true;
        get->find_status = STATUS_NOT_FOUND;
        return STATUS_NOT_FOUND;
    }
    get->opening.on_open = on_open;
    enum status status = file_open(loop, &get->run, get->place.shard, get->place.birth,
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
    struct peer *peer = message_holders_next(&get->holders);
    if (peer == NULL)
        return false;
    message_reader_open_peer(&get->reader, peer);
    return true;
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

static void message_on_bad(struct message_stream *stream, bool damaged)
{
    struct message_get *get = container_of(stream, struct message_get, stream);

    if (damaged)
        message_note_damaged(get);
    else if (get->reader.file != NULL)
        message_note_unreadable(get);
}

/* The piece is the whole message. */
static bool is_right(struct message_get *get)
{
    struct digest digest;

    digest_of(get->reader.piece.data, get->reader.piece.size, &digest);
    if (digest_compare(&digest, &get->digest) == 0)
        return true;
    message_note_damaged(get);
    return false;
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
        message_note_no(get, get->read_status);
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
        message_note_damaged(get);
    else if (status != STATUS_OK)
        message_note_no(get, status);
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

static enum fsm_next message_answer(struct fsm *fsm)
{
    struct message_get *get = container_of(fsm, struct message_get, fsm);

    if (fsm->status != STATUS_OK)
        request_fail(get->ex, &fsm->err);
    else
        message_answer_send(get);
    return FSM_END;
}

/* --- begin --- */

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
    error_init(&get->find_err);
    error_init(&get->open_err);
    message_holders_init(&get->holders, get->loop, &digest);
    message_reader_init(&get->reader, get->loop, &digest);
    get->reader.sources = get->sources;
    message_proof_init(&get->proof, &get->reader);
    message_stream_init(&get->stream, ex, &get->reader);
    get->stream.on_bad = message_on_bad;
    get->stream.on_left = message_on_left;
    node_loop_begin(get->loop);
    http_set_user(ex, get, message_over);
    fsm_start(&get->fsm, "message", message_steps, ARRAY_COUNT(message_steps), MESSAGE_FIND,
              MESSAGE_ANSWER);
}
