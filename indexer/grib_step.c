/* grib_step.c: units of time, then edition 2's templates, then edition 1's time range indicators. */
#include "indexer/grib_step.h"

#include "proto/run.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- units ---- */

struct step_unit {
    uint32_t seconds; /* of one; or: */
    uint32_t months;
};

/* Code table 4.4 of edition 2. */
static const struct step_unit units_edition_2[] = {
    [0] = { 60, 0 },     [1] = { 3600, 0 },   [2] = { 86400, 0 },  [3] = { 0, 1 },
    [4] = { 0, 12 },     [5] = { 0, 120 },    [6] = { 0, 360 },    [7] = { 0, 1200 },
    [10] = { 10800, 0 }, [11] = { 21600, 0 }, [12] = { 43200, 0 }, [13] = { 1, 0 },
};

/* Code table 4 of edition 1: the same up to 12, then quarters and halves of an hour. */
static const struct step_unit units_edition_1_from_13[] = { { 900, 0 }, { 1800, 0 } };

enum { UNIT_SECOND_EDITION_1 = 254 };

static struct step_unit unit_edition_2(uint8_t code)
{
    return code < ARRAY_COUNT(units_edition_2) ? units_edition_2[code] : (struct step_unit){ 0, 0 };
}

static struct step_unit unit_edition_1(uint8_t code)
{
    if (code == UNIT_SECOND_EDITION_1)
        return (struct step_unit){ 1, 0 };
    if (code >= 13 && (size_t)code - 13 < ARRAY_COUNT(units_edition_1_from_13))
        return units_edition_1_from_13[code - 13];
    return code < 13 ? units_edition_2[code] : (struct step_unit){ 0, 0 };
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

static bool add_months(int64_t *when, int64_t months)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(*when, &year, &month, &day, &hour, &minute, &second);
    int64_t count = (int64_t)year * 12 + (month - 1) + months;
    if (count < 12 || count >= 10000 * 12)
        return false;
    year = (int)(count / 12);
    month = (int)(count % 12) + 1;
    if (day > days_in_month(year, month))
        day = days_in_month(year, month);
    return base_time_from_calendar(year, month, day, hour, minute, second, when);
}

/* count fits 32 bits and a sign, so nothing overflows on the way. */
static bool add_time(int64_t *when, int64_t count, struct step_unit unit)
{
    if (unit.months > 0)
        return add_months(when, count * unit.months);
    if (unit.seconds == 0)
        return false;
    *when += count * unit.seconds;
    return base_time_valid(*when);
}

/* ---- edition 2 ---- */

/* Where a template of section 4 says the time; offsets are from the beginning of the section. */
struct step_template {
    uint16_t number;
    uint8_t unit;     /* of the forecast time, which follows it */
    uint8_t interval; /* of the end of the overall interval; 0: valid at one moment */
};

/* A list in front of one of these, which moves what is behind it: where its count stands, how many octets one has. Above, such
 * templates stand with an empty one. */
static const struct step_list {
    uint16_t number;
    uint8_t count, item;
} step_lists[] = {
    { 34, 22, 11 }, { 40034, 22, 11 }, /* spectral bands of simulated satellite data */
    { 53, 12, 2 },  { 54, 12, 2 },     /* partitions of a cell: tiles */
    { 57, 19, 5 },  { 58, 19, 5 },     /* parameters of a distribution function of aerosols */
    { 67, 19, 5 },  { 68, 19, 5 },     /* the same, in an interval */
    { 91, 34, 12 },                    /* categories */
};

