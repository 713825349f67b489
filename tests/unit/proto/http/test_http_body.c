/* test_http_body.c: bodies over real sockets: 100 Continue, chunks, back-pressure, early
 * answers, clients that leave. */
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

static void continue_comes_when_the_body_is_wanted(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    for (int i = 0; i < 2; i++) {
        client_text(&fixture, fd,
                    "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        expect_answer(fd, 100, NULL);
        client_text(&fixture, fd, "ping");
        expect_answer(fd, 200, "ping");
    }
    client_text(&fixture, fd,
                "PUT /count HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    expect_answer(fd, 100, NULL);
    client_text(&fixture, fd, "3\r\nabc\r\n0\r\n\r\n");
    expect_answer(fd, 200, "3");
    close(fd);
}

static void the_final_error_comes_instead_of_continue(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        { "PUT /refuse HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n", 507 },
        { "PUT /nothing HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n", 404 },
        { "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n", 413 },
        { "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 68719476737\r\nExpect: 100-continue\r\n\r\n",
          413 },
        { "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n\r\n", 413 },
        { "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 200-ok\r\n\r\n", 417 },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int fd = client_connect(&fixture);
        client_text(&fixture, fd, cases[i].text);
        expect_answer(fd, cases[i].status, NULL);
        close(fd);
    }
    assert_int_equal(handled.calls, 2); /* refuse, and echo, which sees that it is too large */
}

static void a_body_that_did_not_wait_needs_no_continue(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd,
                "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\nping");
    expect_answer(fd, 200, "ping");
    client_text(&fixture, fd,
                "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    expect_answer(fd, 200, NULL);
    close(fd);
}

/* Whatever the packets, a chunked body is the same; the request behind it too. */
static void every_split_of_a_chunked_body_is_read_alike(void **state)
{
    static const char text[] = "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                               "3;ext=\"1\"\r\nabc\r\n7\r\ndefghij\r\n0\r\nTrailer: t\r\n\r\n"
                               "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    (void)state;

    for (size_t cut = 1; cut < sizeof text - 1; cut++) {
        int fd = client_connect(&fixture);
        client_send(&fixture, fd, text, cut);
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
        client_send(&fixture, fd, text + cut, sizeof text - 1 - cut);
        expect_answer(fd, 200, "abcdefghij");
        expect_answer(fd, 200, "hello");
        close(fd);
    }
}

static void large_bodies_stream_through(void **state)
{
    enum { SIZE = 20 * 1024 * 1024 };
    uint8_t *data = calloc(1, SIZE);
    int fd = client_connect(&fixture);
    char request[128], expected[32];
    (void)state;

    snprintf(request, sizeof request, "PUT /count HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", SIZE);
    snprintf(expected, sizeof expected, "%d", SIZE);
    client_text(&fixture, fd, request);
    client_send(&fixture, fd, data, SIZE);
    expect_answer(fd, 200, expected);
    close(fd);
    free(data);
}

/* As much as fits into the sockets while nobody takes it. */
static size_t send_until_full(int fd, const uint8_t *data, size_t size)
{
    size_t sent = 0;

    for (int idle = 0; idle < 20 && sent < size;) {
        ssize_t got = send(fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        idle = got > 0 ? 0 : idle + 1;
        sent += got > 0 ? (size_t)got : 0;
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    }
    return sent;
}

static void a_paused_body_stays_with_the_client(void **state)
{
    enum { SIZE = 64 * 1024 * 1024 };
    uint8_t *data = calloc(1, SIZE);
    int fd = client_connect(&fixture);
    char request[128], expected[32];
    (void)state;

    snprintf(request, sizeof request, "PUT /hold HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", SIZE);
    snprintf(expected, sizeof expected, "%d", SIZE);
    client_text(&fixture, fd, request);
    size_t sent = send_until_full(fd, data, SIZE);
    assert_true(sent < SIZE);
    assert_non_null(handled.held);
    assert_true(handled.body_size <= 64 * 1024); /* one read */
    http_body_resume(handled.held);
    client_send(&fixture, fd, data + sent, SIZE - sent);
    expect_answer(fd, 200, expected);
    close(fd);
    free(data);
}

static void chunks_behind_a_pause_wait_too(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd,
                "PUT /hold HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n");
    while (handled.held == NULL)
        fixture_turn(&fixture, fd, POLLIN);
    for (int i = 0; i < 10; i++)
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    assert_int_equal(handled.body_size, 3);
    http_body_resume(handled.held);
    expect_answer(fd, 200, "5");
    expect_answer(fd, 200, "hello");
    close(fd);
}

static void a_gathered_body_has_its_limit(void **state)
{
    uint8_t *data = calloc(1, 2 << 20);
    int fd = client_connect(&fixture);
    char line[64];
    (void)state;

    client_text(&fixture, fd, "PUT /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    snprintf(line, sizeof line, "%x\r\n", 2 << 20);
    client_text(&fixture, fd, line);
    client_send(&fixture, fd, data, 2 << 20);
    expect_answer(fd, 413, NULL);
    assert_int_equal(handled.end, STATUS_TOO_LARGE);
    assert_int_equal(handled.ends, 1);
    close(fd);
    free(data);
}

/* Up to 256 KiB that nobody wants are read, so that the connection can be kept; beyond, it is
 * closed. */
static void what_is_left_of_a_refused_body_decides_about_the_connection(void **state)
{
    static const struct {
        size_t size;
        bool kept;
    } cases[] = { { 256 * 1024, true }, { 256 * 1024 + 1, false }, { 10 * 1024 * 1024, false } };
    uint8_t *data = calloc(1, 10 * 1024 * 1024);
    char request[128], value[16];
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int fd = client_connect(&fixture);

        snprintf(request, sizeof request,
                 "PUT /refuse HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", cases[i].size);
        client_text(&fixture, fd, request);
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 507);
        assert_int_equal(answer_header(&answer, "Connection", value, sizeof value) == NULL,
                         cases[i].kept);
        answer_free(&answer);
        client_send(&fixture, fd, data, cases[i].size);
        client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        if (cases[i].kept)
            expect_answer(fd, 200, "hello");
        else
            assert_true(client_closed(&fixture, fd));
        close(fd);
    }
    free(data);
}

