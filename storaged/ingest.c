/* ingest.c: drives one body from its first byte to its answer.
 *
 *     chunk --scan--> bytes of a message --> body_message --whole--> put --done--> line in the answer
 *
 * Reading stops, and the rest of the chunk is held, while
 *   - the message under way waits for memory (room): first for what this body itself has under way, because who holds a
 *     reservation never waits for another one; then in the budget's line;
 *   - a chunk of a large message is on its way to its file (writing);
 *   - so is a piece of the answer, and the next is full;
 *   - enough messages of this body are under way.
 * Whatever ends one of these calls ingest_go_on(), which takes what was held and then reads on.
 *
 * A failure, of the body or of a put, ends the scan. The answer leaves when all puts that were started have come back:
 * they are never stopped, not by a failure and not by a client that left. */
#include "storaged/ingest.h"

#include "storaged/ingest_answer.h"
#include "storaged/node.h"
#include "storaged/request.h"
#include "storaged/stamps.h"
#include "storaged/work.h"

#include "proto/base/clock.h"
#include "proto/grib_scan.h"
#include "proto/http/http_auth.h"
#include "proto/node_api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

struct ingest {
    struct http_exchange *ex;
    struct node_loop *loop;
    struct put_body body;
    struct grib_scan scan;
    struct digest_stream *digests; /* owned: of the message under way */
    struct put *put;               /* under way; NULL between messages */
    struct list puts; /* started, in the body's order; the first ones not done hold back the lines behind them */
    unsigned puts_count;   /* in it */
    unsigned puts_running; /* of those, not done */
    uint64_t size_running;
    uint64_t messages; /* begun */
    struct buf piece;  /* held: bytes of the message under way, scanned already */
    struct buf held;   /* held: bytes not scanned yet */
    struct stamps stamps;
    struct body_wait room;
    bool wants_room, in_line; /* the message has no memory yet; it waits in the budget's line */
    bool writing;
    bool whole; /* the message under way has all its bytes, but not in its file */
    struct work write;
    enum status write_status;
    bool ended;     /* no more bytes will come */
    bool scan_over; /* and the scan has been told */
    bool failed;
    bool going_on;
    bool replied;
    bool over_quota;
    struct error err;   /* the first failure in the body's order */
    uint64_t err_place; /* its message's offset */
    struct ingest_answer answer;
};

static void ingest_go_on(struct ingest *ingest);
static void ingest_finish_if_done(struct ingest *ingest);

/* --- failures --- */

/* The failure of the earliest message is the body's. */
static void ingest_fail(struct ingest *ingest, uint64_t place, enum status status, const struct error *err)
{
    if (ingest->failed && place >= ingest->err_place)
        return;
    ingest->failed = true;
    ingest->err_place = place;
    if (err != NULL && err->text[0] != '\0')
        ingest->err = *err;
    else
        error_set(&ingest->err, status, "%s", status_title(status));
    ingest->err.status = status;
}

/* What was under way of a message that will never be whole. */
static void ingest_drop_put(struct ingest *ingest)
{
    if (ingest->put == NULL || ingest->writing)
        return;
    body_budget_leave(&ingest->loop->budget, &ingest->room);
    ingest->wants_room = ingest->in_line = false;
    put_free(ingest->put);
    ingest->put = NULL;
}

static void ingest_stop(struct ingest *ingest)
{
    ingest_drop_put(ingest);
    buf_clear(&ingest->piece);
    buf_clear(&ingest->held);
}

/* Bytes that can't be taken now. Without memory for them the body has a hole. */
static void ingest_hold(struct ingest *ingest, struct buf *buf, struct slice bytes)
{
    buf_append(buf, bytes.data, bytes.size);
    if (buf_status(buf) != STATUS_OK)
        ingest_fail(ingest, ingest->scan.offset, buf_status(buf), NULL);
}

/* --- puts that come back --- */

