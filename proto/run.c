/* run.c: source and base_time, the name of a run: parse, print, order. */
#include "proto/run.h"

#include <assert.h>
#include <stdio.h>

enum { SECONDS_A_DAY = 86400, DAYS_A_CYCLE = 146097 /* the calendar repeats after 400 years */ };

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
static const int64_t base_time_min = -62135596800;
static const int64_t base_time_max = 253402300799;

static bool is_lower_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool source_valid(struct slice text)
{
    if (text.size == 0 || text.size > SOURCE_SIZE_MAX || !is_lower_or_digit(text.data[0]))
        return false;
    for (size_t i = 1; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (!is_lower_or_digit(c) && c != '.' && c != '_' && c != '-')
            return false;
    }
    return true;
}

bool base_time_valid(int64_t base_time)
{
    return base_time >= base_time_min && base_time <= base_time_max;
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01. Years are counted from March, so that a leap day is a year's last and months follow one line. */
static int64_t days_from_calendar(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t cycle = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_cycle = y - cycle * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;

    return cycle * DAYS_A_CYCLE + day_of_cycle - 719468;
}

static void calendar_from_days(int64_t days, int *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t cycle = (z >= 0 ? z : z - (DAYS_A_CYCLE - 1)) / DAYS_A_CYCLE;
    int64_t day_of_cycle = z - cycle * DAYS_A_CYCLE;
    int64_t year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36524 -
                             day_of_cycle / 146096) /
                            365;
    int64_t day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (int)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = (int)(year_of_cycle + cycle * 400 + (*month <= 2 ? 1 : 0));
}

bool base_time_from_calendar(int year, int month, int day, int hour, int minute, int second,
                             int64_t *base_time)
{
    if (year < 1 || year > 9999 || month < 1 || month > 12)
        return false;
    if (day < 1 || day > days_in_month(year, month))
        return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
        return false;
    *base_time = days_from_calendar(year, month, day) * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
    return true;
}

void base_time_to_calendar(int64_t base_time, int *year, int *month, int *day, int *hour,
                           int *minute, int *second)
{
    assert(base_time_valid(base_time));
    int64_t days = base_time / SECONDS_A_DAY;
    int64_t rest = base_time % SECONDS_A_DAY;

    if (rest < 0) {
        rest += SECONDS_A_DAY;
        days--;
    }
    calendar_from_days(days, year, month, day);
    *hour = (int)(rest / 3600);
    *minute = (int)(rest / 60 % 60);
    *second = (int)(rest % 60);
}

/* Match text against a pattern in which Y, M, D, h, m and s stand for a digit of the year, month, and so on; other
 * characters for themselves. */
static bool base_time_match(struct slice text, const char *pattern, int parts[6])
{
    static const char letters[] = "YMDhms";

    if (text.size != strlen(pattern))
        return false;
    memset(parts, 0, 6 * sizeof parts[0]);
    for (size_t i = 0; i < text.size; i++) {
        const char *letter = strchr(letters, pattern[i]);
        uint8_t c = text.data[i];
        if (letter == NULL ? c != (uint8_t)pattern[i] : c < '0' || c > '9')
            return false;
        if (letter != NULL)
            parts[letter - letters] = parts[letter - letters] * 10 + (c - '0');
    }
    return true;
}

enum status base_time_parse(struct slice text, int64_t *base_time, struct error *err)
{
    static const char *const patterns[] = { "YYYYMMDDThhmmZ", "YYYYMMDDThhmmssZ", "YYYY-MM-DDThh:mm:ssZ" };
    int shown = text.size < 40 ? (int)text.size : 40;
    const char *bytes = text.size > 0 ? (const char *)text.data : "";

    for (size_t i = 0; i < ARRAY_COUNT(patterns); i++) {
        int parts[6];
        if (!base_time_match(text, patterns[i], parts))
            continue;
        if (!base_time_from_calendar(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], base_time))
            return error_set(err, STATUS_BAD_VALUE, "base_time %.*s does not exist", shown, bytes);
        return STATUS_OK;
    }
    return error_set(err, STATUS_BAD_VALUE,
                     "base_time \"%.*s\" is neither like 20130408T0000Z nor like 2013-04-08T00:00:00Z",
                     shown, bytes);
}

