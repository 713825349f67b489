/* tls.c: what a daemon shows and asks, from files. */
#include "proto/http/tls_core.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/base/secret_file.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TLS_KEY_FILE_MAX = 64 * 1024, TLS_DAY_S = 24 * 3600, TLS_WARN_DAYS = 14 };

static const char tls_suites_13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char tls_suites_12[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
                                    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const uint8_t tls_protocol[] = "\x08http/1.1";

struct tls {
    char *cert_file, *key_file, *client_ca_file; /* owned */
    bool client_required;
    pthread_mutex_t lock; /* over the pointer below; what it points at is counted by OpenSSL */
    SSL_CTX *context;
};

struct metric tls_metric_expires = {
    .name = "gribstore_http_tls_certificate_expires_seconds",
    .help = "When the certificate that is shown ends, in seconds since 1970; 0: plain HTTP.",
    .kind = METRIC_GAUGE,
};

/* --- what is said when a file does not do --- */

static enum status tls_error(struct error *err, const char *path, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return error_set(err, STATUS_BAD_VALUE, "%s: %s%s%s%s", path, what, reason != NULL ? " (" : "",
                     reason != NULL ? reason : "", reason != NULL ? ")" : "");
}

/* OpenSSL would say no more than "system lib". */
static enum status tls_check_readable(const char *path, struct error *err)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return error_set_errno(err, errno, "%s", path);
    fclose(file);
    return STATUS_OK;
}

/* --- certificate, key, client CA --- */