static void ingest_take_result(struct ingest *ingest, struct put *put)
{
    if (put->fsm.status == STATUS_OK) {
        ingest_answer_add(&ingest->answer, put);
        return;
    }
    ingest->over_quota |= put->over_quota;
    struct error err = put->fsm.err;
    if (!err.has_offset)
        error_at(&err, put->offset);
    ingest_fail(ingest, put->offset, put->fsm.status, &err);
}

/* Lines leave in the body's order, as long as the answer takes them. */
static void ingest_collect(struct ingest *ingest)
{
    while (!list_empty(&ingest->puts) && !ingest_answer_is_full(&ingest->answer)) {
        struct put *put = list_first(&ingest->puts, struct put, list);
        if (!put->done)
            return;
        list_remove(&put->list);
        ingest->puts_count--;
        ingest_take_result(ingest, put);
        put_free(put);
    }
}

static struct ingest *ingest_of(struct put *put)
{
    return container_of(put->body, struct ingest, body);
}

static void ingest_on_put(struct put *put)
{
    struct ingest *ingest = ingest_of(put);

    ingest->puts_running--;
    ingest->size_running -= put->length;
    ingest_collect(ingest);
    ingest_go_on(ingest);
}

/* --- a message --- */

static bool ingest_is_blocked(const struct ingest *ingest)
{
    return ingest->wants_room || ingest->writing || ingest->puts_count >= INGEST_PUTS_MAX ||
           (ingest->size_running >= INGEST_SIZE_MAX && ingest->puts_running > 0) ||
           ingest_answer_is_full(&ingest->answer);
}

static void ingest_on_written(struct ingest_answer *answer)
{
    struct ingest *ingest = container_of(answer, struct ingest, answer);

    ingest_collect(ingest);
    ingest_go_on(ingest);
}

static void ingest_begin_message(struct ingest *ingest, uint64_t offset)
{
    enum body_class class = ingest->body.here ? BODY_REPLICA : BODY_INGEST;

    ingest->put = put_new(&ingest->body, offset, class);
    if (ingest->stamps.count > 0) {
        ingest->put->has_stamp = true;
        ingest->put->stored_at_us = stamps_get(&ingest->stamps, ingest->messages);
    }
    ingest->messages++;
}

static enum status ingest_check_stamp(const struct put *put, struct error *err)
{
    if (!put->has_stamp || put->stored_at_us <= clock_wall_us() + CLOCK_AHEAD_MAX_S * 1000000ull)
        return STATUS_OK;
    return error_set(err, STATUS_CLOCK, "the stamp %llu lies more than %d s ahead of this node's clock",
                     (unsigned long long)put->stored_at_us, CLOCK_AHEAD_MAX_S);
}

/* The message under way has all its bytes where they belong: it goes its own way from here. */
static void ingest_start_put(struct ingest *ingest)
{
    struct put *put = ingest->put;
    struct error err;

    ingest->put = NULL;
    ingest->whole = false;
    error_init(&err);
    enum status status = ingest_check_stamp(put, &err);
    if (status == STATUS_OK && ingest->body.has_digest && ingest->messages > 1)
        status = error_set(&err, STATUS_BAD_GRIB,
                           "more than one message: PUT /sha256/ takes the one that it names");
    if (status != STATUS_OK) {
        error_at(&err, put->offset);
        ingest_fail(ingest, put->offset, status, &err);
        put_free(put);
        return;
    }
    list_append(&ingest->puts, &put->list);
    ingest->puts_count++;
    ingest->puts_running++;
    ingest->size_running += put->message.size;
    put_start(put, ingest_on_put);
}

static void ingest_write_run(struct work *work)
{
    struct ingest *ingest = container_of(work, struct ingest, write);

    ingest->write_status = body_message_write(&ingest->put->message, &ingest->put->failure_err);
}

static void ingest_write_done(struct work *work)
{
    struct ingest *ingest = container_of(work, struct ingest, write);

    ingest->writing = false;
    if (ingest->write_status != STATUS_OK) {
        ingest_fail(ingest, ingest->put->offset, ingest->write_status, &ingest->put->failure_err);
    } else if (ingest->whole && !ingest->failed) {
        body_message_give_chunk(&ingest->put->message);
        ingest_start_put(ingest);
    }
    ingest_go_on(ingest);
}