/* The answer is there to be read although the client still sends: no reset takes it away. */
static void an_early_answer_survives_what_is_still_sent(void **state)
{
    uint8_t *data = calloc(1, 4 << 20);
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "PUT /refuse HTTP/1.1\r\n" HOST "Content-Length: 104857600\r\n\r\n");
    client_send(&fixture, fd, data, 4 << 20);
    expect_answer(fd, 507, NULL);
    close(fd);
    free(data);
}

static void a_client_that_leaves_cancels_its_body(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nhello");
    close(fd);
    while (handled.overs == 0)
        fixture_turn(&fixture, -1, 0);
    assert_int_equal(handled.ends, 1);
    assert_int_equal(handled.end, STATUS_CANCELLED);
}

static void an_answer_to_nobody_is_dropped(void **state)
{
    struct linger reset = { .l_onoff = 1 };
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    while (handled.held == NULL)
        fixture_turn(&fixture, fd, 0);
    assert_false(http_gone(handled.held));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    while (!http_gone(handled.held))
        fixture_turn(&fixture, -1, 0);
    assert_int_equal(handled.overs, 0); /* it lives until the reply */
    http_reply_text(handled.held, 200, "text/plain", "nobody");
    while (handled.overs == 0)
        fixture_turn(&fixture, -1, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(continue_comes_when_the_body_is_wanted),
        TEST(the_final_error_comes_instead_of_continue),
        TEST(a_body_that_did_not_wait_needs_no_continue),
        TEST(every_split_of_a_chunked_body_is_read_alike),
        TEST(large_bodies_stream_through),
        TEST(a_paused_body_stays_with_the_client),
        TEST(chunks_behind_a_pause_wait_too),
        TEST(a_gathered_body_has_its_limit),
        TEST(what_is_left_of_a_refused_body_decides_about_the_connection),
        TEST(an_early_answer_survives_what_is_still_sent),
        TEST(a_client_that_leaves_cancels_its_body),
        TEST(an_answer_to_nobody_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
