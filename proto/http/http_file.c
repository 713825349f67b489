/* http_file.c: pieces of a file as a body.
 *
 * Bytes are gathered into one buffer of the server's pool, the reply's head, piece heads and
 * small pieces side by side, and leave in one write; then the next. What the page cache has is
 * read on the loop, what it has not on the thread pool: a disk never holds up the others. A slow
 * reader costs this one buffer.
 *
 * Large pieces leave by sendfile(2), those beyond a packet from the next page of the file on; what
 * comes before that page is copied behind the head, so that head and copy are one packet, and the
 * rest is packets of whole pages (figures: ARCHITECTURE.md section 9). sendfile would wait for a disk, so
 * the kernel is asked first whether each page is in memory. A kernel that can't say so (before
 * 6.5) has everything copied. */
#include "proto/http/http_conn.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    FILE_LARGE_MIN = 40 * 1024,   /* from here on sendfile(2) */
    FILE_PAGE_SIZE = 4 * 1024,    /* of the page cache, or a part of one */
    FILE_PACKET_SIZE = 64 * 1024, /* 16 pages, what sendfile(2) moves at a time */
    FILE_WAIT_SIZE = 4 * 1024,    /* what waits in memory for a socket to have room again */
    FILE_LOOK_SIZE = 256 * 1024, /* how far apart we look whether a page is not only there, but read */
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
    if (file->capacity > HTTP_PIECES_KEPT_MAX) {
        free(file->pieces);
        file->pieces = NULL;
        file->capacity = 0;
    }
    if (file->text.capacity > HTTP_TEXT_KEPT_MAX * 4)
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

/* Is the piece under way better sent by sendfile(2)? To its end, however little is left of it. */
static bool file_is_large(const struct http_file_reply *file)
{
    return file->copy == 0 && file->pieces[file->at].length >= FILE_LARGE_MIN;
}

/* Up to size file bytes of the piece under way, as far as the page cache has them. */
static enum file_fill file_read(struct http_file_reply *file, uint64_t offset, size_t size)
{
    const struct http_piece *piece = &file->pieces[file->at];

    while (size > 0) {
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
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return FILE_FILLED;
}

/* The file bytes of the piece under way, as far as there is room; of a large one those up to the next page, when something
 * leaves with them and the rest would not fit into one packet as it lies. */
static enum file_fill file_fill_piece(struct http_file_reply *file)
{
    const struct http_piece *piece = &file->pieces[file->at];
    uint64_t offset;
    size_t size = file_next_read(file, &offset);
    size_t odd = (size_t)(offset % FILE_PAGE_SIZE);

    if (!file_is_large(file) || size == 0)
        return file_read(file, offset, size);
    if (odd > 0 && file->out_size > 0 && odd + piece->length > FILE_PACKET_SIZE) {
        size_t page_left = FILE_PAGE_SIZE - odd;
        enum file_fill filled = file_read(file, offset, size < page_left ? size : page_left);
        if (filled != FILE_FILLED)
            return filled;
    }
    return FILE_LARGE;
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
        file->piece_done = file->cached_until = 0;
    }
    return FILE_FILLED;
}

/* --- the step --- */

/* The reply's head goes first into the buffer, so that it leaves with the first bytes in one
 * write. */
static void file_begin(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    struct buf out = { .data = file->out, .capacity = HTTP_OUT_SIZE, .size_max = HTTP_OUT_SIZE - 1 };

    static_assert(HTTP_OUT_SIZE > 2 * HTTP_REPLY_HEAD_MAX, "a head fits, so that out stays where it is");
    http_reply_head(ex, &out);
    file->out_size = out.size;
}

/* What is in the buffer. Before sendfile(2) it is not held back: what that sends was looked for in the page cache just now. */
static void file_send(struct http_exchange *ex, bool large_follows)
{
    struct http_file_reply *file = &ex->reply.file;
    uv_buf_t buf = uv_buf_init((char *)file->out, (unsigned)file->out_size);

    file->copy = 0;
    file->sent = true;
    file->out_size = 0; /* its bytes stay until the write is done: no step before */
    bool is_sent = large_follows ? http_conn_send_now(ex->conn, &buf, 1)
                                 : http_conn_send(ex->conn, &buf, 1);
    if (!is_sent)
        file->cached_until = 0; /* it may be long until there is room */
}

