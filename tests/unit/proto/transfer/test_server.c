/* test_server.c: a blocking HTTP server, as small as the tests allow. It speaks HTTP/1.1 with one request at a time. */
#include "test_server.h"

#include "proto/base/bytes.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_SIZE_MAX = 8192, BODY_KEPT_MAX = 4096 };

struct connection {
    struct test_server *server;
    int socket;
    unsigned number;   /* of this connection, from 1 */
    unsigned requests; /* on it so far */
    char in[HEAD_SIZE_MAX + 1];
    size_t in_size;
};

struct request {
    char method[16], target[256];
    char authorization[64];
    bool expect, chunked;
    uint64_t length;
    uint8_t body[BODY_KEPT_MAX];
    size_t body_kept;
    uint64_t body_size;
};

static bool send_all(struct connection *conn, const void *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(conn->socket, data, size, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        data = (const char *)data + sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool send_text(struct connection *conn, const char *text)
{
    return send_all(conn, text, strlen(text));
}

/* At least one more byte. */
static bool receive(struct connection *conn)
{
    ssize_t got = recv(conn->socket, conn->in + conn->in_size, HEAD_SIZE_MAX - conn->in_size, 0);

    if (got <= 0)
        return false;
    conn->in_size += (size_t)got;
    conn->in[conn->in_size] = '\0';
    return true;
}

static void consume(struct connection *conn, size_t size)
{
    memmove(conn->in, conn->in + size, conn->in_size - size + 1);
    conn->in_size -= size;
}

static void read_header(struct request *request, const char *line)
{
    if (strncasecmp(line, "Content-Length:", 15) == 0)
        request->length = strtoull(line + 15, NULL, 10);
    else if (strncasecmp(line, "Transfer-Encoding: chunked", 26) == 0)
        request->chunked = true;
    else if (strncasecmp(line, "Expect: 100-continue", 20) == 0)
        request->expect = true;
    else if (strncasecmp(line, "Authorization: ", 15) == 0)
        snprintf(request->authorization, sizeof request->authorization, "%s", line + 15);
}

static bool read_head(struct connection *conn, struct request *request)
{
    char *end, *save = NULL;

    while ((end = strstr(conn->in, "\r\n\r\n")) == NULL) {
        if (conn->in_size == HEAD_SIZE_MAX || !receive(conn))
            return false;
    }
    *end = '\0';
    char *line = strtok_r(conn->in, "\r\n", &save);
    assert(line != NULL && sscanf(line, "%15s %255s", request->method, request->target) == 2);
    while ((line = strtok_r(NULL, "\r\n", &save)) != NULL)
        read_header(request, line);
    consume(conn, (size_t)(end + 4 - conn->in));
    return true;
}

static bool read_body(struct connection *conn, struct request *request, uint64_t size)
{
    while (size > 0) {
        if (conn->in_size == 0 && !receive(conn))
            return false;
        size_t part = conn->in_size < size ? conn->in_size : (size_t)size;
        size_t kept = part < BODY_KEPT_MAX - request->body_kept ? part
                                                                : BODY_KEPT_MAX - request->body_kept;

        memcpy(request->body + request->body_kept, conn->in, kept);
        request->body_kept += kept;
        request->body_size += part;
        consume(conn, part);
        size -= part;
    }
    return true;
}

static bool read_chunks(struct connection *conn, struct request *request)
{
    for (;;) {
        char *end;

        while ((end = strstr(conn->in, "\r\n")) == NULL) {
            if (!receive(conn))
                return false;
        }
        uint64_t size = strtoull(conn->in, NULL, 16);
        consume(conn, (size_t)(end + 2 - conn->in));
        if (!read_body(conn, request, size))
            return false;
        while (conn->in_size < 2) {
            if (!receive(conn))
                return false;
        }
        consume(conn, 2);
        if (size == 0)
            return true;
    }
}

/* ---- targets ---- */

static bool answer(struct connection *conn, const char *status, const char *headers,
                   const void *body, size_t size)
{
    char head[512];

    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, size, headers);
    return send_text(conn, head) && send_all(conn, body, size);
}

static bool serve_echo(struct connection *conn, const struct request *request)
{
    char headers[256];

    snprintf(headers, sizeof headers,
             "X-Method: %s\r\nx-expect:%s\r\nX-Authorization: %s\r\nX-Size: %llu\r\n",
             request->method, request->expect ? "yes" : "no  ", request->authorization,
             (unsigned long long)request->body_size);
    return answer(conn, "200 OK", headers, request->body, request->body_kept);
}

static bool serve_head(struct connection *conn, const struct request *request)
{
    (void)request;
    return send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n");
}

static bool serve_bytes(struct connection *conn, const struct request *request)
{
    size_t size = strtoull(request->target + strlen("/bytes/"), NULL, 10);
    uint8_t *bytes = malloc(size);

    assert(bytes != NULL);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i % 251);
    bool sent = answer(conn, "206 Partial Content", "", bytes, size);
    free(bytes);
    return sent;
}

static bool serve_connection(struct connection *conn, const struct request *request)
{
    char text[16];

    (void)request;
    snprintf(text, sizeof text, "%u", conn->number);
    return answer(conn, "200 OK", "", text, strlen(text));
}