static void ingest_write(struct ingest *ingest)
{
    ingest->writing = true;
    work_start_own(&ingest->write, ingest->loop, ingest_write_run, ingest_write_done);
}

static void ingest_end_message(struct ingest *ingest)
{
    struct put *put = ingest->put;

    digest_stream_final(ingest->digests, &put->digest);
    if (!put->message.in_file) {
        ingest_start_put(ingest);
        return;
    }
    ingest->whole = true; /* the rest of it goes to the file first */
    ingest_write(ingest);
}

/* --- memory for it --- */

static void ingest_got_room(struct ingest *ingest)
{
    struct error err;

    ingest->wants_room = false;
    error_init(&err);
    enum status status = body_message_room(&ingest->put->message, ingest->loop->node->store, &err);
    if (status != STATUS_OK)
        ingest_fail(ingest, ingest->put->offset, status, &err);
}

static void ingest_on_room(struct body_wait *wait)
{
    struct ingest *ingest = container_of(wait, struct ingest, room);

    ingest->in_line = false;
    ingest_got_room(ingest);
    ingest_go_on(ingest);
}

/* Takes the memory, or a place in the line once this body holds nothing itself. */
static void ingest_seek_room(struct ingest *ingest)
{
    assert(ingest->put != NULL);
    struct body_message *message = &ingest->put->message;
    if (ingest->in_line)
        return;
    if (body_budget_take(message->budget, message->class, body_message_needs(message))) {
        ingest_got_room(ingest);
        return;
    }
    if (ingest->puts_running > 0)
        return;
    ingest->room = (struct body_wait){ .size = body_message_needs(message),
                                       .class = message->class,
                                       .on_room = ingest_on_room };
    ingest->in_line = true;
    body_budget_wait(message->budget, &ingest->room);
}

/* --- pieces --- */

/* Bytes of the message under way; those that can't be taken now are held. */
static void ingest_take_bytes(struct ingest *ingest, struct slice bytes)
{
    struct body_message *message = &ingest->put->message;

    while (bytes.size > 0 && !ingest->wants_room && !ingest->writing) {
        size_t used = body_message_take(message, bytes);
        bytes.data += used;
        bytes.size -= used;
        if (bytes.size > 0)
            ingest_write(ingest);
    }
    ingest_hold(ingest, &ingest->piece, bytes);
}

static void ingest_on_data(struct ingest *ingest, struct slice bytes)
{
    struct body_message *message = &ingest->put->message;

    digest_stream_update(ingest->digests, bytes.data, bytes.size);
    if (!message->planned) {
        if (!body_message_plan(message, ingest->scan.frame.size, bytes))
            return;
        ingest->wants_room = true;
        ingest_seek_room(ingest);
        if (ingest->failed)
            return;
    }
    ingest_take_bytes(ingest, bytes);
}

static void ingest_on_piece(struct ingest *ingest, const struct grib_piece *piece)
{
    switch (piece->kind) {
    case GRIB_PIECE_NONE:
        break;
    case GRIB_PIECE_BEGIN:
        ingest_begin_message(ingest, piece->offset);
        break;
    case GRIB_PIECE_DATA:
        ingest_on_data(ingest, piece->data);
        break;
    case GRIB_PIECE_END:
        ingest_end_message(ingest);
        break;
    case GRIB_PIECE_SKIPPED:
        ingest_answer_skip(&ingest->answer, piece->offset, piece->length);
        break;
    }
}

/* Scans bytes until they are used up or something blocks; how many were used. */
static size_t ingest_scan(struct ingest *ingest, struct slice bytes)
{
    size_t at = 0;

    while (at < bytes.size && !ingest->failed && !ingest_is_blocked(ingest)) {
        struct grib_piece piece;
        struct error err;
        size_t used = 0;

        error_init(&err);
        enum status status = grib_scan_next(&ingest->scan, bytes.data + at, bytes.size - at, &used,
                                            &piece, &err);
        at += used;
        if (status != STATUS_OK)
            ingest_fail(ingest, err.has_offset ? err.offset : ingest->scan.offset, status, &err);
        else
            ingest_on_piece(ingest, &piece);
    }
    return at;
}

