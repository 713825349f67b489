/* gribgen_list.c: lists of numbers as MARS writes them. */
#include "gribgen_list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One list being read. The words are cut out of text in place, by '/'. */
struct list_reader {
    struct gen_list *list;
    const char *option;
    const char *whole;
    const char *at;
    int32_t max;
    int32_t by; /* unless said */
    bool steps; /* numbers are hours, kept as minutes */
    struct gen_error *err;
};

static bool list_malformed(struct list_reader *reader, const char *why)
{
    return gen_fail(reader->err, "%s %.80s: %s", reader->option, reader->whole, why);
}

/* Is the next word this one? Then step over it and the '/' before the word after it. */
static bool list_takes_word(struct list_reader *reader, const char *word)
{
    size_t size = strlen(word);

    if (strncasecmp(reader->at, word, size) != 0 || reader->at[size] != '/')
        return false;
    reader->at += size + 1;
    return true;
}

static bool list_number(struct list_reader *reader, int32_t *number)
{
    int64_t value = 0;
    const char *at = reader->at;

    if (!isdigit((unsigned char)*at))
        return list_malformed(reader, "expected a list of numbers as in 0/6/12 or 0/to/24/by/6");
    for (; isdigit((unsigned char)*at) && value <= INT32_MAX; at++)
        value = value * 10 + (*at - '0');
    if (reader->steps) {
        bool minutes = *at == 'm';

        at += *at == 'm' || *at == 'h';
        value = minutes ? value : value * 60;
    }
    if (value > reader->max)
        return list_malformed(reader, "a number is too large");
    if (*at != '/' && *at != '\0')
        return list_malformed(reader, "expected a / between numbers");
    if (*at == '/' && at[1] == '\0')
        return list_malformed(reader, "a number is missing after the last /");
    reader->at = *at == '/' ? at + 1 : at;
    *number = (int32_t)value;
    return true;
}

static bool list_add(struct list_reader *reader, int32_t number)
{
    struct gen_list *list = reader->list;

    for (size_t i = 0; i < list->count; i++) {
        if (list->number[i] == number)
            return list_malformed(reader, "a number is there twice");
    }
    if (list->count == GEN_LIST_MAX)
        return list_malformed(reader, "more than 4,096 numbers");
    list->number[list->count++] = number;
    return true;
}

/* a/to/b[/by/n]: never past the end; downward where b is below a. */
static bool list_range(struct list_reader *reader, int32_t from, int32_t to)
{
    int32_t by = reader->by;

    if (list_takes_word(reader, "by") && !list_number(reader, &by))
        return false;
    if (by == 0)
        return list_malformed(reader, "by 0 leads nowhere");
    for (int64_t number = from; from <= to ? number <= to : number >= to;
         number += from <= to ? by : -by) {
        if (!list_add(reader, (int32_t)number))
            return false;
    }
    return true;
}

static bool list_read(struct list_reader *reader)
{
    reader->list->count = 0;
    do {
        int32_t from, to;

        if (!list_number(reader, &from))
            return false;
        if (list_takes_word(reader, "to")) {
            if (!list_number(reader, &to) || !list_range(reader, from, to))
                return false;
        } else if (!list_add(reader, from)) {
            return false;
        }
    } while (*reader->at != '\0');
    return true;
}

bool gen_list_parse(struct gen_list *list, const char *option, const char *text, int32_t max,
                    struct gen_error *err)
{
    struct list_reader reader = {
        .list = list,
        .option = option,
        .whole = text,
        .at = text,
        .max = max,
        .by = 1,
        .err = err,
    };

    return list_read(&reader);
}

bool gen_list_parse_steps(struct gen_list *list, const char *option, const char *text,
                          struct gen_error *err)
{
    struct list_reader reader = {
        .list = list,
        .option = option,
        .whole = text,
        .at = text,
        .max = INT32_MAX / 2,
        .by = GEN_STEP_DEFAULT_MINUTES,
        .steps = true,
        .err = err,
    };

    return list_read(&reader);
}
