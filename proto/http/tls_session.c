/* tls_session.c: sessions over a BIO that reads a slice and writes into the caller's memory. */
#include "proto/http/tls_core.h"

#include <assert.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* --- a session's bytes --- */

struct tls_session {
    SSL *ssl;
    struct slice in;           /* during a call: not read yet */
    struct tls_sealed *sealed; /* during a call */
    bool begun, established, failed, ended;
    unsigned long reason; /* OpenSSL's */
};

static int tls_bio_read(BIO *bio, char *data, size_t size, size_t *got)
{
    struct tls_session *session = BIO_get_data(bio);
    size_t take = session->in.size < size ? session->in.size : size;

    BIO_clear_retry_flags(bio);
    *got = take;
    if (take == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(data, session->in.data, take);
    session->in = slice_of(session->in.data + take, session->in.size - take);
    return 1;
}

/* All or nothing: what does not fit has passed a limit, and the session breaks. */
static int tls_bio_write(BIO *bio, const char *data, size_t size, size_t *taken)
{
    struct tls_session *session = BIO_get_data(bio);
    struct tls_sealed *sealed = session->sealed;

    BIO_clear_retry_flags(bio);
    *taken = 0;
    if (sealed == NULL || size > sealed->capacity - sealed->size)
        return 0;
    memcpy(sealed->data + sealed->size, data, size);
    sealed->size += size;
    *taken = size;
    return 1;
}

static long tls_bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *tls_bio_method;
static pthread_once_t tls_bio_once = PTHREAD_ONCE_INIT;

static void tls_bio_free_method(void)
{
    BIO_meth_free(tls_bio_method);
}

static void tls_bio_make_method(void)
{
    tls_bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gribstore memory");
    if (tls_bio_method == NULL)
        return;
    BIO_meth_set_read_ex(tls_bio_method, tls_bio_read);
    BIO_meth_set_write_ex(tls_bio_method, tls_bio_write);
    BIO_meth_set_ctrl(tls_bio_method, tls_bio_control);
    atexit(tls_bio_free_method);
}

static BIO *tls_bio_new(struct tls_session *session)
{
    pthread_once(&tls_bio_once, tls_bio_make_method);
    BIO *bio = tls_bio_method != NULL ? BIO_new(tls_bio_method) : NULL;
    if (bio == NULL)
        return NULL;
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    return bio;
}

/* --- a session --- */

struct tls_session *tls_session_new(struct tls *tls)
{
    struct tls_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->ssl = tls_connection(tls);
    BIO *bio = session->ssl != NULL ? tls_bio_new(session) : NULL;
    if (bio == NULL) {
        SSL_free(session->ssl);
        free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}

static void tls_session_enter(struct tls_session *session, struct slice in, struct tls_sealed *sealed)
{
    ERR_clear_error();
    session->in = in;
    session->sealed = sealed;
}

static void tls_session_leave(struct tls_session *session)
{
    session->in = slice_of(NULL, 0);
    session->sealed = NULL;
}

static void tls_session_fail(struct tls_session *session)
{
    session->failed = true;
    session->reason = ERR_peek_error();
    ERR_clear_error();
}

/* A record of TLS begins with its type; every method that HTTP has with a letter. */
static bool tls_is_letter(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z';
}

enum tls_result tls_session_receive(struct tls_session *session, struct slice in, uint8_t *plain,
                                    size_t *size, struct tls_sealed *sealed)
{
    size_t got;

    *size = 0;
    if (session->failed)
        return TLS_FAILED;
    if (!session->begun && in.size > 0 && tls_is_letter(in.data[0]))
        return TLS_PLAIN_HTTP;
    session->begun = true;
    tls_session_enter(session, in, sealed);
    while (*size < TLS_PLAIN_MAX &&
           SSL_read_ex(session->ssl, plain + *size, TLS_PLAIN_MAX - *size, &got) == 1)
        *size += got;
    int why = SSL_get_error(session->ssl, *size < TLS_PLAIN_MAX ? 0 : 1);
    session->established |= SSL_is_init_finished(session->ssl) == 1;
    tls_session_leave(session);
    if (why == SSL_ERROR_WANT_READ)
        return TLS_OK;
    if (why == SSL_ERROR_ZERO_RETURN)
        return TLS_ENDED;
    tls_session_fail(session);
    return TLS_FAILED;
}

bool tls_session_send(struct tls_session *session, const uint8_t *data, size_t size,
                      struct tls_sealed *sealed)
{
    size_t sent = 0;

    assert(size > 0 && size <= TLS_SEND_MAX && sealed->capacity - sealed->size >= TLS_SEALED_MAX);
    if (session->failed || session->ended || !session->established)
        return false;
    tls_session_enter(session, slice_of(NULL, 0), sealed);
    bool ok = SSL_write_ex(session->ssl, data, size, &sent) == 1;
    tls_session_leave(session);
    assert(!ok || sent == size);
    if (!ok)
        tls_session_fail(session);
    return ok;
}

void tls_session_end(struct tls_session *session, struct tls_sealed *sealed)
{
    if (session->failed || session->ended || !session->established)
        return;
    session->ended = true;
    tls_session_enter(session, slice_of(NULL, 0), sealed);
    SSL_shutdown(session->ssl);
    tls_session_leave(session);
    ERR_clear_error();
}

bool tls_session_established(const struct tls_session *session)
{
    return session->established;
}

bool tls_session_certificate(const struct tls_session *session, uint8_t fingerprint[32])
{
    X509 *cert = SSL_get0_peer_certificate(session->ssl);
    unsigned size = 32;

    if (cert == NULL || !session->established || SSL_get_verify_result(session->ssl) != X509_V_OK)
        return false;
    return X509_digest(cert, EVP_sha256(), fingerprint, &size) == 1;
}

const char *tls_session_reason(const struct tls_session *session)
{
    const char *reason = ERR_reason_error_string(session->reason);

    return reason != NULL ? reason : "no TLS";
}