/* Templates without a forecast time (20, 30, 31, 35, 92 and the like) are not in here. */
static const struct step_template step_templates[] = {
    { 0, 17, 0 },    { 1, 17, 0 },    { 2, 17, 0 },     { 3, 17, 0 },     { 4, 17, 0 },
    { 5, 17, 0 },    { 6, 17, 0 },    { 7, 17, 0 },     { 8, 17, 34 },    { 9, 17, 47 },
    { 10, 17, 35 },  { 11, 17, 37 },  { 12, 17, 36 },   { 13, 17, 68 },   { 14, 17, 64 },
    { 15, 17, 0 },   { 32, 17, 0 },   { 33, 17, 0 },    { 34, 17, 26 },   { 40, 19, 0 },
    { 41, 19, 0 },   { 42, 19, 36 },  { 43, 19, 39 },   { 44, 30, 0 },    { 45, 30, 0 },
    { 46, 30, 47 },  { 47, 30, 50 },  { 48, 41, 0 },    { 49, 41, 0 },    { 51, 17, 0 },
    { 53, 21, 0 },   { 54, 21, 0 },   { 55, 23, 0 },    { 56, 23, 0 },    { 57, 26, 0 },
    { 58, 26, 0 },   { 59, 23, 0 },   { 60, 17, 0 },    { 61, 17, 44 },   { 67, 26, 43 },
    { 68, 26, 46 },  { 70, 22, 0 },   { 71, 22, 0 },    { 72, 22, 39 },   { 73, 22, 42 },
    { 76, 20, 0 },   { 77, 20, 0 },   { 78, 20, 37 },   { 79, 20, 40 },   { 80, 42, 0 },
    { 81, 42, 0 },   { 82, 31, 48 },  { 83, 31, 51 },   { 84, 31, 51 },   { 85, 30, 50 },
    { 86, 17, 0 },   { 87, 17, 38 },  { 91, 17, 35 },   { 1000, 17, 0 },  { 1001, 17, 22 },
    { 1002, 17, 0 }, { 1100, 17, 0 }, { 1101, 17, 34 }, { 40033, 17, 0 }, { 40034, 17, 26 },
};

enum {
    SECTION_4_TEMPLATE = 7,
    TEMPLATE_44_SIZE = 45, /* as WMO has it, with two octets of forecast time; others wrote four */
    /* From the end of the overall interval on: */
    INTERVAL_COUNT = 7,
    INTERVAL_RANGES = 12,
    RANGE_SIZE = 12, /* statistic, increment, unit, length (4), unit and length of the increment */
    RANGE_INCREMENT = 1,
    RANGE_UNIT = 2,
    RANGE_LENGTH = 3,
    /* Code table 4.11 */
    INCREMENT_REFERENCE = 1, /* the reference time grows, the forecast time stays */
    INCREMENT_FORECAST = 2,  /* the forecast time grows */
};

static const struct step_template *find_template(unsigned number)
{
    for (size_t i = 0; i < ARRAY_COUNT(step_templates); i++)
        if (step_templates[i].number == number)
            return &step_templates[i];
    return NULL;
}

/* A template's offsets in this very section. */
struct step_offsets {
    unsigned number;
    size_t unit, interval;
};

static size_t list_size(struct slice section, unsigned number, size_t *at)
{
    for (size_t i = 0; i < ARRAY_COUNT(step_lists); i++) {
        if (step_lists[i].number != number)
            continue;
        *at = step_lists[i].count;
        return section.size > *at ? (size_t)section.data[*at] * step_lists[i].item : section.size;
    }
    *at = 0;
    return 0;
}

/* False: a template without a forecast time, or a section too short for one. */
static bool find_offsets(struct slice section, struct step_offsets *offsets)
{
    size_t at;

    if (section.size < SECTION_4_TEMPLATE + 2)
        return false;
    const struct step_template *template = find_template(get_u16(section.data + SECTION_4_TEMPLATE));
    if (template == NULL)
        return false;
    *offsets = (struct step_offsets){ template->number, template->unit, template->interval };
    size_t size = list_size(section, template->number, &at);
    if (at < template->unit)
        offsets->unit += size;
    if (template->interval != 0)
        offsets->interval += size;
    return section.size >= offsets->unit + 3;
}

/* Sign and magnitude (regulation 92.1.5); all ones is missing. */
static bool read_forecast_time(struct slice section, const struct step_offsets *template, int64_t *count)
{
    size_t at = template->unit + 1;

    if (template->number == 44 &&
        section.size - (size_t)4 * get_u16(section.data + 5) == TEMPLATE_44_SIZE) {
        *count = get_u16(section.data + at);
        return *count != UINT16_MAX;
    }
    if (section.size < at + 4)
        return false;
    uint32_t raw = get_u32(section.data + at);
    *count = raw & UINT32_C(0x80000000) ? -(int64_t)(raw & INT32_MAX) : (int64_t)raw;
    return raw != UINT32_MAX;
}

