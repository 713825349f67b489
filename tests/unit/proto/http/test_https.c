/* test_https.c: what only a server over TLS does: how connections begin and end, and whom they know. */
#include "http_handlers.h"
#include "https_wire.h"
#include "proto/http/tls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

static struct fixture fixture;

static void start(struct http_limits limits)
{
    handlers_reset();
    fixture_start(&fixture, handlers_routes, &limits);
}

static void stop(void)
{
    fixture_stop(&fixture);
    assert_int_equal(handled.calls, handled.overs);
}

/* A client that does not speak TLS. */
static int plain_connect(const void *data, size_t size)
{
    struct sockaddr_storage address;
    socklen_t address_size = sizeof address;
    int wired = client_connect(&fixture); /* only to know where */

    assert_int_equal(getpeername(wired, (struct sockaddr *)&address, &address_size), 0);
    wire_close(wired);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, address_size), 0);
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
    return fd;
}

/* All that comes until the end, or a reset. */
static size_t plain_receive(int fd, char *text, size_t room)
{
    uint64_t deadline = uv_hrtime() / 1000000 + FIXTURE_PATIENCE_MS;
    size_t size = 0;

    for (;;) {
        ssize_t got = recv(fd, text + size, room - size - 1, MSG_DONTWAIT);

        assert_true(uv_hrtime() / 1000000 < deadline);
        if (got < 0 && errno == EAGAIN) {
            fixture_turn(&fixture, fd, POLLIN);
            continue;
        }
        text[size += got > 0 ? (size_t)got : 0] = '\0';
        if (got <= 0)
            return size;
    }
}

static void expect_answer(int fd, int status, const char *body)
{
    struct answer answer = client_answer(&fixture, fd, false);

    assert_int_equal(answer.status, status);
    if (body != NULL)
        assert_string_equal(answer.body, body);
    answer_free(&answer);
}

/* --- who does not speak TLS --- */

static void a_plain_request_is_told_in_plain_text(void **state)
{
    static const char *const requests[] = {
        "GET /hello HTTP/1.1\r\n" HOST "\r\n",
        "D", /* there is no need to wait for more */
        "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello",
    };
    char text[4096];

    (void)state;
    start((struct http_limits){ .head_max = 0 });
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        int fd = plain_connect(requests[i], strlen(requests[i]));

        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        plain_receive(fd, text, sizeof text);
        assert_memory_equal(text, "HTTP/1.1 400 ", 13);
        assert_non_null(strstr(text, "Connection: close\r\n"));
        assert_non_null(strstr(text, "https://"));
        close(fd);
    }
    assert_int_equal(handled.calls, 0);
    stop();
}

/* After its one answer nothing is taken: not what came with it, and not what comes later. */
static void no_second_plain_request_is_served(void **state)
{
    static const char two[] = "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n";
    char text[8192];

    (void)state;
    start((struct http_limits){ .head_max = 0 });
    int fd = plain_connect(two, sizeof two - 1);
    plain_receive(fd, text, sizeof text);
    assert_null(strstr(text + 1, "HTTP/1.1 "));
    assert_int_equal(handled.calls, 0);
    close(fd);
    stop();
}

static void garbage_is_closed(void **state)
{
    static const char garbage[] = "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09";
    char text[4096];

    (void)state;
    start((struct http_limits){ .head_max = 0 });
    int fd = plain_connect(garbage, sizeof garbage);
    size_t size = plain_receive(fd, text, sizeof text);
    assert_true(size <= 7); /* an alert */
    close(fd);
    stop();
}

/* --- time --- */

static void a_handshake_has_the_time_of_a_head(void **state)
{
    static const char begun[] = "\x16\x03\x01\x02\x00\x01"; /* a ClientHello that never goes on */
    char text[64];

    (void)state;
    start((struct http_limits){ .head_timeout_ms = 60, .idle_timeout_ms = 60000 });
    int silent = plain_connect("", 0);
    int slow = plain_connect(begun, sizeof begun - 1);
    assert_int_equal(plain_receive(slow, text, sizeof text), 0);
    assert_int_equal(plain_receive(silent, text, sizeof text), 0);
    close(slow);
    close(silent);
    stop();
}

static void who_is_idle_is_told_of_the_end(void **state)
{
    (void)state;
    start((struct http_limits){ .idle_timeout_ms = 2000 }); /* enough for a client that is not run for a while */
    int fd = client_connect(&fixture);
    client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 200, "hello");
    assert_true(client_closed(&fixture, fd));
    assert_true(wire_ended_clean(fd));
    wire_close(fd);
    stop();
}

static void who_is_drained_is_told_of_the_end(void **state)
{
    (void)state;
    start((struct http_limits){ .head_max = 0 });
    int fd = client_connect(&fixture);
    client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 200, "hello");
    http_server_drain(fixture.server, fixture_on_drained, &fixture);
    assert_true(client_closed(&fixture, fd));
    assert_true(wire_ended_clean(fd));
    wire_close(fd);
    while (!fixture.drained)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    http_server_free(fixture.server);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
}

/* A drain does not wait for who never shakes hands. */
static void a_drain_ends_while_hands_are_shaken(void **state)
{
    (void)state;
    start((struct http_limits){ .head_timeout_ms = 60000 });
    int fd = plain_connect("\x16\x03\x01", 3);
    stop();
    close(fd);
}

/* --- how answers end --- */

