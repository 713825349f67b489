/* test_tls.c: sessions between us and OpenSSL's own client, in memory: every split, every way to end, every file that
 * does not do. */
#include "proto/http/tls.h"
#include "tls_certs.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct certs certs;
static struct tls *tls;

static uint8_t plain[TLS_PLAIN_MAX];
static uint8_t sealed_memory[2 * TLS_SEALED_MAX];

/* --- the other side --- */

struct peer {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    struct tls_session *session; /* ours */
    size_t cut;                  /* what it sends comes in pieces of at most this; 0: whole */
    size_t first;                /* the first piece of each is so long; 0: as the others */
    enum tls_result result;      /* of the last receive */
    uint8_t got[256 * 1024];     /* plain bytes that came to us */
    size_t got_size;
};

static struct peer *peer_new(void)
{
    struct peer *peer = calloc(1, sizeof *peer);

    peer->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(peer->context, 0); /* it may offer what nobody should */
    assert_int_equal(SSL_CTX_load_verify_file(peer->context, certs.ca), 1);
    SSL_CTX_set_verify(peer->context, SSL_VERIFY_PEER, NULL);
    return peer;
}

static void peer_begin(struct peer *peer)
{
    peer->ssl = SSL_new(peer->context);
    peer->in = BIO_new(BIO_s_mem());
    peer->out = BIO_new(BIO_s_mem());
    SSL_set_bio(peer->ssl, peer->in, peer->out);
    SSL_set_connect_state(peer->ssl);
    peer->session = tls_session_new(tls);
    assert_non_null(peer->session);
}

static void peer_end(struct peer *peer)
{
    if (peer->ssl != NULL) /* else OpenSSL would not resume it */
        SSL_set_shutdown(peer->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(peer->ssl);
    tls_session_free(peer->session);
    peer->ssl = NULL;
    peer->session = NULL;
}

static void peer_free(struct peer *peer)
{
    peer_end(peer);
    SSL_CTX_free(peer->context);
    ERR_clear_error();
    free(peer);
}

static struct tls_sealed sealed_new(void)
{
    return (struct tls_sealed){ .data = sealed_memory, .capacity = sizeof sealed_memory };
}

static void peer_takes(struct peer *peer, const struct tls_sealed *sealed)
{
    if (sealed->size > 0)
        assert_int_equal(BIO_write(peer->in, sealed->data, (int)sealed->size), sealed->size);
}

static void give(struct peer *peer, const uint8_t *data, size_t size)
{
    struct tls_sealed sealed = sealed_new();
    size_t got;

    peer->result = tls_session_receive(peer->session, slice_of(data, size), plain, &got, &sealed);
    assert_true(peer->got_size + got <= sizeof peer->got);
    memcpy(peer->got + peer->got_size, plain, got);
    peer->got_size += got;
    peer_takes(peer, &sealed);
}

/* All that the peer has to send, cut as asked. False: it had nothing. */
static bool deliver(struct peer *peer)
{
    char *data;
    long size = BIO_get_mem_data(peer->out, &data);
    size_t at = 0;

    if (size <= 0)
        return false;
    while (at < (size_t)size) {
        size_t piece = peer->cut > 0 ? peer->cut : 64 * 1024;

        if (at == 0 && peer->first > 0)
            piece = peer->first;
        if (piece > (size_t)size - at)
            piece = (size_t)size - at;
        give(peer, (const uint8_t *)data + at, piece);
        at += piece;
    }
    (void)BIO_reset(peer->out);
    return true;
}

/* Until nothing moves any more. True: both are through. */
static bool handshake(struct peer *peer)
{
    int done;

    do
        done = SSL_do_handshake(peer->ssl);
    while (deliver(peer));
    return done == 1 && tls_session_established(peer->session);
}

static void begun(struct peer *peer)
{
    peer_begin(peer);
    if (!handshake(peer))
        fail_msg("no handshake: %s", tls_session_reason(peer->session));
}

static void peer_says(struct peer *peer, const void *data, size_t size)
{
    assert_int_equal(SSL_write(peer->ssl, data, (int)size), size);
    deliver(peer);
}

static void we_say(struct peer *peer, const void *data, size_t size)
{
    struct tls_sealed sealed = sealed_new();

    assert_true(tls_session_send(peer->session, data, size, &sealed));
    peer_takes(peer, &sealed);
}

static void peer_reads(struct peer *peer, const void *data, size_t size)
{
    static uint8_t read[TLS_SEND_MAX];
    size_t at = 0;
    int n;

    while (at < size && (n = SSL_read(peer->ssl, read + at, (int)(sizeof read - at))) > 0)
        at += (size_t)n;
    assert_int_equal(at, size);
    assert_memory_equal(read, data, size);
}

static void expect_echo(struct peer *peer)
{
    peer->got_size = 0;
    peer_says(peer, "ping", 4);
    assert_int_equal(peer->result, TLS_OK);
    assert_int_equal(peer->got_size, 4);
    assert_memory_equal(peer->got, "ping", 4);
    we_say(peer, "pong", 4);
    peer_reads(peer, "pong", 4);
}

static void both_versions(void (*check)(struct peer *peer))
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct peer *peer = peer_new();
        SSL_CTX_set_min_proto_version(peer->context, versions[i]);
        SSL_CTX_set_max_proto_version(peer->context, versions[i]);
        check(peer);
        peer_free(peer);
    }
}

