/* test_grib_step.c: steps from octets. The heads are made here octet by octet, as WMO FM 92 GRIB has them. */
#include "indexer/grib_step.h"
#include "proto/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { HOUR = 3600, DAY = 86400 };

static int64_t base(int year, int month, int day, int hour)
{
    int64_t time;

    assert_true(base_time_from_calendar(year, month, day, hour, 0, 0, &time));
    return time;
}

/* ---- edition 2 ---- */

struct range {
    uint8_t increment, unit;
    uint32_t length;
};

struct edition_2 {
    const char *what;
    uint16_t template;
    uint8_t unit;
    uint32_t forecast;
    unsigned ranges;
    struct range range[3];
    const char *printed; /* NULL: unknown */
    int64_t end;
};

/* Offsets of the unit and of the interval, as the tables of WMO have them (octet - 1). */
static const struct {
    uint16_t template;
    size_t unit, interval;
} layouts[] = {
    { 0, 17, 0 },   { 1, 17, 0 },   { 2, 17, 0 },   { 8, 17, 34 },  { 9, 17, 47 },
    { 10, 17, 35 }, { 11, 17, 37 }, { 12, 17, 36 }, { 13, 17, 68 }, { 14, 17, 64 },
    { 40, 19, 0 },  { 42, 19, 36 }, { 43, 19, 39 }, { 46, 30, 47 }, { 47, 30, 50 },
    { 48, 41, 0 },  { 61, 17, 44 }, { 67, 26, 43 }, { 68, 26, 46 }, { 91, 17, 35 },
};

static size_t layout_of(uint16_t template, size_t *interval)
{
    for (size_t i = 0; i < ARRAY_COUNT(layouts); i++)
        if (layouts[i].template == template) {
            *interval = layouts[i].interval;
            return layouts[i].unit;
        }
    *interval = 0;
    return 17;
}

/* Returns the size of the section. end: year, month, day, hour of the overall interval; NULL: zeros. */
static size_t make_section_4(const struct edition_2 *made, const int end[4], uint8_t section[256])
{
    size_t interval, unit = layout_of(made->template, &interval);
    size_t size = interval == 0 ? unit + 17 : interval + 12 + 12 * made->ranges;

    memset(section, 0, 256);
    put_u32(section, (uint32_t)size);
    section[4] = 4;
    put_u16(section + 7, made->template);
    section[unit] = made->unit;
    put_u32(section + unit + 1, made->forecast);
    if (interval == 0)
        return size;
    if (end != NULL) {
        put_u16(section + interval, (uint16_t)end[0]);
        for (int i = 1; i < 4; i++)
            section[interval + 1 + (size_t)i] = (uint8_t)end[i];
    }
    section[interval + 7] = (uint8_t)made->ranges;
    for (unsigned i = 0; i < made->ranges; i++) {
        uint8_t *at = section + interval + 12 + 12 * i;
        at[1] = made->range[i].increment;
        at[2] = made->range[i].unit;
        put_u32(at + 3, made->range[i].length);
    }
    return size;
}

static bool read_section_4(const uint8_t *section, size_t size, int64_t base_time, struct grib_step *step)
{
    struct grib_head head = { .edition = 2 };

    head.section[4] = slice_of(section, size);
    return grib_step_read(&head, base_time, step);
}

#define MINUS(value) (UINT32_C(0x80000000) | (value))

