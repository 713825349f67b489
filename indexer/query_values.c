/* query_values.c: values and their lists, key by key.
 *
 * Kinds that have ranges turn a text into a position on a line (a number, seconds, days, minutes) and a position back into a value. */
#include "indexer/query_values.h"
#include "indexer/grib_param.h"
#include "indexer/query_position.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { VALUE_TEXT_MAX = 256, SECONDS_A_DAY = 86400 };

struct values {
    const struct query_key *key;
    struct query_term *terms; /* QUERY_KEY_TERMS of them */
    struct error *err;
};

static enum status bad(const struct values *values, struct slice text, const char *why)
{
    return error_set(values->err, STATUS_BAD_VALUE, "%s: \"%.*s\" %s", values->key->name,
                     text.size < 40 ? (int)text.size : 40,
                     text.size > 0 ? (const char *)text.data : "", why);
}

/* --- terms --- */

void query_term_fini(struct query_term *term)
{
    if (term->type == QUERY_TEXT)
        for (size_t i = 0; i < term->count; i++)
            free(term->values[i].text);
    free(term->values);
    term->values = NULL;
    term->count = 0;
}

static enum status term_add(const struct values *values, size_t which, struct query_value value)
{
    struct query_term *term = &values->terms[which];

    size_t count = 0;

    for (size_t i = 0; i < QUERY_KEY_TERMS; i++)
        count += values->terms[i].count;
    if (count >= QUERY_VALUES_MAX) {
        error_set(values->err, STATUS_BAD_VALUE, "%s: more than %d values", values->key->name,
                  QUERY_VALUES_MAX);
        return STATUS_BAD_VALUE;
    }
    if ((term->count & (term->count - 1)) == 0) { /* grown whenever the count is a power of two */
        size_t room = term->count == 0 ? 1 : 2 * term->count;
        struct query_value *grown = realloc(term->values, room * sizeof *grown);
        if (grown == NULL) {
            error_set(values->err, STATUS_NO_MEMORY, "values of %s", values->key->name);
            return STATUS_NO_MEMORY;
        }
        term->values = grown;
    }
    term->values[term->count++] = value;
    return STATUS_OK;
}

static enum status add_text(const struct values *values, size_t which, const char *text, size_t size)
{
    struct query_value value = { .text = malloc(size + 1) };

    if (value.text == NULL)
        return error_set(values->err, STATUS_NO_MEMORY, "values of %s", values->key->name);
    memcpy(value.text, text, size);
    value.text[size] = '\0';
    enum status status = term_add(values, which, value);
    if (status != STATUS_OK)
        free(value.text);
    return status;
}

/* --- positions --- */

static enum status position_parse(const struct values *values, struct slice text, double *position)
{
    switch (values->key->kind) {
    case KIND_NUMBER:
        return position_of_number(text, position) ? STATUS_OK : bad(values, text, "is not a number");
    case KIND_STEP:
        return position_of_step(text, position)
                   ? STATUS_OK
                   : bad(values, text,
                         "is neither hours (24), nor with units (90m), nor a range of them (0-24)");
    case KIND_MOMENT:
        return position_of_moment(text, position)
                   ? STATUS_OK
                   : bad(values, text, "is neither like 20130408T0000Z nor like 2013-04-08T00:00:00Z");
    case KIND_DATE:
        return position_of_date(text, position)
                   ? STATUS_OK
                   : bad(values, text, "is no date: 20130408, 2013-04-08, 2013-098, 0, -1");
    default:
        return position_of_daytime(text, position)
                   ? STATUS_OK
                   : bad(values, text, "is no time of day: 12, 1200, 12:00");
    }
}

/* How far `by` 1 goes. */
static double position_unit(enum query_kind kind)
{
    switch (kind) {
    case KIND_STEP:
    case KIND_MOMENT:
        return 3600;
    case KIND_DAYTIME:
        return 60;
    default:
        return 1;
    }
}

static enum status position_add(const struct values *values, double position)
{
    int year, month, day, hour, minute, second;
    char text[8];