/* --- going on --- */

/* Bytes of the message that were held, once it has room. */
static void ingest_use_piece(struct ingest *ingest)
{
    struct buf piece = ingest->piece;

    if (piece.size == 0 || ingest->wants_room || ingest->writing || ingest->failed)
        return;
    buf_init(&ingest->piece, INGEST_HELD_MAX);
    ingest_take_bytes(ingest, slice_of(piece.data, piece.size));
    buf_fini(&piece);
}

static void ingest_use_held(struct ingest *ingest)
{
    if (ingest->held.size == 0 || ingest->piece.size > 0)
        return;
    size_t used = ingest_scan(ingest, slice_of(ingest->held.data, ingest->held.size));
    buf_consume(&ingest->held, used);
}

static void ingest_scan_end(struct ingest *ingest)
{
    struct grib_piece piece;
    struct error err;

    if (ingest->scan_over)
        return;
    ingest->scan_over = true;
    error_init(&err);
    enum status status = grib_scan_end(&ingest->scan, &piece, &err);
    if (status != STATUS_OK)
        ingest_fail(ingest, err.has_offset ? err.offset : ingest->scan.offset, status, &err);
    else
        ingest_on_piece(ingest, &piece);
}

/* Something came back, or came free. Takes what was held, then more of the body, then ends it. */
static void ingest_go_on(struct ingest *ingest)
{
    if (ingest->going_on)
        return;
    ingest->going_on = true;
    if (ingest->wants_room)
        ingest_seek_room(ingest);
    ingest_use_piece(ingest);
    ingest_use_held(ingest);
    ingest->going_on = false;
    ingest_finish_if_done(ingest);
}

static void ingest_over(struct http_exchange *ex)
{
    struct ingest *ingest = http_user(ex);
    struct node_loop *loop = ingest->loop;

    assert(list_empty(&ingest->puts) && ingest->put == NULL);
    ingest_answer_fini(&ingest->answer);
    digest_stream_free(ingest->digests);
    stamps_fini(&ingest->stamps);
    buf_fini(&ingest->piece);
    buf_fini(&ingest->held);
    free(ingest);
    node_ingest_end(loop->node);
    node_loop_end(loop);
}

static void ingest_reply(struct ingest *ingest)
{
    struct cluster_view *view = cluster_view(&ingest->loop->node->cluster);
    enum status status = ingest->failed ? ingest->err.status : STATUS_OK;

    ingest->replied = true;
    if (ingest->over_quota && status == STATUS_FULL)
        http_reply_header(ingest->ex, HEADER_QUOTA, "%s", "run");
    ingest_answer_reply(&ingest->answer, ingest->ex, view->url, status, &ingest->err);
    cluster_view_release(view);
}

/* Reads on, or, when the body is over or has failed and nothing of it is under way, answers. */
static void ingest_finish_if_done(struct ingest *ingest)
{
    if (ingest->replied)
        return;
    if (!ingest->failed) {
        if (ingest_is_blocked(ingest) || ingest->piece.size > 0 || ingest->held.size > 0)
            return;
        if (!ingest->ended) {
            http_body_resume(ingest->ex);
            return;
        }
        ingest_scan_end(ingest);
    }
    if (ingest->failed)
        ingest_stop(ingest);
    if (ingest->puts_count > 0 || ingest->writing || ingest_answer_is_busy(&ingest->answer))
        return;
    ingest_reply(ingest);
}

/* --- the exchange --- */