static const struct edition_2 cases_2[] = {
    { "an analysis", 0, 1, 0, 0, { { 0 } }, "0", 0 },
    { "hours", 0, 1, 36, 0, { { 0 } }, "36", 36 * HOUR },
    { "90 minutes", 0, 0, 90, 0, { { 0 } }, "90m", 90 * 60 },
    { "120 minutes are two hours", 0, 0, 120, 0, { { 0 } }, "2", 2 * HOUR },
    { "seconds", 0, 13, 45, 0, { { 0 } }, "45s", 45 },
    { "3-hourly units", 1, 10, 5, 0, { { 0 } }, "15", 15 * HOUR },
    { "6-hourly units", 1, 11, 5, 0, { { 0 } }, "30", 30 * HOUR },
    { "12-hourly units", 1, 12, 5, 0, { { 0 } }, "60", 60 * HOUR },
    { "days", 2, 2, 10, 0, { { 0 } }, "240", 10 * DAY },
    { "a month of March", 0, 3, 1, 0, { { 0 } }, "744", 31 * DAY },
    { "a year over no 29 February", 0, 4, 1, 0, { { 0 } }, "8760", 365 * DAY },
    { "before the reference time", 0, 1, MINUS(6), 0, { { 0 } }, "-6", -6 * HOUR },
    { "missing", 0, 1, UINT32_MAX, 0, { { 0 } }, NULL, 0 },
    { "a missing unit", 0, 255, 6, 0, { { 0 } }, NULL, 0 },
    { "a reserved unit", 0, 8, 6, 0, { { 0 } }, NULL, 0 },
    { "past the year 9999", 0, 7, 81, 0, { { 0 } }, NULL, 0 },
    { "a template that is not known", 4095, 1, 6, 0, { { 0 } }, NULL, 0 },
    { "a satellite's, without forecast", 31, 1, 6, 0, { { 0 } }, NULL, 0 },
    { "chemistry", 40, 1, 6, 0, { { 0 } }, "6", 6 * HOUR },
    { "aerosol", 48, 1, 9, 0, { { 0 } }, "9", 9 * HOUR },

    { "sum of a day", 8, 1, 0, 1, { { 2, 1, 24 } }, "0-24", 24 * HOUR },
    { "sum up to 90 minutes", 8, 0, 0, 1, { { 2, 0, 90 } }, "0m-90m", 90 * 60 },
    { "minutes at one end", 8, 0, 45, 1, { { 2, 0, 15 } }, "45m-60m", HOUR },
    { "the units differ", 8, 2, 1, 1, { { 2, 1, 6 } }, "24-30", 30 * HOUR },
    { "a mean of a month", 8, 1, 0, 1, { { 2, 3, 1 } }, "0-744", 31 * DAY },
    { "of no length", 8, 1, 6, 1, { { 2, 1, 0 } }, "6", 6 * HOUR },
    { "over reference times: the step stays", 8, 1, 6, 1, { { 1, 1, 720 } }, "6", 6 * HOUR },
    { "probability", 9, 1, 12, 1, { { 2, 1, 12 } }, "12-24", 24 * HOUR },
    { "percentile", 10, 1, 0, 1, { { 2, 1, 24 } }, "0-24", 24 * HOUR },
    { "member", 11, 1, 18, 1, { { 2, 1, 6 } }, "18-24", 24 * HOUR },
    { "of all members", 12, 1, 18, 1, { { 2, 1, 6 } }, "18-24", 24 * HOUR },
    { "clusters", 13, 1, 18, 1, { { 2, 1, 6 } }, "18-24", 24 * HOUR },
    { "clusters, a circle", 14, 1, 18, 1, { { 2, 1, 6 } }, "18-24", 24 * HOUR },
    { "chemistry, a sum", 42, 1, 0, 1, { { 2, 1, 3 } }, "0-3", 3 * HOUR },
    { "chemistry, a member's", 43, 1, 0, 1, { { 2, 1, 3 } }, "0-3", 3 * HOUR },
    { "aerosol, a sum", 46, 1, 0, 1, { { 2, 1, 3 } }, "0-3", 3 * HOUR },
    { "aerosol, a member's", 47, 1, 0, 1, { { 2, 1, 3 } }, "0-3", 3 * HOUR },
    { "hindcast", 61, 1, 0, 1, { { 2, 1, 3 } }, "0-3", 3 * HOUR },
    { "categories", 91, 1, 0, 1, { { 2, 1, 3 } }, "0-3", 3 * HOUR },
    { "the outermost with a growing forecast", 8, 1, 0, 2, { { 2, 1, 24 }, { 2, 1, 6 } }, "0-24", 24 * HOUR },
    { "a mean over reference times of sums", 8, 1, 0, 2, { { 1, 1, 720 }, { 2, 1, 6 } }, "0-6", 6 * HOUR },
};

static void forecast_times_and_intervals_of_edition_2_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases_2); i++) {
        const struct edition_2 *made = &cases_2[i];
        uint8_t section[256];
        char text[GRIB_STEP_TEXT_SIZE];
        struct grib_step step;
        size_t size = make_section_4(made, NULL, section);
        bool known = read_section_4(section, size, base(2013, 3, 1, 0), &step);

        if (known != (made->printed != NULL))
            fail_msg("%s: known %d", made->what, known);
        if (!known)
            continue;
        grib_step_print(&step, text);
        if (strcmp(text, made->printed) != 0 || step.end != made->end)
            fail_msg("%s: %s, %lld s", made->what, text, (long long)step.end);
    }
}