    switch (values->key->kind) {
    case KIND_STEP:
        return term_add(values, 0, (struct query_value){ .number = position });
    case KIND_MOMENT:
        return term_add(values, 0, (struct query_value){ .time = (int64_t)position });
    case KIND_DATE:
        base_time_to_calendar((int64_t)position * SECONDS_A_DAY, &year, &month, &day, &hour,
                              &minute, &second);
        return term_add(values, 0,
                        (struct query_value){ .number = year * 10000.0 + month * 100.0 + day });
    case KIND_DAYTIME:
        snprintf(text, sizeof text, "%02u%02u", (unsigned)position / 60 % 24, (unsigned)position % 60);
        return add_text(values, 0, text, strlen(text));
    default:
        return term_add(values, 0, (struct query_value){ .number = position });
    }
}

/* --- ranges --- */

/* Days and plain numbers as they are; what is counted in hours may have units ("30m"), and times of day a clock's form ("03:00"). */
static bool range_by_parse(enum query_kind kind, double unit, struct slice text, double *by)
{
    if (kind == KIND_STEP)
        return position_of_step(text, by);
    if (position_of_number(text, by)) {
        *by *= unit;
        return true;
    }
    if (kind == KIND_DAYTIME && memchr(text.data, ':', text.size) != NULL)
        return position_of_daytime(text, by);
    if (kind != KIND_DAYTIME && kind != KIND_MOMENT)
        return false;
    bool good = position_of_step(text, by);
    *by *= unit / 3600;
    return good;
}

/* The step of a range with its sign; 0 and going away from the end are errors, as in metkit. */
static enum status range_by(const struct values *values, double from, double to, struct slice text,
                            double *by)
{
    double unit = position_unit(values->key->kind);

    *by = values->key->by * unit;
    if (text.data != NULL && !range_by_parse(values->key->kind, unit, text, by))
        return bad(values, text, "behind \"by\" is not a number");
    if (*by == 0)
        return bad(values, text, "behind \"by\" would never end");
    if (from < to && *by < 0)
        return bad(values, text, "behind \"by\" leads away from the end");
    *by = from > to ? -fabs(*by) : fabs(*by);
    return STATUS_OK;
}

static enum status range_add(const struct values *values, struct slice from_text,
                             struct slice to_text, struct slice by_text)
{
    double from, to, by;
    enum status status = position_parse(values, from_text, &from);

    if (status == STATUS_OK)
        status = position_parse(values, to_text, &to);
    if (status == STATUS_OK)
        status = range_by(values, from, to, by_text, &by);
    if (status != STATUS_OK)
        return status;
    double last = floor((to - from) / by + 1e-9);
    if (last >= QUERY_VALUES_MAX)
        return error_set(values->err, STATUS_BAD_VALUE, "%s: more than %d values",
                         values->key->name, QUERY_VALUES_MAX);
    for (unsigned i = 0; status == STATUS_OK && i <= (unsigned)last; i++) {
        double position = from + i * by;
        /* 0/to/1/by/0.1 has 0.3 and not 0.30000000000000004. */
        if (values->key->kind == KIND_NUMBER && fabs(position) < 1e9)
            position = round(position * 1e6) / 1e6;
        status = position_add(values, position);
    }
    return status;
}

/* --- single values --- */

static enum status word_add(const struct values *values, struct slice text)
{
    char word[VALUE_TEXT_MAX];

    for (size_t i = 0; i < text.size; i++)
        word[i] = (char)tolower(text.data[i]);
    word[text.size] = '\0';
    const char *alias = query_word_alias(values->key, word);
    return alias != NULL ? add_text(values, 0, alias, strlen(alias))
                         : add_text(values, 0, word, text.size);
}

static enum status expver_add(const struct values *values, struct slice text)
{
    char filled[5];

    if (text.size >= 4)
        return add_text(values, 0, (const char *)text.data, text.size);
    memset(filled, '0', sizeof filled);
    memcpy(filled + 4 - text.size, text.data, text.size);
    return add_text(values, 0, filled, 4);
}

/* Which members the values of a param ask for. */
enum { PARAM_NAME, PARAM_ID, PARAM_ID_TABLE, PARAM_ID_CATEGORY_DISCIPLINE };