static bool read_overall_end(const uint8_t *at, int64_t *end)
{
    return base_time_from_calendar(get_u16(at), at[2], at[3], at[4], at[5], at[6], end);
}

/* The range that carries the interval from its start to its end; NULL: none does. The outermost comes first. */
static const uint8_t *find_range(const uint8_t *interval, unsigned ranges)
{
    const uint8_t *first = interval + INTERVAL_RANGES;

    if (ranges == 1)
        return first;
    for (unsigned i = 0; i < ranges; i++)
        if (first[(size_t)i * RANGE_SIZE + RANGE_INCREMENT] == INCREMENT_FORECAST)
            return first + (size_t)i * RANGE_SIZE;
    return NULL;
}

/* *when: the start of the interval, then its end. */
static bool find_interval_end(struct slice section, size_t at, int64_t *when)
{
    if (section.size < at + INTERVAL_RANGES)
        return false;
    const uint8_t *interval = section.data + at;
    unsigned ranges = interval[INTERVAL_COUNT];
    if (section.size - at - INTERVAL_RANGES < (size_t)ranges * RANGE_SIZE)
        return false;

    const uint8_t *range = find_range(interval, ranges);
    /* Its length is one of reference times and says nothing about the step. */
    if (range != NULL && range[RANGE_INCREMENT] == INCREMENT_REFERENCE)
        return true;
    if (range != NULL && get_u32(range + RANGE_LENGTH) != UINT32_MAX)
        return add_time(when, get_u32(range + RANGE_LENGTH), unit_edition_2(range[RANGE_UNIT]));
    int64_t start = *when;
    return read_overall_end(interval, when) && *when >= start;
}

static bool read_edition_2(struct slice section, int64_t base_time, int64_t *start, int64_t *end)
{
    struct step_offsets template;
    int64_t count;

    if (!find_offsets(section, &template) || !read_forecast_time(section, &template, &count))
        return false;
    *start = base_time;
    if (!add_time(start, count, unit_edition_2(section.data[template.unit])))
        return false;
    *end = *start;
    return template.interval == 0 || find_interval_end(section, template.interval, end);
}

/* ---- edition 1 ---- */

enum {
    SECTION_1_UNIT = 17,
    SECTION_1_P1 = 18,
    SECTION_1_P2 = 19,
    SECTION_1_INDICATOR = 20,
    SECTION_1_COUNT = 21, /* number of what was averaged */
};

/* Code table 5 in units of time. What centres use as their own (13, 14, 118-122, 128 on) is read as ecCodes does. */
static bool read_indicator(const uint8_t *section, int64_t *start, int64_t *end)
{
    int64_t p1 = section[SECTION_1_P1], p2 = section[SECTION_1_P2];
    int64_t count = get_u16(section + SECTION_1_COUNT);

    switch (section[SECTION_1_INDICATOR]) {
    case 0:   /* at reference time + P1 */
    case 1:   /* an initialized analysis */
    case 113: /* means and sums over reference times, each of a product at P1: */
    case 114:
    case 117:
    case 123: /* of analyses */
    case 124:
    case 14: /* DWD's */
        *start = *end = p1;
        return true;
    case 10: /* P1 takes both octets */
        *start = *end = p1 << 8 | p2;
        return true;
    case 6: /* a mean before the reference time, and around it */
        *start = -p1;
        *end = -p2;
        return true;
    case 7:
        *start = -p1;
        *end = p2;
        return true;
    case 115: /* means, sums and deviations of `count` forecasts of one reference time, every P2 from P1 on */
    case 116:
    case 125:
        *start = p1;
        *end = p1 + (count > 0 ? count - 1 : 0) * p2;
        return true;
    case 2: /* anywhere between P1 and P2; mean, sum, difference from P1 to P2 */
    case 3:
    case 4:
    case 5:
    case 13:
    case 118:
    case 119:
    case 120:
    case 121:
    case 122:
        break;
    default:
        if (section[SECTION_1_INDICATOR] < 128 || section[SECTION_1_INDICATOR] > 254)
            return false;
    }
    *start = p1;
    *end = p2;
    return true;
}

