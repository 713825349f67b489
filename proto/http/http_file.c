/* http_file.c: pieces of a file as a body.
 *
 * Bytes are gathered into one buffer of the server's pool, piece heads and small pieces side by side, and leave in one
 * write; then the next. What the page cache has is read on the loop, what it has not on the thread pool: a disk never
 * holds up the others. A slow reader costs this one buffer. */
#include "proto/http/http_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

static uint8_t *file_take_out(struct http_server *server)
{
    if (server->outs_count > 0)
        return server->outs[--server->outs_count];
    return malloc(HTTP_OUT_SIZE);
}

void http_file_clear(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;

    assert(!file->reading);
    if (file->out != NULL && ex->server->outs_count < HTTP_POOL_MAX)
        ex->server->outs[ex->server->outs_count++] = file->out;
    else
        free(file->out);
    file->out = NULL;
    free(file->pieces);
    file->pieces = NULL;
    buf_fini(&file->text);
}

/* Never a wrong byte: the client sees a cut connection. */
static bool file_cut(struct http_exchange *ex)
{
    ex->conn->dead = true;
    return true;
}

/* --- reading --- */

/* Where the next file bytes lie: how many, at most room. */
static size_t file_next_read(const struct http_file_reply *file, uint64_t *offset)
{
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t done = file->piece_done - piece->head_size;
    uint64_t left = piece->length - done;
    size_t room = HTTP_OUT_SIZE - file->out_size;

    *offset = piece->offset + done;
    return left < room ? (size_t)left : room;
}

static void file_on_worker(uv_work_t *work)
{
    struct http_file_reply *file = container_of(work, struct http_file_reply, work);
    size_t got = 0;
    uint64_t offset;

    file_next_read(file, &offset);
    while (got < file->work_size) {
        ssize_t n = pread(file->pieces[file->at].fd, file->out + file->out_size + got,
                          file->work_size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            file->result = n < 0 ? -errno : -EIO; /* shorter than promised is an error too */
            return;
        }
        got += (size_t)n;
    }
    file->result = 0;
}

static void file_on_work_done(uv_work_t *work, int status)
{
    struct http_file_reply *file = container_of(work, struct http_file_reply, work);
    struct http_reply *reply = container_of(file, struct http_reply, file);
    struct http_exchange *ex = container_of(reply, struct http_exchange, reply);

    file->reading = false;
    if (status != 0 || file->result != 0) {
        ex->conn->dead = true;
    } else {
        file->out_size += file->work_size;
        file->piece_done += file->work_size;
    }
    http_conn_advance(ex->conn);
}

static bool file_read_on_pool(struct http_exchange *ex, size_t size)
{
    struct http_file_reply *file = &ex->reply.file;

    file->work_size = size;
    file->reading = true;
    if (uv_queue_work(ex->server->options.loop, &file->work, file_on_worker, file_on_work_done) != 0) {
        file->reading = false;
        file_cut(ex);
    }
    return false;
}

enum file_fill { FILE_FILLED, FILE_COLD, FILE_BROKEN };

/* The file bytes of the piece under way, as far as the page cache has them and there is room. */
static enum file_fill file_fill_piece(struct http_file_reply *file)
{
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t offset;
    size_t size;

    while ((size = file_next_read(file, &offset)) > 0) {
        struct iovec vector = { .iov_base = file->out + file->out_size, .iov_len = size };
        ssize_t n = preadv2(piece->fd, &vector, 1, (off_t)offset, RWF_NOWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EOPNOTSUPP))
            return FILE_COLD;
        if (n <= 0)
            return FILE_BROKEN;
        file->out_size += (size_t)n;
        file->piece_done += (uint64_t)n;
    }
    return FILE_FILLED;
}

static void file_fill_head(struct http_file_reply *file)
{
    const struct http_piece *piece = &file->pieces[file->at];
    size_t left = piece->head_size - (size_t)file->piece_done;
    size_t room = HTTP_OUT_SIZE - file->out_size;
    size_t size = left < room ? left : room;

    memcpy(file->out + file->out_size, file->text.data + piece->head_offset + file->piece_done, size);
    file->out_size += size;
    file->piece_done += size;
}

/* Packs pieces until the buffer is full, all are in, or the next bytes are not in memory. */
static enum file_fill file_fill(struct http_file_reply *file)
{
    while (file->at < file->count && file->out_size < HTTP_OUT_SIZE) {
        const struct http_piece *piece = &file->pieces[file->at];

        if (file->piece_done < piece->head_size)
            file_fill_head(file);
        if (file->piece_done < piece->head_size)
            break;
        if (piece->fd >= 0) {
            enum file_fill filled = file_fill_piece(file);
            if (filled != FILE_FILLED)
                return filled;
            if (file->piece_done < piece->head_size + piece->length)
                break;
        }
        file->at++;
        file->piece_done = 0;
    }
    return FILE_FILLED;
}

/* --- the step --- */

static void file_send(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    unsigned count = 0;
    uv_buf_t bufs[2];

    if (!ex->reply.head_sent) {
        http_reply_head(ex, &ex->reply.head);
        bufs[count++] = uv_buf_init((char *)ex->reply.head.data, (unsigned)ex->reply.head.size);
    }
    if (file->out_size > 0)
        bufs[count++] = uv_buf_init((char *)file->out, (unsigned)file->out_size);
    file->out_size = 0; /* its bytes stay until the write is done: no step before */
    http_conn_send(ex->conn, bufs, count);
}

static bool file_is_sent(const struct http_exchange *ex)
{
    const struct http_file_reply *file = &ex->reply.file;

    return ex->reply.head_sent &&
           (ex->reply.bodyless || (file->at == file->count && file->out_size == 0));
}

bool http_file_step(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    enum file_fill filled = FILE_FILLED;
    uint64_t offset;

    if (file->reading)
        return false;
    if (ex->conn->bytes_out >= ex->conn->turn_end) {
        ex->conn->again = true;
        return false;
    }
    if (!ex->reply.bodyless) {
        if (file->out == NULL && (file->out = file_take_out(ex->server)) == NULL)
            return file_cut(ex);
        filled = file_fill(file);
    }
    if (filled == FILE_BROKEN)
        return file_cut(ex);
    if (file_is_sent(ex)) {
        ex->reply.done = true;
        return false;
    }
    if (filled == FILE_COLD && file->out_size == 0)
        return file_read_on_pool(ex, file_next_read(file, &offset));
    file_send(ex);
    return true;
}
