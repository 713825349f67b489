/* tls.h: TLS 1.2 and 1.3 by OpenSSL, on bytes in memory: no socket, no loop. Only tls.c and tls_session.c know ssl.h.
 *
 * `struct tls` is what a daemon shows and asks: certificate chain, key, client CA. It is read from files, anew by
 * tls_reload(), from any thread; sessions that exist keep what they began with, tickets of before are not resumed. A
 * session is one connection, used by one thread at a time.
 *
 * Ciphers: AES-GCM and ChaCha20 with ephemeral keys, AES-128 first (a third faster than AES-256, and no weaker in practice), ChaCha20
 * for who puts it first. No compression, no renegotiation, no early data. ALPN: http/1.1, and who insists on something else is
 * refused. Resumption is by tickets only, so that the server keeps nothing. */
#ifndef PROTO_HTTP_TLS_H
#define PROTO_HTTP_TLS_H

#include "proto/base/bytes.h"
#include "proto/base/metric.h"
#include "proto/base/status.h"

enum {
    TLS_PLAIN_MAX = 80 * 1024,   /* of 64 KiB received, and of a record that began before */
    TLS_SEND_MAX = 72 * 1024,    /* of one tls_session_send() */
    TLS_SEALED_MAX = 96 * 1024,  /* what that, or an answer of a handshake, comes to at most */
    TLS_RECORD_SIZE = 16 * 1024, /* plain bytes of a full record */
};

struct tls;
struct tls_session;

struct tls_options {
    const char *cert_file; /* PEM: the certificate, then those up to the CA */
    const char *key_file; /* PEM: its key, without a passphrase; secret_file.h says what mode it may have */
    const char *client_ca_file; /* PEM; NULL: no certificate is asked for */
    bool client_required;       /* who shows none is refused */
};

/* Do the settings fit each other? BAD_VALUE: err names the flag that is missing. No file is looked at. */
enum status tls_check_options(const struct tls_options *options, struct error *err);

/* Reads the files. BAD_VALUE, NOT_FOUND, FORBIDDEN, IO: err says which file, what is wrong and what to do. A certificate that has
 * expired, or is not valid yet, is taken with a warning in the log: a restart at night has to work. */
enum status tls_new(const struct tls_options *options, struct tls **tls, struct error *err);

/* Reads the same files anew. After an error, which is as above, all is as before. */
enum status tls_reload(struct tls *tls, struct error *err);
void tls_free(struct tls *tls); /* sessions may outlive it */

/* Until when the certificate that was loaded last is valid, in seconds since 1970; 0: none was. */
extern struct metric tls_metric_expires;

/* Sealed bytes that are to be sent, in the caller's memory: calls append to it. */
struct tls_sealed {
    uint8_t *data;
    size_t size, capacity; /* at least TLS_SEALED_MAX free before a call */
};

struct tls_session *tls_session_new(struct tls *tls); /* NULL: no memory */
void tls_session_free(struct tls_session *session);

enum tls_result {
    TLS_OK,
    TLS_ENDED, /* the other side has said that nothing follows (close_notify) */
    TLS_FAILED, /* this is no TLS that we speak, or it was tampered with: send what is sealed, then close */
    TLS_PLAIN_HTTP /* the first byte is that of a plain HTTP request; nothing was taken */
};

/* What came from the other side, at most 64 KiB; all of it is taken. plain (TLS_PLAIN_MAX bytes) gets what it says, *size how much. */
enum tls_result tls_session_receive(struct tls_session *session, struct slice in, uint8_t *plain,
                                    size_t *size, struct tls_sealed *sealed);

/* Seal at most TLS_SEND_MAX bytes, when the handshake is over. Pieces of TLS_RECORD_SIZE fill records. False: the session is broken. */
bool tls_session_send(struct tls_session *session, const uint8_t *data, size_t size,
                      struct tls_sealed *sealed);

/* Say that nothing follows (close_notify). What was received stays readable; again, or before the handshake is over: nothing. */
void tls_session_end(struct tls_session *session, struct tls_sealed *sealed);

bool tls_session_established(const struct tls_session *session); /* the handshake is over */

/* SHA-256 of the certificate (DER) that the client showed and that was verified; false: none. */
bool tls_session_certificate(const struct tls_session *session, uint8_t fingerprint[32]);

/* Why the last call came to TLS_FAILED, or sent nothing: for the log. */
const char *tls_session_reason(const struct tls_session *session);

#endif
