/* buf.c: a growing buffer; the first failure sticks until buf_clear(). */
#include "proto/base/buf.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_CAPACITY = 64 };

void buf_init(struct buf *buf, size_t size_max)
{
    assert(size_max < SIZE_MAX); /* one byte more holds buf_string()'s terminator */
    *buf = (struct buf){ .size_max = size_max };
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->size = buf->capacity = 0;
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->status = STATUS_OK;
}

enum status buf_status(const struct buf *buf)
{
    return buf->status;
}

/* Doubles until needed bytes fit, but never past size_max and the terminator. */
static bool buf_grow(struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity < BUF_FIRST_CAPACITY ? BUF_FIRST_CAPACITY : buf->capacity;

    while (capacity < needed)
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    if (capacity > buf->size_max + 1)
        capacity = buf->size_max + 1;
    uint8_t *data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->status = STATUS_NO_MEMORY;
        return false;
    }
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

uint8_t *buf_reserve(struct buf *buf, size_t size)
{
    if (buf->status != STATUS_OK)
        return NULL;
    assert(buf->size <= buf->size_max);
    if (size > buf->size_max - buf->size) {
        buf->status = STATUS_TOO_LARGE;
        return NULL;
    }
    if (buf->size + size + 1 > buf->capacity && !buf_grow(buf, buf->size + size + 1))
        return NULL;
    return buf->data + buf->size;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    uint8_t *room = buf_reserve(buf, size);

    if (room == NULL || size == 0)
        return;
    memcpy(room, data, size);
    buf->size += size;
}

void buf_text(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_format(struct buf *buf, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    buf_vformat(buf, format, list);
    va_end(list);
}

void buf_vformat(struct buf *buf, const char *format, va_list list)
{
    char text[256]; /* most are short: printed once, then copied */
    va_list again;

    va_copy(again, list);
    int length = vsnprintf(text, sizeof text, format, list);
    if (length < 0) {
        if (buf->status == STATUS_OK)
            buf->status = STATUS_NO_MEMORY;
    } else if ((size_t)length < sizeof text) {
        buf_append(buf, text, (size_t)length);
    } else {
        uint8_t *room = buf_reserve(buf, (size_t)length);

        if (room != NULL) {
            vsnprintf((char *)room, (size_t)length + 1, format, again);
            buf->size += (size_t)length;
        }
    }
    va_end(again);
}

void buf_u16(struct buf *buf, uint16_t value)
{
    uint8_t bytes[2];

    put_u16(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

void buf_u32(struct buf *buf, uint32_t value)
{
    uint8_t bytes[4];

    put_u32(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

void buf_u64(struct buf *buf, uint64_t value)
{
    uint8_t bytes[8];

    put_u64(bytes, value);
    buf_append(buf, bytes, sizeof bytes);
}

void buf_decimal(struct buf *buf, uint64_t value)
{
    char text[DECIMAL_SIZE_MAX];

    buf_append(buf, text, decimal_print(value, text));
}

/* A host may have set a locale with another decimal point, of one byte or several. */
static size_t buf_plain_point(char *text)
{
    size_t used = 0;

    for (const char *from = text; *from != '\0'; from++) {
        if (strchr("0123456789+-e", *from) != NULL)
            text[used++] = *from;
        else if (used > 0 && text[used - 1] != '.')
            text[used++] = '.';
    }
    return used;
}

void buf_double(struct buf *buf, double value)
{
    char text[48];

    assert(isfinite(value));
    if (fabs(value) < 1e15 && value == (double)(int64_t)value) { /* most are: steps, levels, counts */
        if (value < 0)
            buf_text(buf, "-");
        buf_decimal(buf, (uint64_t)fabs(value));
        return;
    }
    for (int digits = DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    buf_append(buf, text, buf_plain_point(text));
}

void buf_consume(struct buf *buf, size_t size)
{
    assert(size <= buf->size);
    if (size == 0)
        return;
    memmove(buf->data, buf->data + size, buf->size - size);
    buf->size -= size;
}

const char *buf_string(struct buf *buf)
{
    if (buf->status != STATUS_OK || buf->data == NULL)
        return "";
    assert(buf->size < buf->capacity);
    buf->data[buf->size] = '\0';
    return (const char *)buf->data;
}

uint8_t *buf_take(struct buf *buf, size_t *size)
{
    uint8_t *data = buf->data;

    *size = buf->size;
    buf->data = NULL;
    buf->size = buf->capacity = 0;
    if (buf->status == STATUS_OK)
        return data;
    free(data); /* half of something is nothing */
    *size = 0;
    return NULL;
}
