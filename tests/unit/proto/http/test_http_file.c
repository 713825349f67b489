/* test_http_file.c: answers from files and streams: every byte where it belongs, or a cut
 * connection. */
#include "http_handlers.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define HOST "Host: a\r\n"

static struct fixture fixture;

/* How preadv2() behaves: as it does, as if the page cache were empty, or a bit at a time. */
static enum { CACHE_WARM, CACHE_COLD, CACHE_PARTLY } cache;
static unsigned cold_reads;

/* Stands in for libc's: what is in the page cache is not for a test to decide otherwise. */
ssize_t preadv2(int fd, const struct iovec *vectors, int count, off_t offset, int flags)
{
    struct iovec vector = vectors[0];

    if (cache == CACHE_COLD || (cache == CACHE_PARTLY && offset % 3000 != 0)) {
        cold_reads++;
        errno = EAGAIN;
        return -1;
    }
    if (cache == CACHE_PARTLY && vector.iov_len > 1000)
        vector.iov_len = 1000;
    return syscall(SYS_preadv2, fd, count == 1 ? &vector : vectors, (unsigned long)count,
                   (unsigned long)offset, 0ul, flags);
}

/* A part of the file under test that is not in the page cache, and how often sendfile() met it. */
static uint64_t hole_offset, hole_size;
static unsigned hole_sends;

static bool is_in_memory(int fd, uint64_t offset, uint64_t size)
{
    uint64_t range[2] = { offset, size }, found[5] = { 0 };

    return syscall(451, fd, range, found, 0) == 0 && /* cachestat(2) */
           found[0] * (uint64_t)sysconf(_SC_PAGESIZE) >= size;
}

/* Stands in for libc's too. */
ssize_t sendfile(int to, int from, off_t *offset, size_t size)
{
    bool meets = hole_size > 0 && (uint64_t)*offset < hole_offset + hole_size &&
                 (uint64_t)*offset + size > hole_offset;

    if (meets && !is_in_memory(from, hole_offset, hole_size))
        hole_sends++;
    return syscall(SYS_sendfile, to, from, offset, size);
}

static int setup(void **state)
{
    (void)state;
    hole_size = hole_sends = 0;
    cache = CACHE_WARM;
    cold_reads = 0;
    handlers_reset();
    fixture_start(&fixture, handlers_routes, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    assert_int_equal(handled.calls, handled.overs);
    if (handled.fd >= 0)
        handlers_file_close();
    return 0;
}

static void check_bytes(const uint8_t *bytes, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != handlers_byte(offset + i))
            fail_msg("byte %zu of %zu at %llu", i, size, (unsigned long long)offset);
}

static void get_range(int fd, uint64_t offset, size_t size)
{
    char request[128];

    snprintf(request, sizeof request, "GET /file HTTP/1.1\r\n" HOST "Range: bytes=%llu-%llu\r\n\r\n",
             (unsigned long long)offset, (unsigned long long)(offset + size - 1));
    client_text(&fixture, fd, request);
    struct answer answer = client_answer(&fixture, fd, false);
    assert_int_equal(answer.status, 206);
    assert_int_equal(answer.size, size);
    check_bytes(answer.body, offset, size);
    answer_free(&answer);
}

static const size_t sizes[] = { 1,         4096,          65535,  65536,   65537,        71 * 1024,
                                72 * 1024, 72 * 1024 + 1, 262144, 1 << 20, (3 << 20) + 7 };

static void ranges_of_every_size_are_exact(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    handlers_file(4 << 20);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        get_range(fd, 0, sizes[i]);
        get_range(fd, 12345, sizes[i]);
        get_range(fd, (4 << 20) - sizes[i], sizes[i]);
    }
    close(fd);
}

static void what_is_not_cached_comes_from_the_pool_and_is_exact(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    handlers_file(4 << 20);
    for (cache = CACHE_COLD; cache <= CACHE_PARTLY; cache++) {
        for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
            get_range(fd, 4242, sizes[i]);
        assert_true(cold_reads > 0);
        cold_reads = 0;
    }
    close(fd);
}

