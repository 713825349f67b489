/* test_http_head.c: what a head may be (RFC 9112), and every way found to smuggle a request past
 * one that is too kind. */
#include "proto/http/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct http_head_limits limits = {
    .head_max = 40 * 1024,
    .line_max = 32 * 1024,
    .target_max = 8 * 1024,
    .fields_max = 100,
};

/* A literal with its size: it may hold NUL. */
#define TEXT(literal) literal, sizeof(literal) - 1

static enum status scan(struct http_head *head, const char *text, size_t size)
{
    http_head_init(head);
    return http_head_feed(head, (const uint8_t *)text, size, &limits);
}

#define ONE "GET / HTTP/1.1\r\nHost: a\r\n"
#define PUT "PUT / HTTP/1.1\r\nHost: a\r\n"

static void heads_that_are_refused(void **state)
{
    static const struct {
        const char *why;
        const char *text;
        size_t size;
    } cases[] = {
        /* RFC 9112 section 2.2: lines */
        { "bare LF", TEXT("GET / HTTP/1.1\nHost: a\n\n") },
        { "bare LF in a header", TEXT("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n") },
        { "bare CR in a value", TEXT(ONE "X: y\rZ: w\r\n\r\n") },
        { "CR CR LF", TEXT(ONE "X: y\r\r\n\r\n") },
        { "NUL in a value", TEXT(ONE "X: y\0z\r\n\r\n") },
        { "NUL in a name", TEXT(ONE "X\0: y\r\n\r\n") },
        { "NUL in the target", TEXT("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "two empty lines first", TEXT("\r\n\r\n" ONE "\r\n") },
        { "a blank before the method", TEXT(" GET / HTTP/1.1\r\nHost: a\r\n\r\n") },
        /* section 3: the request line */
        { "HTTP/0.9", TEXT("GET /\r\n\r\n") },
        { "no version", TEXT("GET / \r\nHost: a\r\n\r\n") },
        { "HTTP/2 preface", TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
        { "HTTP/1.2", TEXT("GET / HTTP/1.2\r\nHost: a\r\n\r\n") },
        { "HTTP/3.0", TEXT("GET / HTTP/3.0\r\nHost: a\r\n\r\n") },
        { "HTTP/01.1", TEXT("GET / HTTP/01.1\r\nHost: a\r\n\r\n") },
        { "http/1.1", TEXT("GET / http/1.1\r\nHost: a\r\n\r\n") },
        { "HTTP/1.1 and a blank", TEXT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n") },
        { "two blanks", TEXT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "a tab for a blank", TEXT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "a blank in the target", TEXT("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "no method", TEXT(" / HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "a method that is no token", TEXT("G@T / HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "a target that is no path", TEXT("GET a HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "GET *", TEXT("GET * HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "a fragment", TEXT("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "bytes past ASCII in the target", TEXT("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "CONNECT", TEXT("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "another scheme", TEXT("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "no host in the URL", TEXT("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "a user in the URL", TEXT("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n") },
        { "TLS", TEXT("\x16\x03\x01\x02\x00\x01") },
        /* section 3.2: Host */
        { "no Host", TEXT("GET / HTTP/1.1\r\n\r\n") },
        { "two Hosts", TEXT(ONE "Host: b\r\n\r\n") },
        { "two equal Hosts", TEXT(ONE "host: a\r\n\r\n") },
        { "two Hosts in 1.0", TEXT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n") },
        { "empty Host", TEXT("GET / HTTP/1.1\r\nHost:\r\n\r\n") },
        { "a list in Host", TEXT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n") },
        { "a path in Host", TEXT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n") },
        { "a user in Host", TEXT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n") },
        { "a port that is none", TEXT("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n") },
        { "a port too far", TEXT("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n") },
        { "an open bracket", TEXT("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n") },
        { "brackets around a name", TEXT("GET / HTTP/1.1\r\nHost: [name]\r\n\r\n") },
        /* section 5: fields */
        { "obs-fold", TEXT(ONE "X: y\r\n z\r\n\r\n") },
        { "obs-fold with a tab", TEXT(ONE "X: y\r\n\tz\r\n\r\n") },
        { "obs-fold of Content-Length", TEXT(PUT "Content-Length: 1\r\n 0\r\n\r\n") },
        { "a first header that begins with a blank", TEXT("GET / HTTP/1.1\r\n Host: a\r\n\r\n") },
        { "a blank before the colon", TEXT(PUT "Content-Length : 5\r\n\r\n") },
        { "a tab before the colon", TEXT(PUT "Transfer-Encoding\t: chunked\r\n\r\n") },
        { "no colon", TEXT(ONE "X\r\n\r\n") },
        { "an empty name", TEXT(ONE ": y\r\n\r\n") },
        { "a name in quotes", TEXT(ONE "\"X\": y\r\n\r\n") },
        { "a control character in a value", TEXT(ONE "X: a\x01z\r\n\r\n") },
        { "DEL in a value", TEXT(ONE "X: a\x7fz\r\n\r\n") },
        { "a vertical tab before chunked", TEXT(PUT "Transfer-Encoding: \x0b"
                                                    "chunked\r\n\r\n") },
        /* section 6: framing */
        { "both", TEXT(PUT "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") },
        { "both, the other way", TEXT(PUT "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n") },
        { "two lengths", TEXT(PUT "Content-Length: 5\r\nContent-Length: 6\r\n\r\n") },
        { "two equal lengths", TEXT(PUT "Content-Length: 5\r\nContent-Length: 5\r\n\r\n") },
        { "a list of lengths", TEXT(PUT "Content-Length: 5, 5\r\n\r\n") },
        { "+1", TEXT(PUT "Content-Length: +1\r\n\r\n") },
        { "-1", TEXT(PUT "Content-Length: -1\r\n\r\n") },
        { "0x10", TEXT(PUT "Content-Length: 0x10\r\n\r\n") },
        { "1 0", TEXT(PUT "Content-Length: 1 0\r\n\r\n") },
        { "1_0", TEXT(PUT "Content-Length: 1_0\r\n\r\n") },
        { "no digits", TEXT(PUT "Content-Length: \r\n\r\n") },
        { "20 digits", TEXT(PUT "Content-Length: 00000000000000000005\r\n\r\n") },
        { "past 64 bits", TEXT(PUT "Content-Length: 18446744073709551617\r\n\r\n") },
        { "identity", TEXT(PUT "Transfer-Encoding: identity\r\n\r\n") },
        { "xchunked", TEXT(PUT "Transfer-Encoding: xchunked\r\n\r\n") },
        { "gzip, chunked", TEXT(PUT "Transfer-Encoding: gzip, chunked\r\n\r\n") },
        { "chunked, chunked", TEXT(PUT "Transfer-Encoding: chunked, chunked\r\n\r\n") },
        { "chunked twice", TEXT(PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n") },
        { "chunked, then identity",
          TEXT(PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n") },
        { "chunked in quotes", TEXT(PUT "Transfer-Encoding: \"chunked\"\r\n\r\n") },
        { "chunked;a=b", TEXT(PUT "Transfer-Encoding: chunked;a=b\r\n\r\n") },
        { "an empty Transfer-Encoding", TEXT(PUT "Transfer-Encoding:\r\n\r\n") },
        { "chunked in HTTP/1.0", TEXT("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") },
    };
    struct http_head head;
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum status status = scan(&head, cases[i].text, cases[i].size);
        if (status != STATUS_BAD_REQUEST)
            fail_msg("%s: %s", cases[i].why, status_name(status));
        assert_non_null(head.reason);
    }
}

static void heads_that_pass(void **state)
{
    static const struct {
        const char *text;
        const char *path, *query;
        uint64_t length;
        bool chunked, keep_alive;
    } cases[] = {
        { ONE "\r\n", "/", "", 0, false, true },
        { "\r\n" ONE "\r\n", "/", "", 0, false, true },
        { "GET /a?b=c?d HTTP/1.1\r\nHost:a\r\n\r\n", "/a", "b=c?d", 0, false, true },
        { "GET /? HTTP/1.1\r\nHost: a:80 \t\r\n\r\n", "/", "", 0, false, true },
        { "GET http://a.b:80/c?d HTTP/1.1\r\nHost: [::1]:8410\r\n\r\n", "/c", "d", 0, false, true },
        { "GET HTTP://a HTTP/1.1\r\nHost: a:\r\n\r\n", "", "", 0, false, true },
        { "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", "", "x", 0, false, true },
        { "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "", 0, false, true },
        { "GET / HTTP/1.0\r\n\r\n", "/", "", 0, false, false },
        { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", 0, false, true },
        { ONE "Connection: foo , Close\r\n\r\n", "/", "", 0, false, false },
        { ONE "Connection: keep-alive\r\nConnection: close\r\n\r\n", "/", "", 0, false, false },
        { ONE "Connection: closed\r\n\r\n", "/", "", 0, false, true },
        { PUT "Content-Length: 0000000000000000012\r\n\r\n", "/", "", 12, false, true },
        { PUT "content-length:9999999999999999999\r\n\r\n", "/", "", 9999999999999999999u, false, true },
        { PUT "Transfer-Encoding: chunked\r\n\r\n", "/", "", 0, true, true },
        { PUT "tRANSFER-eNCODING:\tCHUNKED\t\r\n\r\n", "/", "", 0, true, true },
        { ONE "X: caf\xc3\xa9\r\nEmpty:\r\n\r\n", "/", "", 0, false, true },
    };
    struct http_head head;
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const uint8_t *text = (const uint8_t *)cases[i].text;

        assert_int_equal(scan(&head, cases[i].text, strlen(cases[i].text)), STATUS_OK);
        assert_int_equal(head.size, strlen(cases[i].text));
        assert_true(slice_equals(http_span_slice(text, head.path), cases[i].path));
        assert_true(slice_equals(http_span_slice(text, head.query), cases[i].query));
        assert_int_equal(head.content_length, cases[i].length);
        assert_int_equal(head.chunked, cases[i].chunked);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
        assert_int_equal(head.refuse, STATUS_OK);
    }
}

static void methods_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        unsigned method;
    } cases[] = {
        { "GET", HTTP_GET_ },         { "HEAD", HTTP_HEAD_ },         { "PUT", HTTP_PUT_ },
        { "POST", HTTP_POST_ },       { "DELETE", HTTP_DELETE_ },     { "OPTIONS", HTTP_OPTIONS_ },
        { "get", HTTP_METHOD_OTHER }, { "PATCH", HTTP_METHOD_OTHER }, { "GETS", HTTP_METHOD_OTHER },
    };
    struct http_head head;
    char text[64];
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int size = snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].text);
        assert_int_equal(scan(&head, text, (size_t)size), STATUS_OK);
        assert_int_equal((unsigned)head.method, cases[i].method);
    }
}

static void what_fields_ask_of_the_server_is_noted(void **state)
{
    struct http_head head;
    (void)state;

    assert_int_equal(scan(&head, TEXT(PUT "Expect: 100-Continue\r\nContent-Encoding: gzip\r\n\r\n")),
                     STATUS_OK);
    assert_true(head.expect_continue && !head.expect_other && head.content_encoding &&
                !head.content_range);
    assert_int_equal(scan(&head, TEXT(PUT "Expect: tea\r\nContent-Range: bytes 0-1/2\r\n\r\n")),
                     STATUS_OK);
    assert_true(!head.expect_continue && head.expect_other && !head.content_encoding &&
                head.content_range);
    assert_int_equal(scan(&head, TEXT("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")), STATUS_OK);
    assert_false(head.expect_continue); /* RFC 9110 section 10.1.1 */
    assert_int_equal(scan(&head, TEXT(PUT "Content-Encoding: identity\r\n\r\n")), STATUS_OK);
    assert_false(head.content_encoding);
}

static void fields_are_found_without_blanks_around_them(void **state)
{
    static const char text[] = ONE "X-One: \t a b \t\r\nX-Two:c\r\n\r\n";
    const uint8_t *bytes = (const uint8_t *)text;
    struct http_head head;
    (void)state;

    assert_int_equal(scan(&head, TEXT(text)), STATUS_OK);
    assert_int_equal(head.fields_count, 3);
    assert_true(slice_equals(http_span_slice(bytes, head.fields[1].name), "X-One"));
    assert_true(slice_equals(http_span_slice(bytes, head.fields[1].value), "a b"));
    assert_true(slice_equals(http_span_slice(bytes, head.fields[2].value), "c"));
}

/* Fed in two pieces, cut anywhere, and byte by byte. */
static void every_split_of_a_head_scans_alike(void **state)
{
    static const char text[] = "\r\nPUT /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nX: y\r\n\r\n";
    struct http_head whole, head;
    size_t size = sizeof text - 1;
    (void)state;

    assert_int_equal(scan(&whole, text, size), STATUS_OK);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(scan(&head, text, cut), STATUS_MORE);
        assert_int_equal(http_head_feed(&head, (const uint8_t *)text, size, &limits), STATUS_OK);
        assert_int_equal(head.size, whole.size);
        assert_int_equal(head.content_length, 3);
        assert_int_equal(head.fields_count, whole.fields_count);
        assert_memory_equal(head.fields, whole.fields, whole.fields_count * sizeof *whole.fields);
    }
    http_head_init(&head);
    for (size_t i = 1; i < size; i++)
        assert_int_equal(http_head_feed(&head, (const uint8_t *)text, i, &limits), STATUS_MORE);
    assert_int_equal(http_head_feed(&head, (const uint8_t *)text, size, &limits), STATUS_OK);
}

/* A refusal must not depend on where packets end either. */
static void every_split_of_a_bad_head_is_refused(void **state)
{
    static const char *const texts[] = {
        PUT "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        ONE "X: y\r\n z\r\n\r\n",
    };
    struct http_head head;
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        size_t size = strlen(texts[i]);

        for (size_t cut = 0; cut < size; cut++) {
            enum status status = scan(&head, texts[i], cut);
            if (status == STATUS_MORE)
                status = http_head_feed(&head, (const uint8_t *)texts[i], size, &limits);
            assert_int_equal(status, STATUS_BAD_REQUEST);
        }
    }
}

/* "GET /" + pad 'a' + " HTTP/1.1", then headers lines of 8 bytes, then the end. */
static char *make_head(size_t pad, unsigned headers, size_t value, size_t *size)
{
    char *text = malloc(pad + headers * (value + 8) + 64), *at = text;

    at += sprintf(at, "GET /");
    memset(at, 'a', pad);
    at += pad;
    at += sprintf(at, " HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < headers; i++) {
        at += sprintf(at, "X: ");
        memset(at, 'b', value);
        at += value;
        at += sprintf(at, "\r\n");
    }
    at += sprintf(at, "\r\n");
    *size = (size_t)(at - text);
    return text;
}

static void limits_hold_to_the_byte(void **state)
{
    static const struct {
        size_t pad;
        unsigned headers;
        size_t value;
        enum status status, refuse;
    } cases[] = {
        { 8191, 0, 0, STATUS_OK, STATUS_OK },
        { 8192, 0, 0, STATUS_OK, STATUS_TARGET_TOO_LONG }, /* framing is intact */
        { 32 * 1024 - 16, 0, 0, STATUS_OK, STATUS_TARGET_TOO_LONG },
        { 32 * 1024 - 15, 0, 0, STATUS_TARGET_TOO_LONG, STATUS_OK },
        { 0, 99, 1, STATUS_OK, STATUS_OK },
        { 0, 100, 1, STATUS_OK, STATUS_HEAD_TOO_LARGE },
        { 0, 5000, 1, STATUS_OK, STATUS_HEAD_TOO_LARGE },
        { 0, 1, 32 * 1024 - 5, STATUS_OK, STATUS_OK },
        { 0, 1, 32 * 1024 - 4, STATUS_HEAD_TOO_LARGE, STATUS_OK },
        { 0, 2, (40 * 1024 - 38) / 2, STATUS_OK, STATUS_OK },
        { 0, 2, (40 * 1024 - 36) / 2, STATUS_HEAD_TOO_LARGE, STATUS_OK },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct http_head head;
        size_t size;
        char *text = make_head(cases[i].pad, cases[i].headers, cases[i].value, &size);

        assert_int_equal(scan(&head, text, size), cases[i].status);
        if (cases[i].status == STATUS_OK)
            assert_int_equal(head.refuse, cases[i].refuse);
        free(text);
    }
}

/* A line or head without an end is refused when it passes its limit, not when memory or patience
 * runs out. */
static void endless_lines_are_refused_early(void **state)
{
    char *text = malloc(64 * 1024);
    struct http_head head;
    (void)state;

    memset(text, 'a', 64 * 1024);
    assert_int_equal(scan(&head, text, 32 * 1024), STATUS_MORE);
    assert_int_equal(scan(&head, text, 32 * 1024 + 1), STATUS_TARGET_TOO_LONG);
    memcpy(text, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(scan(&head, text, 16 + 32 * 1024), STATUS_MORE);
    assert_int_equal(scan(&head, text, 16 + 32 * 1024 + 1), STATUS_HEAD_TOO_LARGE);
    free(text);
}

/* The limit on fields does not hide one that decides about framing. */
static void framing_fields_count_beyond_the_limit(void **state)
{
    char text[4096] = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
    struct http_head head;
    (void)state;

    for (int i = 0; i < 150; i++)
        strcat(text, "X: y\r\n");
    strcat(text, "Transfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(scan(&head, text, strlen(text)), STATUS_BAD_REQUEST);
}

static void lists_and_names_compare_in_either_case(void **state)
{
    (void)state;
    assert_true(http_name_equals(slice_text("eTaG"), "ETag"));
    assert_false(http_name_equals(slice_text("ETa"), "ETag"));
    assert_false(http_name_equals(slice_text("ETags"), "ETag"));
    assert_false(http_name_equals(slice_text("a@b"), "a`b")); /* not letters, though 0x20 apart */
    assert_true(http_list_has(slice_text("a, b ,\tc"), "C"));
    assert_true(http_list_has(slice_text(",,b"), "b"));
    assert_false(http_list_has(slice_text("ab, c"), "b"));
    assert_false(http_list_has(slice_text(""), "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_that_are_refused),
        cmocka_unit_test(heads_that_pass),
        cmocka_unit_test(methods_are_told_apart),
        cmocka_unit_test(what_fields_ask_of_the_server_is_noted),
        cmocka_unit_test(fields_are_found_without_blanks_around_them),
        cmocka_unit_test(every_split_of_a_head_scans_alike),
        cmocka_unit_test(every_split_of_a_bad_head_is_refused),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(endless_lines_are_refused_early),
        cmocka_unit_test(framing_fields_count_beyond_the_limit),
        cmocka_unit_test(lists_and_names_compare_in_either_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
