/* http_condition.c: entity tags, dates, and the order in which they decide. */
#include "proto/http/http_condition.h"

#include "proto/base/clock.h"

#include <stdio.h>
#include <time.h>

/* --- entity tags --- */

static void condition_skip(struct slice *text, size_t size)
{
    text->data += size;
    text->size -= size;
}

/* The next entity tag of a list, with its quotes; false at the end, or where it stops being a
 * list of them. */
static bool condition_next_tag(struct slice *list, struct slice *tag, bool *weak)
{
    while (list->size > 0 && strchr(" \t,", list->data[0]) != NULL)
        condition_skip(list, 1);
    *weak = list->size >= 2 && list->data[0] == 'W' && list->data[1] == '/';
    if (*weak)
        condition_skip(list, 2);
    if (list->size < 2 || list->data[0] != '"')
        return false;
    const uint8_t *end = memchr(list->data + 1, '"', list->size - 1);
    if (end == NULL)
        return false;
    *tag = slice_of(list->data, (size_t)(end + 1 - list->data));
    condition_skip(list, tag->size);
    return true;
}

/* Does the list name our etag? Ours is strong, so in a strong comparison only a strong one
 * matches. */
static bool condition_tags_match(struct slice list, const char *etag, bool strong)
{
    struct slice tag;
    bool weak;

    if (slice_equals(list, "*"))
        return true;
    while (condition_next_tag(&list, &tag, &weak))
        if (slice_equals(tag, etag) && !(strong && weak))
            return true;
    return false;
}

static bool condition_range_holds(struct slice if_range, const char *etag, int64_t modified)
{
    int64_t date;

    if (if_range.size > 0 && (if_range.data[0] == '"' || if_range.data[0] == 'W')) {
        if (slice_equals(if_range, etag))
            return true;
        if (if_range.data[0] == '"' || (if_range.size > 1 && if_range.data[1] == '/'))
            return false;
    }
    return http_date_parse(if_range, &date) && date == modified;
}

enum http_condition http_condition_check(const struct http_conditions *conditions, const char *etag,
                                         int64_t modified)
{
    int64_t date;

    if (conditions->if_match.data != NULL) {
        if (!condition_tags_match(conditions->if_match, etag, true))
            return HTTP_CONDITION_FAILED;
    } else if (conditions->if_unmodified_since.data != NULL) {
        if (http_date_parse(conditions->if_unmodified_since, &date) && modified > date)
            return HTTP_CONDITION_FAILED;
    }
    if (conditions->if_none_match.data != NULL) {
        if (condition_tags_match(conditions->if_none_match, etag, false))
            return HTTP_CONDITION_NOT_CHANGED;
    } else if (conditions->if_modified_since.data != NULL) {
        if (http_date_parse(conditions->if_modified_since, &date) && modified <= date)
            return HTTP_CONDITION_NOT_CHANGED;
    }
    if (conditions->if_range.data != NULL && !condition_range_holds(conditions->if_range, etag, modified))
        return HTTP_CONDITION_WHOLE;
    return HTTP_CONDITION_GO;
}

/* --- dates --- */

static const char *const date_days[7] = { "Sunday",   "Monday", "Tuesday", "Wednesday",
                                          "Thursday", "Friday", "Saturday" };
static const char *const date_months[12] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

struct date {
    uint64_t year, month, day, hour, minute, second;
};

static bool date_take(struct slice *text, const char *literal)
{
    size_t size = strlen(literal);

    if (text->size < size || memcmp(text->data, literal, size) != 0)
        return false;
    condition_skip(text, size);
    return true;
}

static bool date_take_digits(struct slice *text, size_t digits, uint64_t *value)
{
    if (text->size < digits || decimal_parse((const char *)text->data, digits, UINT64_MAX, value) != 0)
        return false;
    condition_skip(text, digits);
    return true;
}

static bool date_take_month(struct slice *text, uint64_t *month)
{
    for (*month = 0; *month < 12; ++*month)
        if (date_take(text, date_months[*month]))
            return true;
    return false;
}

