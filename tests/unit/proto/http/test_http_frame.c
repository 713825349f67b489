/* test_http_frame.c: bodies by length and by chunks, cut anywhere; chunk lines that are refused. */
#include "proto/http/http_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct http_head_limits limits = {
    .head_max = 40 * 1024,
    .line_max = 32 * 1024,
    .target_max = 8 * 1024,
    .fields_max = 100,
};

enum { CHUNK_LINE_MAX = 4096, TRAILERS_MAX = 8192 };

#define CHUNKED "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/* What came of a request fed in pieces that end at the cuts: its body, the last event, what was
 * left over. */
struct outcome {
    enum http_frame_event event;
    char body[256];
    size_t size, rest;
};

static struct outcome run(const char *text, size_t size, size_t cut, uint64_t body_max)
{
    struct outcome outcome = { .event = HTTP_FRAME_MORE };
    struct http_frame frame;
    struct http_head head;
    size_t at;

    http_head_init(&head);
    assert_int_equal(http_head_feed(&head, (const uint8_t *)text, size, &limits), STATUS_OK);
    const struct http_frame_limits bounds = {
        .body_max = body_max,
        .chunk_line_max = CHUNK_LINE_MAX,
        .trailers_max = TRAILERS_MAX,
    };
    assert_true(http_frame_begin(&frame, &head, (const uint8_t *)text, &bounds));
    at = head.size;
    while (outcome.event == HTTP_FRAME_MORE) {
        size_t end = cut > at && cut < size ? cut : size;
        /* A copy of its own size, so that ASan sees a step over its end. */
        uint8_t *piece = malloc(end - at + 1);
        memcpy(piece, text + at, end - at);
        struct slice input = slice_of(piece, end - at), chunk;

        while ((outcome.event = http_frame_next(&frame, &input, &chunk)) == HTTP_FRAME_CHUNK) {
            assert_true(outcome.size + chunk.size < sizeof outcome.body);
            memcpy(outcome.body + outcome.size, chunk.data, chunk.size);
            outcome.size += chunk.size;
        }
        at = end - input.size;
        free(piece);
        if (at == size)
            break;
    }
    outcome.rest = size - at;
    return outcome;
}

static void every_split_of_a_body_comes_out_alike(void **state)
{
    static const struct {
        const char *text, *body, *rest;
    } cases[] = {
        { "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /", "hello", "GET /" },
        { "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "hello", "" },
        { "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /", "", "GET /" },
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /", "", "GET /" },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nGET /", "", "GET /" },
        { "GET / HTTP/1.0\r\n\r\nGET /", "", "GET /" },
        { CHUNKED "5\r\nhello\r\n0\r\n\r\nGET /", "hello", "GET /" },
        { CHUNKED "1\r\nh\r\n04\r\nello\r\n000\r\n\r\n", "hello", "" },
        { CHUNKED "0\r\n\r\nGET /", "", "GET /" },
        { CHUNKED "5;a=b\r\nhello\r\n0;c\r\nTrailer: x\r\nOther: y\r\n\r\nGET /", "hello", "GET /" },
        { CHUNKED "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\nGET /", "hello", "GET /" },
        { CHUNKED "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\nA:\r\n\r\n0\r\n", "hello", "0\r\n" },
        { CHUNKED "5;a=\"b c\\\"\";\td\r\nhello\r\n0;\r\n\r\n", "hello", "" },
        { CHUNKED "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", "" },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t size = strlen(cases[i].text);

        for (size_t cut = 0; cut < size; cut++) {
            struct outcome outcome = run(cases[i].text, size, cut, UINT64_MAX);

            assert_int_equal(outcome.event, HTTP_FRAME_END);
            assert_true(slice_equals(slice_of(outcome.body, outcome.size), cases[i].body));
            assert_int_equal(outcome.rest, strlen(cases[i].rest));
        }
    }
}

static void chunk_lines_that_are_refused(void **state)
{
    static const char *const cases[] = {
        CHUNKED "5\nhello\r\n0\r\n\r\n",
        CHUNKED "5\r\nhello\n0\r\n\r\n",
        CHUNKED "5\r\nhelloX\r\n0\r\n\r\n",
        CHUNKED "5\r\nhello0\r\n\r\n",
        CHUNKED "-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "+5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED " 5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "g\r\nhello\r\n0\r\n\r\n",
        CHUNKED "\r\nhello\r\n0\r\n\r\n",
        CHUNKED ";a\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5;a\nhello\r\n0\r\n\r\n",
        CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5\rX\r\nhello\r\n0\r\n\r\n",
        CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", /* 2^64 + 5 */
        CHUNKED "5 \r\nhello\r\n0\r\n\r\n",
        CHUNKED "5 ;a\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5;a\x7f\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5\r\nhello\r0\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\n\n",
        CHUNKED "5\r\nhello\r\n0\r\n\rx",
        CHUNKED "5\r\nhello\r\n0\r\n: b\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na b: c\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na : b\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na: b\r\n c\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na: b\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na: b\rc\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\na: b\x01\r\n\r\n",
        CHUNKED "fffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct outcome outcome = run(cases[i], strlen(cases[i]), 0, UINT64_MAX);
        if (outcome.event != HTTP_FRAME_BAD)
            fail_msg("%s: %d", cases[i] + strlen(CHUNKED), outcome.event);
    }
}

