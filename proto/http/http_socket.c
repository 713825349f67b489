/* http_socket.c: the byte stream under a connection. */
#include "proto/http/http_socket.h"

#include "proto/http/http_conn.h"
#include "proto/http/http_secure.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

enum { SOCKET_READS_MAX = 16 }; /* in one turn, before others have theirs */

static uv_stream_t *socket_stream(struct http_conn *conn)
{
    return (uv_stream_t *)&conn->socket.tcp;
}

static struct http_conn *socket_conn(uv_handle_t *handle)
{
    return container_of(handle, struct http_conn, socket.tcp);
}

/* --- accept and close --- */

enum status http_socket_accept(struct http_conn *conn)
{
    list_init(&conn->socket.readable);
    list_init(&conn->socket.unsent);
    if (conn->server->options.tls != NULL && http_secure_open(conn) != STATUS_OK)
        return STATUS_NO_MEMORY;
    if (uv_tcp_init(conn->server->options.loop, &conn->socket.tcp) != 0) {
        http_socket_free(conn);
        return STATUS_IO;
    }
    if (uv_accept((uv_stream_t *)&conn->server->listener, socket_stream(conn)) != 0)
        conn->dead = true;
    return STATUS_OK;
}

static void socket_on_closed(uv_handle_t *handle)
{
    struct http_conn *conn = socket_conn(handle);

    conn->socket.closed = true;
    http_conn_advance(conn);
}

void http_socket_close(struct http_conn *conn)
{
    uv_handle_t *handle = (uv_handle_t *)&conn->socket.tcp;

    conn->socket.reading = false;
    list_remove(&conn->socket.readable);
    list_remove(&conn->socket.unsent);
    if (conn->socket.held_count > 0) { /* it will not be sent: nothing else would end the wait for it */
        conn->socket.held_count = 0;
        conn->writing = false;
    }
    if (!uv_is_closing(handle))
        uv_close(handle, socket_on_closed);
}

void http_socket_free(struct http_conn *conn)
{
    http_secure_free(conn->socket.secure);
    conn->socket.secure = NULL;
}

/* --- reading --- */

/* Never now: libuv then only tells that there is something, and it is read when all have been told of. */
static void socket_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(NULL, 0);
}

static void socket_on_readable(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct http_conn *conn = socket_conn((uv_handle_t *)stream);

    (void)size;
    (void)buf;
    http_server_readable(conn->server, &conn->socket.readable);
}

/* size 0: the client's end. */
static void socket_received(struct http_conn *conn, size_t size)
{
    const uint8_t *data = conn->server->read_buffer;

    conn->bytes_in += size;
    metric_add(&http_metric_received, (int64_t)size);
    if (conn->socket.secure != NULL)
        http_secure_received(conn, data, size);
    else
        http_conn_received(conn, data, size);
}

/* All connections of a loop read into the same buffer: what is not used up at once is copied. A full one is most likely
 * not all there is. */
void http_socket_receive(struct http_socket *socket)
{
    struct http_conn *conn = container_of(socket, struct http_conn, socket);
    ssize_t size = HTTP_READ_SIZE;
    uv_os_fd_t fd;

    for (unsigned i = 0; i < SOCKET_READS_MAX && size == HTTP_READ_SIZE && socket->reading; i++) {
        if (uv_fileno((uv_handle_t *)&socket->tcp, &fd) != 0)
            return;
        do
            size = recv(fd, conn->server->read_buffer, HTTP_READ_SIZE, MSG_DONTWAIT);
        while (size < 0 && errno == EINTR);
        if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (size < 0)
            conn->dead = true;
        socket_received(conn, size > 0 ? (size_t)size : 0);
    }
}

void http_socket_read(struct http_conn *conn, bool wanted)
{
    if (wanted == conn->socket.reading)
        return;
    conn->socket.reading = wanted;
    if (!wanted) {
        list_remove(&conn->socket.readable);
        uv_read_stop(socket_stream(conn));
        return;
    }
    if (uv_read_start(socket_stream(conn), socket_on_alloc, socket_on_readable) != 0)
        conn->dead = true;
}

bool http_socket_has_unread(const struct http_conn *conn)
{
    uv_os_fd_t fd;
    int unread = 0;

    return uv_fileno((const uv_handle_t *)&conn->socket.tcp, &fd) == 0 &&
           ioctl(fd, SIOCINQ, &unread) == 0 && unread > 0;
}

bool http_socket_established(const struct http_conn *conn)
{
    return conn->socket.secure == NULL || http_secure_established(conn->socket.secure);
}

bool http_socket_certificate(const struct http_conn *conn, uint8_t fingerprint[32])
{
    return conn->socket.secure != NULL && http_secure_certificate(conn->socket.secure, fingerprint);
}

/* --- writing --- */

void http_socket_sent(struct http_conn *conn, size_t size)
{
    conn->bytes_out += size;
    metric_add(&http_metric_sent, (int64_t)size);
}

