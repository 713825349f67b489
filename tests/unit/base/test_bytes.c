/* test_bytes.c: numbers in bytes, bytes as text, UTF-8 and randomness. */
#include "proto/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void numbers_are_big_endian_and_come_back(void **state)
{
    uint8_t bytes[8] = { 0 };
    static const uint8_t expected[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

    (void)state;
    put_u64(bytes, UINT64_C(0x0102030405060708));
    assert_memory_equal(bytes, expected, 8);
    assert_int_equal(get_u64(bytes), UINT64_C(0x0102030405060708));
    assert_int_equal(get_u32(bytes + 1), 0x02030405);
    assert_int_equal(get_u24(bytes + 5), 0x060708);
    assert_int_equal(get_u16(bytes + 6), 0x0708);
    put_u32(bytes, 0xfffefdfc);
    assert_int_equal(get_u32(bytes), 0xfffefdfc);
    put_u16(bytes, 0xfffe);
    assert_int_equal(get_u16(bytes), 0xfffe);
}

static void a_slice_equals_its_text_and_no_other(void **state)
{
    struct slice slice = slice_text("run");

    (void)state;
    assert_true(slice_equals(slice, "run"));
    assert_false(slice_equals(slice, "ru"));
    assert_false(slice_equals(slice, "runs"));
    assert_false(slice_equals(slice, "Run"));
    assert_true(slice_equals(slice_of(NULL, 0), ""));
}

static void hex_comes_back(void **state)
{
    uint8_t bytes[256], back[256];
    char text[513];

    (void)state;
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    hex_print(bytes, sizeof bytes, text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text + 20, "0a0b0c0d0e0f10", 14);
    assert_int_equal(hex_parse(text, 512, back, 256), 0);
    assert_memory_equal(back, bytes, 256);
}

static void hex_of_another_size_or_alphabet_is_refused(void **state)
{
    static const char *const bad[] = { "", "0a0", "0a0b0", "0a0b0c", "0A0b", "0a0g", "0a b", "0x0a" };
    uint8_t back[2];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(hex_parse(bad[i], strlen(bad[i]), back, sizeof back), -1);
    for (unsigned c = 0; c < 256; c++) {
        char text[4] = { '0', '0', (char)c, '0' };
        int good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

        assert_int_equal(hex_parse(text, 4, back, sizeof back), good ? 0 : -1);
    }
}

static void a_decimal_number_is_digits_up_to_its_maximum(void **state)
{
    static const struct {
        const char *text;
        uint64_t max;
        int result;
        uint64_t value;
    } cases[] = {
        { "0", 0, 0, 0 },
        { "1", 0, -1, 0 },
        { "007", 7, 0, 7 },
        { "65535", 65535, 0, 65535 },
        { "65536", 65535, -1, 0 },
        { "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, -1, 0 },
        { "99999999999999999999", UINT64_MAX, -1, 0 },
        { "184467440737095516150", UINT64_MAX, -1, 0 },
        { "", 9, -1, 0 },
        { "-1", 9, -1, 0 },
        { "+1", 9, -1, 0 },
        { " 1", 9, -1, 0 },
        { "1 ", 9, -1, 0 },
        { "0x1", 99, -1, 0 },
        { "9", 5, -1, 0 },
        { "1e1", 99, -1, 0 },
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t value = 0;
        const char *text = cases[i].text;

        assert_int_equal(decimal_parse(text, strlen(text), cases[i].max, &value), cases[i].result);
        assert_int_equal(value, cases[i].value);
    }
}

/* Encodes as RFC 3629's table says, which is not how utf8_length() looks at it. */
static size_t encode(uint32_t code, uint8_t out[4])
{
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

    if (length == 1) {
        out[0] = (uint8_t)code;
        return 1;
    }
    for (size_t i = length - 1; i > 0; i--, code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3f));
    out[0] = (uint8_t)(leads[length] | code);
    return length;
}

static void every_character_is_utf8_and_no_cut_one_is(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        uint8_t bytes[4];
        size_t length = encode(code, bytes);
        int surrogate = code >= 0xd800 && code <= 0xdfff;

        if (utf8_length(bytes, length) != (surrogate ? 0 : length))
            fail_msg("U+%04X", code);
        for (size_t cut = 0; cut < length; cut++)
            if (utf8_length(bytes, cut) != 0)
                fail_msg("U+%04X cut at %zu", code, cut);
    }
}

static void there_are_no_more_valid_sequences_than_characters(void **state)
{
    unsigned counts[5] = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 1 << 16; i++) {
        uint8_t bytes[4] = { (uint8_t)(i >> 8), (uint8_t)i, 0x80, 0x80 };

        counts[utf8_length(bytes, 4)]++;
    }
    assert_int_equal(counts[1], 0x80 * 256);
    assert_int_equal(counts[2], 0x800 - 0x80);
    assert_int_equal(counts[3], (0x10000 - 0x800 - 0x800) / 64);
    assert_int_equal(counts[4], 0x100000 / 4096);
}

static void random_bytes_fill_all_and_differ(void **state)
{
    uint8_t first[64] = { 0 }, second[64] = { 0 };

    (void)state;
    random_bytes(first, sizeof first);
    random_bytes(second, sizeof second);
    assert_memory_not_equal(first, second, sizeof first);
    assert_memory_not_equal(first + 32, (uint8_t[32]){ 0 }, 32);
    random_bytes(first, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_big_endian_and_come_back),
        cmocka_unit_test(a_slice_equals_its_text_and_no_other),
        cmocka_unit_test(hex_comes_back),
        cmocka_unit_test(hex_of_another_size_or_alphabet_is_refused),
        cmocka_unit_test(a_decimal_number_is_digits_up_to_its_maximum),
        cmocka_unit_test(every_character_is_utf8_and_no_cut_one_is),
        cmocka_unit_test(there_are_no_more_valid_sequences_than_characters),
        cmocka_unit_test(random_bytes_fill_all_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
