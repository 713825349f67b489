/* test_http_server.c: requests and answers over real sockets (RFC 9110 and 9112, interfaces R1
 * to R13). */
#include "http_handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

static struct fixture fixture;

static int setup(void **state)
{
    (void)state;
    handlers_reset();
    fixture_start(&fixture, handlers_routes, NULL);
    return 0;
}

/* Each test ends with nothing left: no connection, no handle, no exchange that is not over. */
static int teardown(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    assert_int_equal(handled.calls, handled.overs);
    return 0;
}

static void expect_answer(int fd, int status, const char *body)
{
    struct answer answer = client_answer(&fixture, fd, false);

    if (answer.status != status)
        fail_msg("%d: %s%s", answer.status, answer.head, answer.body != NULL ? (char *)answer.body : "");
    if (body != NULL)
        assert_string_equal(answer.body, body);
    answer_free(&answer);
}

static void expect_header(const struct answer *answer, const char *name, const char *expected)
{
    char value[512];
    const char *found = answer_header(answer, name, value, sizeof value);

    if (expected == NULL) {
        assert_null(found);
        return;
    }
    if (found == NULL)
        fail_msg("no %s in %s", name, answer->head);
    assert_string_equal(found, expected);
}

/* --- one after another --- */

static void a_connection_serves_request_after_request(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    for (int i = 0; i < 3; i++) {
        client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 200, "hello");
        client_text(&fixture, fd, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nping");
        expect_answer(fd, 200, "ping");
        client_text(&fixture, fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 200, "later");
        client_text(&fixture, fd, "GET /stream?count=2&size=3&known=1 HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 200, NULL);
        client_text(&fixture, fd, "POST /post HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 204, NULL);
    }
    close(fd);
}

static void every_answer_keeps_the_connection_where_framing_is_intact(void **state)
{
    char *long_target = calloc(1, 16 * 1024);
    struct {
        const char *text;
        int status;
    } cases[] = {
        { "GET /nothing HTTP/1.1\r\n" HOST "\r\n", 404 },
        { "GET /bye HTTP/1.1\r\n" HOST "\r\n", 404 },
        { "POST /hello HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 405 },
        { "PATCH /hello HTTP/1.1\r\n" HOST "\r\n", 405 },
        { "TRACE /hello HTTP/1.1\r\n" HOST "\r\n", 405 },
        { "DELETE /nothing HTTP/1.1\r\n" HOST "\r\n", 404 },
        { "GET /hello HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n", 417 },
        { "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\nab", 415 },
        { "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Range: bytes 0-1/3\r\n\r\nab", 400 },
        { "PUT /echo HTTP/1.1\r\n" HOST "\r\n", 411 },
        { "PUT /refuse HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 507 },
        { "PUT /refuse HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 507 },
        { "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n", 204 },
        { "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 204 },
        { long_target, 414 },
    };
    int fd = client_connect(&fixture);
    (void)state;

    strcpy(long_target, "GET /");
    memset(long_target + 5, 'a', 9000);
    strcpy(long_target + 9005, " HTTP/1.1\r\n" HOST "\r\n");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        client_text(&fixture, fd, cases[i].text);
        expect_answer(fd, cases[i].status, NULL);
        client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 200, "hello");
    }
    close(fd);
    free(long_target);
}

static void head_is_get_without_the_body(void **state)
{
    static const char *const paths[] = { "/hello", "/file", "/stream?count=3&size=5&known=1", "/nothing" };
    int fd = client_connect(&fixture);
    char request[128], one[64], other[64];
    (void)state;

    handlers_file(1000);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
        client_text(&fixture, fd, request);
        struct answer get = client_answer(&fixture, fd, false);
        snprintf(request, sizeof request, "HEAD %s HTTP/1.1\r\n" HOST "\r\n", paths[i]);
        client_text(&fixture, fd, request);
        struct answer head = client_answer(&fixture, fd, true);

        assert_int_equal(get.status, head.status);
        assert_non_null(answer_header(&get, "Content-Length", one, sizeof one));
        assert_non_null(answer_header(&head, "Content-Length", other, sizeof other));
        assert_string_equal(one, other);
        assert_non_null(answer_header(&get, "Content-Type", one, sizeof one));
        expect_header(&head, "Content-Type", one);
        answer_free(&get);
        answer_free(&head);
    }
    client_text(&fixture, fd, "HEAD /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    struct answer last = client_answer(&fixture, fd, true);
    assert_true(client_closed(&fixture, fd)); /* not a byte of body */
    answer_free(&last);
    close(fd);
    handlers_file_close();
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    static const char request[] = "GET /later HTTP/1.1\r\n" HOST "\r\n"
                                  "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                                  "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nping"
                                  "PUT /echo HTTP/1.1\r\n" HOST
                                  "Transfer-Encoding: chunked\r\n\r\n4\r\npong\r\n0\r\n\r\n"
                                  "GET /nothing HTTP/1.1\r\n" HOST "\r\n"
                                  "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    (void)state;

    /* However the bytes are cut. */
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        int fd = client_connect(&fixture);

        client_send(&fixture, fd, request, cut);
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
        client_send(&fixture, fd, request + cut, sizeof request - 1 - cut);
        expect_answer(fd, 200, "later");
        expect_answer(fd, 200, "hello");
        expect_answer(fd, 200, "ping");
        expect_answer(fd, 200, "pong");
        expect_answer(fd, 404, NULL);
        expect_answer(fd, 200, "hello");
        close(fd);
    }
}

static void a_long_pipeline_is_held_back(void **state)
{
    enum { REQUESTS = 5000 };
    static const char request[] = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    struct buf all;
    int fd = client_connect(&fixture);
    (void)state;

    buf_init(&all, 1 << 20);
    buf_text(&all, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < REQUESTS; i++)
        buf_append(&all, request, sizeof request - 1);
    client_send(&fixture, fd, all.data, all.size);
    expect_answer(fd, 200, "later");
    for (int i = 0; i < REQUESTS; i++)
        expect_answer(fd, 200, "hello");
    buf_fini(&all);
    close(fd);
}

static void http_1_0_is_served(void **state)
{
    int fd = client_connect(&fixture);
    struct answer answer;
    (void)state;

    client_text(&fixture, fd, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer = client_answer(&fixture, fd, false);
    assert_int_equal(answer.status, 200);
    expect_header(&answer, "Connection", "keep-alive");
    answer_free(&answer);
    /* of unknown length: no chunks, the end is the end of the connection */
    client_text(&fixture, fd, "GET /stream?count=3&size=4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer = client_answer(&fixture, fd, false);
    assert_int_equal(answer.size, 12);
    expect_header(&answer, "Transfer-Encoding", NULL);
    expect_header(&answer, "Connection", "close");
    answer_free(&answer);
    close(fd);

    fd = client_connect(&fixture);
    client_text(&fixture, fd, "GET /hello HTTP/1.0\r\n\r\n");
    answer = client_answer(&fixture, fd, false);
    expect_header(&answer, "Connection", "close");
    answer_free(&answer);
    assert_true(client_closed(&fixture, fd));
    close(fd);
}

static void close_is_honoured(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd,
                "GET /hello HTTP/1.1\r\n" HOST
                "Connection: close\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    struct answer answer = client_answer(&fixture, fd, false);
    expect_header(&answer, "Connection", "close");
    answer_free(&answer);
    assert_true(client_closed(&fixture, fd)); /* the second request is not answered */
    close(fd);
    assert_int_equal(handled.calls, 1);
}

/* A client may shut its side down once it has asked, and still wants the answer. */
static void half_closed_clients_get_their_answer(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    shutdown(fd, SHUT_WR);
    expect_answer(fd, 200, "later");
    assert_true(client_closed(&fixture, fd));
    close(fd);
}

static void requests_before_a_clients_end_are_all_answered(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd,
                "GET /later HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST
                "\r\nGET /later HTTP/1.1\r\n" HOST "\r\n");
    shutdown(fd, SHUT_WR);
    expect_answer(fd, 200, "later");
    expect_answer(fd, 200, "hello");
    expect_answer(fd, 200, "later");
    assert_true(client_closed(&fixture, fd));
    close(fd);
}

/* --- what an answer says --- */

static void answers_carry_what_every_answer_carries(void **state)
{
    char value[256];
    (void)state;

    struct answer answer = client_once(&fixture, "GET /say/a/b HTTP/1.1\r\n" HOST
                                                 "X-Request-Id: it.is-me_9\r\n\r\n");
    assert_int_equal(answer.status, 200);
    expect_header(&answer, "X-Content-Type-Options", "nosniff");
    expect_header(&answer, "Server", "gribstore");
    expect_header(&answer, "X-Request-Id", "it.is-me_9");
    expect_header(&answer, "X-Said", "so");
    expect_header(&answer, "Content-Type", "text/plain");
    expect_header(&answer, "Access-Control-Allow-Origin", "*");
    expect_header(&answer, "Access-Control-Expose-Headers",
                  "Content-Range, Accept-Ranges, ETag, Content-Length");
    expect_header(&answer, "Cache-Control", NULL);
    expect_header(&answer, "Connection", NULL);
    assert_non_null(answer_header(&answer, "Date", value, sizeof value));
    assert_int_equal(strlen(value), 29);
    answer_free(&answer);
}

static void insane_request_ids_are_replaced(void **state)
{
    static const char *const ids[] = {
        "",         "a b",  "a/b",
        "\xc3\xa9", "a\"b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    };
    char request[256], value[128], last[128] = "";
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        snprintf(request, sizeof request, "GET /hello HTTP/1.1\r\n" HOST "X-Request-Id: %s\r\n\r\n",
                 ids[i]);
        struct answer answer = client_once(&fixture, request);
        assert_non_null(answer_header(&answer, "X-Request-Id", value, sizeof value));
        assert_int_equal(strspn(value, "0123456789abcdef"), 16);
        assert_string_not_equal(value, last);
        strcpy(last, value);
        answer_free(&answer);
    }
}

static void errors_are_problems_and_not_stored(void **state)
{
    struct answer answer = client_once(&fixture,
                                       "GET /nothing HTTP/1.1\r\n" HOST "X-Request-Id: me\r\n\r\n");
    (void)state;

    assert_int_equal(answer.status, 404);
    expect_header(&answer, "Content-Type", "application/problem+json");
    expect_header(&answer, "Cache-Control", "no-store");
    assert_string_equal(answer.body,
                        "{\"type\":\"urn:gribstore:error:not-found\",\"code\":\"not-found\","
                        "\"title\":\"There is no such thing here\",\"status\":404,"
                        "\"detail\":\"nothing is served under this path\",\"instance\":\"me\"}\n");
    answer_free(&answer);
    answer = client_once(&fixture, "GET /bye HTTP/1.1\r\n" HOST "\r\n");
    expect_header(&answer, "Cache-Control", "max-age=5"); /* the conductor's word counts */
    answer_free(&answer);
}

static void a_problem_whose_members_have_no_room_is_told_without_them(void **state)
{
    struct answer answer = client_once(&fixture, "GET /long-problem HTTP/1.1\r\n" HOST "X-Request-Id: me\r\n\r\n");
    (void)state;

    assert_int_equal(answer.status, 409);
    expect_header(&answer, "Content-Type", "application/problem+json");
    assert_true(answer.size < 1000);
    answer_free(&answer);
}

static void a_405_says_what_is_allowed(void **state)
{
    struct answer answer = client_once(&fixture, "POST /hello HTTP/1.1\r\n" HOST "\r\n");
    (void)state;

    assert_int_equal(answer.status, 405);
    expect_header(&answer, "Allow", "GET, HEAD, OPTIONS");
    answer_free(&answer);
    answer = client_once(&fixture, "GET /echo HTTP/1.1\r\n" HOST "\r\n");
    expect_header(&answer, "Allow", "PUT, OPTIONS");
    answer_free(&answer);
}

static void options_tells_browsers_what_they_may(void **state)
{
    struct answer answer = client_once(&fixture, "OPTIONS /hello HTTP/1.1\r\n" HOST "\r\n");
    (void)state;

    assert_int_equal(answer.status, 204);
    expect_header(&answer, "Allow", "GET, HEAD, OPTIONS");
    expect_header(&answer, "Access-Control-Allow-Origin", "*");
    expect_header(&answer, "Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
    expect_header(&answer, "Content-Length", NULL);
    answer_free(&answer);
}

/* --- what a request says --- */

static void requests_are_decoded(void **state)
{
    struct answer answer = client_once(
        &fixture, "GET /say/a%20b%2b+c/%41?q=1%26+2&&empty=&flag&bad=%zz%4&k%3D=v HTTP/1.1\r\n" HOST
                  "x:  one \r\nX: two,three\r\nX-Request-Id: me\r\n\r\n");
    (void)state;

    assert_string_equal(answer.body, "path=/say/a%20b%2b+c/%41\n"
                                     "one=a b++c\n"
                                     "two=A\n"
                                     "three=(none)\n"
                                     "q=1& 2\n"
                                     "empty=\n"
                                     "flag=\n"
                                     "bad=%zz%4\n"
                                     "k==v\n"
                                     "q=1& 2\n"
                                     "x=one\n"
                                     "xs=one, two,three\n"
                                     "id=me\n");
    answer_free(&answer);
}

static void absolute_targets_are_paths(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "GET http://elsewhere:80/hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 200, "hello");
    client_text(&fixture, fd, "GET http://elsewhere HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 404, NULL);
    close(fd);
}

/* Headers that would let a client speak for another or for another method mean nothing here. */
static void overrides_are_ignored(void **state)
{
    struct answer answer = client_once(&fixture,
                                       "GET /hello HTTP/1.1\r\n" HOST "X-HTTP-Method-Override: PUT\r\n"
                                       "X-Original-URL: /bye\r\nX-Forwarded-Host: b\r\n\r\n");
    (void)state;

    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

/* --- smuggling: one answer, then the end, and no further request --- */

static void nothing_follows_a_malformed_request(void **state)
{
    static const char *const cases[] = {
        "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\nhello",
        "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n",
        "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n 0\r\n\r\nhello",
        "GET /hello HTTP/1.1\n" HOST "\n",
        "GET /hello HTTP/1.1\r\n" HOST HOST "\r\n",
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello\r\n\r\n",
        "GET /hello HTTP/2.0\r\n" HOST "\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02",
        "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        "PUT /count HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        "PUT /refuse HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n",
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int fd = client_connect(&fixture);

        client_text(&fixture, fd, cases[i]);
        client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        struct answer answer = client_answer(&fixture, fd, false);
        if (answer.status != 400 && answer.status != 507)
            fail_msg("%s: %d", cases[i], answer.status);
        expect_header(&answer, "Connection", "close");
        expect_header(&answer, "Content-Type", "application/problem+json");
        assert_true(client_closed(&fixture, fd));
        answer_free(&answer);
        close(fd);
    }
}

static void heads_beyond_the_limits_are_refused(void **state)
{
    struct buf text;
    int fd = client_connect(&fixture);
    (void)state;

    buf_init(&text, 1 << 20);
    buf_text(&text, "GET /hello HTTP/1.1\r\nX: ");
    while (text.size < 33 * 1024)
        buf_text(&text, "aaaaaaaa");
    client_send(&fixture, fd, text.data, text.size);
    expect_answer(fd, 431, NULL);
    assert_true(client_closed(&fixture, fd));
    close(fd);

    buf_clear(&text);
    buf_text(&text, "GET /hello HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 100; i++)
        buf_text(&text, "X: y\r\n");
    buf_text(&text, "\r\n");
    fd = client_connect(&fixture);
    client_send(&fixture, fd, text.data, text.size);
    expect_answer(fd, 431, NULL);
    client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 200, "hello");
    close(fd);
    buf_fini(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_connection_serves_request_after_request),
        TEST(every_answer_keeps_the_connection_where_framing_is_intact),
        TEST(head_is_get_without_the_body),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(a_long_pipeline_is_held_back),
        TEST(http_1_0_is_served),
        TEST(close_is_honoured),
        TEST(half_closed_clients_get_their_answer),
        TEST(requests_before_a_clients_end_are_all_answered),
        TEST(answers_carry_what_every_answer_carries),
        TEST(insane_request_ids_are_replaced),
        TEST(errors_are_problems_and_not_stored),
        TEST(a_problem_whose_members_have_no_room_is_told_without_them),
        TEST(a_405_says_what_is_allowed),
        TEST(options_tells_browsers_what_they_may),
        TEST(requests_are_decoded),
        TEST(absolute_targets_are_paths),
        TEST(overrides_are_ignored),
        TEST(nothing_follows_a_malformed_request),
        TEST(heads_beyond_the_limits_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
