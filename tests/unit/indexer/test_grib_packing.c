/* test_grib_packing.c: packing and places from octets. That real heads say what ecCodes says is test_decode's. */
#include "indexer/grib_packing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- edition 2 ---- */

struct head_2 {
    uint8_t section_0[16], section_1[21], section_3[72], section_4[34], section_5[21], section_6[6];
    struct grib_head head;
};

static void head_2_make(struct head_2 *made, uint64_t total, uint32_t bitmap)
{
    *made = (struct head_2){ .head = { .edition = 2 } };
    put_u64(made->section_0 + 8, total);
    put_u32(made->section_6, bitmap);
    made->head.section[0] = slice_of(made->section_0, sizeof made->section_0);
    made->head.section[1] = slice_of(made->section_1, sizeof made->section_1);
    made->head.section[3] = slice_of(made->section_3, sizeof made->section_3);
    made->head.section[4] = slice_of(made->section_4, sizeof made->section_4);
    made->head.section[5] = slice_of(made->section_5, sizeof made->section_5);
    made->head.section[6] = slice_of(made->section_6, sizeof made->section_6);
}

enum { FRONT_2 = 16 + 21 + 72 + 34 + 21 };

static void numbers_of_edition_2_have_a_sign_and_a_magnitude(void **state)
{
    (void)state;
    struct grib_packing packing;
    struct head_2 made;

    head_2_make(&made, 1000, 6);
    put_u32(made.section_5 + 11, 0x43889333); /* 273.15 */
    put_u16(made.section_5 + 15, 0x8005);
    put_u16(made.section_5 + 17, 2);
    made.section_5[19] = 16;
    grib_packing_read(&made.head, &packing);
    assert_true(packing.has_bits && packing.has_reference && packing.has_scales);
    assert_int_equal(packing.bits_per_value, 16);
    assert_int_equal(packing.binary_scale, -5);
    assert_int_equal(packing.decimal_scale, 2);
    assert_true(packing.reference_value > 273.1499 && packing.reference_value < 273.1501);
}

static void a_reference_value_that_is_no_number_is_absent(void **state)
{
    (void)state;
    static const uint32_t raws[] = { 0x7f800000, 0xff800000, 0x7fc00000 };
    struct grib_packing packing;
    struct head_2 made;

    for (size_t i = 0; i < ARRAY_COUNT(raws); i++) {
        head_2_make(&made, 1000, 6);
        put_u32(made.section_5 + 11, raws[i]);
        grib_packing_read(&made.head, &packing);
        assert_false(packing.has_reference);
        assert_true(packing.has_scales);
    }
}

static void a_template_without_a_scale_says_nothing_of_one(void **state)
{
    (void)state;
    struct grib_packing packing;
    struct head_2 made;

    head_2_make(&made, 1000, 6);
    put_u16(made.section_5 + 9, 4); /* IEEE */
    grib_packing_read(&made.head, &packing);
    assert_false(packing.has_bits || packing.has_reference || packing.has_scales);
    put_u16(made.section_5 + 9, 200); /* run length */
    made.section_5[11] = 8;
    grib_packing_read(&made.head, &packing);
    assert_true(packing.has_bits && packing.bits_per_value == 8 && !packing.has_scales);
}

static void every_cut_of_section_5_is_read_without_what_is_gone(void **state)
{
    (void)state;
    struct grib_packing packing;
    struct head_2 made;

    for (size_t size = 0; size < sizeof made.section_5; size++) {
        head_2_make(&made, 1000, 6);
        made.head.section[5] = slice_of(made.section_5, size);
        grib_packing_read(&made.head, &packing);
        assert_int_equal(packing.has_scales, size >= 20);
    }
}

static void values_of_edition_2_lie_behind_the_bitmap(void **state)
{
    (void)state;
    static const struct {
        uint64_t total;
        uint32_t bitmap;
        bool known;
        uint64_t length;
    } cases[] = {
        { FRONT_2 + 6 + 105 + 4, 6, true, 105 },
        { FRONT_2 + 506 + 105 + 4, 506, true, 105 },
        { FRONT_2 + 6 + 5 + 4, 6, true, 5 },
        { FRONT_2 + 6 + 4 + 4, 6, false, 0 },   /* no room for a section 7 */
        { FRONT_2 + 6 + 105 + 4, 5, false, 0 }, /* no section 6 is that short */
        { FRONT_2, UINT32_MAX, false, 0 },
        { 0, 6, false, 0 },
        { UINT64_MAX, 6, false, 0 },
    };
    struct head_2 made;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t offset = 0, length = 0;
        head_2_make(&made, cases[i].total, cases[i].bitmap);
        assert_int_equal(grib_packing_place(&made.head, &offset, &length), cases[i].known);
        if (cases[i].known) {
            assert_int_equal(offset, FRONT_2 + cases[i].bitmap);
            assert_int_equal(length, cases[i].length);
        }
    }
}