static bool serve_problem(struct connection *conn, const struct request *request)
{
    const char *text = "{\"type\":\"urn:gribstore:error:bad-grib\",\"code\":\"bad-grib\",\"status\":422,"
                       "\"detail\":\"message 3 has no 7777\",\"offset\":4711,\"stored\":2}";

    (void)request;
    return answer(conn, "422 Unprocessable Content", "Content-Type: application/problem+json\r\n",
                  text, strlen(text));
}

static bool serve_busy(struct connection *conn, const struct request *request)
{
    (void)request;
    return answer(conn, "503 Service Unavailable", "Retry-After: 2\r\n", "busy", 4);
}

static bool serve_redirect(struct connection *conn, const struct request *request)
{
    (void)request;
    return answer(conn, "302 Found", "Location: /echo\r\n", "", 0);
}

/* A kept connection that turns out dead when it is used again. */
static bool serve_stale(struct connection *conn, const struct request *request)
{
    return conn->requests == 1 && serve_echo(conn, request);
}

static bool serve_close(struct connection *conn, const struct request *request)
{
    (void)conn, (void)request;
    return false;
}

static bool serve_cut(struct connection *conn, const struct request *request)
{
    (void)request;
    send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    return false;
}

/* Nothing, until the client goes. */
static bool serve_silent(struct connection *conn, const struct request *request)
{
    (void)request;
    while (receive(conn))
        conn->in_size = 0;
    return false;
}

static bool serve_stalled(struct connection *conn, const struct request *request)
{
    send_text(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    return serve_silent(conn, request);
}

/* Heads that libcurl takes and the rules do not: /odd/0, /odd/1, ... */
static bool serve_odd(struct connection *conn, const struct request *request)
{
    static const char *const heads[TEST_SERVER_ODD_COUNT] = {
        "HTTP/1.1  200 OK",
        "HTTP/1.1 200 OK\r\nHTTP/1.1: x",
        "HTTP/1.1 200 OK\r\nHTTP/: 99",
        "HTTP/1.1 000 OK",
        "HTTP/1.1 2000 OK",
        "ICY 200 OK",
        "nothing of the kind",
    };
    size_t which = strtoull(request->target + strlen("/odd/"), NULL, 10);

    if (which >= TEST_SERVER_ODD_COUNT)
        return false;
    send_text(conn, heads[which]);
    send_text(conn, "\r\nContent-Length: 2\r\n\r\nok");
    return false;
}

static const struct {
    const char *target;
    bool (*serve)(struct connection *conn, const struct request *request);
} targets[] = {
    { "/echo", serve_echo },         { "/head", serve_head },
    { "/bytes/", serve_bytes },      { "/connection", serve_connection },
    { "/problem", serve_problem },   { "/busy", serve_busy },
    { "/redirect", serve_redirect }, { "/stale", serve_stale },
    { "/close", serve_close },       { "/cut", serve_cut },
    { "/silent", serve_silent },     { "/stalled", serve_stalled },
    { "/odd/", serve_odd },
};

static bool serve(struct connection *conn, const struct request *request)
{
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        if (strncmp(request->target, targets[i].target, strlen(targets[i].target)) == 0)
            return targets[i].serve(conn, request);
    }
    return answer(conn, "404 Not Found", "", "", 0);
}

/* ---- connections ---- */

static bool serve_request(struct connection *conn)
{
    struct request request = { 0 };

    if (!read_head(conn, &request))
        return false;
    conn->requests++;
    if (request.expect && !send_text(conn, "HTTP/1.1 100 Continue\r\n\r\n"))
        return false;
    if (request.chunked ? !read_chunks(conn, &request) : !read_body(conn, &request, request.length))
        return false;
    return serve(conn, &request);
}

static void *connection_run(void *data)
{
    struct connection *conn = data;
    struct test_server *server = conn->server;
    unsigned open = atomic_fetch_add(&server->open, 1) + 1;

    if (open > atomic_load(&server->open_most))
        atomic_store(&server->open_most, open);
    while (serve_request(conn))
        ;
    close(conn->socket);
    free(conn);
    atomic_fetch_sub(&server->open, 1);
    return NULL;
}

static void *server_run(void *data)
{
    struct test_server *server = data;
    int socket;

    while ((socket = accept(server->listener, NULL, NULL)) >= 0) {
        struct connection *conn = calloc(1, sizeof *conn);
        unsigned count = atomic_load(&server->connections);

        assert(conn != NULL && count < TEST_SERVER_CONNECTIONS_MAX);
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        conn->server = server;
        conn->socket = socket;
        conn->number = count + 1;
        atomic_store(&server->connections, count + 1);
        int failed = pthread_create(&server->threads[count], NULL, connection_run, conn);
        assert(failed == 0);
    }
    return NULL;
}

void test_server_start(struct test_server *server)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    memset(server, 0, sizeof *server);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = bind(server->listener, (struct sockaddr *)&address, size) != 0 ||
                 listen(server->listener, 64) != 0 ||
                 getsockname(server->listener, (struct sockaddr *)&address, &size) != 0;
    assert(!failed);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    failed = pthread_create(&server->thread, NULL, server_run, server);
    assert(failed == 0);
}

void test_server_stop(struct test_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    for (unsigned i = 0; i < atomic_load(&server->connections); i++)
        pthread_join(server->threads[i], NULL);
    close(server->listener);
}