enum { PARAM_NUMBERS_MAX = 3, PARAM_NUMBER_MAX = 999 };

/* Numbers up to 999 with points between; 0: it is anything else. */
static size_t param_numbers(struct slice text, uint64_t numbers[PARAM_NUMBERS_MAX])
{
    for (size_t count = 0; count < PARAM_NUMBERS_MAX; count++) {
        const uint8_t *dot = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
        size_t size = dot != NULL ? (size_t)(dot - text.data) : text.size;
        if (decimal_parse((const char *)text.data, size, PARAM_NUMBER_MAX, &numbers[count]) != 0)
            return 0;
        if (dot == NULL)
            return count + 1;
        text = slice_of(dot + 1, text.size - size - 1);
    }
    return 0;
}

/* "130.128" is a paramId, if the field is of a table of ECMWF's or of edition 2 (whose tables go past 255: 48.260), and two octets
 * of any edition 1. */
static enum status param_add_numbers(const struct values *values, const uint64_t *numbers, size_t count)
{
    unsigned id = (unsigned)numbers[0], table = (unsigned)numbers[1];
    char text[3 * GRIB_PARAM_TEXT_SIZE];

    if (count == 3) {
        snprintf(text, sizeof text, "%u.%u.%u", id, table, (unsigned)numbers[2]);
        return add_text(values, PARAM_ID_CATEGORY_DISCIPLINE, text, strlen(text));
    }
    snprintf(text, sizeof text, "%u.%u", id, table);
    enum status status = add_text(values, PARAM_ID_TABLE, text, strlen(text));
    return status != STATUS_OK
               ? status
               : term_add(values, PARAM_ID,
                          (struct query_value){ .number = (double)grib_param_id(id, table) });
}

static enum status param_add(const struct values *values, struct slice text)
{
    uint64_t numbers[PARAM_NUMBERS_MAX], id;
    size_t count = param_numbers(text, numbers);

    if (count > 1)
        return param_add_numbers(values, numbers, count);
    if (decimal_parse((const char *)text.data, text.size, 999999999, &id) != 0)
        return add_text(values, PARAM_NAME, (const char *)text.data, text.size);
    /* 128167: table 128 in front, as its ids would be if it had a number. */
    return term_add(
        values, PARAM_ID,
        (struct query_value){ .number = (double)(id > 128000 && id < 128256 ? id - 128000 : id) });
}

static enum status digest_add(const struct values *values, struct slice text)
{
    struct digest digest;

    if (!digest_parse(text, &digest))
        return bad(values, text, "is not 64 lower-case hex digits");
    return add_text(values, 0, (const char *)text.data, text.size);
}

static enum status source_add(const struct values *values, struct slice text)
{
    if (!source_valid(text))
        return bad(values, text, "is no name of a source");
    return add_text(values, 0, (const char *)text.data, text.size);
}

/* "0-24": an interval, as stepRange has it. A sign is no interval. */
static bool is_interval(struct slice text)
{
    return text.size > 1 && memchr(text.data + 1, '-', text.size - 1) != NULL &&
           memchr(text.data, 'e', text.size) == NULL;
}

static enum status value_add(const struct values *values, struct slice text)
{
    double position;

    switch (values->key->kind) {
    case KIND_NAME:
        return add_text(values, 0, (const char *)text.data, text.size);
    case KIND_WORD:
        return word_add(values, text);
    case KIND_EXPVER:
        return expver_add(values, text);
    case KIND_DIGEST:
        return digest_add(values, text);
    case KIND_SOURCE:
        return source_add(values, text);
    case KIND_PARAM:
        return param_add(values, text);
    case KIND_STEP:
        if (is_interval(text))
            return add_text(values, 1, (const char *)text.data, text.size);
        break;
    default:
        break;
    }
    enum status status = position_parse(values, text, &position);
    return status == STATUS_OK ? position_add(values, position) : status;
}

/* --- lists --- */

