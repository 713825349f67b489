/* config_value.c: single values and names: sizes, durations, yes and no, the nearest name. */
#include "proto/base/config_value.h"

enum { CONFIG_NEAREST_MAX = 64 }; /* longer names are like nothing */

struct config_unit {
    const char *name;
    uint64_t factor;
};

static const struct config_unit config_size_units[] = {
    { "", 1 },
    { "B", 1 },
    { "KiB", UINT64_C(1) << 10 },
    { "MiB", UINT64_C(1) << 20 },
    { "GiB", UINT64_C(1) << 30 },
    { "TiB", UINT64_C(1) << 40 },
    { "K", UINT64_C(1) << 10 },
    { "M", UINT64_C(1) << 20 },
    { "G", UINT64_C(1) << 30 },
    { "T", UINT64_C(1) << 40 },
    { NULL, 0 },
};

static const struct config_unit config_duration_units[] = {
    { "", 1000 },     { "ms", 1 },       { "s", 1000 }, { "min", 60000 },
    { "h", 3600000 }, { "d", 86400000 }, { NULL, 0 },
};

static int config_parse_units(const char *text, const struct config_unit *units, uint64_t *value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number;

    if (decimal_parse(text, digits, UINT64_MAX, &number) != 0)
        return -1;
    for (; units->name != NULL; units++) {
        if (strcmp(text + digits, units->name) != 0)
            continue;
        if (number > UINT64_MAX / units->factor)
            return -1;
        *value = number * units->factor;
        return 0;
    }
    return -1;
}

int config_parse_size(const char *text, uint64_t *size)
{
    return config_parse_units(text, config_size_units, size);
}

int config_parse_duration(const char *text, uint64_t *ms)
{
    return config_parse_units(text, config_duration_units, ms);
}

int config_parse_bool(const char *text, bool *value)
{
    static const char *const words[] = { "no", "yes", "false", "true", "0", "1" };

    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return 0;
        }
    }
    return -1;
}

bool config_is_on_by_default(const struct config_option *option)
{
    bool on = false;

    return option->type == CONFIG_BOOL && option->missing != NULL &&
           config_parse_bool(option->missing, &on) == 0 && on;
}

/* Levenshtein's distance, row by row; texts longer than the table are as far as can be. */
static size_t config_distance(const char *a, const char *b)
{
    size_t row[CONFIG_NEAREST_MAX + 1];
    size_t b_size = strlen(b);

    if (strlen(a) > CONFIG_NEAREST_MAX || b_size > CONFIG_NEAREST_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_size];
}

const char *config_nearest(const char *text, const char *const *names)
{
    size_t size = strlen(text);
    size_t limit = size / 3 > 2 ? size / 3 : 2;
    const char *nearest = NULL;

    if (limit >= size) /* nothing of the text would have to be left: no likeness */
        limit = size > 0 ? size - 1 : 0;
    for (; *names != NULL; names++) {
        size_t distance = config_distance(text, *names);

        if (distance <= limit && (nearest == NULL || distance < limit)) {
            nearest = *names;
            limit = distance;
        }
    }
    return nearest;
}