static bool read_edition_1(struct slice section, int64_t base_time, int64_t *start, int64_t *end)
{
    int64_t from, to;

    if (section.size < SECTION_1_COUNT + 2 || !read_indicator(section.data, &from, &to))
        return false;
    struct step_unit unit = unit_edition_1(section.data[SECTION_1_UNIT]);
    *start = *end = base_time;
    return add_time(start, from, unit) && add_time(end, to, unit);
}

/* ---- both ---- */

bool grib_step_read(const struct grib_head *head, int64_t base_time, struct grib_step *step)
{
    int64_t start, end;
    bool known = head->edition == 2 ? read_edition_2(head->section[4], base_time, &start, &end)
                                    : read_edition_1(head->section[1], base_time, &start, &end);

    if (!known)
        return false;
    *step = (struct grib_step){ .start = start - base_time, .end = end - base_time };
    return true;
}

unsigned grib_step_places(const struct grib_head *head,
                          struct grib_step_place places[GRIB_STEP_PLACES_MAX])
{
    if (head->edition == 1) {
        places[0] = (struct grib_step_place){ SECTION_1_P1, 2 };
        return head->section[1].size >= SECTION_1_P1 + 2;
    }
    struct step_offsets template;
    /* Of template 44 it is not known how many octets there are. */
    if (!find_offsets(head->section[4], &template) || template.number == 44 ||
        head->section[4].size < template.unit + 5)
        return 0;
    places[0] = (struct grib_step_place){ template.unit + 1, 4 };
    places[1] = (struct grib_step_place){ template.interval, INTERVAL_COUNT };
    return template.interval != 0 && head->section[4].size >= template.interval + INTERVAL_COUNT ? 2 : 1;
}

static void print_in(const struct grib_step *step, int64_t unit, const char *name,
                     char text[GRIB_STEP_TEXT_SIZE])
{
    if (step->start == step->end)
        snprintf(text, GRIB_STEP_TEXT_SIZE, "%" PRId64 "%s", step->end / unit, name);
    else
        snprintf(text, GRIB_STEP_TEXT_SIZE, "%" PRId64 "%s-%" PRId64 "%s", step->start / unit, name,
                 step->end / unit, name);
}

const char *grib_step_print(const struct grib_step *step, char text[GRIB_STEP_TEXT_SIZE])
{
    if (step->start % 3600 == 0 && step->end % 3600 == 0) {
        print_in(step, 3600, "", text);
        return "h";
    }
    if (step->start % 60 == 0 && step->end % 60 == 0) {
        print_in(step, 60, "m", text);
        return "m";
    }
    print_in(step, 1, "s", text);
    return "s";
}

/* When it is valid, in the two numbers of GRIB: YYYYMMDD, HHMM. */
static void put_validity(struct json_writer *json, int64_t when)
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(when, &year, &month, &day, &hour, &minute, &second);
    json_put_i64(json, "validityDate", year * 10000 + month * 100 + day);
    json_key(json, "validityTime");
    json_format(json, "%02d%02d", hour, minute);
}

void grib_step_put(const struct grib_head *head, int64_t base_time, struct json_writer *json)
{
    char range[GRIB_STEP_TEXT_SIZE], valid[BASE_TIME_TEXT_SIZE];
    struct grib_step step;

    if (!grib_step_read(head, base_time, &step))
        return;
    const char *units = grib_step_print(&step, range);
    base_time_print_rfc3339(base_time + step.end, valid);
    json_put_double(json, "step", (double)step.end / 3600.0);
    json_put_i64(json, "step_seconds", step.end);
    json_put_double(json, "startStep", (double)step.start / 3600.0);
    json_put_double(json, "endStep", (double)step.end / 3600.0);
    json_put_string(json, "stepUnits", units);
    json_put_string(json, "stepRange", range);
    json_put_string(json, "valid_time", valid);
    put_validity(json, base_time + step.end);
}