/* The item at *at, without blanks around it; moves behind its '/'. false: there is none. */
static bool item_next(struct slice text, size_t *at, struct slice *item)
{
    if (*at > text.size)
        return false;
    const uint8_t *first = text.data + *at;
    const uint8_t *slash = memchr(first, '/', text.size - *at);
    size_t size = slash != NULL ? (size_t)(slash - first) : text.size - *at;

    *at += size + 1;
    while (size > 0 && isspace(*first)) {
        first++;
        size--;
    }
    while (size > 0 && isspace(first[size - 1]))
        size--;
    *item = slice_of(first, size);
    return true;
}

static bool item_is(struct slice item, const char *word)
{
    return item.size == strlen(word) && strncasecmp((const char *)item.data, word, item.size) == 0;
}

/* If the next item is this word, takes it and the one behind it. */
static bool item_follows(struct slice text, size_t *at, const char *word, struct slice *item)
{
    size_t ahead = *at;
    struct slice next;

    if (!item_next(text, &ahead, &next) || !item_is(next, word) || !item_next(text, &ahead, item))
        return false;
    *at = ahead;
    return true;
}

/* With the slashes that are its own. */
static struct slice item_whole(struct slice item, char whole[VALUE_TEXT_MAX])
{
    if (memchr(item.data, QUERY_SLASH, item.size) == NULL)
        return item;
    for (size_t i = 0; i < item.size; i++)
        whole[i] = item.data[i] == QUERY_SLASH ? '/' : (char)item.data[i];
    return slice_of(whole, item.size);
}

static enum status list_parse(const struct values *values, struct slice text)
{
    struct slice item, to, by;
    size_t at = 0;
    enum status status = text.size > 0 ? STATUS_OK : bad(values, text, "is no value");
    char whole[VALUE_TEXT_MAX];

    while (status == STATUS_OK && item_next(text, &at, &item)) {
        by = slice_of(NULL, 0);
        if (item.size == 0 || item.size >= VALUE_TEXT_MAX || memchr(item.data, '\0', item.size) != NULL)
            status = bad(values, item, "is no value");
        else if (!item_follows(text, &at, "to", &to))
            status = value_add(values, item_whole(item, whole));
        else if (values->key->by == 0)
            status = bad(values, item, "begins a range, which this key has not");
        else {
            item_follows(text, &at, "by", &by);
            status = range_add(values, item, to, by);
        }
    }
    return status;
}

/* Members that some of a key's values may ask for, in the terms' order. */
static void terms_init(const struct query_key *key, struct query_term terms[QUERY_KEY_TERMS])
{
    for (size_t i = 0; i < QUERY_KEY_TERMS; i++)
        terms[i] = (struct query_term){ .type = QUERY_TEXT };
    terms[0] = (struct query_term){ .key = key->kind == KIND_STEP ? "step_seconds" : key->name,
                                    .type = key->type };
    if (key->kind == KIND_STEP)
        terms[1].key = "stepRange";
    if (key->kind != KIND_PARAM)
        return;
    terms[PARAM_ID] = (struct query_term){ .key = "paramId", .type = QUERY_NUMBER };
    terms[PARAM_ID_TABLE].key = "idTable";
    terms[PARAM_ID_CATEGORY_DISCIPLINE].key = "idCategoryDiscipline";
}

/* Those that have values, each but the first an alternative. Returns how many. */
static size_t terms_close_up(struct query_term terms[QUERY_KEY_TERMS])
{
    size_t count = 0;

    for (size_t i = 0; i < QUERY_KEY_TERMS; i++) {
        if (terms[i].count == 0)
            continue;
        terms[count] = terms[i];
        terms[count].alternative = count > 0;
        count++;
    }
    return count;
}

enum status query_values_parse(const struct query_key *key, struct slice text,
                               struct query_term terms[QUERY_KEY_TERMS], size_t *count, struct error *err)
{
    struct values values = { .key = key, .terms = terms, .err = err };

    *count = 0;
    terms_init(key, terms);
    if ((item_is(text, "all") || item_is(text, "any") || item_is(text, "off")) && key->kind != KIND_SOURCE)
        return STATUS_OK;
    enum status status = list_parse(&values, text);
    if (status != STATUS_OK) {
        for (size_t i = 0; i < QUERY_KEY_TERMS; i++)
            query_term_fini(&terms[i]);
        return status;
    }
    *count = terms_close_up(terms);
    return STATUS_OK;
}
