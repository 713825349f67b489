/* http_secure.c: TLS between a connection and its socket. */
#include "proto/http/http_secure.h"

#include "proto/base/log.h"
#include "proto/http/http_conn.h"
#include "proto/http/tls.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECURE_BUFS_MAX = 8, /* of one http_conn_send() */
    SECURE_QUEUE_MAX = 256 * 1024, /* sealed and not taken by the kernel: of who makes us answer and does not read */
};

_Static_assert((int)HTTP_READ_SIZE <= 64 * 1024, "tls.h: what one call opens");
_Static_assert((int)TLS_PLAIN_MAX <= 2 * (int)HTTP_READ_SIZE, "http_conn.c: what of it may be kept");
_Static_assert((int)HTTP_OUT_SIZE <= (int)TLS_SEND_MAX, "http_file.c: a buffer is sealed at once");

struct http_secure_memory {
    uint8_t plain[TLS_PLAIN_MAX];
    uint8_t sealed[2 * TLS_SEALED_MAX]; /* what an answer to received bytes left may lie in front */
    uint8_t gathered[TLS_RECORD_SIZE];
};

struct http_secure {
    struct tls_session *session;    /* owned */
    uv_buf_t bufs[SECURE_BUFS_MAX]; /* not sealed yet: borrowed until conn->writing ends */
    unsigned count;
    unsigned in_flight; /* writes that the kernel has not taken */
};

/* One write under way, and its bytes. */
struct secure_write {
    uv_write_t write;
    struct http_conn *conn;
    uint8_t data[];
};

/* --- memory --- */

struct http_secure_memory *http_secure_memory_new(void)
{
    return malloc(sizeof(struct http_secure_memory));
}

void http_secure_memory_free(struct http_secure_memory *memory)
{
    free(memory);
}

enum status http_secure_open(struct http_conn *conn)
{
    struct http_secure *secure = calloc(1, sizeof *secure);

    if (secure == NULL)
        return STATUS_NO_MEMORY;
    secure->session = tls_session_new(conn->server->options.tls);
    if (secure->session == NULL) {
        free(secure);
        return STATUS_NO_MEMORY;
    }
    conn->socket.secure = secure;
    return STATUS_OK;
}

void http_secure_free(struct http_secure *secure)
{
    if (secure == NULL)
        return;
    assert(secure->in_flight == 0);
    tls_session_free(secure->session);
    free(secure);
}

static struct tls_sealed secure_sealed(struct http_conn *conn)
{
    struct http_secure_memory *memory = conn->server->secure;

    return (struct tls_sealed){ .data = memory->sealed, .capacity = sizeof memory->sealed };
}

/* --- sealed bytes to the socket --- */

static void secure_on_written(uv_write_t *request, int result);

/* Behind what is under way already. */
static void secure_queue(struct http_conn *conn, const uint8_t *data, size_t size)
{
    uv_stream_t *stream = (uv_stream_t *)&conn->socket.tcp;
    struct secure_write *write = NULL;

    if (uv_stream_get_write_queue_size(stream) + size <= SECURE_QUEUE_MAX)
        write = malloc(sizeof *write + size);
    if (write == NULL) {
        conn->dead = true;
        return;
    }
    write->conn = conn;
    memcpy(write->data, data, size);
    uv_buf_t buf = uv_buf_init((char *)write->data, (unsigned)size);
    if (uv_write(&write->write, stream, &buf, 1, secure_on_written) != 0) {
        free(write);
        conn->dead = true;
        return;
    }
    conn->socket.secure->in_flight++;
    http_socket_sent(conn, size);
}

/* at_once: as much of it as the kernel takes goes now. */
static void secure_emit(struct http_conn *conn, const struct tls_sealed *sealed, bool at_once)
{
    uv_buf_t buf = uv_buf_init((char *)sealed->data, (unsigned)sealed->size);
    int sent = 0;

    if (sealed->size == 0 || conn->dead)
        return;
    if (at_once && conn->socket.secure->in_flight == 0)
        sent = uv_try_write((uv_stream_t *)&conn->socket.tcp, &buf, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0) {
        conn->dead = true;
        return;
    }
    http_socket_sent(conn, (size_t)sent);
    if ((size_t)sent < sealed->size)
        secure_queue(conn, sealed->data + sent, sealed->size - (size_t)sent);
}

/* --- sending --- */

static void secure_skip(struct http_secure *secure, size_t size)
{
    secure->bufs[0].base += size;
    secure->bufs[0].len -= size;
    if (secure->bufs[0].len > 0)
        return;
    secure->count--;
    memmove(secure->bufs, secure->bufs + 1, secure->count * sizeof secure->bufs[0]);
}

/* Small ones side by side: a record each would cost more than the copy. */
static struct slice secure_gather(struct http_secure *secure, uint8_t *gathered, size_t room)
{
    size_t size = 0;

    while (secure->count > 0 && size < room) {
        size_t left = room - size;
        size_t take = secure->bufs[0].len < left ? secure->bufs[0].len : left;

        memcpy(gathered + size, secure->bufs[0].base, take);
        size += take;
        secure_skip(secure, take);
    }
    return slice_of(gathered, size);
}

