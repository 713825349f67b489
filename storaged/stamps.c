/* stamps.c: reads the list of stamps in front of a body of copies. */
#include "storaged/stamps.h"

#include <assert.h>
#include <stdlib.h>

/* Far behind any clock, and far from where counting up would wrap. */
static const uint64_t stamp_max = INT64_MAX;

static unsigned count_values(struct slice text)
{
    unsigned count = 1;

    for (size_t i = 0; i < text.size && count <= STAMPS_MAX; i++)
        count += text.data[i] == ',';
    return count;
}

static bool read_value(const char **at, const char *end, uint64_t *value)
{
    while (*at < end && **at == ' ')
        ++*at;
    const char *begin = *at;
    while (*at < end && **at != ',')
        ++*at;
    return decimal_parse(begin, (size_t)(*at - begin), stamp_max, value) == 0 && *value > 0;
}

enum status stamps_parse(struct slice text, struct stamps *stamps, struct error *err)
{
    *stamps = (struct stamps){ 0 };
    if (text.data == NULL)
        return STATUS_OK;
    unsigned count = count_values(text);
    if (count > STAMPS_MAX)
        return error_set(err, STATUS_BAD_VALUE, "more than %d stamps", STAMPS_MAX);
    stamps->values = calloc(count, sizeof *stamps->values);
    if (stamps->values == NULL)
        return error_set(err, STATUS_NO_MEMORY, "%u stamps", count);
    const char *at = (const char *)text.data;
    const char *end = at + text.size;
    for (; stamps->count < count; stamps->count++, at++) {
        if (read_value(&at, end, &stamps->values[stamps->count]))
            continue;
        unsigned number = stamps->count;
        stamps_fini(stamps);
        return error_set(err, STATUS_BAD_VALUE, "stamp %u is no number of microseconds since 1970",
                         number);
    }
    return STATUS_OK;
}

void stamps_fini(struct stamps *stamps)
{
    free(stamps->values);
    *stamps = (struct stamps){ 0 };
}

uint64_t stamps_get(const struct stamps *stamps, uint64_t message)
{
    assert(stamps->count > 0);
    if (message < stamps->count)
        return stamps->values[message];
    return stamps->values[stamps->count - 1] + (message - stamps->count + 1);
}
