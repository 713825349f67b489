/* tls_certs.c: a CA and its certificates, on P-256, which is quick. */
#include "tls_certs.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static X509 *cert_begin(const char *name, EVP_PKEY *key, long from, long to)
{
    static long serial = 1;
    X509 *cert = X509_new();
    X509_NAME *subject = X509_get_subject_name(cert);

    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert), from);
    X509_gmtime_adj(X509_getm_notAfter(cert), to);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(cert, key);
    return cert;
}

static void cert_extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static FILE *cert_file(const char *path)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    return fdopen(fd, "w");
}

static void cert_write(const char *path, X509 *cert)
{
    FILE *file = cert_file(path);

    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
}

void certs_path(const struct certs *certs, const char *name, char path[96])
{
    snprintf(path, 96, "%.60s/%.30s", certs->folder, name);
}

void certs_sign(const struct certs *certs, const char *name, long from, long to, const char *cert,
                const char *key)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *made = cert_begin(name, pair, from, to);

    X509_set_issuer_name(made, X509_get_subject_name(certs->ca_cert));
    cert_extend(made, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    assert_true(X509_sign(made, certs->ca_key, EVP_sha256()) > 0);
    cert_write(cert, made);
    FILE *file = cert_file(key);
    assert_int_equal(PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(made);
    EVP_PKEY_free(pair);
}

void certs_make(struct certs *certs)
{
    strcpy(certs->folder, "/tmp/gribstore-certs-XXXXXX");
    assert_non_null(mkdtemp(certs->folder));
    certs_path(certs, "ca.pem", certs->ca);
    certs_path(certs, "cert.pem", certs->cert);
    certs_path(certs, "key.pem", certs->key);
    certs->ca_key = EVP_EC_gen("P-256");
    certs->ca_cert = cert_begin("the tests' CA", certs->ca_key, -3600, 24 * 3600);
    X509_set_issuer_name(certs->ca_cert, X509_get_subject_name(certs->ca_cert));
    cert_extend(certs->ca_cert, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(certs->ca_cert, certs->ca_key, EVP_sha256()) > 0);
    cert_write(certs->ca, certs->ca_cert);
    certs_sign(certs, "localhost", -3600, 30L * 24 * 3600, certs->cert, certs->key);
}

void certs_remove(struct certs *certs)
{
    DIR *folder = opendir(certs->folder);
    struct dirent *entry;

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    assert_int_equal(rmdir(certs->folder), 0);
    X509_free(certs->ca_cert);
    EVP_PKEY_free(certs->ca_key);
}

void certs_fingerprint(const char *path, unsigned char fingerprint[32])
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    unsigned size = 32;

    fclose(file);
    assert_int_equal(X509_digest(cert, EVP_sha256(), fingerprint, &size), 1);
    X509_free(cert);
}
