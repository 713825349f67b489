/* message_stream.c: pieces of a message in, what was asked for of them out, one behind. */
#include "storaged/message_stream.h"

#include "proto/base/log.h"

enum { HELD_SIZE_MAX = 2 * MESSAGE_CHUNK_SIZE };

void message_stream_init(struct message_stream *stream, struct http_exchange *ex,
                         struct message_reader *reader)
{
    *stream = (struct message_stream){ .ex = ex, .reader = reader };
    buf_init(&stream->held, HELD_SIZE_MAX);
}

void message_stream_fini(struct message_stream *stream)
{
    if (stream->digests != NULL)
        digest_stream_free(stream->digests);
    buf_fini(&stream->held);
}

static void stream_next(struct message_stream *stream);

/* What of a piece was asked for; it becomes what is withheld. */
static void stream_hold(struct message_stream *stream, uint64_t begin, const struct buf *piece)
{
    const struct http_range *range = &stream->range;
    uint64_t first = range->offset > begin ? range->offset - begin : 0;
    uint64_t end = range->offset + range->length;
    uint64_t last = end > begin ? end - begin : 0;

    if (last > piece->size)
        last = piece->size;
    buf_init(&stream->held, HELD_SIZE_MAX);
    if (first < last)
        buf_append(&stream->held, piece->data + first, (size_t)(last - first));
}

/* Pushes what was withheld so far: all before this piece that was asked for. True: something went out. */
static bool stream_push(struct message_stream *stream, bool last)
{
    struct buf out = stream->held;

    if (out.size == 0 && !last)
        return false;
    buf_init(&stream->held, HELD_SIZE_MAX);
    http_stream_push(stream->ex, &out, last);
    return true;
}

/* The last piece is withheld, what was withheld before it is in before. */
static void stream_finish(struct message_stream *stream, struct buf *before)
{
    struct digest digest;

    digest_stream_final(stream->digests, &digest);
    if (digest_compare(&digest, &stream->reader->digest) != 0) {
        stream->on_bad(stream, true);
        buf_fini(before);
        http_stream_fail(stream->ex);
        return;
    }
    buf_append(before, stream->held.data, stream->held.size);
    buf_fini(&stream->held);
    stream->held = *before;
    stream_push(stream, true);
}

/* No memory for what is withheld: an answer with a hole is none. False: it was cut. */
static bool stream_is_whole(struct message_stream *stream, struct buf *before)
{
    if (buf_status(&stream->held) == STATUS_OK)
        return true;
    buf_fini(before);
    log_msg(LOG_WARN, "message.cut", "%s", status_title(buf_status(&stream->held)));
    http_stream_fail(stream->ex);
    return false;
}

static void stream_take(struct message_stream *stream)
{
    struct message_reader *reader = stream->reader;
    uint64_t begin = reader->at - reader->piece.size;
    struct buf before = stream->held;

    digest_stream_update(stream->digests, reader->piece.data, reader->piece.size);
    stream_hold(stream, begin, &reader->piece);
    if (!stream_is_whole(stream, &before))
        return;
    if (reader->at == reader->size) {
        stream_finish(stream, &before);
        return;
    }
    if (stream->held.size == 0) { /* nothing of this piece was asked for: what was withheld stays so */
        buf_fini(&stream->held);
        stream->held = before;
        stream_next(stream);
        return;
    }
    struct buf now = stream->held;
    stream->held = before;
    bool pushed = stream_push(stream, false);
    buf_fini(&stream->held);
    stream->held = now;
    if (!pushed)
        stream_next(stream);
}

static void stream_on_piece(struct message_reader *reader, enum status status, const struct error *err)
{
    struct message_stream *stream = reader->user;

    stream->reading = false;
    if (stream->left) {
        stream->on_left(stream);
        return;
    }
    if (status == STATUS_OK && reader->piece.size > 0) {
        stream_take(stream);
        return;
    }
    stream->on_bad(stream, false);
    log_msg(LOG_WARN, "message.cut", "%s", err != NULL ? err->text : "no more bytes");
    http_stream_fail(stream->ex);
}

static void stream_next(struct message_stream *stream)
{
    stream->reading = true;
    stream->reader->on_piece = stream_on_piece;
    stream->reader->user = stream;
    message_reader_next(stream->reader, MESSAGE_CHUNK_SIZE);
}

void message_stream_ready(struct message_stream *stream)
{
    bool begins = stream->digests == NULL;

    if (begins)
        stream->digests = digest_stream_new();
    if (begins && stream->reader->at == stream->reader->piece.size) /* the first piece is here already */
        stream_take(stream);
    else
        stream_next(stream);
}

bool message_stream_leave(struct message_stream *stream)
{
    stream->left = true;
    return !stream->reading;
}