/* A chunked request whose parts are repeated: head, then before x count, then after. */
static struct outcome run_repeated(const char *before, char repeated, size_t count,
                                   const char *after, size_t cut)
{
    char *text = malloc(sizeof CHUNKED + strlen(before) + count + strlen(after));
    size_t size = (size_t)sprintf(text, "%s%s", CHUNKED, before);

    memset(text + size, repeated, count);
    size += count;
    size += (size_t)sprintf(text + size, "%s", after);
    struct outcome outcome = run(text, size, cut, UINT64_MAX);
    free(text);
    return outcome;
}

static void a_chunk_extension_has_4_kib(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < 5000; cut += 997) {
        assert_int_equal(run_repeated("5;", 'a', 4090, "\r\nhello\r\n0\r\n\r\n", cut).event,
                         HTTP_FRAME_END);
        assert_int_equal(run_repeated("5;", 'a', 4096, "\r\nhello\r\n0\r\n\r\n", cut).event,
                         HTTP_FRAME_BAD);
        assert_int_equal(run_repeated("5;", 'a', 8000, "", cut).event, HTTP_FRAME_BAD);
    }
}

static void trailers_have_8_kib(void **state)
{
    (void)state;
    assert_int_equal(run_repeated("0\r\nX: ", 'a', 8000, "\r\n\r\n", 0).event, HTTP_FRAME_END);
    assert_int_equal(run_repeated("0\r\nX: ", 'a', 8192, "\r\n\r\n", 0).event, HTTP_FRAME_BAD);
    assert_int_equal(run_repeated("0\r\nX: ", 'a', 9000, "", 0).event, HTTP_FRAME_BAD);
}

/* CVE-2024-22019: a byte of body a chunk, each with a long extension. */
static void extensions_have_16_kib_beyond_the_body_in_all(void **state)
{
    char *text = malloc(64 * 1024);
    (void)state;

    for (unsigned chunks = 4; chunks <= 5; chunks++) {
        size_t size = (size_t)sprintf(text, "%s", CHUNKED);

        for (unsigned i = 0; i < chunks; i++) {
            size += (size_t)sprintf(text + size, "1;");
            memset(text + size, 'a', 4000);
            size += 4000;
            size += (size_t)sprintf(text + size, "\r\nx\r\n");
        }
        size += (size_t)sprintf(text + size, "0\r\n\r\n");
        assert_int_equal(run(text, size, 0, UINT64_MAX).event,
                         chunks == 4 ? HTTP_FRAME_END : HTTP_FRAME_BAD);
    }
    free(text);
}

static void a_chunked_body_has_a_limit(void **state)
{
    static const char text[] = CHUNKED "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    (void)state;

    assert_int_equal(run(text, sizeof text - 1, 0, 6).event, HTTP_FRAME_END);
    assert_int_equal(run(text, sizeof text - 1, 0, 5).event, HTTP_FRAME_TOO_LARGE);
}

static void after_an_error_there_is_only_the_error(void **state)
{
    static const char text[] = CHUNKED "x";
    static const struct http_frame_limits bounds = { UINT64_MAX, CHUNK_LINE_MAX, TRAILERS_MAX };
    struct http_frame frame;
    struct http_head head;
    struct slice chunk, input;
    (void)state;

    http_head_init(&head);
    assert_int_equal(http_head_feed(&head, (const uint8_t *)text, sizeof text - 1, &limits), STATUS_OK);
    assert_true(http_frame_begin(&frame, &head, (const uint8_t *)text, &bounds));
    input = slice_of(text + head.size, 1);
    assert_int_equal(http_frame_next(&frame, &input, &chunk), HTTP_FRAME_BAD);
    input = slice_text("0\r\n\r\n");
    assert_int_equal(http_frame_next(&frame, &input, &chunk), HTTP_FRAME_BAD);
}

static void lower_limits_are_obeyed(void **state)
{
    static const struct {
        const char *body;
        enum http_frame_event event;
    } cases[] = {
        { "5;a=3456\r\nhello\r\n0\r\n\r\n", HTTP_FRAME_END }, /* ten bytes, with CRLF */
        { "5;a=34567\r\nhello\r\n0\r\n\r\n", HTTP_FRAME_BAD },
        { "5\r\nhello\r\n0\r\nT: 3456\r\n\r\n", HTTP_FRAME_END }, /* eleven, the empty line's two with them */
        { "5\r\nhello\r\n0\r\nT: 34567\r\n\r\n", HTTP_FRAME_BAD },
        { "6\r\nhello!\r\n0\r\n\r\n", HTTP_FRAME_TOO_LARGE },
    };
    static const struct http_frame_limits bounds = {
        .body_max = 5,
        .chunk_line_max = 10,
        .trailers_max = 11,
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct slice input = slice_text(cases[i].body), chunk;
        enum http_frame_event event;
        struct http_frame frame;
        struct http_head head;

        http_head_init(&head);
        assert_int_equal(http_head_feed(&head, (const uint8_t *)CHUNKED, strlen(CHUNKED), &limits),
                         STATUS_OK);
        assert_true(http_frame_begin(&frame, &head, (const uint8_t *)CHUNKED, &bounds));
        while ((event = http_frame_next(&frame, &input, &chunk)) == HTTP_FRAME_CHUNK)
            ;
        if (event != cases[i].event)
            fail_msg("%s: %d", cases[i].body, event);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_of_a_body_comes_out_alike),
        cmocka_unit_test(chunk_lines_that_are_refused),
        cmocka_unit_test(a_chunk_extension_has_4_kib),
        cmocka_unit_test(trailers_have_8_kib),
        cmocka_unit_test(extensions_have_16_kib_beyond_the_body_in_all),
        cmocka_unit_test(a_chunked_body_has_a_limit),
        cmocka_unit_test(after_an_error_there_is_only_the_error),
        cmocka_unit_test(lower_limits_are_obeyed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
