/* test_grib_octets.c: what is kept of a head, and what a head made of it says; grids' hashes. That both decode to the same keys is
 * test_decode's. */
#include "indexer/grib_octets.h"

#include "indexer/grib_grid.h"
#include "indexer/grib_step.h"
#include "proto/base/base64.h"
#include "proto/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HEAD_SIZE_MAX = 1 << 16, PRODUCT_SIZE = 58, COORDINATES = 40 };

static int64_t base(int year, int month, int day, int hour)
{
    int64_t time;

    assert_true(base_time_from_calendar(year, month, day, hour, 0, 0, &time));
    return time;
}

static void put_date(uint8_t *at, int64_t when)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(when, &year, &month, &day, &hour, &minute, &second);
    put_u16(at, (uint16_t)year);
    at[2] = (uint8_t)month, at[3] = (uint8_t)day, at[4] = (uint8_t)hour;
    at[5] = (uint8_t)minute, at[6] = (uint8_t)second;
}

/* A head of edition 2, template 4.8, with a local section of `local` octets and, if wanted, coordinates of levels. */
static void head_2(struct buf *head, int64_t base_time, int64_t end, size_t local, bool coordinates)
{
    uint8_t section_0[16] = { 'G', 'R', 'I', 'B', 0, 0, 10, 2 };
    uint8_t section_1[21] = { 0, 0, 0, 21, 1, 0, 98, 0, 3, 19, 1, 1 };
    uint8_t section_3[72] = { 0, 0, 0, 72, 3 };
    uint8_t section_4[PRODUCT_SIZE + COORDINATES] = { 0, 0, 0, PRODUCT_SIZE, 4, 0, 0, 0, 8, 1, 8 };
    uint8_t section_5[21] = { 0, 0, 0, 21, 5, 0, 0, 0, 1 };
    uint8_t section_6[6] = { 0, 0, 0, 6, 6, 255 };
    size_t size_4 = PRODUCT_SIZE + (coordinates ? COORDINATES : 0);

    put_date(section_1 + 12, base_time);
    section_4[3] = (uint8_t)size_4;
    section_4[6] = coordinates ? COORDINATES / 4 : 0;
    section_4[17] = 1; /* hours */
    put_date(section_4 + 34, end);
    section_4[41] = 1; /* one range */
    section_4[47] = 2;
    section_4[48] = 1;
    put_u32(section_4 + 49, (uint32_t)((end - base_time) / 3600));
    memset(section_4 + PRODUCT_SIZE, 0xaa, COORDINATES);
    buf_append(head, section_0, sizeof section_0);
    buf_append(head, section_1, sizeof section_1);
    if (local > 0) {
        uint8_t *at = buf_reserve(head, local);
        memset(at, 7, local);
        put_u32(at, (uint32_t)local);
        at[4] = 2;
        head->size += local;
    }
    buf_append(head, section_3, sizeof section_3);
    buf_append(head, section_4, size_4);
    buf_append(head, section_5, sizeof section_5);
    buf_append(head, section_6, sizeof section_6);
}

/* With a list of vertical coordinates (two) if wanted. */
static void head_1(struct buf *head, int year, uint8_t decimal_scale, bool coordinates)
{
    uint8_t section_0[8] = { 'G', 'R', 'I', 'B', 0, 0, 0, 1 };
    uint8_t section_1[28] = { 0, 0, 28, 128, 98, 255, 255, 0x80, 167, 1 };
    uint8_t section_2[40] = { 0, 0, 32, 0, 255, 0, 0, 1, 0, 1 };
    uint8_t section_4[11] = { 0 };

    section_1[12] = (uint8_t)((year - 1) % 100 + 1);
    section_1[13] = 4, section_1[14] = 8;
    section_1[17] = 1, section_1[18] = 24;
    section_1[24] = (uint8_t)((year - 1) / 100 + 1);
    section_1[27] = decimal_scale;
    if (coordinates)
        section_2[2] = 40, section_2[3] = 2, section_2[4] = 33;
    memset(section_2 + 32, 0xaa, 8);
    buf_append(head, section_0, sizeof section_0);
    buf_append(head, section_1, sizeof section_1);
    buf_append(head, section_2, section_2[2]);
    buf_append(head, section_4, sizeof section_4);
}