static void a_month_from_the_31st_ends_with_february(void **state)
{
    (void)state;
    struct edition_2 made = { .template = 0, .unit = 3, .forecast = 1 };
    uint8_t section[256];
    struct grib_step step;
    size_t size = make_section_4(&made, NULL, section);

    assert_true(read_section_4(section, size, base(2012, 1, 31, 0), &step));
    assert_int_equal(step.end, 29 * DAY);
    assert_true(read_section_4(section, size, base(2013, 1, 31, 0), &step));
    assert_int_equal(step.end, 28 * DAY);
}

static void without_a_usable_range_the_stated_end_counts(void **state)
{
    (void)state;
    static const int end[] = { 2013, 3, 2, 6 };
    static const int before[] = { 2013, 2, 28, 0 };
    static const int never[] = { 2013, 2, 30, 0 };
    struct edition_2 made[] = {
        { .template = 8, .unit = 1, .forecast = 6, .ranges = 0 },
        { .template = 11, .unit = 1, .forecast = 6, .ranges = 1, .range = { { 2, 1, UINT32_MAX } } },
        { .template = 8, .unit = 1, .forecast = 6, .ranges = 2, .range = { { 1, 1, 24 }, { 3, 1, 6 } } },
    };
    uint8_t section[256];
    struct grib_step step;

    for (size_t i = 0; i < ARRAY_COUNT(made); i++) {
        size_t size = make_section_4(&made[i], end, section);
        assert_true(read_section_4(section, size, base(2013, 3, 1, 0), &step));
        assert_int_equal(step.start, 6 * HOUR);
        assert_int_equal(step.end, 30 * HOUR);
        size = make_section_4(&made[i], before, section);
        assert_false(read_section_4(section, size, base(2013, 3, 1, 0), &step));
        size = make_section_4(&made[i], never, section);
        assert_false(read_section_4(section, size, base(2013, 3, 1, 0), &step));
    }
}

static void template_44_has_two_octets_or_four(void **state)
{
    (void)state;
    uint8_t section[64] = { 0 };
    struct grib_step step;

    put_u16(section + 7, 44);
    section[30] = 1;
    put_u16(section + 31, 30); /* WMO's 45 octets */
    assert_true(read_section_4(section, 45, 0, &step));
    assert_int_equal(step.end, 30 * HOUR);
    put_u32(section + 31, 31); /* as it was written too */
    assert_true(read_section_4(section, 47, 0, &step));
    assert_int_equal(step.end, 31 * HOUR);
    put_u16(section + 5, 3); /* three coordinates behind WMO's 45 */
    put_u16(section + 31, 32);
    assert_true(read_section_4(section, 57, 0, &step));
    assert_int_equal(step.end, 32 * HOUR);
}

/* Where ecCodes 2.28 has the unit and the interval behind a list of so many. */
static const struct {
    uint16_t template;
    size_t count_at;
    uint8_t count;
    size_t unit, interval;
} lists[] = {
    { 34, 22, 0, 17, 26 }, { 34, 22, 1, 17, 37 }, { 34, 22, 3, 17, 59 },  { 40034, 22, 2, 17, 48 },
    { 53, 12, 0, 21, 0 },  { 53, 12, 1, 23, 0 },  { 54, 12, 3, 27, 0 },   { 57, 19, 0, 26, 0 },
    { 57, 19, 1, 31, 0 },  { 58, 19, 3, 41, 0 },  { 67, 19, 1, 31, 48 },  { 68, 19, 3, 41, 61 },
    { 91, 34, 0, 17, 35 }, { 91, 34, 1, 17, 47 }, { 91, 34, 9, 17, 143 },
};