static void ingest_on_chunk(struct http_exchange *ex, struct slice chunk)
{
    struct ingest *ingest = http_user(ex);

    if (ingest->failed || ingest->held.size > 0)
        return; /* the client left while reading was stopped: what lies behind is not taken */
    ingest->going_on = true;
    size_t used = ingest_scan(ingest, chunk);
    ingest->going_on = false;
    if (!ingest->failed)
        ingest_hold(ingest, &ingest->held, slice_of(chunk.data + used, chunk.size - used));
    if (ingest->failed || ingest_is_blocked(ingest))
        http_body_pause(ex);
    if (ingest->failed)
        ingest_finish_if_done(ingest);
}

static void ingest_on_end(struct http_exchange *ex, enum status status)
{
    struct ingest *ingest = http_user(ex);
    struct error err;

    ingest->ended = true;
    if (status != STATUS_OK) {
        error_init(&err);
        error_set(&err, status == STATUS_CANCELLED ? STATUS_BAD_REQUEST : status,
                  "the body ended early: %s", status_title(status));
        error_at(&err, ingest->scan.offset);
        ingest_fail(ingest, UINT64_MAX, err.status, &err);
    }
    ingest_go_on(ingest);
}

/* --- its start --- */

static struct ingest *ingest_new(struct http_exchange *ex, const char *source, bool here, bool summary)
{
    struct node_loop *loop = request_loop(ex);
    struct ingest *ingest = calloc(1, sizeof *ingest);

    if (ingest == NULL)
        abort();
    ingest->ex = ex;
    ingest->loop = loop;
    ingest->body.loop = loop;
    ingest->body.here = here;
    snprintf(ingest->body.source, sizeof ingest->body.source, "%s", source);
    ingest->body.request_id = http_request_id(ex);
    grib_scan_init(&ingest->scan);
    if (!here) /* what another node has taken already is copied, whatever the limit is now */
        ingest->scan.message_max = loop->node->settings->message_max;
    ingest->digests = digest_stream_new();
    list_init(&ingest->puts);
    list_init(&ingest->room.list);
    buf_init(&ingest->piece, INGEST_HELD_MAX);
    buf_init(&ingest->held, INGEST_HELD_MAX);
    error_init(&ingest->err);
    ingest_answer_init(&ingest->answer, loop, ingest->body.source, summary, ingest_on_written);
    return ingest;
}

/* What can be refused before a byte of the body is sent. */
static bool ingest_may_begin(struct http_exchange *ex, bool here, struct error *err)
{
    struct node_loop *loop = request_loop(ex);
    struct slice encoding = http_header(ex, "content-encoding");

    if (encoding.data != NULL && !slice_equals(encoding, "identity")) {
        error_set(err, STATUS_ENCODING, "Content-Encoding: send the GRIB bytes as they are");
        return false;
    }
    if (http_header(ex, "content-range").data != NULL) {
        error_set(err, STATUS_BAD_REQUEST,
                  "Content-Range: parts of a body are not taken, send whole messages");
        return false;
    }
    const struct store_stats *stats = node_loop_stats(loop);
    struct cluster_view *view = cluster_view(&loop->node->cluster);
    bool alone = here || view->map->nodes_count <= 1;
    cluster_view_release(view);
    if (alone && stats->read_only)
        error_set(err, STATUS_READ_ONLY, "this node takes no PUT until it is restarted: %s", stats->error);
    else if (alone && stats->full)
        error_set(err, STATUS_FULL, "only %llu bytes are free, %llu are kept",
                  (unsigned long long)stats->disk_free, (unsigned long long)stats->disk_reserved);
    else
        return true;
    return false;
}

static bool ingest_source(struct http_exchange *ex, struct slice text, char source[SOURCE_SIZE_MAX + 1])
{
    if (!source_valid(text)) {
        request_fail_with(
            ex, STATUS_BAD_VALUE,
            "source: 1 to 64 characters of a-z, 0-9, '.', '_', '-', the first a letter or digit");
        return false;
    }
    memcpy(source, text.data, text.size);
    source[text.size] = '\0';
    return true;
}