/* --- handshakes --- */

static void check_both_ways(struct peer *peer)
{
    begun(peer);
    expect_echo(peer);
    assert_int_equal(SSL_get_verify_result(peer->ssl), X509_V_OK);
    assert_null(SSL_get_current_compression(peer->ssl));
    assert_true(strcmp(SSL_get_cipher(peer->ssl), "ECDHE-ECDSA-AES128-GCM-SHA256") == 0 ||
                strcmp(SSL_get_cipher(peer->ssl), "TLS_AES_128_GCM_SHA256") == 0);
}

static void bytes_go_both_ways_over_tls_1_2_and_1_3(void **state)
{
    (void)state;
    both_versions(check_both_ways);
}

static void check_byte_by_byte(struct peer *peer)
{
    peer->cut = 1;
    begun(peer);
    expect_echo(peer);
}

static void a_handshake_byte_by_byte_comes_to_the_same(void **state)
{
    (void)state;
    both_versions(check_byte_by_byte);
}

/* A flight of the client is at most some hundred bytes here. */
static void check_every_split(struct peer *peer)
{
    for (size_t first = 1; first < 600; first++) {
        peer->first = first;
        begun(peer);
        expect_echo(peer);
        peer_end(peer);
    }
    peer_begin(peer);
}

static void every_split_of_a_handshake_comes_to_the_same(void **state)
{
    (void)state;
    both_versions(check_every_split);
}

static void check_cut_records(struct peer *peer)
{
    uint8_t said[3000];

    for (size_t i = 0; i < sizeof said; i++)
        said[i] = (uint8_t)(i * 7);
    begun(peer);
    for (size_t first = 1; first < sizeof said + 40; first += 13) {
        peer->first = first;
        peer->got_size = 0;
        peer_says(peer, said, sizeof said);
        assert_int_equal(peer->result, TLS_OK);
        assert_int_equal(peer->got_size, sizeof said);
        assert_memory_equal(peer->got, said, sizeof said);
    }
}

static void records_may_be_cut_anywhere(void **state)
{
    (void)state;
    both_versions(check_cut_records);
}

