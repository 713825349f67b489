/* http_file.c: pieces of a file as a body.
 *
 * Bytes are gathered into one buffer of the server's pool, the reply's head, piece heads and
 * small pieces side by side, and leave in one write; then the next. What the page cache has is
 * read on the loop, what it has not on the thread pool: a disk never holds up the others. A slow
 * reader costs this one buffer.
 *
 * Large pieces leave by sendfile(2). Processor time a request on the server's side, one core,
 * loopback, Linux 6.18, copied and by sendfile: 16 KiB 15 and 18 us, 32 KiB 18 and 20, 64 KiB 31
 * and 27, 128 KiB 44 and 40. Head and file in one packet (MSG_MORE) made it 38 us at 64 KiB: the
 * kernel then sends page by page. */
#include "proto/http/http_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>

enum {
    FILE_LARGE_MIN = 48 * 1024,  /* from here on sendfile(2) */
    FILE_WAIT_SIZE = 4 * 1024,   /* what waits in memory for a socket to have room again */
    FILE_LOOK_SIZE = 128 * 1024, /* how far apart we look whether the page cache has it */
};

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

/* In the buffer, for what is to leave next. */
static size_t file_room(const struct http_file_reply *file)
{
    return (file->copy > 0 ? file->copy : HTTP_OUT_SIZE) - file->out_size;
}

/* Where the next file bytes lie: how many, at most room. */
static size_t file_next_read(const struct http_file_reply *file, uint64_t *offset)
{
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t done = file->piece_done - piece->head_size;
    uint64_t left = piece->length - done;
    size_t room = file_room(file);

    *offset = piece->offset + done;
    return left < room ? (size_t)left : room;
}

/* `size` bytes of the piece under way could not be read, or are not there. */
static bool file_unreadable(struct http_exchange *ex, size_t size)
{
    struct http_file_reply *file = &ex->reply.file;
    struct http_unreadable what = { .fd = file->pieces[file->at].fd, .size = size, .may_reply = !file->sent };

    file_next_read(file, &what.offset);
    if (ex->on_unreadable == NULL)
        return file_cut(ex);
    if (what.may_reply)
        http_reply_take_back(ex);
    else
        ex->conn->dead = true;
    ex->on_unreadable(ex, &what);
    return true;
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
    if (status != 0) {
        ex->conn->dead = true;
    } else if (file->result != 0) {
        file_unreadable(ex, file->work_size);
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

enum file_fill { FILE_FILLED, FILE_LARGE, FILE_COLD, FILE_BROKEN };

/* Is the rest of the piece under way better sent by sendfile(2)? */
static bool file_is_large(const struct http_file_reply *file)
{
    const struct http_piece *piece = &file->pieces[file->at];

    return file->copy == 0 && piece->head_size + piece->length - file->piece_done >= FILE_LARGE_MIN;
}

/* The file bytes of the piece under way, as far as the page cache has them and there is room. */
static enum file_fill file_fill_piece(struct http_file_reply *file)
{
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t offset;
    size_t size;

    if (file_is_large(file))
        return FILE_LARGE;
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
    size_t room = file_room(file);
    size_t size = left < room ? left : room;

    memcpy(file->out + file->out_size, file->text.data + piece->head_offset + file->piece_done, size);
    file->out_size += size;
    file->piece_done += size;
}

/* Packs pieces until the buffer is full, all are in, or the next bytes are not in memory. */
static enum file_fill file_fill(struct http_file_reply *file)
{
    while (file->at < file->count && file_room(file) > 0) {
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

/* The reply's head goes first into the buffer, so that it leaves with the first bytes in one
 * write. */
static void file_begin(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    struct buf *head = &ex->reply.head;

    http_reply_head(ex, head);
    assert(head->size <= HTTP_OUT_SIZE);
    memcpy(file->out, head->data, head->size);
    file->out_size = head->size;
}

static void file_send(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    uv_buf_t buf = uv_buf_init((char *)file->out, (unsigned)file->out_size);

    file->copy = 0;
    file->sent = true;
    file->out_size = 0; /* its bytes stay until the write is done: no step before */
    http_conn_send(ex->conn, &buf, 1);
}

/* Are the bytes in the page cache, as far as a look at some of them tells? sendfile(2) would
 * wait for the disk, and every connection with it. What is read ahead comes in pieces of 128
 * KiB, so a look at each of those. */
static bool file_is_cached(int fd, uint64_t offset, size_t size)
{
    for (size_t at = 0;; at += FILE_LOOK_SIZE) {
        size_t place = at < size ? at : size - 1;
        uint8_t byte;
        struct iovec vector = { .iov_base = &byte, .iov_len = 1 };

        if (preadv2(fd, &vector, 1, (off_t)(offset + place), RWF_NOWAIT) != 1)
            return false;
        if (place == size - 1)
            return true;
    }
}

/* How much of the large piece under way is sent next, and where that begins. */
static size_t file_next_large(const struct http_file_reply *file, uint64_t *offset)
{
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t done = file->piece_done - piece->head_size;
    uint64_t left = piece->length - done;

    *offset = piece->offset + done;
    return left < HTTP_TURN_MAX ? (size_t)left : HTTP_TURN_MAX;
}

static bool file_large_is_cached(const struct http_file_reply *file)
{
    uint64_t offset;
    size_t size = file_next_large(file, &offset);

    return file_is_cached(file->pieces[file->at].fd, offset, size);
}

/* Without a copy, as much as the socket takes. When it takes no more, a little goes through the
 * buffer, because the write of that waits until there is room again; and what is not in memory
 * goes through the buffer by the thread pool. */
static bool file_send_large(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t offset;
    size_t size = file_next_large(file, &offset);

    if (!file_is_cached(piece->fd, offset, size)) {
        file->copy = HTTP_OUT_SIZE;
        return true;
    }
    size_t sent = http_conn_send_file(ex->conn, piece->fd, offset, size);
    file->piece_done += sent;
    if (sent < size)
        file->copy = FILE_WAIT_SIZE;
    return true;
}

static bool file_is_sent(const struct http_exchange *ex)
{
    const struct http_file_reply *file = &ex->reply.file;

    return file->out_size == 0 && (ex->reply.bodyless || file->at == file->count);
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
    if (file->out == NULL && (file->out = file_take_out(ex->server)) == NULL)
        return file_cut(ex);
    if (!ex->reply.head_sent)
        file_begin(ex);
    if (ex->conn->socket.secure != NULL)
        file->copy = HTTP_OUT_SIZE; /* what is to be sealed goes through memory, all of it */
    if (!ex->reply.bodyless)
        filled = file_fill(file);
    if (filled == FILE_BROKEN)
        return file_unreadable(ex, file_next_read(file, &offset));
    if (file_is_sent(ex)) {
        ex->reply.done = true;
        return false;
    }
    if (filled == FILE_LARGE && file->out_size == 0)
        return file_send_large(ex);
    if (filled == FILE_LARGE && !file->sent && !file_large_is_cached(file)) { /* its head waits for bytes that can be read */
        file->copy = HTTP_OUT_SIZE;
        return true;
    }
    if (filled == FILE_COLD && (file->out_size == 0 || !file->sent))
        return file_read_on_pool(ex, file_next_read(file, &offset));
    file_send(ex);
    return true;
}