static int64_t tls_time(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static void tls_warn_of_dates(const char *path, const X509 *cert)
{
    int64_t now = (int64_t)(clock_wall_us() / 1000000);
    int64_t ends = tls_time(X509_get0_notAfter(cert));

    if (now >= ends)
        log_msg(LOG_WARN, "tls.certificate",
                "%s has expired: clients will refuse it; put a new one there and send SIGHUP", path);
    else if (now < tls_time(X509_get0_notBefore(cert)))
        log_msg(LOG_WARN, "tls.certificate", "%s is not valid yet: clients will refuse it", path);
    else if (ends - now < (int64_t)TLS_WARN_DAYS * TLS_DAY_S)
        log_msg(LOG_WARN, "tls.certificate", "%s expires in %d days: put a new one there and send SIGHUP",
                path, (int)((ends - now) / TLS_DAY_S));
}

static enum status tls_load_chain(SSL_CTX *context, const char *path, struct error *err)
{
    enum status status = tls_check_readable(path, err);

    if (status != STATUS_OK)
        return status;
    if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
        return tls_error(err, path, "no certificate chain in PEM form");
    tls_warn_of_dates(path, SSL_CTX_get0_certificate(context));
    return STATUS_OK;
}

/* Nobody is there to be asked. */
static int tls_on_passphrase(char *text, int size, int writing, void *user)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static EVP_PKEY *tls_parse_key(const struct buf *text)
{
    BIO *bio = BIO_new_mem_buf(text->data, (int)text->size);
    EVP_PKEY *key = NULL;

    if (bio != NULL)
        key = PEM_read_bio_PrivateKey(bio, NULL, tls_on_passphrase, NULL);
    BIO_free(bio);
    return key;
}

static enum status tls_load_key(SSL_CTX *context, const char *path, const char *cert_path,
                                struct error *err)
{
    struct buf text;

    enum status status = secret_file_read(path, TLS_KEY_FILE_MAX, &text, err);
    if (status != STATUS_OK)
        return status;
    EVP_PKEY *key = text.size > 0 ? tls_parse_key(&text) : NULL;
    secret_wipe(text.data, text.size);
    buf_fini(&text);
    if (key == NULL)
        return tls_error(err, path, "no private key in PEM form without a passphrase");
    bool matches = X509_check_private_key(SSL_CTX_get0_certificate(context), key) == 1 &&
                   SSL_CTX_use_PrivateKey(context, key) == 1;
    EVP_PKEY_free(key);
    if (matches)
        return STATUS_OK;
    ERR_clear_error();
    return error_set(err, STATUS_BAD_VALUE,
                     "%s is not the key of %s: the two have to be replaced together", path, cert_path);
}

static enum status tls_load_client_ca(SSL_CTX *context, const struct tls *tls, struct error *err)
{
    const char *path = tls->client_ca_file;
    static const unsigned char name[] = "gribstore";

    if (path == NULL)
        return STATUS_OK;
    enum status status = tls_check_readable(path, err);
    if (status != STATUS_OK)
        return status;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    if (names == NULL || SSL_CTX_load_verify_file(context, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_error(err, path, "no certificates in PEM form");
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_session_id_context(context, name, sizeof name - 1);
    SSL_CTX_set_verify(
        context, SSL_VERIFY_PEER | (tls->client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return STATUS_OK;
}

/* --- the context --- */

static int tls_on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                       const unsigned char *offered, unsigned offered_size, void *user)
{
    unsigned char *found;

    (void)ssl;
    (void)user;
    if (SSL_select_next_proto(&found, chosen_size, tls_protocol, sizeof tls_protocol - 1, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *tls_make_context(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context == NULL)
        return NULL;
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    /* Buffers go when they are empty; the memory that is sealed may move, since every write is taken whole. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, tls_on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_ciphersuites(context, tls_suites_13) == 1 &&
        SSL_CTX_set_cipher_list(context, tls_suites_12) == 1 &&
        SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1)
        return context;
    SSL_CTX_free(context);
    return NULL;
}

static enum status tls_load(const struct tls *tls, SSL_CTX **loaded, struct error *err)
{
    SSL_CTX *context = tls_make_context();

    ERR_clear_error();
    if (context == NULL)
        return error_set(err, STATUS_INTERNAL, "OpenSSL can't be set up for TLS 1.2 and 1.3");
    enum status status = tls_load_chain(context, tls->cert_file, err);
    if (status == STATUS_OK)
        status = tls_load_key(context, tls->key_file, tls->cert_file, err);
    if (status == STATUS_OK)
        status = tls_load_client_ca(context, tls, err);
    if (status != STATUS_OK) {
        SSL_CTX_free(context);
        return error_wrap(err, "TLS");
    }
    *loaded = context;
    return STATUS_OK;
}

enum status tls_check_options(const struct tls_options *options, struct error *err)
{
    if (options->cert_file != NULL && options->key_file == NULL)
        return error_set(err, STATUS_BAD_VALUE, "--tls-cert needs its key: give --tls-key FILE");
    if (options->cert_file == NULL && options->key_file != NULL)
        return error_set(err, STATUS_BAD_VALUE, "--tls-key needs its certificate: give --tls-cert FILE");
    if (options->cert_file == NULL && options->client_ca_file != NULL)
        return error_set(err, STATUS_BAD_VALUE,
                         "--tls-client-ca needs TLS: give --tls-cert and --tls-key");
    if (options->client_ca_file == NULL && options->client_required)
        return error_set(
            err, STATUS_BAD_VALUE,
            "--tls-client-required: by what are certificates checked? Give --tls-client-ca FILE");
    return STATUS_OK;
}

static char *tls_copy(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

enum status tls_new(const struct tls_options *options, struct tls **result, struct error *err)
{
    struct tls *tls = calloc(1, sizeof *tls);

    *result = NULL;
    if (tls == NULL)
        return error_set(err, STATUS_NO_MEMORY, "TLS");
    pthread_mutex_init(&tls->lock, NULL);
    tls->cert_file = tls_copy(options->cert_file);
    tls->key_file = tls_copy(options->key_file);
    tls->client_ca_file = tls_copy(options->client_ca_file);
    tls->client_required = options->client_required;
    if (tls->cert_file == NULL || tls->key_file == NULL ||
        (options->client_ca_file != NULL && tls->client_ca_file == NULL)) {
        tls_free(tls);
        return error_set(err, STATUS_NO_MEMORY, "TLS");
    }
    enum status status = tls_reload(tls, err);
    if (status != STATUS_OK) {
        tls_free(tls);
        return status;
    }
    *result = tls;
    return STATUS_OK;
}

enum status tls_reload(struct tls *tls, struct error *err)
{
    SSL_CTX *context = NULL, *old;

    enum status status = tls_load(tls, &context, err);
    if (status != STATUS_OK)
        return status;
    int64_t expires = tls_time(X509_get0_notAfter(SSL_CTX_get0_certificate(context)));
    pthread_mutex_lock(&tls->lock);
    old = tls->context;
    tls->context = context;
    pthread_mutex_unlock(&tls->lock);
    SSL_CTX_free(old);
    metric_set(&tls_metric_expires, expires);
    return STATUS_OK;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    pthread_mutex_destroy(&tls->lock);
    free(tls->cert_file);
    free(tls->key_file);
    free(tls->client_ca_file);
    free(tls);
}

SSL *tls_connection(struct tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    SSL *ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->lock);
    return ssl;
}
