/* http_fixture.c: the loop runs while a client waits for its socket. */
#include "http_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

void fixture_start_with(struct fixture *fixture, struct http_server_options options)
{
    struct error err;

    error_init(&err);
    fixture->server = NULL;
    fixture->drained = false;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    options.loop = &fixture->loop;
    options.context = fixture;
    if (options.listen == NULL)
        options.listen = "127.0.0.1:0";
    assert_int_equal(http_server_start(&options, &fixture->server, &err), STATUS_OK);
}

void fixture_start(struct fixture *fixture, const struct http_route *routes,
                   const struct http_limits *limits)
{
    struct http_server_options options = { .routes = routes };

    if (limits != NULL)
        options.limits = *limits;
    fixture_start_with(fixture, options);
}

void fixture_on_drained(struct http_server *server, void *data)
{
    struct fixture *fixture = data;

    assert_ptr_equal(server, fixture->server);
    fixture->drained = true;
}

void fixture_stop(struct fixture *fixture)
{
    http_server_drain(fixture->server, fixture_on_drained, fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(fixture->drained);
    http_server_free(fixture->server);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

void fixture_turn(struct fixture *fixture, int fd, short events)
{
    struct pollfd polled[2] = {
        { .fd = fd, .events = events },
        { .fd = uv_backend_fd(&fixture->loop), .events = POLLIN },
    };
    int timeout_ms;

    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    timeout_ms = uv_backend_timeout(&fixture->loop);
    if (timeout_ms < 0 || timeout_ms > FIXTURE_PATIENCE_MS)
        timeout_ms = FIXTURE_PATIENCE_MS;
    assert_true(poll(polled, 2, timeout_ms) >= 0);
}

int client_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

void client_connect_to(struct fixture *fixture, int fd)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)http_server_port(fixture->server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int on = 1;

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

int client_connect(struct fixture *fixture)
{
    int fd = client_socket();

    client_connect_to(fixture, fd);
    return fd;
}

static uint64_t fixture_deadline(void)
{
    return uv_hrtime() / 1000000 + FIXTURE_PATIENCE_MS;
}

void client_send(struct fixture *fixture, int fd, const void *data, size_t size)
{
    uint64_t deadline = fixture_deadline();
    const uint8_t *at = data;

    while (size > 0) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);

        assert_true(uv_hrtime() / 1000000 < deadline);
        if (sent < 0 && errno == EAGAIN) {
            fixture_turn(fixture, fd, POLLOUT);
            continue;
        }
        if (sent == 0 || (sent < 0 && (errno == EPIPE || errno == ECONNRESET)))
            return; /* refused half way: the answer tells */
        assert_true(sent > 0);
        at += sent;
        size -= (size_t)sent;
    }
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

void client_text(struct fixture *fixture, int fd, const char *text)
{
    client_send(fixture, fd, text, strlen(text));
}

/* Bytes, 0 at the end; waits for one of them. */
static size_t client_receive(struct fixture *fixture, int fd, uint8_t *data, size_t size)
{
    uint64_t deadline = fixture_deadline();

    for (;;) {
        ssize_t got = recv(fd, data, size, 0);

        if (got >= 0)
            return (size_t)got;
        if (errno == ECONNRESET)
            return 0;
        assert_int_equal(errno, EAGAIN);
        assert_true(uv_hrtime() / 1000000 < deadline);
        fixture_turn(fixture, fd, POLLIN);
    }
}

bool client_closed(struct fixture *fixture, int fd)
{
    uint8_t byte;

    return client_receive(fixture, fd, &byte, 1) == 0;
}

const char *answer_header(const struct answer *answer, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);

    for (const char *at = strstr(answer->head, "\r\n"); at != NULL; at = strstr(at + 2, "\r\n")) {
        const char *line = at + 2;
        const char *end = strstr(line, "\r\n");

        if (end == NULL || strncasecmp(line, name, length) != 0 || line[length] != ':')
            continue;
        line += length + 2;
        assert_true((size_t)(end - line) < size);
        memcpy(value, line, (size_t)(end - line));
        value[end - line] = '\0';
        return value;
    }
    return NULL;
}

static void client_read_head(struct fixture *fixture, int fd, struct answer *answer)
{
    size_t size = 0, capacity = 64 * 1024;

    answer->head = calloc(1, capacity);
    assert_non_null(answer->head);
    while (size < 4 || memcmp(answer->head + size - 4, "\r\n\r\n", 4) != 0) {
        assert_true(size + 1 < capacity);
        if (client_receive(fixture, fd, (uint8_t *)answer->head + size, 1) == 0)
            return; /* status 0: closed before an answer */
        size++;
    }
    assert_memory_equal(answer->head, "HTTP/1.1 ", 9);
    answer->status = atoi(answer->head + 9);
}

/* size bytes more of the body, or fewer at the end of the connection. */
static size_t client_read_body(struct fixture *fixture, int fd, struct answer *answer, size_t size)
{
    size_t first = answer->size;

    answer->body = realloc(answer->body, answer->size + size + 1);
    assert_non_null(answer->body);
    while (answer->size < first + size) {
        size_t got = client_receive(fixture, fd, answer->body + answer->size,
                                    first + size - answer->size);
        if (got == 0)
            break;
        answer->size += got;
    }
    answer->body[answer->size] = '\0';
    return answer->size - first;
}

static void client_read_chunks(struct fixture *fixture, int fd, struct answer *answer)
{
    for (;;) {
        char line[32];
        size_t used = 0, size;

        while (used < 2 || line[used - 2] != '\r' || line[used - 1] != '\n') {
            assert_true(used < sizeof line);
            if (client_receive(fixture, fd, (uint8_t *)line + used, 1) == 0)
                return; /* cut */
            used++;
        }
        size = strtoul(line, NULL, 16);
        client_read_body(fixture, fd, answer, size + 2);
        answer->size -= 2;
        if (size == 0)
            break;
    }
    answer->body[answer->size] = '\0';
}

struct answer client_answer(struct fixture *fixture, int fd, bool without_body)
{
    struct answer answer = { .status = 0 };
    char value[64];

    client_read_head(fixture, fd, &answer);
    if (answer.status < 200 || answer.status == 204 || answer.status == 304 || without_body)
        return answer;
    if (answer_header(&answer, "Transfer-Encoding", value, sizeof value) != NULL)
        client_read_chunks(fixture, fd, &answer);
    else if (answer_header(&answer, "Content-Length", value, sizeof value) != NULL)
        client_read_body(fixture, fd, &answer, strtoul(value, NULL, 10));
    else
        while (client_read_body(fixture, fd, &answer, 4096) > 0)
            ;
    return answer;
}

void answer_free(struct answer *answer)
{
    free(answer->head);
    free(answer->body);
    *answer = (struct answer){ .status = 0 };
}

struct answer client_once(struct fixture *fixture, const char *text)
{
    int fd = client_connect(fixture);
    struct answer answer;

    client_text(fixture, fd, text);
    answer = client_answer(fixture, fd, strncmp(text, "HEAD ", 5) == 0);
    close(fd);
    return answer;
}