static void check_much(struct peer *peer)
{
    static uint8_t much[200 * 1024];

    for (size_t i = 0; i < sizeof much; i++)
        much[i] = (uint8_t)(i % 251);
    begun(peer);
    peer->first = 5000; /* so that each later piece of 64 KiB ends a record that began before */
    peer_says(peer, much, sizeof much);
    assert_int_equal(peer->result, TLS_OK);
    assert_int_equal(peer->got_size, sizeof much);
    assert_memory_equal(peer->got, much, sizeof much);
    we_say(peer, much, TLS_SEND_MAX);
    peer_reads(peer, much, TLS_SEND_MAX);
}

static void pieces_as_large_as_may_be_come_whole(void **state)
{
    (void)state;
    both_versions(check_much);
}

/* Four full records and what is left, and no more than the header says they come to. */
static void full_records_are_filled(void **state)
{
    static uint8_t data[TLS_SEND_MAX];
    struct peer *peer = peer_new();
    struct tls_sealed sealed = sealed_new();
    unsigned records = 0;

    (void)state;
    begun(peer);
    assert_true(tls_session_send(peer->session, data, sizeof data, &sealed));
    for (size_t at = 0; at < sealed.size;
         at += 5 + (size_t)(sealed.data[at + 3] << 8 | sealed.data[at + 4]))
        records++;
    assert_int_equal(records, (TLS_SEND_MAX + TLS_RECORD_SIZE - 1) / TLS_RECORD_SIZE);
    assert_true(sealed.size < TLS_SEALED_MAX);
    peer_free(peer);
}

/* --- what is refused --- */

static void expect_refused(struct peer *peer, int description)
{
    struct tls_sealed sealed = sealed_new();
    char *data;
    size_t got;

    peer_begin(peer);
    SSL_do_handshake(peer->ssl);
    long size = BIO_get_mem_data(peer->out, &data);
    assert_true(size > 0);
    assert_int_equal(tls_session_receive(peer->session, slice_of((uint8_t *)data, (size_t)size),
                                         plain, &got, &sealed),
                     TLS_FAILED);
    /* A fatal alert says why. */
    assert_true(sealed.size >= 7);
    assert_int_equal(sealed.data[0], 21);
    assert_int_equal(sealed.data[sealed.size - 2], 2);
    assert_int_equal(sealed.data[sealed.size - 1], description);
    assert_true(strlen(tls_session_reason(peer->session)) > 0);
    assert_false(tls_session_established(peer->session));
    assert_int_equal(tls_session_receive(peer->session, slice_of("x", 1), plain, &got, &sealed),
                     TLS_FAILED);
    peer_free(peer);
}

static void tls_1_1_is_refused(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    SSL_CTX_set_min_proto_version(peer->context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(peer->context, TLS1_1_VERSION);
    expect_refused(peer, SSL_AD_PROTOCOL_VERSION);
}

static void ciphers_without_ephemeral_keys_are_refused(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    SSL_CTX_set_max_proto_version(peer->context, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(peer->context, "AES128-SHA:AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA");
    expect_refused(peer, SSL_AD_HANDSHAKE_FAILURE);
}

static void another_protocol_than_http_1_1_is_refused(void **state)
{
    static const unsigned char h2[] = "\x02h2";
    struct peer *peer = peer_new();

    (void)state;
    SSL_CTX_set_alpn_protos(peer->context, h2, sizeof h2 - 1);
    expect_refused(peer, SSL_AD_NO_APPLICATION_PROTOCOL);
}

static void http_1_1_is_chosen_where_it_is_offered(void **state)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    struct peer *peer = peer_new();
    const unsigned char *chosen;
    unsigned size;

    (void)state;
    SSL_CTX_set_alpn_protos(peer->context, both, sizeof both - 1);
    begun(peer);
    SSL_get0_alpn_selected(peer->ssl, &chosen, &size);
    assert_int_equal(size, 8);
    assert_memory_equal(chosen, "http/1.1", 8);
    peer_free(peer);
}

static void a_plain_request_is_known_by_its_first_byte(void **state)
{
    static const char *const requests[] = { "GET / HTTP/1.1\r\n", "PUT /x", "D" };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct tls_session *session = tls_session_new(tls);
        struct tls_sealed sealed = sealed_new();
        size_t got;

        assert_int_equal(tls_session_receive(session, slice_text(requests[i]), plain, &got, &sealed),
                         TLS_PLAIN_HTTP);
        assert_int_equal(sealed.size, 0);
        tls_session_free(session);
    }
}