/* A page that is missing would stop the loop until the disk has it. */
static void sendfile_never_meets_a_page_that_is_not_in_memory(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    handlers_file(4 << 20);
    assert_int_equal(fsync(handled.fd), 0);
    hole_size = 128 * 1024; /* large folios are dropped whole or not at all */
    for (hole_offset = 2 * hole_size; hole_offset < (1 << 20); hole_offset += hole_size) {
        assert_int_equal(
            posix_fadvise(handled.fd, (off_t)hole_offset, (off_t)hole_size, POSIX_FADV_DONTNEED), 0);
        if (is_in_memory(handled.fd, hole_offset, hole_size))
            skip(); /* this file system keeps its pages */
        get_range(fd, 4242, 1 << 20);
        assert_int_equal(hole_sends, 0);
    }
    close(fd);
}

static void an_empty_file_is_an_empty_answer(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    handlers_file(0);
    for (int i = 0; i < 2; i++) {
        client_text(&fixture, fd, "GET /file HTTP/1.1\r\n" HOST "\r\n");
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.size, 0);
        answer_free(&answer);
    }
    close(fd);
}

/* Takes a multipart answer apart as clients do, and compares each part. */
static void check_multipart(const struct answer *answer, const uint64_t *offsets,
                            const size_t *lengths, unsigned count)
{
    char type[128], marker[160];
    const uint8_t *at = answer->body;

    assert_non_null(answer_header(answer, "Content-Type", type, sizeof type));
    assert_memory_equal(type, "multipart/byteranges; boundary=", 31);
    for (unsigned i = 0; i < count; i++) {
        char head[256];
        int size = snprintf(
            head, sizeof head,
            "%s--%s\r\nContent-Type: application/wmo-grib\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
            i > 0 ? "\r\n" : "", type + 31, (unsigned long long)offsets[i],
            (unsigned long long)(offsets[i] + lengths[i] - 1), (unsigned long long)handled.file_size);
        assert_memory_equal(at, head, (size_t)size);
        at += size;
        check_bytes(at, offsets[i], lengths[i]);
        at += lengths[i];
    }
    snprintf(marker, sizeof marker, "\r\n--%s--\r\n", type + 31);
    assert_string_equal(at, marker);
}

static void get_ranges(int fd, const uint64_t *offsets, const size_t *lengths, unsigned count)
{
    struct buf request;

    buf_init(&request, 64 * 1024);
    buf_text(&request, "GET /file HTTP/1.1\r\n" HOST "Range: bytes=");
    for (unsigned i = 0; i < count; i++)
        buf_format(&request, "%s%llu-%llu", i > 0 ? "," : "", (unsigned long long)offsets[i],
                   (unsigned long long)(offsets[i] + lengths[i] - 1));
    buf_text(&request, "\r\n\r\n");
    client_send(&fixture, fd, request.data, request.size);
    struct answer answer = client_answer(&fixture, fd, false);
    assert_int_equal(answer.status, 206);
    check_multipart(&answer, offsets, lengths, count);
    answer_free(&answer);
    buf_fini(&request);
}

static void a_thousand_ranges_come_in_the_order_asked(void **state)
{
    enum { COUNT = 1000 };
    uint64_t *offsets = calloc(COUNT, sizeof *offsets);
    size_t *lengths = calloc(COUNT, sizeof *lengths);
    int fd = client_connect(&fixture);
    (void)state;

    handlers_file(8 << 20);
    for (unsigned i = 0; i < COUNT; i++) {
        offsets[i] = (uint64_t)(COUNT - 1 - i) * 8000;
        lengths[i] = 1 + i * 7 % 5000;
    }
    for (cache = CACHE_WARM; cache <= CACHE_PARTLY; cache++)
        get_ranges(fd, offsets, lengths, COUNT);
    close(fd);
    free(offsets);
    free(lengths);
}

/* Delimiters on either side of where one buffer ends and the next begins. */
static void pieces_meet_the_ends_of_buffers(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    handlers_file(1 << 20);
    for (size_t length = 72 * 1024 - 300; length < 72 * 1024 + 10; length += 3) {
        uint64_t offsets[3] = { 7, 200000, 400000 };
        size_t lengths[3] = { length, 1, length };
        get_ranges(fd, offsets, lengths, 3);
    }
    close(fd);
}

static void a_file_that_ends_too_soon_cuts_the_connection(void **state)
{
    (void)state;

    handlers_file(200000);
    assert_int_equal(ftruncate(handled.fd, 150000), 0);
    for (cache = CACHE_WARM; cache <= CACHE_PARTLY; cache++) {
        int fd = client_connect(&fixture);
        client_text(&fixture, fd, "GET /file HTTP/1.1\r\n" HOST "\r\n");
        struct answer answer = client_answer(&fixture, fd, false);
        assert_true(answer.size <= 150000);
        check_bytes(answer.body, 0, answer.size);
        assert_true(client_closed(&fixture, fd));
        answer_free(&answer);
        close(fd);
    }
}