/* ---- edition 1 ---- */

struct head_1 {
    uint8_t section_0[8], section_1[28], section_2[32], section_4[11];
    struct grib_head head;
};

enum { FRONT_1 = 8 + 28 + 32 };

static void put_u24(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 16);
    put_u16(at + 1, (uint16_t)value);
}

static void head_1_make(struct head_1 *made, uint32_t total, uint32_t section_4, bool bitmap)
{
    *made = (struct head_1){ .head = { .edition = 1 } };
    put_u24(made->section_0 + 4, total);
    made->section_1[7] = bitmap ? 0xc0 : 0x80;
    put_u24(made->section_4, section_4);
    made->head.section[0] = slice_of(made->section_0, sizeof made->section_0);
    made->head.section[1] = slice_of(made->section_1, sizeof made->section_1);
    made->head.section[2] = slice_of(made->section_2, sizeof made->section_2);
    made->head.section[4] = slice_of(made->section_4, sizeof made->section_4);
}

static void a_reference_value_of_edition_1_is_ibms(void **state)
{
    (void)state;
    static const struct {
        uint32_t raw;
        double value;
    } cases[] = {
        { 0x00000000, 0 },   { 0x41100000, 1 },  { 0xc1100000, -1 },
        { 0x43111000, 273 }, { 0x40800000, .5 }, { 0xc276a000, -118.625 },
    };
    struct grib_packing packing;
    struct head_1 made;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        head_1_make(&made, 200, 100, false);
        put_u32(made.section_4 + 6, cases[i].raw);
        put_u16(made.section_4 + 4, 0x8003);
        put_u16(made.section_1 + 26, 0x8001);
        made.section_4[10] = 12;
        grib_packing_read(&made.head, &packing);
        assert_true(packing.reference_value == cases[i].value);
        assert_int_equal(packing.binary_scale, -3);
        assert_int_equal(packing.decimal_scale, -1);
        assert_int_equal(packing.bits_per_value, 12);
    }
}

static void values_of_edition_1_end_at_the_trailer(void **state)
{
    (void)state;
    enum { EXTENDED = 68 }; /* what section 4 says of a message of 120 * n bytes */
    static const struct {
        uint32_t total, section_4;
        bool bitmap, known;
        uint64_t offset, length;
    } cases[] = {
        { FRONT_1 + 100 + 4, 100, false, true, FRONT_1, 100 },
        { FRONT_1 + 100 + 4, 99, false, false, 0, 0 }, /* something lies between */
        { FRONT_1 + 50 + 100 + 4, 100, true, true, FRONT_1 + 50, 100 },
        { FRONT_1 + 100 + 4, 100, true, false, 0, 0 },  /* no room for the bitmap */
        { FRONT_1 + 100 + 4, 200, false, false, 0, 0 }, /* longer than the message */
        { FRONT_1 + 100 + 4, 10, false, false, 0, 0 },
        { 0x800000 | 100000, EXTENDED, false, true, FRONT_1, 12000000 - EXTENDED - FRONT_1 },
        { 0x800000 | 100000, EXTENDED, true, false, 0, 0 },
        { 0x800000, EXTENDED, false, false, 0, 0 },
    };
    struct head_1 made;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint64_t offset = 0, length = 0;
        head_1_make(&made, cases[i].total, cases[i].section_4, cases[i].bitmap);
        assert_int_equal(grib_packing_place(&made.head, &offset, &length), cases[i].known);
        if (cases[i].known) {
            assert_int_equal(offset, cases[i].offset);
            assert_int_equal(length, cases[i].length);
        }
    }
}

/* ---- members ---- */

static void members_have_the_names_of_the_list(void **state)
{
    (void)state;
    struct json_writer json;
    struct head_2 made;
    struct buf text;

    head_2_make(&made, FRONT_2 + 6 + 105 + 4, 6);
    buf_init(&text, 4096);
    json_init(&json, &text);
    json_object_begin(&json);
    grib_packing_put(&made.head, &json);
    json_object_end(&json);
    for (size_t i = 0; grib_packing_keys[i] != NULL; i++)
        if (strncmp(grib_packing_keys[i], "data_", 5) != 0)
            assert_non_null(strstr(buf_string(&text), grib_packing_keys[i]));
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_edition_2_have_a_sign_and_a_magnitude),
        cmocka_unit_test(a_reference_value_that_is_no_number_is_absent),
        cmocka_unit_test(a_template_without_a_scale_says_nothing_of_one),
        cmocka_unit_test(every_cut_of_section_5_is_read_without_what_is_gone),
        cmocka_unit_test(values_of_edition_2_lie_behind_the_bitmap),
        cmocka_unit_test(a_reference_value_of_edition_1_is_ibms),
        cmocka_unit_test(values_of_edition_1_end_at_the_trailer),
        cmocka_unit_test(members_have_the_names_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