static void letters_inside_a_session_are_no_plain_request(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    begun(peer);
    give(peer, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18);
    assert_int_equal(peer->result, TLS_FAILED);
    peer_free(peer);
}

static void garbage_fails(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        { "\x00\x00\x00\x00\x00\x00\x00\x00", 8 },
        { "\x16\x03\x01\xff\xff\x00\x00\x00", 8 },
        { "\x17\x03\x03\x00\x02\x00\x00\x00", 8 },
        { "\x80\x1c\x01\x00\x02\x00\x03\x00\x00\x00\x10\x07\x00\xc0"
          "ABCDEFGHIJKLMNOP",
          30 },
        { "\xff\xfe\xfd\xfc\xfb\xfa", 6 },
        { "get / http/1.1\r\n\r\n", 18 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls_session *session = tls_session_new(tls);
        struct tls_sealed sealed = sealed_new();
        size_t got;

        if (tls_session_receive(session, slice_of(cases[i].bytes, cases[i].size), plain, &got,
                                &sealed) != TLS_FAILED)
            fail_msg("case %zu was taken", i);
        assert_int_equal(got, 0);
        tls_session_free(session);
    }
}

/* Every byte of a record that is flipped: nothing of it is read. */
static void a_record_that_was_tampered_with_is_not_read(void **state)
{
    (void)state;
    for (size_t flipped = 0; flipped < 5 + 4 + 1 + 16; flipped++) {
        struct peer *peer = peer_new();
        char *data;

        begun(peer);
        assert_int_equal(SSL_write(peer->ssl, "ping", 4), 4);
        long size = BIO_get_mem_data(peer->out, &data);
        assert_int_equal(size, 5 + 4 + 1 + 16);
        data[flipped] ^= 0x01;
        give(peer, (uint8_t *)data, (size_t)size);
        assert_int_equal(peer->got_size, 0);
        /* A length that grew waits for more; all else is found. */
        if (peer->result != TLS_FAILED)
            assert_in_range(flipped, 3, 4);
        peer_free(peer);
    }
}

static void check_before_the_end_of_a_handshake(struct peer *peer)
{
    struct tls_sealed sealed = sealed_new();
    uint8_t fingerprint[32];

    peer_begin(peer);
    assert_false(tls_session_send(peer->session, (const uint8_t *)"x", 1, &sealed));
    tls_session_end(peer->session, &sealed);
    assert_int_equal(sealed.size, 0);
    assert_false(tls_session_certificate(peer->session, fingerprint));
    assert_true(handshake(peer));
}

static void nothing_is_sent_before_the_end_of_a_handshake(void **state)
{
    (void)state;
    both_versions(check_before_the_end_of_a_handshake);
}