/* Bytes [offset, ...) of a file that ends at 150,000. */
static struct answer get_beyond(int *fd, uint64_t offset, size_t size)
{
    char request[128];

    *fd = client_connect(&fixture);
    snprintf(request, sizeof request, "GET /file HTTP/1.1\r\n" HOST "Range: bytes=%llu-%llu\r\n\r\n",
             (unsigned long long)offset, (unsigned long long)(offset + size - 1));
    client_text(&fixture, *fd, request);
    return client_answer(&fixture, *fd, false);
}

static void what_can_not_be_read_at_once_is_another_reply(void **state)
{
    static const size_t lengths[] = { 1, 1000, 100000, 1000000 };
    char value[64];
    int fd;
    (void)state;

    handlers_file(2 << 20);
    assert_int_equal(ftruncate(handled.fd, 150000), 0);
    handled.asks_unreadable = true;
    for (cache = CACHE_WARM; cache <= CACHE_PARTLY; cache++) {
        for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
            struct answer answer = get_beyond(&fd, 150000, lengths[i]);
            assert_int_equal(answer.status, 410);
            assert_null(answer_header(&answer, "Accept-Ranges", value, sizeof value));
            assert_true(handled.unreadable.may_reply);
            assert_int_equal(handled.unreadable.fd, handled.fd);
            assert_int_equal(handled.unreadable.offset, 150000);
            assert_in_range(handled.unreadable.size, 1, lengths[i]);
            answer_free(&answer);
            /* the connection goes on */
            client_text(&fixture, fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
            answer = client_answer(&fixture, fd, false);
            assert_int_equal(answer.status, 200);
            answer_free(&answer);
            close(fd);
        }
    }
    assert_int_equal(handled.unreadables, 3 * ARRAY_COUNT(lengths));
}

static void what_can_not_be_read_later_is_told_and_cut(void **state)
{
    int fd;
    (void)state;

    handlers_file(2 << 20);
    assert_int_equal(ftruncate(handled.fd, 150000), 0);
    handled.asks_unreadable = true;
    for (cache = CACHE_WARM; cache <= CACHE_PARTLY; cache++) {
        struct answer answer = get_beyond(&fd, 0, 1000000);
        assert_int_equal(answer.status, 206);
        check_bytes(answer.body, 0, answer.size);
        assert_true(client_closed(&fixture, fd));
        assert_false(handled.unreadable.may_reply);
        assert_true(handled.unreadable.offset + handled.unreadable.size > 150000);
        assert_true(handled.unreadable.offset <= 150000);
        answer_free(&answer);
        close(fd);
    }
    assert_int_equal(handled.unreadables, 3);
}

static void a_slow_reader_holds_up_nobody(void **state)
{
    int slow = client_connect(&fixture), quick = client_connect(&fixture);
    (void)state;

    handlers_file(40 << 20);
    client_text(&fixture, slow, "GET /file HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 100; i++) {
        client_text(&fixture, quick, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
        struct answer answer = client_answer(&fixture, quick, false);
        assert_int_equal(answer.status, 200);
        answer_free(&answer);
    }
    assert_int_equal(handled.calls, handled.overs + 1); /* the large one waits for its reader */
    struct answer answer = client_answer(&fixture, slow, false);
    assert_int_equal(answer.size, 40 << 20);
    check_bytes(answer.body, 0, answer.size);
    answer_free(&answer);
    close(slow);
    close(quick);
}

static void a_reader_that_leaves_ends_its_answer(void **state)
{
    (void)state;

    handlers_file(40 << 20);
    for (cache = CACHE_WARM; cache <= CACHE_COLD; cache++) {
        int fd = client_connect(&fixture);
        unsigned overs = handled.overs;

        client_text(&fixture, fd, "GET /file HTTP/1.1\r\n" HOST "\r\n");
        close(fd);
        while (handled.overs == overs)
            fixture_turn(&fixture, -1, 0);
    }
}

/* --- streams --- */

static void streams_come_whole(void **state)
{
    static const struct {
        const char *query;
        size_t size;
    } cases[] = {
        { "count=1&size=0", 0 },
        { "count=3&size=0", 0 },
        { "count=1&size=10", 10 },
        { "count=100&size=1000", 100000 },
        { "count=5&size=300000", 1500000 },
        { "count=1&size=0&known=1", 0 },
        { "count=100&size=1000&known=1", 100000 },
    };
    int fd = client_connect(&fixture);
    char request[128], value[32];
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        bool known = strstr(cases[i].query, "known") != NULL;

        snprintf(request, sizeof request, "GET /stream?%s HTTP/1.1\r\n" HOST "\r\n", cases[i].query);
        client_text(&fixture, fd, request);
        struct answer answer = client_answer(&fixture, fd, false);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer_header(&answer, "Content-Length", value, sizeof value) != NULL, known);
        assert_int_equal(answer_header(&answer, "Transfer-Encoding", value, sizeof value) != NULL, !known);
        assert_int_equal(answer.size, cases[i].size);
        check_bytes(answer.body, 0, answer.size);
        answer_free(&answer);
    }
    close(fd);
}

