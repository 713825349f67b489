/* test_http_batch.c: answers that are held back until all requests of a turn are read, and clients that leave or take
 * nothing meanwhile. */
#include "http_handlers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <cmocka.h>

enum { READ_SIZE = 64 * 1024, TRIES_MAX = 2000 };

static const char hello[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
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
    if (handled.fd >= 0)
        handlers_file_close();
}

/* All of it, without a turn of the loop. */
static void send_now(int fd, const void *data, size_t size)
{
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

static void expect_hello(int fd)
{
    struct answer answer = client_answer(&fixture, fd, false);

    assert_int_equal(answer.status, 200);
    answer_free(&answer);
}

static void wait_acknowledged(int fd)
{
    int left = 1;

    while (left > 0)
        assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
}

static void close_with_reset(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(fd);
}

/* A request that fills one read to its last byte is answered before the next read finds the reset. */
static void a_client_that_is_reset_while_its_answer_is_held_is_let_go(void **state)
{
    static char request[READ_SIZE];
    static const char head[] = "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65482\r\n\r\n";
    (void)state;

    memset(request, 'x', sizeof request);
    memcpy(request, head, sizeof head - 1);
    assert_int_equal(sizeof head - 1 + 65482, sizeof request);
    start((struct http_limits){ .rate_min = 0 });
    int leaving = client_connect(&fixture), other = client_connect(&fixture);
    client_text(&fixture, other, hello);
    expect_hello(other);
    client_text(&fixture, leaving, hello);
    expect_hello(leaving);
    unsigned overs = handled.overs;
    send_now(leaving, request, sizeof request);
    wait_acknowledged(leaving);
    close_with_reset(leaving);
    send_now(other, hello, sizeof hello - 1);
    expect_hello(other);
    for (unsigned i = 0; i < TRIES_MAX && handled.overs < overs + 2; i++)
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    assert_int_equal(handled.overs, overs + 2);
    close(other);
    stop();
}

/* Who does not read the answers to its requests is cut, whether they were held back or not. */
static void a_reader_that_takes_nothing_of_held_answers_is_cut(void **state)
{
    static const char request[] = "GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=0-32767\r\n\r\n";
    (void)state;

    start((struct http_limits){ .rate_window_ms = 60, .rate_min = 100000 });
    handlers_file(1 << 20);
    int size = 4096, slow = client_socket();
    assert_int_equal(setsockopt(slow, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    client_connect_to(&fixture, slow);
    int other = client_connect(&fixture);
    client_text(&fixture, other, hello);
    expect_hello(other);
    unsigned sent = 0;
    while (handled.overs == handled.calls && sent++ < TRIES_MAX) {
        send_now(slow, request, sizeof request - 1);
        send_now(other, hello, sizeof hello - 1);
        expect_hello(other);
        assert_int_equal(handled.calls, 2 * sent + 1);
    }
    assert_int_equal(handled.overs + 1, handled.calls);
    uint64_t begun = uv_hrtime();
    while (handled.overs < handled.calls && uv_hrtime() - begun < FIXTURE_PATIENCE_MS * UINT64_C(1000000))
        fixture_turn(&fixture, -1, 0);
    assert_int_equal(handled.overs, handled.calls);
    close(slow);
    close(other);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_is_reset_while_its_answer_is_held_is_let_go),
        cmocka_unit_test(a_reader_that_takes_nothing_of_held_answers_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
