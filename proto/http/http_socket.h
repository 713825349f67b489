/* http_socket.h: the byte stream under a connection: what reads, sends, shuts down and closes.
 *
 * It belongs to its connection (http_core.h) and keeps that one's flags: eof, dead, writing, and the counts of bytes.
 * Whatever happens here is told by advancing the connection, never from within a call. */
#ifndef PROTO_HTTP_SOCKET_H
#define PROTO_HTTP_SOCKET_H

#include "proto/base/list.h"
#include "proto/base/status.h"

#include <uv.h>

struct http_conn;
struct http_secure;

enum { HTTP_SOCKET_HELD_MAX = 4 }; /* buffers of one answer that are held back */

struct http_socket {
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct http_secure *secure; /* owned; NULL: plain */
    struct list readable; /* in server->readable */
    struct list unsent;   /* in server->unsent, with held_count > 0 */
    uv_buf_t held[HTTP_SOCKET_HELD_MAX];
    unsigned held_count;
    bool reading;
    bool closed; /* the handle is: the connection may be freed */
};

/* Take what waits at the listener. IO: nothing was made. A connection that is lost by now is conn->dead. */
enum status http_socket_accept(struct http_conn *conn);

/* Say to the client that nothing follows, once (over TLS; else the end of the stream says it). conn->writing if that has to wait. */
void http_socket_end(struct http_conn *conn);

/* May a request come? Not while TLS shakes hands. */
bool http_socket_established(const struct http_conn *conn);

/* Close; conn->socket.closed, and the connection advanced, when that is done. Called again it does nothing. */
void http_socket_close(struct http_conn *conn);

void http_socket_free(struct http_conn *conn); /* what it owns, when it is closed */

/* Read from now on, or no more: http_conn_received() gets what comes. */
void http_socket_read(struct http_conn *conn, bool wanted);

/* Take what has come (http_server.c calls, when its turn has come). */
void http_socket_receive(struct http_socket *socket);

/* Send what was held back, and advance the connection. */
void http_socket_send_held(struct http_socket *socket);

/* No more will be sent, the client's rest may come. False: it can't be said to the client. */
bool http_socket_shutdown(struct http_conn *conn);

/* Bytes in both directions that have really gone through: what lies in our queue and in the kernel's has not. */
uint64_t http_socket_moved(const struct http_conn *conn);

/* Has the client sent anything that was not read yet? */
bool http_socket_has_unread(const struct http_conn *conn);

/* http_client_certificate(): of this connection. */
bool http_socket_certificate(const struct http_conn *conn, uint8_t fingerprint[32]);

/* Send bufs (in a batch of requests: when each has been read); the memory stays until it is done. True: done at once (or the client is gone, which
 * the next step finds in conn->dead). False: conn->writing until the connection is advanced
 * again. */
bool http_conn_send(struct http_conn *conn, uv_buf_t *bufs, unsigned count);
bool http_conn_send_now(struct http_conn *conn, uv_buf_t *bufs, unsigned count); /* the same, in a batch too */

/* For http_secure.c: so many bytes have gone to the kernel, or into its queue. */
void http_socket_sent(struct http_conn *conn, size_t size);

/* Send bytes of a file that are in the page cache, without copying them. Returns how many went;
 * 0: none now, or not on this connection: send them through memory. */
size_t http_conn_send_file(struct http_conn *conn, int fd, uint64_t offset, size_t size);

#endif
