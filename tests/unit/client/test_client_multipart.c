/* test_client_multipart.c: answers of many ranges, however they are cut. */
#include "client/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char type[] = "multipart/byteranges; boundary=abc";
static const char good[] = "\r\n--abc\r\nContent-Type: application/x-grib2\r\nContent-Range: bytes 0-4/100\r\n\r\nhello"
                           "\r\n--abc\r\ncontent-range: bytes 10-12/100\r\n\r\n--a"
                           "\r\n--abc--\r\n";

struct taken {
    char text[64];
    size_t size;
    int parts;
};

static int take(struct multipart *multipart, uint64_t offset, uint64_t end, struct slice bytes)
{
    struct taken *taken = multipart->user;

    assert_true(offset + bytes.size <= end);
    memcpy(taken->text + taken->size, bytes.data, bytes.size);
    taken->size += bytes.size;
    taken->parts += offset + bytes.size == end;
    return 0;
}

static void every_cut_of_an_answer_gives_the_same(void **state)
{
    (void)state;
    for (size_t cut = 0; cut <= sizeof good - 1; cut++) {
        struct multipart multipart;
        struct taken taken = { .size = 0 };

        assert_true(multipart_init(&multipart, type, take, &taken));
        assert_int_equal(multipart_feed(&multipart, slice_of(good, cut)), STATUS_OK);
        assert_int_equal(multipart_feed(&multipart, slice_of(good + cut, sizeof good - 1 - cut)),
                         STATUS_OK);
        assert_int_equal(taken.parts, 2);
        assert_int_equal(taken.size, 8);
        assert_memory_equal(taken.text, "hello--a", 8);
        assert_int_equal(multipart.state, MULTIPART_OVER);
    }
}

static void what_is_no_such_answer_is_refused(void **state)
{
    static const char *const types[] = { "application/json", "multipart/byteranges",
                                         "multipart/byteranges; boundary=", "multipart/mixed; boundary=abc" };
    static const char *const bodies[] = {
        "hello\r\n",
        "--abd\r\n",
        "--abc\r\nContent-Type: a\r\n\r\n",              /* no range */
        "--abc\r\nContent-Range: bytes 5-4/100\r\n\r\n", /* backwards */
        "--abc\r\nContent-Range: bytes x-4/100\r\n\r\n",
        "--abc\r\nContent-Range: bytes 0-1/9\r\nContent-Range: bytes 0-1/9\r\n\r\n",
        "--abc\r\nContent-Range: bytes 0-0/9\r\n\r\nab\r\n", /* longer than it says */
    };
    struct multipart multipart;
    struct taken taken;
    char head[MULTIPART_HEAD_MAX + 100];

    (void)state;
    assert_false(multipart_init(&multipart, NULL, take, &taken));
    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        assert_false(multipart_init(&multipart, types[i], take, &taken));
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        taken = (struct taken){ .size = 0 };
        assert_true(multipart_init(&multipart, type, take, &taken));
        assert_int_equal(multipart_feed(&multipart, slice_text(bodies[i])), STATUS_MALFORMED);
    }
    memset(head, 'a', sizeof head);
    assert_true(multipart_init(&multipart, "Multipart/ByteRanges; boundary=\"abc\"", take, &taken));
    assert_int_equal(multipart_feed(&multipart, slice_of(head, sizeof head)), STATUS_MALFORMED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_of_an_answer_gives_the_same),
        cmocka_unit_test(what_is_no_such_answer_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