/* An answer whose end is that of the connection: close_notify says that it is whole, its absence that it is not. */
static void only_a_whole_answer_ends_with_close_notify(void **state)
{
    static const struct {
        const char *request;
        bool clean;
    } cases[] = {
        { "GET /stream?count=20&size=30000 HTTP/1.0\r\n" HOST "\r\n", true },
        { "GET /stream?count=20&size=30000&end=fail HTTP/1.0\r\n" HOST "\r\n", false },
        { "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", true },
        { "GET /stream?count=3&size=30&end=fail HTTP/1.1\r\n" HOST "\r\n", false },
        { "GET /stream?count=3&size=30&known=1&end=short HTTP/1.1\r\n" HOST "\r\n", false },
    };

    (void)state;
    start((struct http_limits){ .head_max = 0 });
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int fd = client_connect(&fixture);

        client_text(&fixture, fd, cases[i].request);
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 200);
        if (i == 0)
            assert_int_equal(answer.size, 20 * 30000);
        answer_free(&answer);
        assert_true(client_closed(&fixture, fd));
        if (wire_ended_clean(fd) != cases[i].clean)
            fail_msg("case %zu ended %s", i, cases[i].clean ? "unclean" : "clean");
        wire_close(fd);
    }
    stop();
}

/* --- much, to one who is slow --- */

enum { MUCH = 8 << 20 };

static void add_waiting(uv_handle_t *handle, void *data)
{
    size_t *most = data;

    if (handle->type == UV_TCP && uv_stream_get_write_queue_size((uv_stream_t *)handle) > *most)
        *most = uv_stream_get_write_queue_size((uv_stream_t *)handle);
}

/* What is sealed waits in one piece; the rest is not sealed before that has gone. */
static void a_slow_reader_costs_one_piece(void **state)
{
    static const char *const requests[] = {
        "GET /file HTTP/1.1\r\n" HOST "\r\n",
        "GET /stream?count=1&size=8388608&known=1 HTTP/1.1\r\n" HOST "\r\n", /* one push of it all */
    };
    int small = 4096;

    (void)state;
    start((struct http_limits){ .head_max = 0 });
    handlers_file(MUCH);
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        size_t waiting = 0;
        int fd = client_socket();

        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        client_connect_to(&fixture, fd);
        client_text(&fixture, fd, requests[i]);
        for (int turn = 0; turn < 100; turn++) {
            uv_run(&fixture.loop, UV_RUN_NOWAIT);
            uv_walk(&fixture.loop, add_waiting, &waiting);
        }
        assert_in_range(waiting, 1, TLS_SEALED_MAX);
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.size, MUCH);
        answer_free(&answer);
        wire_close(fd);
    }
    handlers_file_close();
    stop();
}

/* --- whom it knows --- */

static uint8_t shown[32];
static bool is_known;

static void handle_who(struct http_exchange *ex)
{
    memset(shown, 0, sizeof shown);
    is_known = http_client_certificate(ex, shown);
    http_reply_text(ex, 200, "text/plain", is_known ? "known" : "nobody");
}

static const struct http_route who_routes[] = {
    { HTTP_GET_, "/who", ROLE_NONE, "who", handle_who },
    { 0 },
};

static void ask_who(const char *expected)
{
    int fd = client_connect(&fixture);

    for (int i = 0; i < 2; i++) { /* each request of a connection */
        client_text(&fixture, fd, "GET /who HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 200, expected);
    }
    wire_close(fd);
}

static void a_request_knows_the_certificate_of_its_client(void **state)
{
    static const uint8_t none[32];
    uint8_t fingerprint[32];

    (void)state;
    fixture_start(&fixture, who_routes, NULL);
    ask_who("nobody");
    assert_memory_equal(shown, none, 32);
    wire_show(fingerprint);
    ask_who("known");
    assert_memory_equal(shown, fingerprint, 32);
    wire_show(NULL);
    ask_who("nobody");
    fixture_stop(&fixture);
}

static void connections_go_on_through_a_reload(void **state)
{
    struct error err;

    (void)state;
    error_init(&err);
    start((struct http_limits){ .head_max = 0 });
    handlers_file(MUCH);
    int busy = client_connect(&fixture), idle = client_connect(&fixture);
    client_text(&fixture, idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(idle, 200, "hello");
    client_text(&fixture, busy, "GET /file HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(tls_reload(wire_tls(), &err), STATUS_OK);
    expect_answer(busy, 200, NULL);
    client_text(&fixture, idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(idle, 200, "hello");
    int new = client_connect(&fixture);
    client_text(&fixture, new, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(new, 200, "hello");
    wire_close(busy);
    wire_close(idle);
    wire_close(new);
    handlers_file_close();
    stop();
}

static int remove_wire(void **state)
{
    (void)state;
    wire_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_request_is_told_in_plain_text),
        cmocka_unit_test(no_second_plain_request_is_served),
        cmocka_unit_test(garbage_is_closed),
        cmocka_unit_test(a_handshake_has_the_time_of_a_head),
        cmocka_unit_test(who_is_idle_is_told_of_the_end),
        cmocka_unit_test(who_is_drained_is_told_of_the_end),
        cmocka_unit_test(a_drain_ends_while_hands_are_shaken),
        cmocka_unit_test(only_a_whole_answer_ends_with_close_notify),
        cmocka_unit_test(a_slow_reader_costs_one_piece),
        cmocka_unit_test(a_request_knows_the_certificate_of_its_client),
        cmocka_unit_test(connections_go_on_through_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, remove_wire);
}
