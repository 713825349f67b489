/* fuzz_http_conn.c: a whole connection: a server with a few routes, on a socket, fed any bytes in pieces of any size.
 *
 * Input: a byte of flags, cuts, then what a client sends before it shuts down its side. In one piece or in many, the answers
 * are whole, parse, and are the same; every exchange is over at the end; a client that does not wait for answers harms
 * nothing. */
#include "proto/http/http_range.h"
#include "proto/http/http_server.h"
#include "tests/fuzz/fuzz.h"

#include "proto/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LEAVE = 1, /* flag: the client closes at once */
    FILE_SIZE = 100000,
    GATHER_MAX = 4096,
    ANSWERS_MAX = 64, /* compared; the rest are only parsed */
    RECEIVED_MAX = 16 << 20,
    PATIENCE_MS = 10000,
};

static uv_loop_t loop;
static struct http_server *server;
static int file_fd;
static struct http_range ranges[HTTP_RANGES_MAX];
static unsigned calls, overs; /* exchanges begun and over */
static bool cut;              /* a route cut its answer short, as it was asked to */

/* --- the routes --- */

static void on_over(struct http_exchange *ex)
{
    (void)ex;
    overs++;
}

static void begin(struct http_exchange *ex)
{
    calls++;
    http_set_user(ex, NULL, on_over);
}

static void reply_size(struct http_exchange *ex, enum status status, size_t size)
{
    char text[64];

    if (status != STATUS_OK) {
        http_reply_error(ex, status, NULL, NULL);
        return;
    }
    snprintf(text, sizeof text, "%zu bytes", size);
    http_reply_text(ex, 201, "text/plain", text);
}

static void on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    MUST(body.size <= GATHER_MAX);
    reply_size(ex, status, body.size);
}

static void handle_gather(struct http_exchange *ex)
{
    begin(ex);
    http_body_gather(ex, GATHER_MAX, on_body);
}

static void on_chunk(struct http_exchange *ex, struct slice chunk)
{
    uintptr_t *size = http_user(ex);

    MUST(chunk.size > 0);
    *size += chunk.size;
    http_body_pause(ex);
    http_body_resume(ex);
}

static void on_stream_over(struct http_exchange *ex)
{
    free(http_user(ex));
    overs++;
}

static void on_end(struct http_exchange *ex, enum status status)
{
    uintptr_t *size = http_user(ex);
    reply_size(ex, status, *size);
}

static void handle_stream(struct http_exchange *ex)
{
    calls++;
    http_set_user(ex, calloc(1, sizeof(uintptr_t)), on_stream_over);
    http_body_stream(ex, on_chunk, on_end);
}

/* Answers before it has looked at the body. */
static void handle_early(struct http_exchange *ex)
{
    begin(ex);
    http_reply_error(ex, STATUS_FULL, NULL, NULL);
}

static void handle_names(struct http_exchange *ex)
{
    struct slice key, value, a = http_param(ex, "a"), b = http_param(ex, "b");
    size_t at = 0, pairs = 0;

    begin(ex);
    MUST(a.size > 0 && memchr(a.data, '/', a.size) == NULL && memchr(a.data, '\0', a.size) == NULL);
    MUST(b.size > 0 && memchr(b.data, '/', b.size) == NULL && memchr(b.data, '\0', b.size) == NULL);
    while (http_query_next(ex, &at, &key, &value))
        pairs += 1 + key.size + value.size;
    http_query(ex, "param");
    http_header_joined(ex, "accept");
    reply_size(ex, STATUS_OK, a.size + b.size + pairs);
}

