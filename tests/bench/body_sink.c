/* body_sink.c: the least that a durable PUT of a large body can cost one thread: receive, hash, write, flush.
 *
 *     body_sink DIR PIECE     a server on a free port of 127.0.0.1, which is printed; ends with SIGTERM
 *
 * One connection at a time, one PUT a connection. The body is cut into pieces of PIECE bytes, each is received, hashed with
 * SHA-256 and written; after the last one the file is flushed, and only then 201 is answered. It knows no GRIB, no journal and
 * no limits: what it is measured for is the machine. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SINK_HEAD_MAX = 8192, SINK_BACKLOG = 16 };

struct sink {
    const char *dir;
    size_t piece;
    uint8_t *bytes; /* one piece, owned */
    EVP_MD_CTX *digest;
};

static void sink_die(const char *what)
{
    perror(what);
    exit(1);
}

static int sink_listen(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, SINK_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        sink_die("listen");
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* The head up to its empty line; what came behind it stays in bytes. Returns the body's length, 0: no such request. */
static uint64_t sink_read_head(struct sink *sink, int fd, size_t *got)
{
    static char head[SINK_HEAD_MAX + 1];
    size_t size = 0;
    char *end = NULL;

    while (end == NULL && size < SINK_HEAD_MAX) {
        ssize_t n = read(fd, head + size, SINK_HEAD_MAX - size);

        if (n <= 0)
            return 0;
        size += (size_t)n;
        head[size] = '\0';
        end = strstr(head, "\r\n\r\n");
    }
    const char *length = end == NULL ? NULL : strcasestr(head, "\r\ncontent-length:");
    if (length == NULL)
        return 0;
    *got = size - (size_t)(end + 4 - head);
    if (*got > sink->piece)
        return 0;
    memcpy(sink->bytes, end + 4, *got);
    return strtoull(length + 17, NULL, 10);
}

static bool sink_fill(struct sink *sink, int fd, size_t got, size_t wanted)
{
    while (got < wanted) {
        ssize_t n = read(fd, sink->bytes + got, wanted - got);

        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static void sink_keep(struct sink *sink, int file, size_t size)
{
    uint8_t digest[EVP_MAX_MD_SIZE];

    if (EVP_DigestInit_ex(sink->digest, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(sink->digest, sink->bytes, size) != 1 ||
        EVP_DigestFinal_ex(sink->digest, digest, NULL) != 1)
        sink_die("digest");
    for (size_t done = 0; done < size;) {
        ssize_t n = write(file, sink->bytes + done, size - done);

        if (n <= 0)
            sink_die("write");
        done += (size_t)n;
    }
}

static void sink_serve(struct sink *sink, int fd)
{
    static const char answer[] = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    char path[4096];
    size_t got = 0;
    uint64_t left = sink_read_head(sink, fd, &got);

    if (left == 0)
        return;
    snprintf(path, sizeof path, "%s/body", sink->dir);
    unlink(path);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (file < 0)
        sink_die(path);
    while (left > 0) {
        size_t size = left < sink->piece ? (size_t)left : sink->piece;

        if (!sink_fill(sink, fd, got, size))
            break;
        sink_keep(sink, file, size);
        left -= size;
        got = 0;
    }
    if (fdatasync(file) != 0)
        sink_die("fdatasync");
    close(file);
    if (left == 0 && write(fd, answer, sizeof answer - 1) < 0)
        perror("answer");
}

int main(int argc, char **argv)
{
    struct sink sink;

    if (argc != 3 || strtoull(argv[2], NULL, 10) < SINK_HEAD_MAX) {
        fprintf(stderr, "usage: body_sink DIR PIECE (bytes, at least %d)\n", SINK_HEAD_MAX);
        return 2;
    }
    sink = (struct sink){ .dir = argv[1], .piece = strtoull(argv[2], NULL, 10) };
    sink.bytes = malloc(sink.piece);
    sink.digest = EVP_MD_CTX_new();
    if (sink.bytes == NULL || sink.digest == NULL)
        sink_die("memory");
    int listener = sink_listen();
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            sink_die("accept");
        sink_serve(&sink, fd);
        close(fd);
    }
}