void base_time_print(int64_t base_time, char text[BASE_TIME_TEXT_SIZE])
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(base_time, &year, &month, &day, &hour, &minute, &second);
    size_t at = (size_t)snprintf(text, BASE_TIME_TEXT_SIZE, "%04d%02d%02dT%02d%02d", year, month,
                                 day, hour, minute);
    if (second != 0)
        at += (size_t)snprintf(text + at, BASE_TIME_TEXT_SIZE - at, "%02d", second);
    snprintf(text + at, BASE_TIME_TEXT_SIZE - at, "Z");
}

void base_time_print_rfc3339(int64_t base_time, char text[BASE_TIME_TEXT_SIZE])
{
    int year, month, day, hour, minute, second;

    base_time_to_calendar(base_time, &year, &month, &day, &hour, &minute, &second);
    snprintf(text, BASE_TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, month, day, hour,
             minute, second);
}

enum status run_key_parse(struct slice source, struct slice base_time, struct run_key *run,
                          struct error *err)
{
    *run = (struct run_key){ .base_time = 0 };
    if (!source_valid(source)) {
        return error_set(
            err, STATUS_BAD_VALUE,
            "source \"%.*s\" is not 1 to %d of a-z, 0-9, '.', '_', '-' with a letter or digit first",
            source.size < 80 ? (int)source.size : 80,
            source.size > 0 ? (const char *)source.data : "", SOURCE_SIZE_MAX);
    }
    memcpy(run->source, source.data, source.size);
    return base_time_parse(base_time, &run->base_time, err);
}

void run_key_print(const struct run_key *run, char text[RUN_TEXT_SIZE])
{
    size_t size = strlen(run->source);

    assert(size <= SOURCE_SIZE_MAX);
    memcpy(text, run->source, size);
    text[size] = '/';
    base_time_print(run->base_time, text + size + 1);
}

int run_key_compare(const struct run_key *a, const struct run_key *b)
{
    int order = strcmp(a->source, b->source);

    if (order != 0)
        return order < 0 ? -1 : 1;
    return (a->base_time > b->base_time) - (a->base_time < b->base_time);
}

size_t run_id_print(const struct run_key *run, uint8_t id[RUN_ID_SIZE_MAX])
{
    size_t size = strlen(run->source);

    assert(size <= SOURCE_SIZE_MAX);
    memcpy(id, run->source, size + 1);
    put_u64(id + size + 1, (uint64_t)run->base_time ^ UINT64_C(1) << 63);
    return size + 1 + 8;
}

bool run_id_parse(struct slice id, struct run_key *run, size_t *used)
{
    const uint8_t *end = id.size > 0 ? memchr(id.data, 0, id.size) : NULL;

    *run = (struct run_key){ .base_time = 0 };
    if (end == NULL)
        return false;
    size_t size = (size_t)(end - id.data);
    if (!source_valid(slice_of(id.data, size)) || id.size - size - 1 < 8)
        return false;
    memcpy(run->source, id.data, size);
    run->base_time = (int64_t)(get_u64(end + 1) ^ UINT64_C(1) << 63);
    *used = size + 1 + 8;
    return base_time_valid(run->base_time);
}

static const char *const run_state_names[] = {
    [RUN_FILLING] = "filling", [RUN_READY] = "ready", [RUN_RETIRED] = "retired", [RUN_PURGED] = "purged"
};

const char *run_state_name(enum run_state state)
{
    assert(state >= RUN_FILLING && state <= RUN_PURGED);
    return run_state_names[state];
}

bool run_state_parse(const char *name, enum run_state *state)
{
    for (int i = RUN_FILLING; i <= RUN_PURGED; i++) {
        if (strcmp(name, run_state_names[i]) == 0) {
            *state = (enum run_state)i;
            return true;
        }
    }
    return false;
}

int run_info_compare(const struct run_info *a, const struct run_info *b)
{
    if (a->incarnation != b->incarnation)
        return a->incarnation < b->incarnation ? -1 : 1;
    return (a->version > b->version) - (a->version < b->version);
}
