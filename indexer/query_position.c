/* query_position.c: texts as positions on a line. */
#include "indexer/query_position.h"
#include "proto/base/clock.h"
#include "proto/run.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

enum { SECONDS_A_DAY = 86400 };

bool position_of_number(struct slice text, double *number)
{
    char copy[64], *end;

    if (text.size == 0 || text.size >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    /* Of letters strtod() would read "inf", "nan" and hexadecimal. */
    if (copy[strspn(copy, "+-.0123456789eE")] != '\0')
        return false;
    *number = strtod(copy, &end);
    return end != copy && *end == '\0' && isfinite(*number);
}

static bool digits_parse(struct slice text, size_t at, size_t count, int *number)
{
    *number = 0;
    if (at + count > text.size)
        return false;
    for (size_t i = at; i < at + count; i++) {
        if (!isdigit(text.data[i]))
            return false;
        *number = *number * 10 + (text.data[i] - '0');
    }
    return true;
}

static bool is_all_digits(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!isdigit(text.data[i]))
            return false;
    return text.size > 0;
}

bool position_of_step(struct slice text, double *seconds)
{
    size_t at = 0;

    if (position_of_number(text, seconds)) {
        *seconds = round(*seconds * 3600);
        return true;
    }
    *seconds = 0;
    while (at < text.size) {
        size_t first = at;
        double part;
        while (at < text.size && isdigit(text.data[at]))
            at++;
        if (at == text.size || !position_of_number(slice_of(text.data + first, at - first), &part))
            return false;
        switch (text.data[at++]) {
        case 'h':
            part *= 3600;
            break;
        case 'm':
            part *= 60;
            break;
        case 's':
            break;
        default:
            return false;
        }
        *seconds += part;
    }
    return text.size > 0;
}

bool position_of_moment(struct slice text, double *seconds)
{
    int64_t time;

    if (base_time_parse(text, &time, NULL) != STATUS_OK)
        return false;
    *seconds = (double)time;
    return true;
}

bool position_of_instant(struct slice text, uint64_t *microseconds)
{
    uint64_t fraction = 0;
    int64_t time;
    uint8_t whole[64];

    if (text.size >= 13 && is_all_digits(text))
        return decimal_parse((const char *)text.data, text.size, INT64_MAX, microseconds) == 0;
    const uint8_t *dot = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
    if (text.size > sizeof whole)
        return false;
    if (dot != NULL) { /* what stands between "." and "Z" or an offset is taken out */
        size_t at = (size_t)(dot - text.data) + 1, first = at, size = at - 1;
        uint64_t unit = 100000;
        for (; at < text.size && isdigit(text.data[at]); at++, unit /= 10)
            fraction += (uint64_t)(text.data[at] - '0') * unit;
        if (at == first || at == text.size)
            return false;
        memcpy(whole, text.data, size);
        memcpy(whole + size, text.data + at, text.size - at);
        text = slice_of(whole, size + text.size - at);
    }
    if (base_time_parse(text, &time, NULL) != STATUS_OK || time < 0)
        return false;
    *microseconds = (uint64_t)time * 1000000 + fraction;
    return *microseconds != 0;
}

static bool calendar_day(int year, int month, int day, double *days)
{
    int64_t time;

    if (!base_time_from_calendar(year, month, day, 0, 0, 0, &time))
        return false;
    int64_t whole = time / SECONDS_A_DAY - (time % SECONDS_A_DAY < 0);
    *days = (double)whole;
    return true;
}

bool position_of_date(struct slice text, double *days)
{
    int year, month, day;
    double number;

    if (text.size == 8 && is_all_digits(text))
        return digits_parse(text, 0, 4, &year) && digits_parse(text, 4, 2, &month) &&
               digits_parse(text, 6, 2, &day) && calendar_day(year, month, day, days);
    if (text.size == 10 && text.data[4] == '-' && text.data[7] == '-')
        return digits_parse(text, 0, 4, &year) && digits_parse(text, 5, 2, &month) &&
               digits_parse(text, 8, 2, &day) && calendar_day(year, month, day, days);
    if (text.size == 8 && text.data[4] == '-') {
        double next;
        if (!digits_parse(text, 0, 4, &year) || !digits_parse(text, 5, 3, &day) || day < 1 ||
            !calendar_day(year, 1, 1, days) || !calendar_day(year, 12, 31, &next))
            return false;
        *days += day - 1;
        return *days <= next;
    }
    if (text.size > 5 || !position_of_number(text, &number) || number > 0 || number != floor(number))
        return false;
    *days = floor((double)clock_wall_us() / 1e6 / SECONDS_A_DAY) + number;
    return true;
}

bool position_of_daytime(struct slice text, double *minutes)
{
    int hour, minute = 0, second = 0;
    bool good;

    if (text.size == 5 && text.data[2] == ':')
        good = digits_parse(text, 0, 2, &hour) && digits_parse(text, 3, 2, &minute);
    else if (text.size == 8 && text.data[2] == ':' && text.data[5] == ':')
        good = digits_parse(text, 0, 2, &hour) && digits_parse(text, 3, 2, &minute) &&
               digits_parse(text, 6, 2, &second);
    else if (text.size >= 3 && text.size <= 4)
        good = digits_parse(text, 0, text.size - 2, &hour) &&
               digits_parse(text, text.size - 2, 2, &minute);
    else
        good = text.size >= 1 && text.size <= 2 && digits_parse(text, 0, text.size, &hour);
    if (!good || hour > 23 || minute > 59 || second != 0)
        return false;
    *minutes = hour * 60 + minute;
    return true;
}
