/* multipart.c: line by line up to a part's bytes, then as many as its Content-Range says. */
#include "client/multipart.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

bool multipart_init(struct multipart *multipart, const char *content_type,
                    int (*on_bytes)(struct multipart *, uint64_t, uint64_t, struct slice), void *user)
{
    static const char type[] = "multipart/byteranges";
    const char *found, *end;

    *multipart = (struct multipart){ .on_bytes = on_bytes, .user = user };
    if (content_type == NULL || strncasecmp(content_type, type, sizeof type - 1) != 0)
        return false;
    found = strcasestr(content_type, "boundary=");
    if (found == NULL)
        return false;
    found += strlen("boundary=");
    bool quoted = *found == '"';
    found += quoted;
    end = found + strcspn(found, quoted ? "\"" : "; \t");
    size_t size = (size_t)(end - found);
    if (size == 0 || size > MULTIPART_BOUNDARY_MAX)
        return false;
    memcpy(multipart->boundary, found, size);
    return true;
}

/* "Content-Range: bytes 0-9/100" */
static bool range_read(struct multipart *multipart, const char *text)
{
    const char *dash, *slash;

    while (*text == ' ' || *text == '\t')
        text++;
    if (strncasecmp(text, "bytes ", 6) != 0)
        return false;
    text += 6;
    dash = strchr(text, '-');
    slash = strchr(text, '/');
    if (dash == NULL || slash == NULL || slash < dash)
        return false;
    return decimal_parse(text, (size_t)(dash - text), INT64_MAX, &multipart->first) == 0 &&
           decimal_parse(dash + 1, (size_t)(slash - dash - 1), INT64_MAX, &multipart->last) == 0 &&
           multipart->last >= multipart->first;
}

static enum status delimiter_take(struct multipart *multipart)
{
    size_t size = strlen(multipart->boundary);
    const char *line = multipart->line;

    if (line[0] == '\0')
        return STATUS_OK; /* the line's end behind the last part */
    if (strncmp(line, "--", 2) != 0 || strncmp(line + 2, multipart->boundary, size) != 0)
        return STATUS_MALFORMED;
    line += 2 + size;
    multipart->has_range = false;
    multipart->head_size = 0;
    multipart->state = strncmp(line, "--", 2) == 0 ? MULTIPART_OVER : MULTIPART_HEAD;
    return STATUS_OK;
}

static enum status head_take(struct multipart *multipart)
{
    static const char name[] = "content-range:";

    if (multipart->line[0] == '\0') {
        if (!multipart->has_range)
            return STATUS_MALFORMED;
        multipart->at = multipart->first;
        multipart->state = MULTIPART_BYTES;
        return STATUS_OK;
    }
    if (strncasecmp(multipart->line, name, sizeof name - 1) != 0)
        return STATUS_OK;
    if (multipart->has_range || !range_read(multipart, multipart->line + sizeof name - 1))
        return STATUS_MALFORMED;
    multipart->has_range = true;
    return STATUS_OK;
}

static enum status line_take(struct multipart *multipart)
{
    size_t size = multipart->line_size;

    if (size > 0 && multipart->line[size - 1] == '\r')
        size--;
    multipart->line[size] = '\0';
    multipart->line_size = 0;
    return multipart->state == MULTIPART_DELIMITER ? delimiter_take(multipart) : head_take(multipart);
}

static enum status byte_take(struct multipart *multipart, char byte)
{
    if (byte == '\n')
        return line_take(multipart);
    if (multipart->line_size + 1 >= sizeof multipart->line || ++multipart->head_size >= MULTIPART_HEAD_MAX)
        return STATUS_MALFORMED;
    multipart->line[multipart->line_size++] = byte;
    return STATUS_OK;
}

enum status multipart_feed(struct multipart *multipart, struct slice bytes)
{
    size_t used = 0;

    while (used < bytes.size && multipart->state != MULTIPART_OVER) {
        if (multipart->state != MULTIPART_BYTES) {
            enum status status = byte_take(multipart, (char)bytes.data[used++]);
            if (status != STATUS_OK)
                return status;
            continue;
        }
        uint64_t left = multipart->last - multipart->at + 1;
        size_t size = bytes.size - used < left ? bytes.size - used : (size_t)left;
        if (multipart->on_bytes(multipart, multipart->at, multipart->last + 1,
                                slice_of(bytes.data + used, size)) != 0)
            return STATUS_CANCELLED;
        used += size;
        if (size == left)
            multipart->state = MULTIPART_DELIMITER;
        else
            multipart->at += size;
    }
    return STATUS_OK;
}
