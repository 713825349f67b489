/* fake_server.c: accepts, reads one request, asks the test, answers, closes; or keeps it for later. */
#include "fake_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static void read_header(struct fake_request *request, const char *line, uint64_t *length, bool *expect)
{
    unsigned long long first, last;

    if (strncasecmp(line, "Content-Length:", 15) == 0)
        *length = strtoull(line + 15, NULL, 10);
    if (strncasecmp(line, "Expect:", 7) == 0)
        *expect = true;
    if (sscanf(line, "Range: bytes=%llu-%llu", &first, &last) == 2) {
        request->has_range = true;
        request->range_first = first;
        request->range_last = last;
    }
}

/* The head, line by line; sockets are slow this way and tests are short. */
static bool read_head(FILE *in, struct fake_request *request, uint64_t *length, bool *expect)
{
    char line[2048];

    *length = 0;
    *expect = false;
    if (fgets(line, sizeof line, in) == NULL ||
        sscanf(line, "%15s %511s", request->method, request->target) != 2)
        return false;
    while (fgets(line, sizeof line, in) != NULL && strcmp(line, "\r\n") != 0)
        read_header(request, line, length, expect);
    return true;
}

static bool read_request(FILE *in, struct fake_request *request)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uint64_t length;
    bool expect;

    buf_init(&request->body, FAKE_BODY_MAX);
    if (!read_head(in, request, &length, &expect))
        return false;
    ssize_t sent = expect ? send(fileno(in), go_on, sizeof go_on - 1, MSG_NOSIGNAL) : 0;
    uint8_t *room = buf_reserve(&request->body, (size_t)length);

    assert(sent >= 0 && room != NULL);
    (void)sent;
    request->body.size = fread(room, 1, (size_t)length, in);
    return true;
}

static void exchange_end(struct fake_exchange *exchange)
{
    fclose(exchange->in);
    buf_fini(&exchange->request.body);
}

/* False: it is to be answered later. */
static bool exchange_answer(struct fake_server *server, struct fake_exchange *exchange)
{
    struct fake_reply reply = { .status = 200 };
    int fd = fileno(exchange->in);
    char head[256];

    buf_init(&reply.body, FAKE_BODY_MAX);
    server->answer(server->user, &exchange->request, &reply);
    if (reply.status > 0) {
        int size = snprintf(head, sizeof head,
                            "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                            reply.status, reply.body.size);

        if (send(fd, head, (size_t)size, MSG_NOSIGNAL) > 0 && reply.body.size > 0)
            (void)!send(fd, reply.body.data, reply.body.size, MSG_NOSIGNAL);
    }
    buf_fini(&reply.body);
    return reply.status != FAKE_LATER;
}

static void server_ask_again(struct fake_server *server)
{
    unsigned left = 0;

    for (unsigned i = 0; i < server->kept_count; i++) {
        if (exchange_answer(server, &server->kept[i]))
            exchange_end(&server->kept[i]);
        else
            server->kept[left++] = server->kept[i];
    }
    server->kept_count = left;
}

static void *server_run(void *data)
{
    struct fake_server *server = data;
    int fd;

    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        struct fake_exchange exchange = { .in = fdopen(fd, "r") };

        assert(exchange.in != NULL && server->kept_count < FAKE_KEPT_MAX);
        bool later = read_request(exchange.in, &exchange.request) && !exchange_answer(server, &exchange);
        if (!later)
            exchange_end(&exchange);
        server_ask_again(server);
        if (later)
            server->kept[server->kept_count++] = exchange;
    }
    return NULL;
}

void fake_server_start(struct fake_server *server,
                       void (*answer)(void *, const struct fake_request *, struct fake_reply *),
                       void *user)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;

    *server = (struct fake_server){ .answer = answer, .user = user };
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed = bind(server->listener, (struct sockaddr *)&address, size) != 0 ||
                 listen(server->listener, 64) != 0 ||
                 getsockname(server->listener, (struct sockaddr *)&address, &size) != 0;
    assert(!failed);
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    failed = pthread_create(&server->thread, NULL, server_run, server);
    assert(failed == 0);
}

void fake_server_stop(struct fake_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    while (server->kept_count > 0)
        exchange_end(&server->kept[--server->kept_count]);
}
