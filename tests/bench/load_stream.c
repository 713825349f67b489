/* load_stream.c: a socket, or OpenSSL's client over it. */
#include "load_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STREAM_AHEAD_SIZE = 128 * 1024
}; /* read by one call: a client that saves calls leaves more of the machine to the server */

/* One a process: made with the first connection, and there until the end. */
static SSL_CTX *stream_context(const char *ca_file)
{
    static SSL_CTX *made;

    if (made != NULL)
        return made;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return NULL;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, STREAM_AHEAD_SIZE);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") == 1 &&
        SSL_CTX_load_verify_file(context, ca_file) == 1)
        made = context;
    else
        SSL_CTX_free(context);
    return made;
}

static bool stream_shake_hands(struct load_stream *stream, const char *ca_file)
{
    SSL_CTX *context = stream_context(ca_file);

    signal(SIGPIPE, SIG_IGN); /* SSL_write() knows no MSG_NOSIGNAL */
    stream->ssl = context != NULL ? SSL_new(context) : NULL;
    return stream->ssl != NULL && SSL_set_fd(stream->ssl, stream->fd) == 1 &&
           SSL_connect(stream->ssl) == 1;
}

bool stream_open(struct load_stream *stream, unsigned port, const char *ca_file, struct gen_error *err)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;

    *stream = (struct load_stream){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    if (stream->fd < 0 || connect(stream->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return gen_fail(err, "connecting to 127.0.0.1:%u: %s", port, strerror(errno));
    if (ca_file != NULL && !stream_shake_hands(stream, ca_file)) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        return gen_fail(err, "TLS with 127.0.0.1:%u: %s", port,
                        reason != NULL ? reason : strerror(errno));
    }
    if (fcntl(stream->fd, F_SETFL, O_NONBLOCK) != 0)
        return gen_fail(err, "127.0.0.1:%u: %s", port, strerror(errno));
    return true;
}

void stream_close(struct load_stream *stream)
{
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

/* errno is the socket's where it was the socket. */
static ssize_t stream_failed(struct load_stream *stream, int done)
{
    int why = SSL_get_error(stream->ssl, done);

    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why != SSL_ERROR_SYSCALL || errno == 0)
        errno = EPROTO;
    return -1;
}

ssize_t stream_send(struct load_stream *stream, const struct iovec *pieces, size_t count)
{
    struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = count };

    if (stream->ssl == NULL)
        return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
    ERR_clear_error();
    int sent = SSL_write(stream->ssl, pieces[0].iov_base, (int)pieces[0].iov_len);
    return sent > 0 ? sent : stream_failed(stream, sent);
}

ssize_t stream_receive(struct load_stream *stream, void *data, size_t size)
{
    if (stream->ssl == NULL)
        return recv(stream->fd, data, size, 0);
    ERR_clear_error();
    int got = SSL_read(stream->ssl, data, (int)size);
    return got > 0 ? got : stream_failed(stream, got);
}

bool stream_holds_back(const struct load_stream *stream)
{
    return stream->ssl != NULL;
}