static void a_list_in_front_moves_the_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        size_t interval = lists[i].interval, size = interval == 0 ? lists[i].unit + 17 : interval + 24;
        uint8_t section[256];
        struct grib_head head = { .edition = 2 };
        struct grib_step_place places[GRIB_STEP_PLACES_MAX];
        struct grib_step step;

        memset(section, 0x33, sizeof section); /* what else there is means something, too */
        put_u16(section + 5, 0);
        put_u16(section + 7, lists[i].template);
        section[lists[i].count_at] = lists[i].count;
        section[lists[i].unit] = 1;
        put_u32(section + lists[i].unit + 1, 6);
        if (interval != 0) {
            section[interval + 7] = 1;
            section[interval + 13] = 2;
            section[interval + 14] = 1;
            put_u32(section + interval + 15, 18);
        }
        assert_true(read_section_4(section, size, base(2013, 3, 1, 0), &step));
        if (step.start != 6 * HOUR)
            fail_msg("template %u, %u: from %lld on", lists[i].template, lists[i].count,
                     (long long)step.start);
        assert_int_equal(step.end, interval == 0 ? 6 * HOUR : 24 * HOUR);
        head.section[4] = slice_of(section, size);
        assert_int_equal(grib_step_places(&head, places), interval == 0 ? 1 : 2);
        assert_int_equal(places[0].offset, lists[i].unit + 1);
        assert_true(interval == 0 || places[1].offset == interval);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *copy = test_malloc(cut + 1);
            memcpy(copy, section, cut);
            assert_true(!read_section_4(copy, cut, base(2013, 3, 1, 0), &step) || interval == 0);
            test_free(copy);
        }
    }
}

static void a_cut_section_4_is_never_read_past_its_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases_2); i++) {
        uint8_t section[256];
        size_t size = make_section_4(&cases_2[i], NULL, section);

        for (size_t cut = 0; cut < size; cut++) {
            struct grib_step step;
            uint8_t *copy = test_malloc(cut + 1); /* cmocka's guards, and ASan's, stand behind it */
            memcpy(copy, section, cut);
            (void)read_section_4(copy, cut, base(2013, 3, 1, 0), &step);
            test_free(copy);
        }
    }
}

/* ---- edition 1 ---- */

struct edition_1 {
    const char *what;
    uint8_t unit, p1, p2, indicator;
    uint16_t count;
    const char *printed; /* NULL: unknown */
    int64_t end;
};

static const struct edition_1 cases_1[] = {
    { "an analysis", 1, 0, 0, 0, 0, "0", 0 },
    { "an initialized analysis", 1, 0, 0, 1, 0, "0", 0 },
    { "hours", 1, 78, 0, 0, 0, "78", 78 * HOUR },
    { "P1 alone counts", 1, 78, 9, 0, 0, "78", 78 * HOUR },
    { "P1 over two octets", 1, 2, 6, 10, 0, "518", 518 * HOUR },
    { "240 hours in two octets", 1, 0, 240, 10, 0, "240", 240 * HOUR },
    { "90 minutes", 0, 90, 0, 0, 0, "90m", 90 * 60 },
    { "90 quarters of an hour in two octets", 13, 0, 90, 10, 0, "1350m", 1350 * 60 },
    { "quarters of an hour", 13, 6, 0, 0, 0, "90m", 90 * 60 },
    { "halves of an hour", 14, 4, 0, 0, 0, "2", 2 * HOUR },
    { "3-hourly units", 10, 100, 0, 0, 0, "300", 300 * HOUR },
    { "6-hourly units", 11, 40, 0, 0, 0, "240", 240 * HOUR },
    { "12-hourly units", 12, 30, 0, 0, 0, "360", 360 * HOUR },
    { "days", 2, 15, 0, 0, 0, "360", 15 * DAY },
    { "a month", 3, 1, 0, 0, 0, "744", 31 * DAY },
    { "seconds", 254, 30, 0, 0, 0, "30s", 30 },
    { "a reserved unit", 8, 1, 0, 0, 0, NULL, 0 },
    { "no unit", 255, 1, 0, 0, 0, NULL, 0 },
    { "maximum", 1, 18, 24, 2, 0, "18-24", 24 * HOUR },
    { "average", 1, 0, 6, 3, 0, "0-6", 6 * HOUR },
    { "accumulation", 1, 0, 24, 4, 0, "0-24", 24 * HOUR },
    { "accumulation in 6-hourly units", 11, 0, 4, 4, 0, "0-24", 24 * HOUR },
    { "difference", 1, 6, 12, 5, 0, "6-12", 12 * HOUR },
    { "average before the reference time", 1, 24, 6, 6, 0, "-24--6", -6 * HOUR },
    { "average around the reference time", 1, 6, 6, 7, 0, "-6-6", 6 * HOUR },
    { "average of forecasts over reference times", 1, 12, 6, 113, 30, "12", 12 * HOUR },
    { "sum of the same", 1, 12, 6, 114, 30, "12", 12 * HOUR },
    { "average of 4 forecasts of one time, every 6 h", 1, 6, 6, 115, 4, "6-24", 24 * HOUR },
    { "sum of 4", 1, 6, 6, 116, 4, "6-24", 24 * HOUR },
    { "average of forecasts for one time", 1, 48, 6, 117, 4, "48", 48 * HOUR },
    { "average of analyses", 1, 0, 6, 123, 120, "0", 0 },
    { "NCEP's averages", 1, 0, 6, 128, 120, "0-6", 6 * HOUR },
    { "DWD's, at P1", 1, 3, 6, 14, 0, "3", 3 * HOUR },
    { "deviation", 1, 0, 24, 121, 0, "0-24", 24 * HOUR },
    { "reserved", 1, 0, 6, 60, 120, NULL, 0 },
    { "no indicator", 1, 0, 6, 255, 120, NULL, 0 },
};

