/* https_wire.c: OpenSSL's client behind the calls of sockets. */
#include "https_wire.h"

#include "proto/http/tls.h"
#include "tls_certs.h"

#include <errno.h>
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIRE_MAX = 4096, WIRE_TRIES_MAX = 200, WIRE_KEPT_MAX = 16 * 1024 };

/* A client's end. Who still waits to be accepted can't shake hands: what it has said by then is kept. */
struct wire {
    SSL *ssl;
    unsigned tries;
    uint8_t kept[WIRE_KEPT_MAX];
    size_t kept_size;
};

static struct certs certs;
static struct tls *tls;
static SSL_CTX *context;
static struct wire *wires[WIRE_MAX]; /* by descriptor */

static SSL_CTX *wire_context(void)
{
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());

    assert_int_equal(SSL_CTX_load_verify_file(made, certs.ca), 1);
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return made;
}

struct tls *wire_tls(void)
{
    if (tls != NULL)
        return tls;
    certs_make(&certs);
    /* Clients are asked for a certificate, and may have none. */
    struct tls_options options = { .cert_file = certs.cert,
                                   .key_file = certs.key,
                                   .client_ca_file = certs.ca };
    assert_int_equal(tls_new(&options, &tls, NULL), STATUS_OK);
    context = wire_context();
    return tls;
}

enum status wire_server_start(const struct http_server_options *options,
                              struct http_server **server, struct error *err)
{
    struct http_server_options secure = *options;

    secure.tls = wire_tls();
    return http_server_start(&secure, server, err);
}

void wire_remove(void)
{
    if (tls == NULL)
        return;
    tls_free(tls);
    SSL_CTX_free(context);
    certs_remove(&certs);
    tls = NULL;
}

void wire_show(uint8_t fingerprint[32])
{
    char cert[96], key[96];

    if (fingerprint == NULL) {
        SSL_CTX_free(context);
        context = wire_context();
        return;
    }
    certs_path(&certs, "client.pem", cert);
    certs_path(&certs, "client.key", key);
    certs_sign(&certs, "a client", -60, 3600, cert, key);
    certs_fingerprint(cert, fingerprint);
    assert_int_equal(SSL_CTX_use_certificate_file(context, cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
}

int wire_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    int result = connect(fd, address, size);
    struct wire *wire = calloc(1, sizeof *wire);

    assert_in_range(fd, 0, WIRE_MAX - 1);
    assert_null(wires[fd]);
    wire->ssl = SSL_new(context);
    SSL_set_fd(wire->ssl, fd);
    SSL_set_connect_state(wire->ssl);
    wires[fd] = wire;
    return result;
}

/* As the call of a socket would end: bytes, 0 at the end, -1 with errno. */
static ssize_t wire_result(SSL *ssl, int done, size_t size)
{
    if (done == 1)
        return (ssize_t)size;
    switch (SSL_get_error(ssl, done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

/* False: the handshake goes on, or what was kept has not gone. */
static bool wire_ready(struct wire *wire)
{
    size_t sent;

    ERR_clear_error();
    if (SSL_do_handshake(wire->ssl) != 1)
        return false;
    if (wire->kept_size > 0 && SSL_write_ex(wire->ssl, wire->kept, wire->kept_size, &sent) == 1) {
        assert_int_equal(sent, wire->kept_size);
        wire->kept_size = 0;
    }
    return wire->kept_size == 0;
}

ssize_t wire_send(int fd, const void *data, size_t size, int flags)
{
    struct wire *wire = wires[fd];
    size_t sent = 0;

    (void)flags; /* the tests ignore SIGPIPE, as servers do */
    if (!wire_ready(wire) && SSL_in_init(wire->ssl) && ++wire->tries == WIRE_TRIES_MAX) {
        assert_true(size <= WIRE_KEPT_MAX);
        memcpy(wire->kept, data, size);
        wire->kept_size = size;
        return (ssize_t)size;
    }
    ERR_clear_error();
    int done = SSL_write_ex(wire->ssl, data, size, &sent);
    return wire_result(wire->ssl, done, sent);
}

/* As much as there is room for, as a socket gives: not a record at a time. */
ssize_t wire_recv(int fd, void *data, size_t size, int flags)
{
    struct wire *wire = wires[fd];
    size_t all = 0, got = 0;
    int done;

    wire_ready(wire);
    ERR_clear_error();
    if ((flags & MSG_PEEK) != 0) {
        done = SSL_peek_ex(wire->ssl, data, size, &got);
        return wire_result(wire->ssl, done, got);
    }
    do {
        done = SSL_read_ex(wire->ssl, (uint8_t *)data + all, size - all, &got);
        all += done == 1 ? got : 0;
    } while (done == 1 && all < size);
    return all > 0 ? (ssize_t)all : wire_result(wire->ssl, done, 0);
}

int wire_shutdown(int fd, int how)
{
    SSL_shutdown(wires[fd]->ssl);
    return shutdown(fd, how);
}

int wire_close(int fd)
{
    if (fd >= 0 && fd < WIRE_MAX && wires[fd] != NULL) {
        SSL_free(wires[fd]->ssl);
        free(wires[fd]);
        wires[fd] = NULL;
    }
    return close(fd);
}

bool wire_ended_clean(int fd)
{
    return (SSL_get_shutdown(wires[fd]->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}