static bool date_take_time(struct slice *text, struct date *date)
{
    return date_take_digits(text, 2, &date->hour) && date_take(text, ":") &&
           date_take_digits(text, 2, &date->minute) && date_take(text, ":") &&
           date_take_digits(text, 2, &date->second);
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool date_take_fixdate(struct slice *text, struct date *date)
{
    return date_take_digits(text, 2, &date->day) && date_take(text, " ") &&
           date_take_month(text, &date->month) && date_take(text, " ") &&
           date_take_digits(text, 4, &date->year) && date_take(text, " ") &&
           date_take_time(text, date) && date_take(text, " GMT");
}

/* A year of two digits that seems to lie more than 50 years ahead was in the century before. */
static uint64_t date_century(uint64_t two_digits)
{
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm tm;

    gmtime_r(&now, &tm);
    uint64_t this_year = (uint64_t)tm.tm_year + 1900;
    uint64_t year = this_year - this_year % 100 + two_digits;
    return year > this_year + 50 ? year - 100 : year;
}

/* "06-Nov-94 08:49:37 GMT" */
static bool date_take_rfc850(struct slice *text, struct date *date)
{
    if (!date_take_digits(text, 2, &date->day) || !date_take(text, "-") ||
        !date_take_month(text, &date->month) || !date_take(text, "-") ||
        !date_take_digits(text, 2, &date->year) || !date_take(text, " ") ||
        !date_take_time(text, date) || !date_take(text, " GMT"))
        return false;
    date->year = date_century(date->year);
    return true;
}

/* "Nov  6 08:49:37 1994" */
static bool date_take_asctime(struct slice *text, struct date *date)
{
    if (!date_take_month(text, &date->month) || !date_take(text, " "))
        return false;
    bool one_digit = date_take(text, " ");
    return date_take_digits(text, one_digit ? 1 : 2, &date->day) && date_take(text, " ") &&
           date_take_time(text, date) && date_take(text, " ") &&
           date_take_digits(text, 4, &date->year);
}

static bool date_take_any(struct slice *text, struct date *date)
{
    for (size_t i = 0; i < ARRAY_COUNT(date_days); i++) {
        char short_name[4] = { date_days[i][0], date_days[i][1], date_days[i][2], '\0' };

        if (date_take(text, date_days[i]))
            return date_take(text, ", ") && date_take_rfc850(text, date);
        if (date_take(text, short_name)) {
            if (date_take(text, ", "))
                return date_take_fixdate(text, date);
            return date_take(text, " ") && date_take_asctime(text, date);
        }
    }
    return false;
}

/* False for 30 February and the like. A leap second is taken for the one before it. */
static bool date_to_time(const struct date *date, int64_t *time)
{
    struct tm tm = {
        .tm_year = (int)date->year - 1900,
        .tm_mon = (int)date->month,
        .tm_mday = (int)date->day,
        .tm_hour = (int)date->hour,
        .tm_min = (int)date->minute,
        .tm_sec = date->second == 60 ? 59 : (int)date->second,
    };
    struct tm asked = tm;

    if (date->hour > 23 || date->minute > 59 || date->second > 60 || date->day == 0)
        return false;
    *time = (int64_t)timegm(&tm);
    return tm.tm_mday == asked.tm_mday && tm.tm_mon == asked.tm_mon;
}

bool http_date_parse(struct slice text, int64_t *time)
{
    struct date date;

    return text.data != NULL && date_take_any(&text, &date) && text.size == 0 &&
           date_to_time(&date, time);
}

void http_date_print(int64_t time, char text[HTTP_DATE_SIZE])
{
    time_t seconds = (time_t)time;
    char whole[96];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    snprintf(whole, sizeof whole, "%.3s, %02d %s %04d %02d:%02d:%02d GMT", date_days[tm.tm_wday],
             tm.tm_mday, date_months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(text, whole, HTTP_DATE_SIZE - 1);
    text[HTTP_DATE_SIZE - 1] = '\0';
}