static void a_renegotiation_is_not_begun(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    SSL_CTX_set_max_proto_version(peer->context, TLS1_2_VERSION);
    begun(peer);
    assert_int_equal(SSL_renegotiate(peer->ssl), 1);
    assert_int_not_equal(SSL_do_handshake(peer->ssl), 1);
    deliver(peer);
    assert_int_not_equal(SSL_do_handshake(peer->ssl), 1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    peer_free(peer);
}

static void keys_may_be_changed_under_way(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    SSL_CTX_set_min_proto_version(peer->context, TLS1_3_VERSION);
    begun(peer);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(SSL_key_update(peer->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(peer->ssl), 1);
        expect_echo(peer);
    }
    peer_free(peer);
}

/* --- the end --- */

static void check_peer_ends(struct peer *peer)
{
    begun(peer);
    assert_int_equal(SSL_write(peer->ssl, "last", 4), 4);
    SSL_shutdown(peer->ssl);
    deliver(peer);
    assert_int_equal(peer->result, TLS_ENDED);
    assert_int_equal(peer->got_size, 4);
    we_say(peer, "answer", 6); /* the other way stays open */
    peer_reads(peer, "answer", 6);
}

static void what_came_before_the_end_is_read_with_it(void **state)
{
    (void)state;
    both_versions(check_peer_ends);
}

static void check_we_end(struct peer *peer)
{
    struct tls_sealed sealed = sealed_new();
    uint8_t byte;

    begun(peer);
    we_say(peer, "last", 4);
    peer_reads(peer, "last", 4);
    tls_session_end(peer->session, &sealed);
    assert_true(sealed.size > 0);
    peer_takes(peer, &sealed);
    assert_int_equal(SSL_read(peer->ssl, &byte, 1), 0);
    assert_int_equal(SSL_get_error(peer->ssl, 0), SSL_ERROR_ZERO_RETURN);
    sealed = sealed_new();
    tls_session_end(peer->session, &sealed); /* once is enough */
    assert_int_equal(sealed.size, 0);
    assert_false(tls_session_send(peer->session, (const uint8_t *)"x", 1, &sealed));
    peer->got_size = 0;
    peer_says(peer, "late", 4); /* what the client still has to say is read */
    assert_int_equal(peer->got_size, 4);
}

static void an_end_of_ours_is_told_once(void **state)
{
    (void)state;
    both_versions(check_we_end);
}

/* --- certificates of clients --- */

static void open_tls(const char *client_ca, bool required)
{
    struct tls_options options = { .cert_file = certs.cert,
                                   .key_file = certs.key,
                                   .client_ca_file = client_ca,
                                   .client_required = required };
    struct error err;

    tls_free(tls);
    error_init(&err);
    if (tls_new(&options, &tls, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void peer_shows(struct peer *peer, const struct certs *by, long from, long to,
                       uint8_t fingerprint[32])
{
    char cert[96], key[96];

    certs_path(by, "client.pem", cert);
    certs_path(by, "client.key", key);
    certs_sign(by, "a client", from, to, cert, key);
    certs_fingerprint(cert, fingerprint);
    assert_int_equal(SSL_CTX_use_certificate_file(peer->context, cert, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(peer->context, key, SSL_FILETYPE_PEM), 1);
}

static void check_shown(struct peer *peer)
{
    uint8_t expected[32], found[32];

    peer_shows(peer, &certs, -60, 3600, expected);
    begun(peer);
    expect_echo(peer);
    assert_true(tls_session_certificate(peer->session, found));
    assert_memory_equal(found, expected, 32);
    /* And in a session that is resumed. */
    SSL_SESSION *kept = SSL_get1_session(peer->ssl);
    peer_end(peer);
    peer_begin(peer);
    SSL_set_session(peer->ssl, kept);
    SSL_SESSION_free(kept);
    assert_true(handshake(peer));
    assert_true(SSL_session_reused(peer->ssl));
    assert_true(tls_session_certificate(peer->session, found));
    assert_memory_equal(found, expected, 32);
}

static void who_shows_a_certificate_is_known_by_it(void **state)
{
    (void)state;
    open_tls(certs.ca, false);
    both_versions(check_shown);
    open_tls(certs.ca, true);
    both_versions(check_shown);
}

static void check_none_shown(struct peer *peer)
{
    uint8_t fingerprint[32] = { 1, 2, 3 };

    begun(peer);
    expect_echo(peer);
    assert_false(tls_session_certificate(peer->session, fingerprint));
    assert_int_equal(fingerprint[2], 3);
}

static void who_shows_none_is_served_unless_it_is_required(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    open_tls(certs.ca, false);
    both_versions(check_none_shown);
    open_tls(certs.ca, true);
    peer_begin(peer);
    assert_false(handshake(peer));
    assert_int_equal(peer->result, TLS_FAILED);
    peer_free(peer);
}

/* Where none is asked for, none is sent: nobody is known by what was not checked. */
static void a_certificate_that_nobody_asked_for_is_none(void **state)
{
    struct peer *peer = peer_new();
    uint8_t fingerprint[32];

    (void)state;
    open_tls(NULL, false);
    peer_shows(peer, &certs, -60, 3600, fingerprint);
    begun(peer);
    assert_false(tls_session_certificate(peer->session, fingerprint));
    peer_free(peer);
}

static void certificates_that_do_not_hold_are_refused(void **state)
{
    struct certs others;
    uint8_t fingerprint[32];

    (void)state;
    certs_make(&others);
    open_tls(certs.ca, false);
    for (int i = 0; i < 3; i++) {
        struct peer *peer = peer_new();

        if (i == 0)
            peer_shows(peer, &others, -60, 3600, fingerprint); /* of another CA */
        else
            peer_shows(peer, &certs, i == 1 ? -120 : 3600, i == 1 ? -60 : 7200,
                       fingerprint); /* too late, too early */
        peer_begin(peer);
        handshake(peer);
        assert_int_equal(peer->result, TLS_FAILED);
        assert_false(tls_session_certificate(peer->session, fingerprint));
        peer_free(peer);
    }
    certs_remove(&others);
}

/* --- files, read anew --- */

static void expect_server(struct peer *peer, const char *name)
{
    char found[64];

    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(peer->ssl)),
                              NID_commonName, found, sizeof found);
    assert_string_equal(found, name);
}

static void a_reload_is_seen_by_new_connections_only(void **state)
{
    struct peer *old = peer_new(), *new = peer_new();
    struct error err;

    (void)state;
    error_init(&err);
    open_tls(NULL, false);
    begun(old);
    expect_server(old, "localhost");
    certs_sign(&certs, "anew", -60, 7200, certs.cert, certs.key);
    assert_int_equal(tls_reload(tls, &err), STATUS_OK);
    assert_in_range(tls_metric_expires.value - (int64_t)time(NULL), 7100, 7200);
    expect_echo(old);
    begun(new);
    expect_server(new, "anew");
    expect_echo(old);
    expect_echo(new);
    peer_free(old);
    peer_free(new);
}

static void tickets_are_not_taken_over_by_a_reload(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    for (int reloads = 0; reloads < 2; reloads++) {
        struct peer *peer = peer_new();

        begun(peer);
        expect_echo(peer); /* the tickets of TLS 1.3 come behind the handshake */
        SSL_SESSION *kept = SSL_get1_session(peer->ssl);
        peer_end(peer);
        if (reloads > 0)
            assert_int_equal(tls_reload(tls, &err), STATUS_OK);
        peer_begin(peer);
        SSL_set_session(peer->ssl, kept);
        SSL_SESSION_free(kept);
        assert_true(handshake(peer));
        assert_int_equal(SSL_session_reused(peer->ssl), reloads == 0);
        expect_echo(peer);
        peer_free(peer);
    }
}

static void a_session_outlives_its_certificate(void **state)
{
    struct peer *peer = peer_new();

    (void)state;
    open_tls(NULL, false);
    begun(peer);
    tls_free(tls);
    tls = NULL;
    expect_echo(peer);
    peer_free(peer);
    open_tls(NULL, false);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

enum damage {
    NO_KEY,
    NO_CERT,
    OPEN_KEY,
    EMPTY_KEY,
    EMPTY_CERT,
    CERT_AS_KEY,
    OTHER_KEY,
    LOCKED_KEY,
    NO_CA,
    EMPTY_CA
};

/* What is wrong with the files below, on top of a sound pair. */
static void damage_files(enum damage damage, const char *cert, const char *key, const char *ca)
{
    char other[96];

    switch (damage) {
    case NO_KEY:
        unlink(key);
        break;
    case NO_CERT:
        unlink(cert);
        break;
    case OPEN_KEY:
        chmod(key, 0644);
        break;
    case EMPTY_KEY:
        write_file(key, "");
        break;
    case EMPTY_CERT:
        write_file(cert, "no certificate\n");
        break;
    case CERT_AS_KEY:
        assert_int_equal(rename(cert, key), 0);
        assert_int_equal(link(certs.cert, cert), 0);
        break;
    case OTHER_KEY:
        certs_path(&certs, "other.pem", other);
        certs_sign(&certs, "other", -60, 60, other, key);
        break;
    case LOCKED_KEY:
        write_file(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHj\n-----END ENCRYPTED PRIVATE KEY-----\n");
        break;
    case NO_CA:
        unlink(ca);
        break;
    case EMPTY_CA:
        write_file(ca, "\n");
        break;
    }
}

static void files_that_do_not_do_are_named_and_leave_what_was(void **state)
{
    static const struct {
        enum damage damage;
        enum status status;
        const char *file, *text;
    } cases[] = {
        { NO_KEY, STATUS_NOT_FOUND, "sound.key", "No such file" },
        { NO_CERT, STATUS_NOT_FOUND, "sound.pem", "No such file" },
        { OPEN_KEY, STATUS_BAD_VALUE, "sound.key", "chmod 600" },
        { EMPTY_KEY, STATUS_BAD_VALUE, "sound.key", "no private key" },
        { EMPTY_CERT, STATUS_BAD_VALUE, "sound.pem", "no certificate" },
        { CERT_AS_KEY, STATUS_BAD_VALUE, "sound.key", "no private key" },
        { OTHER_KEY, STATUS_BAD_VALUE, "sound.key is not the key of ", "sound.pem" },
        { LOCKED_KEY, STATUS_BAD_VALUE, "sound.key", "without a passphrase" },
        { NO_CA, STATUS_NOT_FOUND, "sound-ca.pem", "No such file" },
        { EMPTY_CA, STATUS_BAD_VALUE, "sound-ca.pem", "no certificates" },
    };
    char cert[96], key[96], ca[96];

    (void)state;
    certs_path(&certs, "sound.pem", cert);
    certs_path(&certs, "sound.key", key);
    certs_path(&certs, "sound-ca.pem", ca);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct tls_options options = { .cert_file = cert, .key_file = key, .client_ca_file = ca };
        struct peer *peer = peer_new();
        struct tls *again = NULL;
        struct error err;

        error_init(&err);
        certs_sign(&certs, "sound", -60, 7200, cert, key);
        unlink(ca);
        assert_int_equal(link(certs.ca, ca), 0);
        tls_free(tls);
        assert_int_equal(tls_new(&options, &tls, &err), STATUS_OK);
        unlink(ca); /* not the CA itself */
        damage_files(cases[i].damage, cert, key, ca);
        if (cases[i].damage != NO_CA && cases[i].damage != EMPTY_CA)
            assert_int_equal(link(certs.ca, ca), 0);
        if (tls_reload(tls, &err) != cases[i].status)
            fail_msg("case %zu: %s: %s", i, status_name(err.status), err.text);
        if (strstr(err.text, cases[i].file) == NULL || strstr(err.text, cases[i].text) == NULL)
            fail_msg("case %zu says: %s", i, err.text);
        assert_int_equal(tls_new(&options, &again, NULL), cases[i].status);
        assert_null(again);
        begun(peer); /* with what was */
        expect_server(peer, "sound");
        peer_free(peer);
    }
}

static void a_certificate_out_of_its_time_is_taken(void **state)
{
    struct tls_options options;
    char cert[96], key[96];
    struct error err;

    (void)state;
    error_init(&err);
    certs_path(&certs, "old.pem", cert);
    certs_path(&certs, "old.key", key);
    options = (struct tls_options){ .cert_file = cert, .key_file = key };
    for (int i = 0; i < 2; i++) {
        struct peer *peer = peer_new();

        certs_sign(&certs, "old", i == 0 ? -7200 : 3600, i == 0 ? -3600 : 7200, cert, key);
        tls_free(tls);
        assert_int_equal(tls_new(&options, &tls, &err), STATUS_OK);
        peer_begin(peer);
        assert_false(handshake(peer)); /* the client sees it */
        assert_int_equal(SSL_get_verify_result(peer->ssl),
                         i == 0 ? X509_V_ERR_CERT_HAS_EXPIRED : X509_V_ERR_CERT_NOT_YET_VALID);
        peer_free(peer);
    }
    open_tls(NULL, false);
}

static void settings_that_do_not_fit_are_named(void **state)
{
    static const struct {
        struct tls_options options;
        const char *missing; /* NULL: they fit */
    } cases[] = {
        { { 0 }, NULL },
        { { .cert_file = "c", .key_file = "k" }, NULL },
        { { .cert_file = "c", .key_file = "k", .client_ca_file = "a", .client_required = true }, NULL },
        { { .cert_file = "c" }, "--tls-key FILE" },
        { { .key_file = "k" }, "--tls-cert FILE" },
        { { .client_ca_file = "a" }, "--tls-cert" },
        { { .cert_file = "c", .key_file = "k", .client_required = true }, "--tls-client-ca FILE" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct error err;

        error_init(&err);
        enum status status = tls_check_options(&cases[i].options, &err);
        assert_int_equal(status, cases[i].missing == NULL ? STATUS_OK : STATUS_BAD_VALUE);
        if (cases[i].missing != NULL)
            assert_non_null(strstr(err.text, cases[i].missing));
    }
}

static int setup(void **state)
{
    (void)state;
    certs_make(&certs);
    open_tls(NULL, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tls_free(tls);
    certs_remove(&certs);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_over_tls_1_2_and_1_3),
        cmocka_unit_test(a_handshake_byte_by_byte_comes_to_the_same),
        cmocka_unit_test(every_split_of_a_handshake_comes_to_the_same),
        cmocka_unit_test(records_may_be_cut_anywhere),
        cmocka_unit_test(pieces_as_large_as_may_be_come_whole),
        cmocka_unit_test(full_records_are_filled),
        cmocka_unit_test(tls_1_1_is_refused),
        cmocka_unit_test(ciphers_without_ephemeral_keys_are_refused),
        cmocka_unit_test(another_protocol_than_http_1_1_is_refused),
        cmocka_unit_test(http_1_1_is_chosen_where_it_is_offered),
        cmocka_unit_test(a_plain_request_is_known_by_its_first_byte),
        cmocka_unit_test(letters_inside_a_session_are_no_plain_request),
        cmocka_unit_test(garbage_fails),
        cmocka_unit_test(a_record_that_was_tampered_with_is_not_read),
        cmocka_unit_test(nothing_is_sent_before_the_end_of_a_handshake),
        cmocka_unit_test(a_renegotiation_is_not_begun),
        cmocka_unit_test(keys_may_be_changed_under_way),
        cmocka_unit_test(what_came_before_the_end_is_read_with_it),
        cmocka_unit_test(an_end_of_ours_is_told_once),
        cmocka_unit_test(who_shows_a_certificate_is_known_by_it),
        cmocka_unit_test(who_shows_none_is_served_unless_it_is_required),
        cmocka_unit_test(a_certificate_that_nobody_asked_for_is_none),
        cmocka_unit_test(certificates_that_do_not_hold_are_refused),
        cmocka_unit_test(a_reload_is_seen_by_new_connections_only),
        cmocka_unit_test(tickets_are_not_taken_over_by_a_reload),
        cmocka_unit_test(a_session_outlives_its_certificate),
        cmocka_unit_test(files_that_do_not_do_are_named_and_leave_what_was),
        cmocka_unit_test(a_certificate_out_of_its_time_is_taken),
        cmocka_unit_test(settings_that_do_not_fit_are_named),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
