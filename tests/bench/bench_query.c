/* bench_query.c: GET /v1/fields as fast as threads can ask, each on one connection.
 *
 *     bench_query find|range PORT COUNT THREADS SECONDS
 *
 * find: one of COUNT fields by its keys, as JSON. range: 100 of them (20 steps, 5 levels), as NDJSON. An answer that has not what was asked
 * for ends it. Prints one line of JSON. */
#include "bench_fields.h"
#include "bench_measure.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_SIZE_MAX = 64 << 20, READ_SIZE = 256 << 10 };

struct bench {
    bool range;
    uint16_t port;
    size_t fields;
    uint64_t until_us;
    struct bench_samples samples;
};

struct peer {
    int fd;
    struct buf answer;
    size_t body; /* where it begins */
};

static void die(const char *what, const char *text)
{
    fprintf(stderr, "bench_query: %s: %.2000s\n", what, text);
    exit(1);
}

static void peer_open(struct peer *peer, uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;

    peer->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (peer->fd < 0 || connect(peer->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("connect", "no indexer there");
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    buf_init(&peer->answer, ANSWER_SIZE_MAX);
}

static void peer_read(struct peer *peer)
{
    uint8_t *room = buf_reserve(&peer->answer, READ_SIZE);
    ssize_t got = room != NULL ? read(peer->fd, room, READ_SIZE) : -1;

    if (got <= 0)
        die("read", "the connection ended");
    peer->answer.size += (size_t)got;
}

/* The answer whole: head, then Content-Length bytes. */
static void peer_ask(struct peer *peer, const char *request, size_t size)
{
    const char *end, *length;

    buf_clear(&peer->answer);
    if (write(peer->fd, request, size) != (ssize_t)size)
        die("write", request);
    do
        peer_read(peer);
    while ((end = strstr(buf_string(&peer->answer), "\r\n\r\n")) == NULL);
    const char *text = buf_string(&peer->answer);
    peer->body = (size_t)(end - text) + 4;
    length = strcasestr(text, "\r\ncontent-length:");
    if (strncmp(text, "HTTP/1.1 200 ", 13) != 0 || length == NULL || length > end)
        die("answer", text);
    size_t total = peer->body + (size_t)strtoull(length + strlen("\r\ncontent-length:"), NULL, 10);
    while (peer->answer.size < total)
        peer_read(peer);
}

static size_t count_lines(const struct peer *peer)
{
    size_t lines = 0;

    for (size_t i = peer->body; i < peer->answer.size; i++)
        lines += peer->answer.data[i] == '\n';
    return lines;
}

static int print_request(const struct bench *bench, size_t i, char *text, size_t size)
{
    struct bench_place place = bench_place(i);

    if (bench->range)
        return snprintf(
            text, size,
            "GET /v1/fields?source=%s&base_time=20261120T0000Z&param=%s&number=%d&step=0/to/%d/by/6"
            "&levelist=40/80/120/160/200&format=ndjson HTTP/1.1\r\nHost: bench\r\n\r\n",
            bench_source, place.param, place.number, 6 * (bench_range_steps(bench->fields) - 1));
    return snprintf(text, size,
                    "GET /v1/fields?source=%s&base_time=20261120T0000Z&param=%s&number=%d&step=%d&levelist=%d&limit=1"
                    " HTTP/1.1\r\nHost: bench\r\n\r\n",
                    bench_source, place.param, place.number, place.step, place.level);
}

static void check(const struct bench *bench, struct peer *peer, size_t i)
{
    struct bench_place place = bench_place(i);
    const char *body = buf_string(&peer->answer) + peer->body;
    char wanted[64];

    if (bench->range) {
        if (count_lines(peer) != 5 * (size_t)bench_range_steps(bench->fields))
            die("not as many fields as there are", body);
        return;
    }
    snprintf(wanted, sizeof wanted, "\"param\":\"%s\"", place.param);
    const char *found = strstr(body, wanted);
    if (found == NULL || strstr(found + 1, wanted) != NULL)
        die("not the field", body);
}

static void *ask_thread(void *data)
{
    struct bench *bench = data;
    struct peer peer;
    char request[1024];
    unsigned seed = (unsigned)clock_monotonic_us() ^ (unsigned)(uintptr_t)&peer;

    peer_open(&peer, bench->port);
    for (uint64_t begun = clock_monotonic_us(); begun < bench->until_us;) {
        size_t i = (size_t)rand_r(&seed) % bench->fields;
        peer_ask(&peer, request, (size_t)print_request(bench, i, request, sizeof request));
        check(bench, &peer, i);
        uint64_t now = clock_monotonic_us();
        bench_samples_add(&bench->samples, now - begun);
        begun = now;
    }
    close(peer.fd);
    buf_fini(&peer.answer);
    return NULL;
}

int main(int argc, char **argv)
{
    struct bench bench = { .range = false };

    if (argc != 6) {
        fprintf(stderr, "bench_query find|range PORT COUNT THREADS SECONDS\n");
        return 2;
    }
    bench.range = strcmp(argv[1], "range") == 0;
    bench.port = (uint16_t)atoi(argv[2]);
    bench.fields = (size_t)atol(argv[3]);
    assert(bench.fields > 0);
    bench_samples_init(&bench.samples);
    uint64_t begun = clock_monotonic_us();
    bench.until_us = begun + (uint64_t)(atof(argv[5]) * 1e6);
    bench_threads((unsigned)atoi(argv[4]), ask_thread, &bench);
    bench_samples_report(&bench.samples, (double)(clock_monotonic_us() - begun) / 1e6,
                         bench_cpu_seconds());
    return 0;
}
