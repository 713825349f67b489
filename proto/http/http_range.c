/* http_range.c: the Range header in, multipart delimiters out. */
#include "proto/http/http_range.h"

#include <stdbool.h>

enum { RANGE_PART_ALLOWANCE = 400 }; /* what a part may cost beyond the file's own bytes */

struct range_spec {
    bool has_first, has_last;
    uint64_t first, last;
};

static void range_skip_blanks(struct slice *text)
{
    while (text->size > 0 && (text->data[0] == ' ' || text->data[0] == '\t')) {
        text->data++;
        text->size--;
    }
}

/* A number of any length; what does not fit is as good as UINT64_MAX: past the end of every
 * file. */
static bool range_take_number(struct slice *text, uint64_t *value)
{
    bool any = false;

    *value = 0;
    while (text->size > 0 && text->data[0] >= '0' && text->data[0] <= '9') {
        uint64_t digit = (uint64_t)(text->data[0] - '0');

        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
        any = true;
        text->data++;
        text->size--;
    }
    return any;
}

/* One of "a-b", "a-", "-n"; false where it is none. */
static bool range_take_spec(struct slice *text, struct range_spec *spec)
{
    spec->has_first = range_take_number(text, &spec->first);
    if (text->size == 0 || text->data[0] != '-')
        return false;
    text->data++;
    text->size--;
    spec->has_last = range_take_number(text, &spec->last);
    if (!spec->has_first && !spec->has_last)
        return false;
    return !spec->has_first || !spec->has_last || spec->first <= spec->last;
}

/* What of the file the spec means; false: nothing. */
static bool range_resolve(const struct range_spec *spec, uint64_t file_size, struct http_range *range)
{
    if (!spec->has_first) {
        range->length = spec->last < file_size ? spec->last : file_size;
        range->offset = file_size - range->length;
        return range->length > 0;
    }
    if (spec->first >= file_size)
        return false;
    range->offset = spec->first;
    range->length = file_size - spec->first;
    if (spec->has_last && spec->last - spec->first < range->length)
        range->length = spec->last - spec->first + 1;
    return true;
}

static bool range_take_unit(struct slice *text)
{
    static const char unit[] = "bytes=";

    if (text->size < sizeof unit - 1)
        return false;
    for (size_t i = 0; i < sizeof unit - 1; i++) {
        uint8_t c = text->data[i];
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c != (uint8_t)unit[i])
            return false;
    }
    text->data += sizeof unit - 1;
    text->size -= sizeof unit - 1;
    return true;
}

static void range_skip(struct slice *text)
{
    text->data++;
    text->size--;
}

/* Adds what the next spec of the list asks for; false where there is none, or it asks for too
 * much. */
static bool range_take(struct slice *text, uint64_t file_size, uint64_t *budget,
                       struct http_range *ranges, unsigned *count)
{
    struct range_spec spec;
    struct http_range range;

    if (!range_take_spec(text, &spec))
        return false;
    if (!range_resolve(&spec, file_size, &range))
        return true;
    *budget += RANGE_PART_ALLOWANCE; /* a file's size is far from the end of 64 bits */
    if (range.length > *budget)
        return false;
    *budget -= range.length;
    ranges[(*count)++] = range;
    return true;
}

enum http_ranges http_ranges_parse(struct slice header, uint64_t file_size, unsigned ranges_max,
                                   struct http_range *ranges, unsigned *count)
{
    uint64_t budget = file_size;
    unsigned specs = 0, found = 0;

    *count = 0;
    if (header.data == NULL || !range_take_unit(&header))
        return HTTP_RANGES_NONE;
    for (;;) {
        range_skip_blanks(&header);
        if (header.size > 0 && header.data[0] != ',') {
            if (++specs > ranges_max || !range_take(&header, file_size, &budget, ranges, &found))
                return HTTP_RANGES_NONE;
            range_skip_blanks(&header);
        }
        if (header.size == 0)
            break;
        if (header.data[0] != ',')
            return HTTP_RANGES_NONE;
        range_skip(&header);
    }
    if (specs == 0)
        return HTTP_RANGES_NONE;
    *count = found;
    return found > 0 ? HTTP_RANGES_SOME : HTTP_RANGES_UNSATISFIABLE;
}

/* Random bytes are fetched for many boundaries at once: the kernel's cost as much as reading a page. */
void http_boundary_make(char boundary[HTTP_BOUNDARY_SIZE])
{
    enum { SIZE = (HTTP_BOUNDARY_SIZE - 1) / 2, COUNT = 64 };
    static _Thread_local uint8_t bytes[COUNT][SIZE];
    static _Thread_local unsigned left;

    if (left == 0) {
        random_bytes(bytes, sizeof bytes);
        left = COUNT;
    }
    hex_print(bytes[--left], SIZE, boundary);
}

void http_multipart_head(struct buf *buf, const char *boundary, bool first, const char *content_type,
                         const struct http_range *range, uint64_t file_size)
{
    buf_text(buf, first ? "--" : "\r\n--");
    buf_text(buf, boundary);
    buf_text(buf, "\r\nContent-Type: ");
    buf_text(buf, content_type);
    buf_text(buf, "\r\nContent-Range: bytes ");
    buf_decimal(buf, range->offset);
    buf_text(buf, "-");
    buf_decimal(buf, range->offset + range->length - 1);
    buf_text(buf, "/");
    buf_decimal(buf, file_size);
    buf_text(buf, "\r\n\r\n");
}

void http_multipart_end(struct buf *buf, const char *boundary)
{
    buf_text(buf, "\r\n--");
    buf_text(buf, boundary);
    buf_text(buf, "--\r\n");
}
