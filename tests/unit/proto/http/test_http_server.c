/* test_http_server.c: requests and answers over real sockets. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void handle_hello(struct http_exchange *ex)
{
    http_reply_text(ex, 200, "text/plain", "hello");
}

static void echo_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct buf copy;

    if (status != STATUS_OK) {
        http_reply_error(ex, status, NULL, NULL);
        return;
    }
    buf_init(&copy, body.size);
    buf_append(&copy, body.data, body.size);
    http_reply(ex, 200, "application/octet-stream", &copy);
}

static void handle_echo(struct http_exchange *ex)
{
    http_body_gather(ex, 1 << 20, echo_on_body);
}

static const struct http_route routes[] = {
    { HTTP_GET_, "/hello", ROLE_NONE, "hello", handle_hello },
    { HTTP_PUT_, "/echo", ROLE_NONE, "echo", handle_echo },
    { .pattern = NULL },
};

static void get_and_put_share_a_connection(void **state)
{
    struct fixture fixture;
    (void)state;

    fixture_start(&fixture, routes, NULL);
    int fd = client_connect(&fixture);
    for (int i = 0; i < 3; i++) {
        client_text(&fixture, fd, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "hello");
        answer_free(&answer);
        client_text(&fixture, fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nping");
        answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 200);
        assert_string_equal(answer.body, "ping");
        answer_free(&answer);
    }
    close(fd);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_and_put_share_a_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
