/* tls_certs.h: certificates for the tests, made when they are needed: a CA, and what it signs. */
#ifndef TESTS_UNIT_TLS_CERTS_H
#define TESTS_UNIT_TLS_CERTS_H

#include <openssl/ssl.h>

/* In a folder of its own, which certs_remove() takes away. */
struct certs {
    char folder[64];
    char ca[96], cert[96], key[96]; /* PEM files: the CA; of the server, "localhost" and 127.0.0.1 */
    X509 *ca_cert;
    EVP_PKEY *ca_key;
};

void certs_make(struct certs *certs);
void certs_remove(struct certs *certs);

/* A pair, signed by the CA, valid from `from` to `to` seconds from now. Files of before are replaced. */
void certs_sign(const struct certs *certs, const char *name, long from, long to, const char *cert, const char *key);
void certs_path(const struct certs *certs, const char *name, char path[96]);
void certs_fingerprint(const char *cert, unsigned char fingerprint[32]); /* SHA-256 of its DER */

#endif