static void socket_on_written(uv_write_t *write, int result)
{
    struct http_conn *conn = container_of(write, struct http_conn, socket.write);

    conn->writing = false;
    if (result < 0)
        conn->dead = true;
    http_conn_advance(conn);
}

/* Leaves out the first size bytes; returns how many buffers are left. */
static unsigned socket_skip(uv_buf_t **bufs, unsigned count, size_t size)
{
    while (count > 0 && size >= (*bufs)->len) {
        size -= (*bufs)->len;
        ++*bufs;
        count--;
    }
    if (count > 0) {
        (*bufs)->base += size;
        (*bufs)->len -= size;
    }
    return count;
}

static bool socket_send(struct http_conn *conn, uv_buf_t *bufs, unsigned count)
{
    int sent = uv_try_write(socket_stream(conn), bufs, count);
    if (sent < 0 && sent != UV_EAGAIN) {
        conn->dead = true;
        return true;
    }
    if (sent > 0) {
        http_socket_sent(conn, (size_t)sent);
        count = socket_skip(&bufs, count, (size_t)sent);
    }
    if (count == 0)
        return true;
    if (uv_write(&conn->socket.write, socket_stream(conn), bufs, count, socket_on_written) != 0) {
        conn->dead = true;
        return true;
    }
    for (unsigned i = 0; i < count; i++)
        http_socket_sent(conn, bufs[i].len);
    conn->writing = true;
    return false;
}

/* What follows in the same read has to be looked at while it is there, so its answer is not held back; nor is more than
 * stays in the processor's cache. */
static bool socket_hold(struct http_conn *conn, const uv_buf_t *bufs, unsigned count)
{
    struct http_socket *socket = &conn->socket;
    struct http_server *server = conn->server;
    size_t size = 0;

    for (unsigned i = 0; i < count; i++)
        size += bufs[i].len;
    if (!server->gathering || conn->input.size > 0 || count > HTTP_SOCKET_HELD_MAX ||
        size > HTTP_HELD_SIZE_MAX - server->held_size)
        return false;
    server->held_size += size;
    memcpy(socket->held, bufs, count * sizeof *bufs);
    socket->held_count = count;
    conn->writing = true;
    list_append(&server->unsent, &socket->unsent);
    return true;
}

void http_socket_send_held(struct http_socket *socket)
{
    struct http_conn *conn = container_of(socket, struct http_conn, socket);
    unsigned count = socket->held_count;

    assert(conn->writing && count > 0);
    list_remove(&socket->unsent);
    conn->writing = false;
    socket->held_count = 0;
    if (!conn->dead)
        socket_send(conn, socket->held, count);
    http_conn_advance(conn); /* also where it has to wait: from now on the client's rate counts */
}

bool http_conn_send_now(struct http_conn *conn, uv_buf_t *bufs, unsigned count)
{
    assert(!conn->writing);
    if (conn->dead)
        return true;
    if (conn->socket.secure != NULL)
        return http_secure_send(conn, bufs, count);
    return socket_send(conn, bufs, count);
}

bool http_conn_send(struct http_conn *conn, uv_buf_t *bufs, unsigned count)
{
    assert(!conn->writing);
    if (!conn->dead && conn->socket.secure == NULL && socket_hold(conn, bufs, count))
        return false;
    return http_conn_send_now(conn, bufs, count);
}

size_t http_conn_send_file(struct http_conn *conn, int fd, uint64_t offset, size_t size)
{
    off_t from = (off_t)offset;
    uv_os_fd_t to;
    ssize_t sent;

    assert(!conn->writing);
    if (conn->dead || conn->socket.secure != NULL || uv_fileno((uv_handle_t *)&conn->socket.tcp, &to) != 0)
        return 0;
    do
        sent = sendfile(to, fd, &from, size);
    while (sent < 0 && errno == EINTR);
    if (sent <= 0)
        return 0; /* whatever is wrong, the way through memory finds it too */
    http_socket_sent(conn, (size_t)sent);
    return (size_t)sent;
}

uint64_t http_socket_moved(const struct http_conn *conn)
{
    uint64_t waiting = uv_stream_get_write_queue_size((const uv_stream_t *)&conn->socket.tcp);
    uv_os_fd_t fd;
    int queued = 0;

    if (uv_fileno((const uv_handle_t *)&conn->socket.tcp, &fd) == 0 && ioctl(fd, SIOCOUTQ, &queued) == 0)
        waiting += (uint64_t)queued;
    return conn->bytes_in + conn->bytes_out - (waiting < conn->bytes_out ? waiting : conn->bytes_out);
}

void http_socket_end(struct http_conn *conn)
{
    if (conn->socket.secure != NULL)
        http_secure_end(conn);
}

/* Nothing to do: the client's end, or the deadline, comes next. */
static void socket_on_shutdown(uv_shutdown_t *shutdown, int result)
{
    (void)shutdown;
    (void)result;
}

bool http_socket_shutdown(struct http_conn *conn)
{
    return uv_shutdown(&conn->socket.shutdown, socket_stream(conn), socket_on_shutdown) == 0;
}
