/* test_http_limits.c: time, rate, connections and descriptors run out; draining. Waits are for events. A delay that a
 * client has to keep is long enough for one that is not run for a while; only what nobody can keep is short. */
#include "http_handlers.h"

#include "proto/base/metric.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

enum { KEPT_MS = 500 }; /* a delay that the client keeps, on a machine that is busy, too */
#define KEPT_NS (KEPT_MS * UINT64_C(1000000))

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

static void expect_answer(int fd, int status)
{
    struct answer answer = client_answer(&fixture, fd, false);

    assert_int_equal(answer.status, status);
    answer_free(&answer);
}

/* --- time --- */

static void idle_connections_are_closed_without_a_word(void **state)
{
    (void)state;
    start((struct http_limits){ .idle_timeout_ms = KEPT_MS });
    int fresh = client_connect(&fixture), used = client_connect(&fixture);
    client_text(&fixture, used, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(used, 200);
    assert_true(client_closed(&fixture, fresh));
    assert_true(client_closed(&fixture, used));
    close(fresh);
    close(used);
    stop();
}

/* False: the connection was closed without a word. */
static bool is_answered(int fd)
{
    uint64_t begun = uv_hrtime();
    ssize_t got;
    char byte;

    client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    while ((got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        fixture_turn(&fixture, fd, POLLIN);
        assert_true(uv_hrtime() - begun < FIXTURE_PATIENCE_MS * UINT64_C(1000000));
    }
    return got > 0;
}

static void a_used_connection_is_idle_from_its_last_answer_on(void **state)
{
    uint64_t begun = uv_hrtime(), used = begun, asked;
    unsigned tries = 0;
    (void)state;

    start((struct http_limits){ .idle_timeout_ms = KEPT_MS });
    int fd = client_connect(&fixture);
    while (uv_hrtime() - begun < 2 * KEPT_NS) { /* twice as long, never idle */
        asked = uv_hrtime();
        if (is_answered(fd)) {
            expect_answer(fd, 200);
            used = asked;
            continue;
        }
        /* It was idle, as this test was not run for so long: once more. */
        assert_true(uv_hrtime() - used > KEPT_NS - 2000000 && ++tries < 100);
        close(fd);
        begun = used = uv_hrtime();
        fd = client_connect(&fixture);
    }
    close(fd);
    stop();
}

/* Sends a byte now and then until something comes back. False: the end came without a word, as where a handshake under TLS has taken
 * its own time up. */
static bool head_is_answered(int fd)
{
    uint64_t begun = uv_hrtime();
    ssize_t got;
    char byte;

    client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n");
    while ((got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        client_text(&fixture, fd, "X: y\r\n");
        fixture_turn(&fixture, fd, POLLIN);
        assert_true(uv_hrtime() - begun < UINT64_C(60) * 1000000000);
    }
    return got > 0;
}

/* Another byte gains no time: it is for the whole head. */
static void a_head_has_its_time_in_all(void **state)
{
    unsigned tries = 0;
    (void)state;
    start((struct http_limits){ .head_timeout_ms = KEPT_MS, .idle_timeout_ms = 60000 });
    int fd = client_connect(&fixture);
    while (!head_is_answered(fd)) { /* on a machine that is very busy */
        assert_true(++tries < 20);
        close(fd);
        fd = client_connect(&fixture);
    }
    expect_answer(fd, 408);
    assert_true(client_closed(&fixture, fd));
    close(fd);
    stop();
}

static void a_slow_body_is_cut(void **state)
{
    (void)state;
    start((struct http_limits){ .rate_window_ms = 60 });
    int fd = client_connect(&fixture);
    client_text(&fixture, fd, "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n");
    while (handled.ends == 0) { /* a byte a turn */
        client_text(&fixture, fd, "x");
        fixture_turn(&fixture, fd, POLLIN);
        if (handled.body_size > 50)
            break;
    }
    expect_answer(fd, 408);
    assert_int_equal(handled.end, STATUS_TIMEOUT);
    close(fd);
    stop();
}

static void a_body_that_is_paused_here_is_not_slow(void **state)
{
    (void)state;
    start((struct http_limits){ .rate_window_ms = KEPT_MS }); /* the client has to bring the rest within it */
    int fd = client_connect(&fixture);
    client_text(&fixture, fd, "PUT /hold HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nabc");
    uint64_t begun = uv_hrtime();
    while (uv_hrtime() - begun < 2 * KEPT_NS)
        fixture_turn(&fixture, fd, POLLIN);
    assert_int_equal(handled.ends, 0);
    client_text(&fixture, fd, "def");
    http_body_resume(handled.held);
    expect_answer(fd, 200);
    close(fd);
    stop();
}

static void a_reader_that_takes_nothing_is_cut(void **state)
{
    (void)state;
    start((struct http_limits){ .rate_window_ms = 60 });
    handlers_file(64 << 20);
    int fd = client_connect(&fixture);
    client_text(&fixture, fd, "GET /file HTTP/1.1\r\n" HOST "\r\n");
    while (handled.overs == 0)
        fixture_turn(&fixture, -1, 0);
    close(fd);
    stop();
}

/* The kernel's buffer drains in lumps far apart: a reader is judged by what left this machine's
 * queue, not by those. The loop runs a window's end at most once a turn, and in each turn the reader makes room in its small
 * buffer: so it keeps the rate however long a turn takes. */
static void a_slow_reader_that_keeps_the_rate_is_served(void **state)
{
    static uint8_t bytes[65536];
    int size = 16384, fd = client_socket();
    (void)state;
    start((struct http_limits){ .rate_window_ms = 40 });
    handlers_file(64 << 20);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
    client_connect_to(&fixture, fd);
    uint64_t begun = uv_hrtime();
    client_text(&fixture, fd, "GET /file HTTP/1.1\r\n" HOST "\r\n");
    while (uv_hrtime() - begun < 400000000) { /* ten windows */
        fixture_turn(&fixture, -1, 0);
        if (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) == 0)
            fail_msg("cut after %llu ms", (unsigned long long)((uv_hrtime() - begun) / 1000000));
    }
    assert_int_equal(handled.calls, 1);
    assert_int_equal(handled.overs, 0);
    close(fd);
    stop();
}

static void a_handler_may_take_its_time(void **state)
{
    (void)state;
    start((struct http_limits){
        .rate_window_ms = 20, .idle_timeout_ms = KEPT_MS, .head_timeout_ms = KEPT_MS });
    int fd = client_connect(&fixture);
    client_text(&fixture, fd, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    uint64_t begun = uv_hrtime();
    while (uv_hrtime() - begun < 2 * KEPT_NS)
        fixture_turn(&fixture, fd, POLLIN);
    http_reply_text(handled.held, 200, "text/plain", "at last");
    expect_answer(fd, 200);
    close(fd);
    stop();
}

/* --- number --- */

static void connections_beyond_the_limit_wait_for_their_turn(void **state)
{
    int fds[5];
    (void)state;

    start((struct http_limits){ .connections_max = 2 });
    for (int i = 0; i < 5; i++) {
        fds[i] = client_connect(&fixture);
        client_text(&fixture, fds[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    }
    for (int i = 0; i < 5; i++) {
        assert_true(handled.calls <= (unsigned)i + 2);
        expect_answer(fds[i], 200);
        close(fds[i]);
    }
    assert_int_equal(handled.calls, 5);
    stop();
}

static int64_t cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * (int64_t)1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* No descriptor left: the client is turned away, the loop sleeps, and the next one is served. */
static void running_out_of_descriptors_does_not_spin(void **state)
{
    struct rlimit before, tight;
    (void)state;

    start((struct http_limits){ .head_max = 0 });
    int fd = client_socket();
    int next = dup(fd); /* the one that accept() would get */
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    tight = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    client_connect_to(&fixture, fd);
    uint64_t begun = uv_hrtime();
    int64_t cpu_begun_us = cpu_us();
    while (uv_hrtime() - begun < 300000000)
        fixture_turn(&fixture, -1, 0);
    int64_t used_us = cpu_us() - cpu_begun_us;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(used_us < 150000);
    assert_true(client_closed(&fixture, fd));
    close(fd);
    fd = client_connect(&fixture);
    client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 200);
    close(fd);
    stop();
}

/* --- start and drain --- */

static void an_address_in_use_is_told(void **state)
{
    struct http_server_options options = { .routes = handlers_routes };
    struct http_server *server;
    struct error err;
    char listen[32];
    (void)state;

    start((struct http_limits){ .head_max = 0 });
    snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(fixture.server));
    options.loop = &fixture.loop;
    options.listen = listen;
    error_init(&err);
    assert_int_not_equal(http_server_start(&options, &server, &err), STATUS_OK);
    assert_non_null(strstr(err.text, listen));
    assert_non_null(strstr(err.text, "in use"));
    assert_null(server);
    options.listen = "no such address";
    assert_int_equal(http_server_start(&options, &server, &err), STATUS_BAD_VALUE);
    options.listen = "256.256.256.256:80";
    assert_int_equal(http_server_start(&options, &server, &err), STATUS_BAD_VALUE);
    stop();
}

static void two_servers_may_share_an_address(void **state)
{
    struct http_server_options options = { .routes = handlers_routes, .reuse_port = true };
    struct fixture other;
    char listen[32];
    (void)state;

    handlers_reset();
    fixture_start_with(&fixture, options);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(fixture.server));
    options.listen = listen;
    fixture_start_with(&other, options);
    fixture_stop(&other);
    stop();
}

static void draining_ends_what_is_idle_and_finishes_what_is_not(void **state)
{
    char value[16];
    (void)state;

    start((struct http_limits){ .head_max = 0 });
    int idle = client_connect(&fixture), waiting = client_connect(&fixture),
        sending = client_connect(&fixture);
    client_text(&fixture, idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(idle, 200);
    client_text(&fixture, waiting, "GET /wait HTTP/1.1\r\n" HOST "\r\n");
    client_text(&fixture, sending, "PUT /count HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nab");
    while (handled.calls < 3)
        fixture_turn(&fixture, -1, 0);
    http_server_drain(fixture.server, fixture_on_drained, &fixture);
    assert_true(client_closed(&fixture, idle));
    assert_false(fixture.drained);
    client_text(&fixture, sending, "cd");
    struct answer answer = client_answer(&fixture, sending, false);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "Connection", value, sizeof value), "close");
    answer_free(&answer);
    http_reply_text(handled.held, 200, "text/plain", "done");
    expect_answer(waiting, 200);
    assert_true(client_closed(&fixture, waiting));
    close(idle);
    close(waiting);
    close(sending);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_true(fixture.drained);
    http_server_free(fixture.server);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
}

/* Nobody who has sent a request, or has just connected to send one, is turned away. */
static void draining_answers_what_is_on_its_way(void **state)
{
    (void)state;

    start((struct http_limits){ .head_max = 0 });
    int sent = client_connect(&fixture), fresh = client_connect(&fixture);
    client_text(&fixture, sent, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(sent, 200);
    fixture_turn(&fixture, fresh, 0);
    assert_true(send(sent, "GET /hello HTTP/1.1\r\n" HOST "\r\n", 32, MSG_NOSIGNAL) == 32); /* not read yet */
    http_server_drain(fixture.server, fixture_on_drained, &fixture);
    expect_answer(sent, 200);
    assert_true(client_closed(&fixture, sent));
    client_text(&fixture, fresh, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fresh, 200);
    assert_true(client_closed(&fixture, fresh));
    close(sent);
    close(fresh);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_true(fixture.drained);
    http_server_free(fixture.server);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
}

/* --- before, metrics --- */

static bool before(struct http_exchange *ex, const struct http_route *route)
{
    assert_non_null(route);
    http_reply_header(ex, "X-Before", "%s", route->name);
    if (slice_equals(http_path(ex), "/hello"))
        return true;
    http_reply_error(ex, STATUS_DRAINING, NULL, NULL);
    return false;
}

static void before_may_answer_instead(void **state)
{
    struct http_server_options options = { .routes = handlers_routes, .before = before };
    char value[32];
    (void)state;

    handlers_reset();
    fixture_start_with(&fixture, options);
    struct answer answer = client_once(&fixture, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "X-Before", value, sizeof value), "hello");
    answer_free(&answer);
    answer = client_once(&fixture, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer_header(&answer, "X-Before", value, sizeof value), "later");
    assert_non_null(answer_header(&answer, "Retry-After", value, sizeof value));
    answer_free(&answer);
    stop();
}

static void requests_are_counted_by_handler_method_and_code(void **state)
{
    struct buf text;
    (void)state;

    http_metrics_register();
    start((struct http_limits){ .head_max = 0 });
    int fd = client_connect(&fixture);
    for (int i = 0; i < 3; i++) {
        client_text(&fixture, fd, "POST /post HTTP/1.1\r\n" HOST "\r\n");
        expect_answer(fd, 204);
    }
    client_text(&fixture, fd, "BREW /post HTTP/1.1\r\n" HOST "\r\n");
    expect_answer(fd, 405);
    buf_init(&text, 1 << 20);
    metric_print(&text);
    assert_non_null(
        strstr(buf_string(&text),
               "gribstore_http_requests_total{handler=\"post\",method=\"POST\",code=\"204\"} 3\n"));
    assert_non_null(
        strstr(buf_string(&text),
               "gribstore_http_requests_total{handler=\"none\",method=\"other\",code=\"405\"} 1\n"));
    assert_non_null(strstr(buf_string(&text),
                           "gribstore_http_request_duration_seconds_count{handler=\"post\"} 3\n"));
    assert_non_null(strstr(buf_string(&text), "gribstore_http_connections 1\n"));
    assert_non_null(strstr(buf_string(&text), "gribstore_http_request_bytes_total"));
    assert_null(strstr(buf_string(&text), "gribstore_http_request_bytes_total 0\n"));
    assert_null(strstr(buf_string(&text), "gribstore_http_response_bytes_total 0\n"));
    buf_fini(&text);
    close(fd);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_are_closed_without_a_word),
        cmocka_unit_test(a_used_connection_is_idle_from_its_last_answer_on),
        cmocka_unit_test(a_head_has_its_time_in_all),
        cmocka_unit_test(a_slow_body_is_cut),
        cmocka_unit_test(a_body_that_is_paused_here_is_not_slow),
        cmocka_unit_test(a_reader_that_takes_nothing_is_cut),
        cmocka_unit_test(a_slow_reader_that_keeps_the_rate_is_served),
        cmocka_unit_test(a_handler_may_take_its_time),
        cmocka_unit_test(connections_beyond_the_limit_wait_for_their_turn),
        cmocka_unit_test(running_out_of_descriptors_does_not_spin),
        cmocka_unit_test(an_address_in_use_is_told),
        cmocka_unit_test(two_servers_may_share_an_address),
        cmocka_unit_test(draining_ends_what_is_idle_and_finishes_what_is_not),
        cmocka_unit_test(draining_answers_what_is_on_its_way),
        cmocka_unit_test(before_may_answer_instead),
        cmocka_unit_test(requests_are_counted_by_handler_method_and_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
