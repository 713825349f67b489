/* json_write.c: JSON appended to a buf as it is told. */
#include "proto/base/json_write.h"

#include "proto/base/clock.h"

#include <assert.h>
#include <math.h>

/* What json->state[] says of a level that is open. */
enum { JSON_IN_OBJECT = 1, JSON_IN_ARRAY = 2, JSON_HAS_MEMBER = 4 };

void json_init(struct json_writer *json, struct buf *buf)
{
    *json = (struct json_writer){ .buf = buf };
}

/* The comma in front of what comes next, and the right to write it here. */
static void json_next(struct json_writer *json)
{
    if (json->depth == 0)
        return;
    uint8_t *state = &json->state[json->depth - 1];
    if (json->after_key) {
        json->after_key = false;
        return;
    }
    assert(!(*state & JSON_IN_OBJECT)); /* a value in an object needs a key */
    if (*state & JSON_HAS_MEMBER)
        buf_append(json->buf, ",", 1);
    *state |= JSON_HAS_MEMBER;
}

static void json_open(struct json_writer *json, uint8_t kind, const char *bracket)
{
    json_next(json);
    assert(json->depth < JSON_DEPTH_MAX);
    json->state[json->depth++] = kind;
    buf_append(json->buf, bracket, 1);
}

static void json_close(struct json_writer *json, uint8_t kind, const char *bracket)
{
    assert(json->depth > 0 && (json->state[json->depth - 1] & kind));
    assert(!json->after_key);
    json->depth--;
    buf_append(json->buf, bracket, 1);
}

void json_object_begin(struct json_writer *json)
{
    json_open(json, JSON_IN_OBJECT, "{");
}

void json_object_end(struct json_writer *json)
{
    json_close(json, JSON_IN_OBJECT, "}");
}

void json_array_begin(struct json_writer *json)
{
    json_open(json, JSON_IN_ARRAY, "[");
}

void json_array_end(struct json_writer *json)
{
    json_close(json, JSON_IN_ARRAY, "]");
}

static bool json_is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

static void json_escape(struct buf *buf, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char text[6] = { '\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15] };

    if (byte == '"' || byte == '\\')
        text[1] = (char)byte;
    else if (byte == '\n')
        text[1] = 'n';
    else if (byte == '\t')
        text[1] = 't';
    else if (byte == '\r')
        text[1] = 'r';
    buf_append(buf, text, text[1] == 'u' ? 6 : 2);
}

/* Runs of plain bytes are copied whole: nearly all text is one run. */
static void json_quote(struct buf *buf, const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;

    buf_append(buf, "\"", 1);
    while (at < end) {
        const uint8_t *run = at;

        while (at < end && json_is_plain(*at))
            at++;
        buf_append(buf, run, (size_t)(at - run));
        if (at == end)
            break;
        if (*at < 0x80) {
            json_escape(buf, *at++);
            continue;
        }
        size_t length = utf8_length(at, (size_t)(end - at));
        if (length == 0) {
            buf_append(buf, "\xef\xbf\xbd", 3); /* U+FFFD for every byte that is not UTF-8 */
            length = 1;
        } else {
            buf_append(buf, at, length);
        }
        at += length;
    }
    buf_append(buf, "\"", 1);
}

void json_key(struct json_writer *json, const char *key)
{
    assert(json->depth > 0 && !json->after_key);
    uint8_t *state = &json->state[json->depth - 1];

    assert(*state & JSON_IN_OBJECT);
    if (*state & JSON_HAS_MEMBER)
        buf_append(json->buf, ",", 1);
    *state |= JSON_HAS_MEMBER;
    json_quote(json->buf, (const uint8_t *)key, strlen(key));
    buf_append(json->buf, ":", 1);
    json->after_key = true;
}

void json_text(struct json_writer *json, const char *text)
{
    if (text == NULL)
        json_none(json);
    else
        json_slice(json, slice_text(text));
}

void json_slice(struct json_writer *json, struct slice text)
{
    json_next(json);
    json_quote(json->buf, text.data, text.size);
}

void json_format(struct json_writer *json, const char *format, ...)
{
    struct buf text;
    va_list list;

    buf_init(&text, json->buf->size_max);
    va_start(list, format);
    buf_vformat(&text, format, list);
    va_end(list);
    if (buf_status(&text) != STATUS_OK && json->buf->status == STATUS_OK)
        json->buf->status = buf_status(&text);
    json_slice(json, slice_of(text.data, text.size)); /* after a failure for the nesting's sake alone */
    buf_fini(&text);
}

void json_u64(struct json_writer *json, uint64_t value)
{
    json_next(json);
    buf_decimal(json->buf, value);
}

void json_i64(struct json_writer *json, int64_t value)
{
    json_next(json);
    if (value < 0)
        buf_append(json->buf, "-", 1);
    buf_decimal(json->buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_double(struct json_writer *json, double value)
{
    json_next(json);
    if (isfinite(value))
        buf_double(json->buf, value);
    else
        buf_append(json->buf, "null", 4);
}

void json_bool(struct json_writer *json, bool value)
{
    json_next(json);
    buf_text(json->buf, value ? "true" : "false");
}

void json_none(struct json_writer *json)
{
    json_next(json);
    buf_append(json->buf, "null", 4);
}

void json_raw(struct json_writer *json, const void *data, size_t size)
{
    assert(size > 0);
    json_next(json);
    buf_append(json->buf, data, size);
}

void json_put_string(struct json_writer *json, const char *key, const char *text)
{
    json_key(json, key);
    json_text(json, text);
}

void json_put_u64(struct json_writer *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_u64(json, value);
}

void json_put_i64(struct json_writer *json, const char *key, int64_t value)
{
    json_key(json, key);
    json_i64(json, value);
}

void json_put_double(struct json_writer *json, const char *key, double value)
{
    json_key(json, key);
    json_double(json, value);
}

void json_put_bool(struct json_writer *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}

void json_put_hex(struct json_writer *json, const char *key, const uint8_t *data, size_t size)
{
    json_key(json, key);
    json_next(json);
    buf_append(json->buf, "\"", 1);
    if (size <= json->buf->size_max / 2) {
        uint8_t *room = buf_reserve(json->buf, 2 * size); /* a byte more is there for the end */

        if (room != NULL) {
            hex_print(data, size, (char *)room);
            json->buf->size += 2 * size;
        }
    } else if (json->buf->status == STATUS_OK) {
        json->buf->status = STATUS_TOO_LARGE;
    }
    buf_append(json->buf, "\"", 1);
}

void json_put_time(struct json_writer *json, const char *key, uint64_t time_us)
{
    char text[CLOCK_TEXT_SIZE];

    if (time_us == 0)
        return;
    clock_print_rfc3339((int64_t)time_us, text);
    json_put_string(json, key, text);
}