static void handle_file(struct http_exchange *ex)
{
    unsigned count = 0;
    struct buf text;
    char boundary[HTTP_BOUNDARY_SIZE] = "0123456789abcdef01234567";

    begin(ex);
    enum http_ranges asked = http_ranges_parse(http_header_joined(ex, "Range"), FILE_SIZE,
                                               HTTP_RANGES_MAX, ranges, &count);
    if (asked == HTTP_RANGES_UNSATISFIABLE) {
        http_reply_error(ex, STATUS_RANGE, NULL, NULL);
        return;
    }
    if (asked == HTTP_RANGES_NONE)
        ranges[count++] = (struct http_range){ 0, FILE_SIZE };
    struct http_piece *pieces = calloc(count + 1, sizeof *pieces);
    MUST(pieces != NULL);
    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < count; i++) {
        size_t before = text.size;
        if (count > 1)
            http_multipart_head(&text, boundary, i == 0, "text/plain", &ranges[i], FILE_SIZE);
        pieces[i] = (struct http_piece){ before, text.size - before, file_fd, ranges[i].offset,
                                         ranges[i].length };
    }
    if (count > 1) {
        size_t before = text.size;
        http_multipart_end(&text, boundary);
        pieces[count] = (struct http_piece){ before, text.size - before, -1, 0, 0 };
    }
    http_reply_file(ex, asked == HTTP_RANGES_SOME ? 206 : 200, "text/plain", pieces,
                    count > 1 ? count + 1 : count, &text);
}

static void push(struct http_exchange *ex)
{
    uintptr_t left = (uintptr_t)http_user(ex);
    struct buf data;

    if (left == 0) {
        cut = true;
        http_stream_fail(ex);
        return;
    }
    http_set_user(ex, (void *)(left - 1), on_over);
    buf_init(&data, 64);
    buf_text(&data, "0123456789");
    http_stream_push(ex, &data, left == 2);
}

static void handle_flow(struct http_exchange *ex)
{
    calls++;
    http_set_user(ex, (void *)4, on_over);
    http_stream_start(ex, 200, "text/plain", HTTP_LENGTH_UNKNOWN, push);
}

static void handle_cut(struct http_exchange *ex)
{
    calls++;
    http_set_user(ex, (void *)1, on_over);
    http_stream_start(ex, 200, "text/plain", 30, push);
}

static const struct http_route routes[] = {
    { .method = HTTP_PUT_, .pattern = "/gather", .name = "gather", .handle = handle_gather },
    { .method = HTTP_POST_, .pattern = "/stream", .name = "stream", .handle = handle_stream },
    { .method = HTTP_PUT_, .pattern = "/early", .name = "early", .handle = handle_early },
    { .method = HTTP_GET_, .pattern = "/names/{a}/{b}", .name = "names", .handle = handle_names },
    { .method = HTTP_DELETE_, .pattern = "/names/{a}/{b}/", .name = "remove", .handle = handle_names },
    { .method = HTTP_GET_, .pattern = "/file", .name = "file", .handle = handle_file },
    { .method = HTTP_GET_, .pattern = "/flow", .name = "flow", .handle = handle_flow },
    { .method = HTTP_GET_, .pattern = "/cut", .name = "cut", .handle = handle_cut },
    { .pattern = NULL },
};