static void a_stream_that_fails_is_cut_and_never_ended(void **state)
{
    static const char *const queries[] = {
        "count=3&size=10&end=fail",
        "count=3&size=10&known=1&end=fail",
        "count=3&size=10&known=1&end=short",
        "count=0&size=10&end=fail",
    };
    char request[128];
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(queries); i++) {
        int fd = client_connect(&fixture);
        char *text = calloc(1, 65536);
        size_t size = 0;
        ssize_t got;

        snprintf(request, sizeof request, "GET /stream?%s HTTP/1.1\r\n" HOST "\r\n", queries[i]);
        client_text(&fixture, fd, request);
        while ((got = recv(fd, text + size, 65535 - size, 0)) != 0 && (got > 0 || errno == EAGAIN)) {
            size += got > 0 ? (size_t)got : 0;
            fixture_turn(&fixture, fd, POLLIN);
        }
        assert_null(strstr(text, "\r\n0\r\n\r\n")); /* no last chunk */
        close(fd);
        free(text);
    }
}

static void a_stream_goes_at_its_readers_pace(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "GET /stream?count=100&size=200000 HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 50; i++)
        uv_run(&fixture.loop, UV_RUN_NOWAIT);
    assert_in_range(handled.readies, 1, 99); /* what the sockets hold, and one push */
    struct answer answer = client_answer(&fixture, fd, false);
    assert_int_equal(answer.size, 20000000);
    assert_int_equal(handled.readies, 100);
    answer_free(&answer);
    close(fd);
}

static void a_stream_whose_reader_left_ends(void **state)
{
    int fd = client_connect(&fixture);
    (void)state;

    client_text(&fixture, fd, "GET /stream?count=1000000&size=100000 HTTP/1.1\r\n" HOST "\r\n");
    close(fd);
    while (handled.overs == 0)
        fixture_turn(&fixture, -1, 0);
    assert_true(handled.readies < 1000);
}

static void head_of_a_stream_asks_for_nothing(void **state)
{
    struct answer answer = client_once(&fixture, "HEAD /stream?count=3&size=10&known=1 HTTP/1.1\r\n" HOST
                                                 "\r\n");
    (void)state;

    assert_int_equal(answer.status, 200);
    assert_int_equal(handled.readies, 0);
    answer_free(&answer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(ranges_of_every_size_are_exact),
        TEST(sendfile_never_meets_a_page_that_is_not_in_memory),
        TEST(what_is_not_cached_comes_from_the_pool_and_is_exact),
        TEST(an_empty_file_is_an_empty_answer),
        TEST(a_thousand_ranges_come_in_the_order_asked),
        TEST(pieces_meet_the_ends_of_buffers),
        TEST(a_file_that_ends_too_soon_cuts_the_connection),
        TEST(what_can_not_be_read_at_once_is_another_reply),
        TEST(what_can_not_be_read_later_is_told_and_cut),
        TEST(a_slow_reader_holds_up_nobody),
        TEST(a_reader_that_leaves_ends_its_answer),
        TEST(streams_come_whole),
        TEST(a_stream_that_fails_is_cut_and_never_ended),
        TEST(a_stream_goes_at_its_readers_pace),
        TEST(a_stream_whose_reader_left_ends),
        TEST(head_of_a_stream_asks_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
