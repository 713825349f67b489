/* security.c: the settings in words, the files in order. */
#include "proto/security.h"

#include "proto/base/log.h"
#include "proto/http/http_server.h"

#include <string.h>

static bool security_given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

static struct tls_options security_tls(const struct security_settings *settings)
{
    return (struct tls_options){
        .cert_file = settings->tls_cert,
        .key_file = settings->tls_key,
        .client_ca_file = settings->tls_client_ca,
        .client_required = settings->tls_client_required,
    };
}

/* Without TLS and tokens whoever reaches the port may purge; only this machine may be told to trust itself. */
static enum status security_check_exposure(const struct security_settings *settings,
                                           const char *listen, struct error *err)
{
    bool has_tls = settings->tls_cert != NULL && settings->tls_key != NULL;
    bool has_tokens = settings->tokens != NULL;

    if (settings->insecure || http_address_loopback(listen) || (has_tls && has_tokens))
        return STATUS_OK;
    return error_set(err, STATUS_BAD_VALUE,
                     "--listen %s is not loopback, and without %s everybody who reaches it could read, write and purge: give %s, listen on "
                     "127.0.0.1, or say --insecure where the network is trusted",
                     listen,
                     has_tls      ? "tokens"
                     : has_tokens ? "TLS"
                                  : "TLS and tokens",
                     has_tls      ? "--tokens (gribstore token makes them)"
                     : has_tokens ? "--tls-cert and --tls-key"
                                  : "--tls-cert, --tls-key and --tokens (gribstore token makes them)");
}

enum status security_check(const struct security_settings *settings, const char *listen, struct error *err)
{
    struct tls_options tls = security_tls(settings);

    if (strcmp(settings->anonymous, "none") != 0 && strcmp(settings->anonymous, "read") != 0)
        return error_set(err, STATUS_BAD_VALUE, "--anonymous: '%s' is not none or read",
                         settings->anonymous);
    enum status status = tls_check_options(&tls, err);
    return status == STATUS_OK ? security_check_exposure(settings, listen, err) : status;
}

enum status security_open(struct security *security, const struct security_settings *settings,
                          struct error *err)
{
    struct tls_options tls = security_tls(settings);
    bool anonymous_read = strcmp(settings->anonymous, "read") == 0;
    enum status status = STATUS_OK;

    *security = (struct security){ .settings = settings };
    if (security_given(settings->tokens))
        status = http_auth_open(settings->tokens, anonymous_read, &security->auth, err);
    if (status == STATUS_OK && security_given(settings->node_token))
        status = transfer_secret_open(settings->node_token, &security->secret, err);
    if (status == STATUS_OK && security_given(tls.cert_file))
        status = tls_new(&tls, &security->tls, err);
    if (status == STATUS_OK)
        return STATUS_OK;
    security_close(security);
    err->status = STATUS_BAD_VALUE; /* whatever it is: the start ends, and the settings have to be looked at */
    return STATUS_BAD_VALUE;
}

void security_log_reload(const char *what, enum status status, const struct error *err)
{
    if (status == STATUS_OK)
        log_msg(LOG_INFO, "access.reload", "%s: read again", what);
    else
        log_msg(LOG_ERROR, "access.reload", "%s; what was read before stays in force", err->text);
}

static void security_reload_tls(struct security *security)
{
    struct error err;

    error_init(&err);
    if (tls_reload(security->tls, &err) == STATUS_OK)
        log_msg(LOG_INFO, "tls.reload", "new connections are shown %s as it is now",
                security->settings->tls_cert);
    else
        log_msg(LOG_ERROR, "tls.reload", "%s; the certificate of before stays in force", err.text);
}

void security_reload(struct security *security)
{
    struct error err;

    error_init(&err);
    if (security->tls != NULL)
        security_reload_tls(security);
    if (security->auth != NULL)
        security_log_reload("tokens", http_auth_reload(security->auth, &err), &err);
    if (security->secret != NULL)
        security_log_reload("node token", transfer_secret_reload(security->secret, &err), &err);
}

void security_close(struct security *security)
{
    tls_free(security->tls);
    http_auth_close(security->auth);
    transfer_secret_close(security->secret);
    *security = (struct security){ 0 };
}

void security_sign(const struct security *security, struct transfer_options *options)
{
    options->ca_file = security->settings->ca_file;
    options->cert_file = security->settings->tls_cert;
    options->key_file = security->settings->tls_key;
    options->secret = security->secret;
}