static bool ingest_summary(struct http_exchange *ex, bool *summary)
{
    struct slice text = http_query(ex, "answer");

    *summary = text.data != NULL && slice_equals(text, "summary");
    if (text.data == NULL || *summary || slice_equals(text, "full"))
        return true;
    request_fail_with(ex, STATUS_BAD_VALUE, "answer: 'summary', or 'full'");
    return false;
}

/* Another node of the cluster, not a client that places for itself. Without tokens its word is taken. */
static bool ingest_from_node(const struct http_exchange *ex)
{
    return http_caller_has(ex, ROLE_NODE) ||
           (http_caller(ex)[0] == '\0' && http_header(ex, HEADER_CLUSTER).data != NULL);
}

/* What may come in of the source. What another node sends was let in there, maybe long ago: only quotas hold for it. */
static bool ingest_rules(const struct http_exchange *ex, const char *source, bool here,
                         struct source_rules *rules, struct error *err)
{
    enum status status = sources_get(request_loop(ex)->node->sources, source, rules, err);

    if (!here || !ingest_from_node(ex))
        return status == STATUS_OK;
    rules->has_oldest = rules->has_newest = false;
    return true;
}

/* NULL: it has replied. */
static struct ingest *ingest_begin(struct http_exchange *ex, struct slice source_text, bool here)
{
    char source[SOURCE_SIZE_MAX + 1];
    struct source_rules rules;
    struct error err;
    bool summary;

    error_init(&err);
    if (!ingest_source(ex, source_text, source) || !ingest_summary(ex, &summary))
        return NULL;
    if (!ingest_rules(ex, source, here, &rules, &err) || !ingest_may_begin(ex, here, &err) ||
        !node_ingest_begin(request_loop(ex)->node, &err)) {
        request_fail(ex, &err);
        return NULL;
    }
    node_loop_begin(request_loop(ex));
    struct ingest *ingest = ingest_new(ex, source, here, summary);
    ingest->body.rules = rules;
    http_set_user(ex, ingest, ingest_over);
    return ingest;
}

void ingest_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { "answer", NULL };

    if (!request_keys_known(ex, keys))
        return;
    if (ingest_begin(ex, http_param(ex, "source"), false) != NULL)
        http_body_stream(ex, ingest_on_chunk, ingest_on_end);
}

void ingest_handle_replica(struct http_exchange *ex)
{
    static const char *const keys[] = { "answer", NULL };
    struct stamps stamps;
    uint64_t incarnation;
    struct error err;

    error_init(&err);
    if (!request_keys_known(ex, keys) || !request_incarnation(ex, &incarnation))
        return;
    if (stamps_parse(http_header(ex, HEADER_STORED_AT), &stamps, &err) != STATUS_OK) {
        error_wrap(&err, "header " HEADER_STORED_AT);
        request_fail(ex, &err);
        return;
    }
    struct ingest *ingest = ingest_begin(ex, http_param(ex, "source"), true);
    if (ingest == NULL) {
        stamps_fini(&stamps);
        return;
    }
    ingest->stamps = stamps;
    ingest->body.incarnation = incarnation;
    http_body_stream(ex, ingest_on_chunk, ingest_on_end);
}

void ingest_handle_digest(struct http_exchange *ex)
{
    static const char *const keys[] = { "source", "answer", NULL };
    struct slice source = http_query(ex, "source");
    struct digest digest;

    if (!request_keys_known(ex, keys))
        return;
    if (!digest_parse(http_param(ex, "digest"), &digest)) {
        request_fail_with(ex, STATUS_BAD_VALUE, "digest: 64 lower-case hex digits");
        return;
    }
    if (source.data == NULL) {
        request_fail_with(ex, STATUS_BAD_REQUEST,
                          "key source is missing: PUT /sha256/{digest}?source=NAME");
        return;
    }
    if (!http_allows_source(ex, source)) {
        http_refuse_source(ex);
        return;
    }
    struct ingest *ingest = ingest_begin(ex, source, false);
    if (ingest == NULL)
        return;
    ingest->body.has_digest = true;
    ingest->body.digest = digest;
    http_body_stream(ex, ingest_on_chunk, ingest_on_end);
}
