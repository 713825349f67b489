/* bytes.c: bytes as text and back: hex, decimal, UTF-8; and random ones. */
#include "proto/base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void hex_print(const uint8_t *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        *text++ = digits[data[i] >> 4];
        *text++ = digits[data[i] & 15];
    }
    *text = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int hex_parse(const char *text, size_t text_size, uint8_t *data, size_t size)
{
    if (text_size / 2 != size || text_size % 2 != 0)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -1;
        data[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

size_t decimal_print(uint64_t value, char *text)
{
    char digits[DECIMAL_SIZE_MAX];
    char *at = digits + sizeof digits;

    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    size_t size = (size_t)(digits + sizeof digits - at);
    memcpy(text, at, size);
    return size;
}

int decimal_parse(const char *text, size_t size, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;

    if (size == 0)
        return -1;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (digit > max || sum > (max - digit) / 10)
            return -1;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return 0;
}

static int utf8_continues(const uint8_t *at, size_t from, size_t count)
{
    for (size_t i = from; i < count; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return 1;
}

size_t utf8_length(const uint8_t *at, size_t left)
{
    uint8_t low = 0x80, high = 0xbf; /* what the second byte may be (RFC 3629, section 4) */
    size_t length;

    if (left == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        length = 2;
    else if (at[0] >= 0xe0 && at[0] <= 0xef)
        length = 3;
    else if (at[0] >= 0xf0 && at[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (at[0] == 0xe0)
        low = 0xa0; /* below: overlong */
    else if (at[0] == 0xed)
        high = 0x9f; /* above: surrogates */
    else if (at[0] == 0xf0)
        low = 0x90; /* below: overlong */
    else if (at[0] == 0xf4)
        high = 0x8f; /* above: past U+10FFFF */
    if (left < length || at[1] < low || at[1] > high || !utf8_continues(at, 2, length))
        return 0;
    return length;
}

void random_bytes(void *data, size_t size)
{
    uint8_t *at = data;

    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) /* ids from a broken source would collide: better no process than that */
            abort();
        at += got;
        size -= (size_t)got;
    }
}
