/* message_answer.c: what a GET /sha256/ sends when its steps are through: the message or ranges of it, or why not. */
#include "storaged/message_get_parts.h"
#include "storaged/node.h"
#include "storaged/node_metrics.h"
#include "storaged/request.h"

#include "proto/http/http_digest.h"

/* --- no message --- */

static void answer_not_found(struct message_get *get)
{
    bool joining = !get->hop && node_phase(get->loop->node) == NODE_JOINING; /* it knows nobody to ask */
    struct error err;
    struct buf extra;

    error_init(&err);
    buf_init(&extra, MESSAGE_UNASKED_SIZE_MAX);
    if (get->holders.unasked.size > 0) {
        buf_text(&extra, "\"unasked\":[");
        buf_append(&extra, get->holders.unasked.data, get->holders.unasked.size);
        buf_text(&extra, "]");
    }
    if (joining)
        error_set(&err, STATUS_HOLDER_DOWN, "this node does not know yet who may have it");
    else if (get->holders.silent_lately)
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

static void answer_redirect(struct message_get *get)
{
    http_reply_header(get->ex, "Location", "%s", get->reader.url);
    http_reply(get->ex, 307, NULL, NULL);
}

/* --- a message --- */

static void answer_digest(struct message_get *get, const struct range_plan *plan)
{
    char field[HTTP_DIGEST_TEXT_SIZE];

    http_digest_print(get->digest.bytes, field);
    http_reply_header(get->ex, "Repr-Digest", "%s", field);
    if (plan->kind == RANGE_WHOLE && range_digest_wanted(get->ex))
        http_reply_header(get->ex, "Content-Digest", "%s", field);
}

static void answer_on_ready(struct http_exchange *ex)
{
    struct message_get *get = http_user(ex);

    message_stream_ready(&get->stream);
}

static void answer_stream(struct message_get *get, const struct range_plan *plan)
{
    int http_status = 200;

    get->stream.range = (struct http_range){ .offset = 0, .length = get->entity.size };
    if (plan->kind == RANGE_SOME && plan->count == 1) {
        get->stream.range = plan->ranges[0];
        http_status = 206;
        http_reply_header(get->ex, "Content-Range", "bytes %llu-%llu/%llu",
                          (unsigned long long)get->stream.range.offset,
                          (unsigned long long)(get->stream.range.offset + get->stream.range.length - 1),
                          (unsigned long long)get->entity.size);
    }
    range_reply_validators(get->ex, &get->entity);
    http_stream_start(get->ex, http_status, get->entity.content_type, get->stream.range.length,
                      answer_on_ready);
}

static void answer_on_unreadable(struct http_exchange *ex, const struct http_unreadable *what)
{
    struct message_get *get = http_user(ex);

    if (what->fd != get->proof.fd)
        message_note_unreadable(get);
    if (what->may_reply)
        request_fail_with(ex, STATUS_DAMAGED, "the message can't be read on this node");
}

static void answer_message(struct message_get *get)
{
    static _Thread_local struct range_plan plan; /* of this call */
    struct message_reader *reader = &get->reader;
    uint64_t offset;

    http_on_unreadable(get->ex, answer_on_unreadable);
    range_plan(get->ex, &get->entity, &plan);
    if (plan.kind == RANGE_REPLIED)
        return;
    answer_digest(get, &plan);
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
        answer_stream(get, &plan);
}

void message_answer_send(struct message_get *get)
{
    if (!get->found)
        answer_not_found(get);
    else if (get->reader.peer != NULL && get->redirect)
        answer_redirect(get);
    else
        answer_message(get);
}