static void time_range_indicators_of_edition_1_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases_1); i++) {
        const struct edition_1 *made = &cases_1[i];
        uint8_t section[28] = { 0 };
        char text[GRIB_STEP_TEXT_SIZE];
        struct grib_head head = { .edition = 1 };
        struct grib_step step;

        section[17] = made->unit;
        section[18] = made->p1;
        section[19] = made->p2;
        section[20] = made->indicator;
        put_u16(section + 21, made->count);
        head.section[1] = slice_of(section, sizeof section);
        bool known = grib_step_read(&head, base(2013, 3, 1, 0), &step);
        if (known != (made->printed != NULL))
            fail_msg("%s: known %d", made->what, known);
        if (!known)
            continue;
        grib_step_print(&step, text);
        if (strcmp(text, made->printed) != 0 || step.end != made->end)
            fail_msg("%s: %s, %lld s", made->what, text, (long long)step.end);
    }
}

static void a_short_section_1_has_no_step(void **state)
{
    (void)state;
    uint8_t section[28] = { 0 };
    struct grib_head head = { .edition = 1 };
    struct grib_step step;

    section[17] = 1;
    for (size_t size = 0; size < 23; size++) {
        head.section[1] = slice_of(section, size);
        assert_false(grib_step_read(&head, 0, &step));
    }
    head.section[1] = slice_of(section, 23);
    assert_true(grib_step_read(&head, 0, &step));
}

/* ---- places ---- */

static void only_octets_that_say_when_are_named(void **state)
{
    (void)state;
    uint8_t section[256] = { 0 };
    struct grib_step_place places[GRIB_STEP_PLACES_MAX];
    struct grib_head head = { .edition = 2 };
    struct edition_2 sum = { .template = 11, .ranges = 1 };

    head.section[4] = slice_of(section, make_section_4(&sum, NULL, section));
    assert_int_equal(grib_step_places(&head, places), 2);
    assert_int_equal(places[0].offset, 18);
    assert_int_equal(places[0].size, 4);
    assert_int_equal(places[1].offset, 37);
    assert_int_equal(places[1].size, 7);
    put_u16(section + 7, 1);
    assert_int_equal(grib_step_places(&head, places), 1);
    put_u16(section + 7, 44); /* two octets or four */
    assert_int_equal(grib_step_places(&head, places), 0);
    put_u16(section + 7, 31);
    assert_int_equal(grib_step_places(&head, places), 0);
    head.edition = 1;
    head.section[1] = slice_of(section, 28);
    assert_int_equal(grib_step_places(&head, places), 1);
    assert_int_equal(places[0].offset, 18);
    assert_int_equal(places[0].size, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forecast_times_and_intervals_of_edition_2_are_exact),
        cmocka_unit_test(a_month_from_the_31st_ends_with_february),
        cmocka_unit_test(without_a_usable_range_the_stated_end_counts),
        cmocka_unit_test(template_44_has_two_octets_or_four),
        cmocka_unit_test(a_list_in_front_moves_the_time),
        cmocka_unit_test(a_cut_section_4_is_never_read_past_its_end),
        cmocka_unit_test(time_range_indicators_of_edition_1_are_exact),
        cmocka_unit_test(a_short_section_1_has_no_step),
        cmocka_unit_test(only_octets_that_say_when_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
