/* message_reader.c: reads a message piece by piece, on the thread pool or by ranges of another node's /sha256/. */
#include "storaged/message_reader.h"

#include "storaged/node.h"
#include "storaged/peers/peer_request.h"
#include "storaged/store/disk.h"

#include "proto/http/http_condition.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>

void message_reader_init(struct message_reader *reader, struct node_loop *loop, const struct digest *digest)
{
    *reader = (struct message_reader){ .loop = loop, .digest = *digest };
    error_init(&reader->err);
    buf_init(&reader->piece, MESSAGE_PIECE_MAX);
}

void message_reader_close(struct message_reader *reader)
{
    if (reader->file != NULL)
        store_file_release(reader->file);
    reader->file = NULL;
    reader->peer = NULL;
    reader->at = reader->size = 0;
    buf_fini(&reader->piece);
}

void message_reader_open_file(struct message_reader *reader, struct store_file *file,
                              const struct store_place *place)
{
    reader->file = file;
    reader->offset = place->offset;
    reader->size = place->length;
    reader->modified = (int64_t)(place->stored_at_us / 1000000);
    if (place->stored_at_us == 0)
        reader->modified = store_file_modified(file);
}

void message_reader_open_peer(struct message_reader *reader, struct peer *peer)
{
    reader->peer = peer;
}

static void reader_deliver(struct message_reader *reader, enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        reader->at += reader->piece.size;
    reader->on_piece(reader, status, err); /* reader may be gone */
}

/* --- a file of this node --- */

static size_t reader_room(const struct message_reader *reader, size_t max)
{
    uint64_t left = reader->size - reader->at;

    return left < max ? (size_t)left : max;
}

static enum status reader_read(struct message_reader *reader, size_t size, bool may_block)
{
    buf_clear(&reader->piece);
    uint8_t *data = buf_reserve(&reader->piece, size);
    if (data == NULL && size > 0)
        return error_set(&reader->err, STATUS_NO_MEMORY, "%zu bytes of a message", size);
    enum status status = disk_read(store_file_fd(reader->file), reader->offset + reader->at, data,
                                   size, may_block, &reader->err);
    if (status == STATUS_OK)
        reader->piece.size = size;
    return status;
}

bool message_reader_try(struct message_reader *reader, size_t max)
{
    if (reader->file == NULL || reader_read(reader, reader_room(reader, max), false) != STATUS_OK)
        return false;
    reader->at += reader->piece.size;
    return true;
}

static void file_run(struct work *work)
{
    struct message_reader *reader = container_of(work, struct message_reader, work);

    reader->status = reader_read(reader, reader->wanted, true);
}

static void file_done(struct work *work)
{
    struct message_reader *reader = container_of(work, struct message_reader, work);

    reader_deliver(reader, reader->status, &reader->err);
}

/* --- another node's --- */

/* "bytes A-B/SIZE": SIZE, and does A fit? */
static enum status peer_read_size(struct message_reader *reader, const char *text, struct error *err)
{
    uint64_t first, last, size;
    char end;

    if (text == NULL ||
        sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%c", &first, &last, &size, &end) != 3 ||
        first != reader->at || last < first || last >= size || last - first + 1 != reader->piece.size)
        return error_set(err, STATUS_INTERNAL, "node %s answered another range than was asked for",
                         reader->peer->id);
    if (reader->at > 0 && size != reader->size)
        return error_set(err, STATUS_INTERNAL, "node %s has another size now", reader->peer->id);
    reader->size = size;
    return STATUS_OK;
}

static enum status peer_take(struct message_reader *reader, bool probe, struct error *err)
{
    struct transfer_request *request = &reader->request;
    const char *modified = transfer_answer_header(request, "last-modified");

    if (modified == NULL || !http_date_parse(slice_text(modified), &reader->modified))
        reader->modified = 0;
    if (probe)
        return STATUS_OK;
    buf_fini(&reader->piece);
    reader->piece = request->answer;
    buf_init(&request->answer, request->answer.size_max);
    return peer_read_size(reader, transfer_answer_header(request, "content-range"), err);
}

static void peer_on_done(struct transfer_request *request, enum status status, const struct error *failure)
{
    struct message_reader *reader = request->user;
    struct node_loop *loop = reader->loop;
    bool probe = reader->wanted == 0;
    struct error err;

    error_init(&err);
    status = peer_request_done(&loop->node->cluster, reader->peer, request, status, failure, &err);
    if (status == STATUS_OK)
        status = peer_take(reader, probe, &err);
    transfer_request_fini(request);
    cluster_view_release(reader->view);
    reader_deliver(reader, status, &err); /* reader may be gone */
    node_loop_end(loop);
}

static void peer_start(struct message_reader *reader, size_t size)
{
    struct transfer_request *request = &reader->request;
    char digest[DIGEST_TEXT_SIZE];

    reader->wanted = size;
    reader->view = cluster_view(&reader->loop->node->cluster);
    unsigned headers = peer_request_init(request, reader->view);
    digest_print(&reader->digest, digest);
    snprintf(reader->url, sizeof reader->url, "%s/sha256/%s", reader->peer->url, digest);
    request->headers[headers++] = (struct transfer_header){ HEADER_HOP, "1" };
    if (reader->sources != NULL)
        request->headers[headers++] = (struct transfer_header){ HEADER_SOURCES, reader->sources };
    if (size > 0) {
        snprintf(reader->range, sizeof reader->range, "bytes=%" PRIu64 "-%" PRIu64, reader->at,
                 reader->at + size - 1);
        request->headers[headers] = (struct transfer_header){ "Range", reader->range };
    }
    request->method = size > 0 ? "GET" : "HEAD";
    request->url = reader->url;
    request->answer_max = size > 0 ? size : 1;
    request->on_done = peer_on_done;
    request->user = reader;
    node_loop_begin(reader->loop);
    transfer_start(reader->loop->transfer, request);
}

void message_reader_next(struct message_reader *reader, size_t max)
{
    if (reader->file == NULL) {
        peer_start(reader, max);
        return;
    }
    reader->wanted = reader_room(reader, max);
    work_start_own(&reader->work, reader->loop, file_run, file_done);
}

void message_reader_probe(struct message_reader *reader)
{
    peer_start(reader, 0);
}