/* cachestat(2), which this C library does not know yet: how many pages of a part of a file are in memory. */
enum { FILE_CACHESTAT = 451 };

struct file_cachestat_range {
    uint64_t offset, size;
};
struct file_cachestat {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* Is any page of these bytes missing? */
static bool file_has_holes(int fd, uint64_t offset, size_t size)
{
    static _Atomic bool is_unknown; /* to this kernel, or forbidden by a sandbox */
    struct file_cachestat_range range = { .offset = offset, .size = size };
    struct file_cachestat stat = { 0 };
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t pages = (offset + size - 1) / page_size - offset / page_size + 1;

    if (atomic_load_explicit(&is_unknown, memory_order_relaxed))
        return true;
    if (syscall(FILE_CACHESTAT, fd, &range, &stat, 0) != 0) {
        if (errno == ENOSYS || errno == EPERM)
            atomic_store_explicit(&is_unknown, true, memory_order_relaxed);
        return true;
    }
    return stat.cached < pages;
}

static bool file_is_read(int fd, uint64_t offset)
{
    uint8_t byte;
    struct iovec vector = { .iov_base = &byte, .iov_len = 1 };

    return preadv2(fd, &vector, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* Are the bytes in the page cache? sendfile(2) would wait for the disk, and every connection with
 * it. A page that is only on its way from the disk counts as there: so a look at the last byte,
 * and before it at one of each 256 KiB, as what is read ahead in one go comes about so large. */
static bool file_is_cached(int fd, uint64_t offset, size_t size)
{
    if (file_has_holes(fd, offset, size))
        return false;
    for (size_t at = size; at > 0; at = at > FILE_LOOK_SIZE ? at - FILE_LOOK_SIZE : 0)
        if (!file_is_read(fd, offset + at - 1))
            return false;
    return true;
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

/* Once for what is sent next. */
static bool file_large_is_cached(struct http_file_reply *file)
{
    uint64_t offset;
    size_t size = file_next_large(file, &offset);

    if (file->piece_done < file->cached_until)
        return true;
    if (!file_is_cached(file->pieces[file->at].fd, offset, size))
        return false;
    file->cached_until = file->piece_done + size;
    return true;
}

/* Without a copy, as much as the socket takes. When it takes no more, a little goes through the
 * buffer, up to the end of a page, because the write of that waits until there is room again; and
 * what is not in memory goes through the buffer by the thread pool. */
static bool file_send_large(struct http_exchange *ex)
{
    struct http_file_reply *file = &ex->reply.file;
    uint64_t offset;

    if (!file_large_is_cached(file)) {
        file->copy = HTTP_OUT_SIZE;
        return true;
    }
    size_t size = file_next_large(file, &offset);
    if (size > file->cached_until - file->piece_done)
        size = (size_t)(file->cached_until - file->piece_done);
    size_t sent = http_conn_send_file(ex->conn, file->pieces[file->at].fd, offset, size);
    file->piece_done += sent;
    if (sent == size)
        return true;
    file->cached_until = 0; /* it may be long until there is room */
    file->copy = FILE_WAIT_SIZE + FILE_PAGE_SIZE - (size_t)((offset + sent) % FILE_PAGE_SIZE);
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
    if (filled == FILE_LARGE && !file->sent &&
        !file_large_is_cached(file)) { /* its head waits for bytes that can be read */
        file->copy = HTTP_OUT_SIZE;
        return true;
    }
    if (filled == FILE_COLD && (file->out_size == 0 || !file->sent))
        return file_read_on_pool(ex, file_next_read(file, &offset));
    file_send(ex, filled == FILE_LARGE);
    return true;
}
