/* security.h: who may reach a daemon, and as whom it speaks to others: the settings of that, the files they name, and reading
 * those again. Both daemons have the same; each embeds a struct security_settings in its settings and a struct security in itself.
 *
 * The certificate that is served is also what other daemons are shown: transfers read its files, a connection at a time. */
#ifndef PROTO_SECURITY_H
#define PROTO_SECURITY_H

#include "proto/base/config.h"
#include "proto/http/http_auth.h"
#include "proto/http/tls.h"
#include "proto/transfer/transfer.h"
#include "proto/transfer/transfer_secret.h"

struct security_settings {
    char *tls_cert; /* PEM files; NULL: no TLS */
    char *tls_key;
    char *tls_client_ca; /* NULL: no certificate is asked for */
    bool tls_client_required;
    char *ca_file;    /* whom to trust at others; NULL: the system's */
    char *tokens;     /* FORMATS.md section 11; NULL: everything is open */
    char *anonymous;  /* what needs no token: "none" or "read" */
    char *node_token; /* the file with the token that is shown to nodes; NULL: none */
    bool insecure;
};

#define SECURITY_OPTION(name, type, offset, missing, value, doc)                                   \
    {                                                                                              \
        "security", name, 0, type, offset, missing, NULL, value, doc                               \
    }

/* Rows of a daemon's table of options. At: offset of a member of the struct security_settings in its settings. */
#define SECURITY_OPTIONS(At)                                                                                             \
    SECURITY_OPTION(                                                                                                     \
        "tls-cert", CONFIG_TEXT, At(tls_cert), NULL, "FILE",                                                             \
        "Certificate chain (PEM) to serve https with; read again on SIGHUP. Shown to nodes, too."),                      \
        SECURITY_OPTION("tls-key", CONFIG_TEXT, At(tls_key), NULL, "FILE",                                               \
                        "Its private key (PEM), readable by this user only."),                                           \
        SECURITY_OPTION("tls-client-ca", CONFIG_TEXT, At(tls_client_ca), NULL, "FILE",                                   \
                        "Certificates (PEM) by which those of clients are checked; who shows one is known by its "       \
                        "fingerprint in the token file."),                                                               \
        SECURITY_OPTION("tls-client-required", CONFIG_BOOL, At(tls_client_required), "no", NULL,                         \
                        "Who shows no certificate is not served."),                                                      \
        SECURITY_OPTION("ca-file", CONFIG_TEXT, At(ca_file), NULL, "FILE",                                               \
                        "Certificates (PEM) to trust nodes by. Default: the system's."),                                 \
        SECURITY_OPTION("tokens", CONFIG_TEXT, At(tokens), NULL, "FILE",                                                 \
                        "Who may do what: a line a token, hashed (`gribstore token` makes them); read again on SIGHUP. " \
                        "Without it everything is open."),                                                               \
        SECURITY_OPTION("anonymous", CONFIG_TEXT, At(anonymous), "none", "RIGHT",                                        \
                        "What needs no token where there is a token file: none, or read."),                              \
        SECURITY_OPTION("node-token", CONFIG_TEXT, At(node_token), NULL, "FILE",                                         \
                        "Holds the token that is shown to nodes; readable by this user only."),                          \
        SECURITY_OPTION("insecure", CONFIG_BOOL, At(insecure), "no", NULL,                                               \
                        "Serve off loopback without TLS and tokens: everybody who reaches the port may read, write and purge.")

/* Do they fit each other, and the address? BAD_VALUE: what is missing, and what to do. No file is looked at. */
enum status security_check(const struct security_settings *settings, const char *listen,
                           struct error *err);

struct security {
    const struct security_settings *settings; /* borrowed */
    struct tls *tls;                          /* owned; NULL: no TLS */
    struct http_auth *auth;                   /* owned; NULL: everything is open */
    struct transfer_secret *secret;           /* owned; NULL: none is shown */
};

/* Reads all the files. BAD_VALUE: which is wrong, and how. On failure nothing is left open. [blocking] */
enum status security_open(struct security *security, const struct security_settings *settings,
                          struct error *err);
/* Each file by itself: one that is wrong leaves its old contents in force, and the log says why. [blocking] */
void security_reload(struct security *security);
void security_close(struct security *security); /* behind servers and transfers; safe on one that is all zero */

/* Sets what a transfer shows and trusts; borrowed from security. */
void security_sign(const struct security *security, struct transfer_options *options);

/* What a reload came to, in the log. */
void security_log_reload(const char *what, enum status status, const struct error *err);

#endif