static void parse(const struct buf *from, struct grib_head *head)
{
    struct error err;

    error_init(&err);
    if (grib_head_parse(from->data, from->size, head, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static size_t keep(const struct buf *from, uint8_t octets[GRIB_OCTETS_SIZE_MAX])
{
    struct grib_head head;

    parse(from, &head);
    return grib_octets_keep(&head, octets);
}

static void dates_coordinates_and_scales_are_not_kept(void **state)
{
    (void)state;
    uint8_t first[GRIB_OCTETS_SIZE_MAX], second[GRIB_OCTETS_SIZE_MAX];
    int64_t monday = base(2013, 4, 8, 0), tuesday = base(2014, 5, 9, 12);
    struct buf a, b;

    buf_init(&a, HEAD_SIZE_MAX);
    buf_init(&b, HEAD_SIZE_MAX);
    head_2(&a, monday, monday + 86400, 17, true);
    head_2(&b, tuesday, tuesday + 86400, 17, false);
    size_t size = keep(&a, first);
    assert_int_equal(size, 1 + 1 + 21 + 17 + PRODUCT_SIZE);
    assert_int_equal(keep(&b, second), size);
    assert_memory_equal(first, second, size);

    buf_clear(&a);
    buf_clear(&b);
    head_1(&a, 2013, 2, false);
    head_1(&b, 1999, 0, true);
    size = keep(&a, first);
    assert_int_equal(size, 1 + 28);
    assert_int_equal(keep(&b, second), size);
    assert_memory_equal(first, second, size);
    buf_fini(&a);
    buf_fini(&b);
}

static void a_head_made_of_them_keeps_the_same_and_says_when(void **state)
{
    (void)state;
    static const int years[] = { 1, 100, 101, 1900, 1999, 2000, 2001, 2013, 2100 };
    uint8_t octets[GRIB_OCTETS_SIZE_MAX], again[GRIB_OCTETS_SIZE_MAX];
    struct buf head, made;
    struct error err;

    buf_init(&head, HEAD_SIZE_MAX);
    buf_init(&made, HEAD_SIZE_MAX);
    for (unsigned edition = 1; edition <= 2; edition++)
        for (size_t i = 0; i < ARRAY_COUNT(years); i++) {
            int64_t base_time = base(years[i], 4, 8, 0), read;
            struct grib_head sections;
            struct grib_step step;

            buf_clear(&head);
            buf_clear(&made);
            if (edition == 2)
                head_2(&head, base_time, base_time + 86400, 0, false);
            else
                head_1(&head, years[i], 1, false);
            size_t size = keep(&head, octets);
            assert_int_equal(grib_octets_to_head(octets, size, base_time, base_time + 86400, &made, &err),
                             STATUS_OK);
            assert_int_equal(keep(&made, again), size);
            assert_memory_equal(octets, again, size);
            assert_int_equal(grib_base_time(made.data, made.size, &read, &err), STATUS_OK);
            assert_int_equal(read, base_time);
            parse(&made, &sections);
            assert_true(grib_step_read(&sections, base_time, &step));
            assert_int_equal(step.end, 86400);
            if (edition == 2) {
                uint8_t end[7];
                put_date(end, base_time + 86400);
                assert_memory_equal(sections.section[4].data + 34, end, sizeof end);
                assert_int_equal(get_u64(sections.section[0].data + 8), made.size);
            }
        }
    buf_fini(&head);
    buf_fini(&made);
}

static void nothing_is_kept_of_a_head_with_too_many(void **state)
{
    (void)state;
    uint8_t octets[GRIB_OCTETS_SIZE_MAX];
    size_t most = GRIB_OCTETS_SIZE_MAX - 1 - 1 - 21 - PRODUCT_SIZE;
    int64_t when = base(2013, 4, 8, 0);
    struct buf head;

    buf_init(&head, HEAD_SIZE_MAX);
    head_2(&head, when, when, most, false);
    assert_int_equal(keep(&head, octets), GRIB_OCTETS_SIZE_MAX);
    buf_clear(&head);
    head_2(&head, when, when, most + 1, false);
    assert_int_equal(keep(&head, octets), 0);
    buf_fini(&head);
}

/* Whatever the octets: a head that can be cut into sections, or a refusal. */
static void check_hostile(const uint8_t *octets, size_t size)
{
    uint8_t *exact = malloc(size + 1);
    struct grib_head head;
    struct error err;
    struct buf made;

    if (size > 0)
        memcpy(exact, octets, size);
    exact = realloc(exact, size > 0 ? size : 1); /* so that one octet too many is seen */
    buf_init(&made, HEAD_SIZE_MAX);
    enum status status = grib_octets_to_head(exact, size, 0, 0, &made, &err);
    if (status == STATUS_OK)
        grib_head_parse(made.data, made.size, &head, &err);
    else
        assert_int_equal(status, STATUS_MALFORMED);
    buf_fini(&made);
    free(exact);
}

static void every_cut_and_every_flipped_octet_is_read_safely(void **state)
{
    (void)state;
    uint8_t octets[GRIB_OCTETS_SIZE_MAX];
    int64_t when = base(2013, 4, 8, 0);
    struct buf head;

    buf_init(&head, HEAD_SIZE_MAX);
    for (unsigned edition = 1; edition <= 2; edition++) {
        buf_clear(&head);
        if (edition == 2)
            head_2(&head, when, when, 17, false);
        else
            head_1(&head, 2013, 0, false);
        size_t size = keep(&head, octets);
        for (size_t cut = 0; cut <= size; cut++)
            check_hostile(octets, cut);
        for (size_t at = 0; at < size; at++)
            for (unsigned flip = 1; flip < 256; flip++) {
                octets[at] ^= (uint8_t)flip;
                check_hostile(octets, size);
                octets[at] ^= (uint8_t)flip;
            }
    }
    buf_fini(&head);
}

/* ---- grids ---- */

static void hash(const struct buf *from, uint8_t value[GRIB_GRID_HASH_SIZE])
{
    struct grib_head head;

    parse(from, &head);
    assert_true(grib_grid_hash(&head, value));
}

static void levels_are_not_of_the_grid_and_its_shape_is(void **state)
{
    (void)state;
    uint8_t first[GRIB_GRID_HASH_SIZE], second[GRIB_GRID_HASH_SIZE];
    int64_t when = base(2013, 4, 8, 0);
    struct buf a, b;

    buf_init(&a, HEAD_SIZE_MAX);
    buf_init(&b, HEAD_SIZE_MAX);
    head_1(&a, 2013, 0, false);
    head_1(&b, 2013, 0, true);
    hash(&a, first);
    hash(&b, second);
    assert_memory_equal(first, second, sizeof first);
    b.data[8 + 28 + 7]++; /* Ni */
    hash(&b, second);
    assert_memory_not_equal(first, second, sizeof first);

    buf_clear(&a);
    buf_clear(&b);
    head_2(&a, when, when, 0, false);
    head_2(&b, when, when + 3600, 17, true);
    hash(&a, first);
    hash(&b, second);
    assert_memory_equal(first, second, sizeof first);
    b.data[16 + 21 + 17 + 71] ^= 0x80; /* the last octet of section 3 */
    hash(&b, second);
    assert_memory_not_equal(first, second, sizeof first);
    buf_fini(&a);
    buf_fini(&b);
}

static void lists_that_do_not_fit_are_hashed_as_they_are(void **state)
{
    (void)state;
    uint8_t value[GRIB_GRID_HASH_SIZE];
    struct buf head;

    buf_init(&head, HEAD_SIZE_MAX);
    head_1(&head, 2013, 0, true);
    for (unsigned count = 0; count < 256; count++)
        for (unsigned place = 0; place < 256; place++) {
            head.data[8 + 28 + 3] = (uint8_t)count;
            head.data[8 + 28 + 4] = (uint8_t)place;
            hash(&head, value);
        }
    buf_fini(&head);
}

/* ---- base64 ---- */

static void base64_is_that_of_the_rfc_and_nothing_else_is_read(void **state)
{
    (void)state;
    static const char *const vectors[][2] = { { "", "" },
                                              { "f", "Zg==" },
                                              { "fo", "Zm8=" },
                                              { "foo", "Zm9v" },
                                              { "foob", "Zm9vYg==" },
                                              { "fooba", "Zm9vYmE=" },
                                              { "foobar", "Zm9vYmFy" } };
    static const char *const bad[] = { "Z",    "Zg=",  "Zg",       "Zh==", "Zm9=",
                                       "=m9v", "Z===", "Zg==Zg==", "Zm 9", "Zm-_" };
    uint8_t data[16];
    char text[32];
    size_t size;

    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        base64_print((const uint8_t *)vectors[i][0], strlen(vectors[i][0]), text);
        assert_string_equal(text, vectors[i][1]);
        assert_int_equal(base64_parse(text, strlen(text), data, &size), 0);
        assert_int_equal(size, strlen(vectors[i][0]));
        assert_memory_equal(data, vectors[i][0], size);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(base64_parse(bad[i], strlen(bad[i]), data, &size), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_coordinates_and_scales_are_not_kept),
        cmocka_unit_test(a_head_made_of_them_keeps_the_same_and_says_when),
        cmocka_unit_test(nothing_is_kept_of_a_head_with_too_many),
        cmocka_unit_test(every_cut_and_every_flipped_octet_is_read_safely),
        cmocka_unit_test(levels_are_not_of_the_grid_and_its_shape_is),
        cmocka_unit_test(lists_that_do_not_fit_are_hashed_as_they_are),
        cmocka_unit_test(base64_is_that_of_the_rfc_and_nothing_else_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