static void make_file(void)
{
    static char bytes[FILE_SIZE];

    memset(bytes, 'f', sizeof bytes);
    file_fd = memfd_create("file", MFD_CLOEXEC);
    MUST(file_fd >= 0 && write(file_fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct http_server_options options = {
        .loop = &loop,
        .listen = "127.0.0.1:0",
        .routes = routes,
        .server_name = "fuzz",
        .limits = { .head_max = 4096, .line_max = 2048, .target_max = 512, .fields_max = 20, .body_max = 1 << 16 },
    };
    struct error err;

    (void)argc;
    (void)argv;
    log_setup(FUZZ_LOG, LOG_LOGFMT);
    make_file();
    MUST(uv_loop_init(&loop) == 0);
    MUST(http_server_start(&options, &server, &err) == STATUS_OK);
    return 0;
}

/* --- the client --- */

struct answers {
    uint8_t *bytes; /* owned */
    size_t size, capacity;
    unsigned count;
    struct {
        unsigned status;
        uint64_t length, sum;
        bool closes;
    } list[ANSWERS_MAX];
};

static int client_open(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)http_server_port(server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    /* From another address of loopback each time: thousands a second, each in TIME_WAIT for a minute, would use up the
     * ports of one. */
    static uint32_t clients;
    struct sockaddr_in own = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (1U << 16) + (clients++ & 0xffff)),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    MUST(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0);
    MUST(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        struct pollfd polled = { .fd = fd, .events = POLLOUT };

        MUST(errno == EINTR); /* the fuzzer's own alarm: connecting goes on by itself */
        while (poll(&polled, 1, -1) < 0)
            MUST(errno == EINTR);
    }
    MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0); /* a piece is a read */
    MUST(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

/* False: the server has closed. */
static bool client_receive(int fd, struct answers *answers)
{
    for (;;) {
        if (answers->size == answers->capacity) {
            answers->capacity = answers->capacity * 2 + 65536;
            MUST(answers->capacity < RECEIVED_MAX);
            answers->bytes = realloc(answers->bytes, answers->capacity);
            MUST(answers->bytes != NULL);
        }
        ssize_t got = recv(fd, answers->bytes + answers->size, answers->capacity - answers->size, 0);
        if (got < 0 && errno == EAGAIN)
            return true;
        if (got <= 0)
            return false;
        answers->size += (size_t)got;
    }
}

/* Until fd or the loop has something to do. */
static void wait_for(int fd, short events)
{
    struct pollfd polled[2] = {
        { .fd = fd, .events = events },
        { .fd = uv_backend_fd(&loop), .events = POLLIN },
    };

    uv_run(&loop, UV_RUN_NOWAIT);
    int timeout_ms = uv_backend_timeout(&loop);
    if (timeout_ms != 0)
        poll(polled, 2, timeout_ms > 0 && timeout_ms < 100 ? timeout_ms : 100);
}

static void client_send(int fd, const uint8_t *data, size_t size, struct answers *answers)
{
    for (size_t at = 0; at < size;) {
        ssize_t sent = send(fd, data + at, size - at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* refused on the way: the answers tell */
        if (sent < 0)
            wait_for(fd, POLLOUT | POLLIN);
        else
            at += (size_t)sent;
        uv_run(&loop, UV_RUN_NOWAIT);
        if (!client_receive(fd, answers))
            return;
    }
}

static uint64_t deadline(void)
{
    return uv_hrtime() / 1000000 + PATIENCE_MS;
}

static void converse(struct fuzz_input input, struct fuzz_cuts cuts, bool leave, struct answers *answers)
{
    uint64_t until = deadline();
    int fd = client_open();

    *answers = (struct answers){ .bytes = NULL };
    calls = overs = 0;
    cut = false;
    while (input.size > 0) {
        size_t piece = fuzz_cut(&cuts, input.size);
        client_send(fd, input.data, piece, answers);
        input = (struct fuzz_input){ input.data + piece, input.size - piece };
    }
    shutdown(fd, SHUT_WR);
    while (!leave && client_receive(fd, answers)) {
        wait_for(fd, POLLIN);
        MUST(uv_hrtime() / 1000000 < until);
    }
    close(fd);
    for (unsigned turn = 0; turn < 4 || overs < calls; turn++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        MUST(uv_hrtime() / 1000000 < until);
    }
    MUST(overs == calls);
}

/* --- its answers --- */

struct reader {
    const uint8_t *at, *end;
};

static bool begins(const struct reader *reader, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(reader->end - reader->at) >= size && memcmp(reader->at, text, size) == 0;
}

/* A line without its CRLF; false: it is not whole. */
static bool read_line(struct reader *reader, struct slice *line)
{
    const uint8_t *end = memmem(reader->at, (size_t)(reader->end - reader->at), "\r\n", 2);

    if (end == NULL)
        return false;
    *line = slice_of(reader->at, (size_t)(end - reader->at));
    MUST(memchr(line->data, '\n', line->size) == NULL && memchr(line->data, '\0', line->size) == NULL);
    reader->at = end + 2;
    return true;
}

static bool field_is(struct slice line, const char *name, struct slice *value)
{
    size_t size = strlen(name);

    if (line.size < size + 2 || strncasecmp((const char *)line.data, name, size) != 0 ||
        line.data[size] != ':')
        return false;
    *value = slice_of(line.data + size + 2, line.size - size - 2);
    return true;
}

static bool skip(struct reader *reader, uint64_t size)
{
    if (size > (uint64_t)(reader->end - reader->at))
        return false;
    reader->at += size;
    return true;
}

static bool read_chunked(struct reader *reader, uint64_t *length)
{
    struct slice line;
    char text[17] = "";

    for (;;) {
        if (!read_line(reader, &line))
            return false;
        MUST(line.size > 0 && line.size < sizeof text);
        memcpy(text, line.data, line.size);
        text[line.size] = '\0';
        uint64_t size = strtoull(text, NULL, 16);
        *length += size;
        if (!skip(reader, size) || !begins(reader, "\r\n"))
            return false;
        reader->at += 2;
        if (size == 0)
            return true;
    }
}

/* The rest of an answer behind its status line; false: it is cut. */
static bool read_rest(struct reader *reader, unsigned status, uint64_t *length, bool *closes)
{
    struct slice line, value;
    bool chunked = false, has_length = false;

    do {
        if (!read_line(reader, &line))
            return false;
        MUST(line.size == 0 || memchr(line.data, ':', line.size) != NULL);
        if (field_is(line, "Transfer-Encoding", &value))
            chunked = true;
        if (field_is(line, "Connection", &value))
            *closes = slice_equals(value, "close");
        if (field_is(line, "Content-Length", &value)) {
            MUST(!has_length &&
                 decimal_parse((const char *)value.data, value.size, UINT64_MAX, length) == 0);
            has_length = true;
        }
    } while (line.size > 0);
    MUST(!(chunked && has_length));
    if (status < 200 || status == 204 || status == 304 || begins(reader, "HTTP/1.1 ") ||
        reader->at == reader->end)
        return true; /* without a body, or the answer to a HEAD: none of our bodies begins like that */
    if (chunked)
        return read_chunked(reader, length);
    if (has_length)
        return skip(reader, *length);
    *length = (uint64_t)(reader->end - reader->at); /* to the end of the connection */
    reader->at = reader->end;
    return true;
}

static void read_answers(struct answers *answers)
{
    struct reader reader = { answers->bytes, answers->bytes + answers->size };
    struct slice line;

    while (reader.at < reader.end) {
        uint64_t length = 0, sum = 0;
        bool closes = false;
        if (!read_line(&reader, &line)) {
            MUST(cut);
            return;
        }
        MUST(line.size > 12 && memcmp(line.data, "HTTP/1.1 ", 9) == 0);
        unsigned status = (unsigned)strtoul((const char *)line.data + 9, NULL, 10);
        MUST(status >= 100 && status < 600);
        if (!read_rest(&reader, status, &length, &closes)) {
            MUST(cut);
            return;
        }
        for (const uint8_t *at = reader.at - (length < 32 ? length : 0); at < reader.at; at++)
            sum = sum * 31 + *at; /* of a short body */
        if (status >= 200 && answers->count < ANSWERS_MAX) {
            answers->list[answers->count].status = status;
            answers->list[answers->count].closes = closes;
            answers->list[answers->count].length = status < 400 ? length : 0; /* an error names its request */
            answers->list[answers->count++].sum = status < 400 ? sum : 0;
        }
    }
}

/* Where a request is answered before its body was asked for, what had come of that decides whether the connection stays: so
 * one of the two may end earlier, and says so. */
static void compare(const struct answers *parts, const struct answers *whole)
{
    unsigned count = parts->count < whole->count ? parts->count : whole->count;

    for (unsigned i = 0; i < count; i++) {
        MUST(parts->list[i].status == whole->list[i].status);
        MUST(parts->list[i].length == whole->list[i].length && parts->list[i].sum == whole->list[i].sum);
    }
    if (parts->count < whole->count)
        MUST(count > 0 && parts->list[count - 1].closes);
    if (whole->count < parts->count)
        MUST(count > 0 && whole->list[count - 1].closes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    unsigned flags = fuzz_byte(&input);
    struct fuzz_cuts cuts = fuzz_cuts(&input), none = { .count = 0 };
    struct answers parts, whole;

    converse(input, cuts, (flags & LEAVE) != 0, &parts);
    if ((flags & LEAVE) == 0) {
        read_answers(&parts);
        converse(input, none, false, &whole);
        read_answers(&whole);
        compare(&parts, &whole);
        free(whole.bytes);
    }
    free(parts.bytes);
    return 0;
}
