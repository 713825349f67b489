/* test_http_range.c: Range by RFC 9110 section 14, as clients use it; multipart to the byte. */
#include "proto/http/http_range.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct http_range ranges[HTTP_RANGES_MAX];

static void one_range_at_a_time(void **state)
{
    static const struct {
        const char *header;
        uint64_t size;
        enum http_ranges result;
        uint64_t offset, length;
    } cases[] = {
        /* section 14.1.2: a-b, a-, -n */
        { "bytes=0-0", 100, HTTP_RANGES_SOME, 0, 1 },
        { "bytes=0-99", 100, HTTP_RANGES_SOME, 0, 100 },
        { "bytes=10-19", 100, HTTP_RANGES_SOME, 10, 10 },
        { "bytes=99-99", 100, HTTP_RANGES_SOME, 99, 1 },
        { "bytes=40-", 100, HTTP_RANGES_SOME, 40, 60 },
        { "bytes=-1", 100, HTTP_RANGES_SOME, 99, 1 },
        { "bytes=-100", 100, HTTP_RANGES_SOME, 0, 100 },
        { "bytes=00010-0019", 100, HTTP_RANGES_SOME, 10, 10 },
        /* an end past the end is clamped */
        { "bytes=10-100", 100, HTTP_RANGES_SOME, 10, 90 },
        { "bytes=10-18446744073709551615", 100, HTTP_RANGES_SOME, 10, 90 },
        { "bytes=10-99999999999999999999999999999", 100, HTTP_RANGES_SOME, 10, 90 },
        { "bytes=-101", 100, HTTP_RANGES_SOME, 0, 100 },
        { "bytes=-99999999999999999999999999999", 100, HTTP_RANGES_SOME, 0, 100 },
        /* nothing of it lies in the file */
        { "bytes=100-", 100, HTTP_RANGES_UNSATISFIABLE, 0, 0 },
        { "bytes=100-200", 100, HTTP_RANGES_UNSATISFIABLE, 0, 0 },
        { "bytes=99999999999999999999999999999-", 100, HTTP_RANGES_UNSATISFIABLE, 0, 0 },
        { "bytes=-0", 100, HTTP_RANGES_UNSATISFIABLE, 0, 0 },
        { "bytes=0-", 0, HTTP_RANGES_UNSATISFIABLE, 0, 0 },
        { "bytes=-5", 0, HTTP_RANGES_UNSATISFIABLE, 0, 0 },
        /* section 14.1: units are case-insensitive, others are ignored */
        { "Bytes=0-0", 100, HTTP_RANGES_SOME, 0, 1 },
        { "bits=0-0", 100, HTTP_RANGES_NONE, 0, 0 },
        { "byte=0-0", 100, HTTP_RANGES_NONE, 0, 0 },
        { "seconds=1-2", 100, HTTP_RANGES_NONE, 0, 0 },
        /* section 5.6.1: lists may have empty members and blanks */
        { "bytes=,0-0", 100, HTTP_RANGES_SOME, 0, 1 },
        { "bytes= 0-0 ", 100, HTTP_RANGES_SOME, 0, 1 },
        { "bytes=0-0,", 100, HTTP_RANGES_SOME, 0, 1 },
        { "bytes=200-, 0-0", 100, HTTP_RANGES_SOME, 0, 1 },
        /* malformed: ignored as a whole */
        { "", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=,", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=-", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=1", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=a-b", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=1-0", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0-0,5-4", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0-0,x", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0-0;1-1", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0-0 1-1", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0-0-0", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0--1", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=+0-1", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0x0-1", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes 0-0", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes =0-0", 100, HTTP_RANGES_NONE, 0, 0 },
        { "bytes=0 - 0", 100, HTTP_RANGES_NONE, 0, 0 },
        { " bytes=0-0", 100, HTTP_RANGES_NONE, 0, 0 },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        unsigned count = 77;
        enum http_ranges result = http_ranges_parse(slice_text(cases[i].header), cases[i].size,
                                                    HTTP_RANGES_MAX, ranges, &count);

        if (result != cases[i].result)
            fail_msg("%s: %d", cases[i].header, (int)result);
        assert_int_equal(count, result == HTTP_RANGES_SOME);
        if (result == HTTP_RANGES_SOME) {
            assert_int_equal(ranges[0].offset, cases[i].offset);
            assert_int_equal(ranges[0].length, cases[i].length);
        }
    }
}

static void an_absent_header_asks_for_the_whole(void **state)
{
    unsigned count;
    (void)state;

    assert_int_equal(http_ranges_parse(slice_of(NULL, 0), 100, HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_NONE);
}

/* Each part may cost 400 bytes beyond the file; a range that starts past the end is no part. */
static void ranges_that_are_dropped_allow_no_further_bytes(void **state)
{
    unsigned count;
    (void)state;

    assert_int_equal(http_ranges_parse(slice_text("bytes=0-,0-"), 1000, HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_NONE);
    assert_int_equal(http_ranges_parse(slice_text("bytes=1000-,1000-,0-,0-"), 1000, HTTP_RANGES_MAX,
                                       ranges, &count),
                     HTTP_RANGES_NONE);
}

static void ranges_stay_in_order_and_apart(void **state)
{
    unsigned count;
    (void)state;

    assert_int_equal(http_ranges_parse(slice_text("bytes=50-59,0-9,10-19,900-,-5"), 100,
                                       HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_SOME);
    assert_int_equal(count, 4); /* the one past the end is dropped */
    assert_int_equal(ranges[0].offset, 50);
    assert_int_equal(ranges[1].offset, 0);
    assert_int_equal(ranges[2].offset, 10); /* touches the one before; not merged */
    assert_int_equal(ranges[3].offset, 95);
    assert_int_equal(ranges[3].length, 5);
}

static void a_thousand_ranges_are_served_and_one_more_is_not(void **state)
{
    char header[32 * 1024] = "bytes=";
    size_t used = strlen(header);
    unsigned count;
    (void)state;

    for (unsigned i = 0; i < HTTP_RANGES_MAX; i++)
        used += (size_t)sprintf(header + used, "%s%u-%u", i > 0 ? "," : "", 1000000000 + 10 * i,
                                1000000004 + 10 * i);
    assert_int_equal(used, 6 + 1000 * 21 + 999);
    assert_int_equal(http_ranges_parse(slice_text(header), 2000000000, HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_SOME);
    assert_int_equal(count, HTTP_RANGES_MAX);
    assert_int_equal(ranges[999].offset, 1000009990);
    sprintf(header + used, ",0-0");
    assert_int_equal(http_ranges_parse(slice_text(header), 2000000000, HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_NONE);
}

/* RFC 9110 section 14.2: overlapping ranges must not multiply a file. */
static void more_bytes_than_the_file_are_not_sent(void **state)
{
    unsigned count;
    (void)state;

    assert_int_equal(http_ranges_parse(slice_text("bytes=0-,0-"), 800, HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_SOME);
    assert_int_equal(http_ranges_parse(slice_text("bytes=0-,0-"), 801, HTTP_RANGES_MAX, ranges, &count),
                     HTTP_RANGES_NONE);
    assert_int_equal(
        http_ranges_parse(slice_text("bytes=0-,0-0,1-1"), 100000, HTTP_RANGES_MAX, ranges, &count),
        HTTP_RANGES_SOME);
    assert_int_equal(
        http_ranges_parse(slice_text("bytes=0-,-100000"), 100000, HTTP_RANGES_MAX, ranges, &count),
        HTTP_RANGES_NONE);
}

static void multipart_is_as_clients_read_it(void **state)
{
    struct http_range range = { 5, 3 };
    struct buf buf;
    (void)state;

    buf_init(&buf, 4096);
    http_multipart_head(&buf, "TOKEN", true, "application/wmo-grib", &range, 100);
    buf_text(&buf, "abc");
    range = (struct http_range){ 0, 1 };
    http_multipart_head(&buf, "TOKEN", false, "application/wmo-grib", &range, 100);
    buf_text(&buf, "x");
    http_multipart_end(&buf, "TOKEN");
    assert_string_equal(buf_string(&buf), "--TOKEN\r\n"
                                          "Content-Type: application/wmo-grib\r\n"
                                          "Content-Range: bytes 5-7/100\r\n"
                                          "\r\n"
                                          "abc\r\n"
                                          "--TOKEN\r\n"
                                          "Content-Type: application/wmo-grib\r\n"
                                          "Content-Range: bytes 0-0/100\r\n"
                                          "\r\n"
                                          "x\r\n"
                                          "--TOKEN--\r\n");
    buf_fini(&buf);
}

static void boundaries_are_fresh_letters_and_digits(void **state)
{
    char one[HTTP_BOUNDARY_SIZE], other[HTTP_BOUNDARY_SIZE];
    (void)state;

    http_boundary_make(one);
    http_boundary_make(other);
    assert_int_equal(strlen(one), HTTP_BOUNDARY_SIZE - 1);
    assert_string_not_equal(one, other);
    for (size_t i = 0; one[i] != '\0'; i++)
        assert_true(isalnum((unsigned char)one[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_at_a_time),
        cmocka_unit_test(an_absent_header_asks_for_the_whole),
        cmocka_unit_test(ranges_that_are_dropped_allow_no_further_bytes),
        cmocka_unit_test(ranges_stay_in_order_and_apart),
        cmocka_unit_test(a_thousand_ranges_are_served_and_one_more_is_not),
        cmocka_unit_test(more_bytes_than_the_file_are_not_sent),
        cmocka_unit_test(multipart_is_as_clients_read_it),
        cmocka_unit_test(boundaries_are_fresh_letters_and_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
