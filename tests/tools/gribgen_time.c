/* gribgen_time.c: dates as GRIB writes them, to seconds since 1970 and back.
 *
 * Days are counted in years that begin in March, so that the leap day comes last and needs no special case. */
#include "gribgen_time.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DAY_SECONDS = 86400, DAYS_IN_ERA = 146097, DAYS_TO_1970 = 719468 };

static int64_t floor_div(int64_t number, int64_t by)
{
    return number / by - (number % by < 0);
}

int64_t gen_time_seconds(const struct gen_time *time)
{
    int64_t year = time->month <= 2 ? time->year - 1 : time->year;
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t month = time->month > 2 ? time->month - 3 : time->month + 9;
    int64_t day_of_year = (153 * month + 2) / 5 + time->day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    int64_t days = era * DAYS_IN_ERA + day_of_era - DAYS_TO_1970;

    return days * DAY_SECONDS + time->hour * 3600 + time->minute * 60 + time->second;
}

struct gen_time gen_time_split(int64_t seconds)
{
    int64_t days = floor_div(seconds, DAY_SECONDS) + DAYS_TO_1970;
    int rest = (int)(seconds - floor_div(seconds, DAY_SECONDS) * DAY_SECONDS);
    int64_t era = floor_div(days, DAYS_IN_ERA);
    int64_t day_of_era = days - era * DAYS_IN_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct gen_time time = {
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
        .hour = rest / 3600,
        .minute = rest / 60 % 60,
        .second = rest % 60,
    };

    time.year = (int)(year_of_era + era * 400 + (time.month <= 2));
    return time;
}

static bool time_digits(const char *text, int count, int *number)
{
    *number = 0;
    for (int i = 0; i < count; i++) {
        if (!isdigit((unsigned char)text[i]))
            return false;
        *number = *number * 10 + (text[i] - '0');
    }
    return true;
}

bool gen_time_parse(const char *text, int64_t *seconds)
{
    struct gen_time time = { 0 };
    size_t size = strlen(text);

    if ((size != 14 && size != 16) || text[8] != 'T' || text[size - 1] != 'Z')
        return false;
    if (!time_digits(text, 4, &time.year) || !time_digits(text + 4, 2, &time.month) ||
        !time_digits(text + 6, 2, &time.day) || !time_digits(text + 9, 2, &time.hour) ||
        !time_digits(text + 11, 2, &time.minute))
        return false;
    if (size == 16 && !time_digits(text + 13, 2, &time.second))
        return false;
    if (time.year < 1 || time.hour > 23 || time.minute > 59 || time.second > 59)
        return false;

    /* The 31st of a shorter month comes back as a day of the next one. */
    *seconds = gen_time_seconds(&time);
    struct gen_time back = gen_time_split(*seconds);
    return back.month == time.month && back.day == time.day;
}

const char *gen_time_print(int64_t seconds, char text[GEN_TIME_TEXT_SIZE])
{
    struct gen_time time = gen_time_split(seconds);
    unsigned date = (unsigned)time.year % 10000 * 10000 + (unsigned)time.month * 100 +
                    (unsigned)time.day;
    unsigned clock = (unsigned)time.hour * 100 + (unsigned)time.minute;

    if (time.second != 0)
        snprintf(text, GEN_TIME_TEXT_SIZE, "%08uT%04u%02uZ", date, clock, (unsigned)time.second);
    else
        snprintf(text, GEN_TIME_TEXT_SIZE, "%08uT%04uZ", date, clock);
    return text;
}