/* What goes next into records, at most room bytes; of more than that only full records. */
static struct slice secure_next(struct http_conn *conn, size_t room)
{
    struct http_secure *secure = conn->socket.secure;
    uv_buf_t first = secure->bufs[0];

    if (secure->count > 1 && first.len < TLS_RECORD_SIZE)
        return secure_gather(secure, conn->server->secure->gathered,
                             room < TLS_RECORD_SIZE ? room : TLS_RECORD_SIZE);
    size_t size = first.len;
    if (size > room)
        size = room < TLS_RECORD_SIZE ? room : room - room % TLS_RECORD_SIZE;
    secure_skip(secure, size);
    return slice_of((const uint8_t *)first.base, size);
}

static bool secure_seal(struct http_conn *conn, struct tls_sealed *sealed)
{
    struct http_secure *secure = conn->socket.secure;
    size_t room = TLS_SEND_MAX;

    while (secure->count > 0 && room > 0) {
        struct slice next = secure_next(conn, room);

        if (!tls_session_send(secure->session, next.data, next.size, sealed))
            return false;
        room -= next.size;
    }
    return true;
}

/* Piece by piece, until the kernel has enough; and when this reader has had its share of the turn, the loop turns before the next. */
static void secure_push(struct http_conn *conn)
{
    struct http_secure *secure = conn->socket.secure;
    uint64_t turn_end = conn->bytes_out + HTTP_TURN_MAX;

    while (secure->count > 0 && secure->in_flight == 0 && !conn->dead) {
        struct tls_sealed sealed = secure_sealed(conn);

        if (secure_seal(conn, &sealed))
            secure_emit(conn, &sealed, conn->bytes_out < turn_end);
        else
            conn->dead = true;
    }
    if (conn->dead)
        secure->count = 0;
    conn->writing = secure->count > 0 || secure->in_flight > 0;
}

static void secure_on_written(uv_write_t *request, int result)
{
    struct secure_write *write = container_of(request, struct secure_write, write);
    struct http_conn *conn = write->conn;

    free(write);
    conn->socket.secure->in_flight--;
    if (result < 0)
        conn->dead = true;
    secure_push(conn);
    if (!conn->writing)
        http_conn_advance(conn);
}

bool http_secure_send(struct http_conn *conn, const uv_buf_t *bufs, unsigned count)
{
    struct http_secure *secure = conn->socket.secure;

    assert(count <= SECURE_BUFS_MAX && secure->count == 0);
    for (unsigned i = 0; i < count; i++)
        if (bufs[i].len > 0)
            secure->bufs[secure->count++] = bufs[i];
    secure_push(conn);
    return !conn->writing;
}

void http_secure_end(struct http_conn *conn)
{
    struct tls_sealed sealed = secure_sealed(conn);

    if (conn->dead)
        return;
    tls_session_end(conn->socket.secure->session, &sealed);
    secure_emit(conn, &sealed, true);
    conn->writing = conn->socket.secure->in_flight > 0;
}

/* --- receiving --- */

static void secure_fail(struct http_conn *conn)
{
    struct http_secure *secure = conn->socket.secure;

    if (!tls_session_established(secure->session))
        metric_add(&http_metric_tls_failed, 1);
    log_msg(LOG_DEBUG, "http.tls", "%s", tls_session_reason(secure->session));
    conn->dead = true;
    http_conn_advance(conn);
}

/* Nothing was sent or taken yet: the connection goes on without TLS, to its one answer. */
static void secure_refuse_plain(struct http_conn *conn)
{
    http_secure_free(conn->socket.secure);
    conn->socket.secure = NULL;
    http_conn_refuse_plain(conn);
}

void http_secure_received(struct http_conn *conn, const uint8_t *data, size_t size)
{
    struct tls_session *session = conn->socket.secure->session;
    struct tls_sealed sealed = secure_sealed(conn);
    uint8_t *plain = conn->server->secure->plain;
    size_t plain_size;

    if (size == 0) { /* without close_notify or with: whether anything is missing is told by HTTP's own lengths */
        http_conn_received(conn, NULL, 0);
        return;
    }
    bool before = tls_session_established(session);
    enum tls_result result = tls_session_receive(session, slice_of(data, size), plain, &plain_size,
                                                 &sealed);
    if (result == TLS_PLAIN_HTTP) {
        secure_refuse_plain(conn);
        return;
    }
    secure_emit(conn, &sealed, true);
    if (result == TLS_FAILED) {
        secure_fail(conn);
        return;
    }
    bool begun = !before && tls_session_established(session);
    metric_add(&http_metric_tls_handshakes, begun);
    conn->eof |= result == TLS_ENDED;
    if (plain_size > 0)
        http_conn_received(conn, plain, plain_size);
    else if (begun || conn->eof || conn->dead)
        http_conn_advance(conn);
}

bool http_secure_established(const struct http_secure *secure)
{
    return tls_session_established(secure->session);
}

bool http_secure_certificate(const struct http_secure *secure, uint8_t fingerprint[32])
{
    return tls_session_certificate(secure->session, fingerprint);
}
