/* base64.c: three bytes, four letters. */
#include "proto/base/base64.h"

#include <stdbool.h>
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_print(const uint8_t *data, size_t size, char *text)
{
    for (size_t at = 0; at < size; at += 3) {
        size_t left = size - at;
        uint32_t bits = (uint32_t)data[at] << 16 | (left > 1 ? (uint32_t)data[at + 1] << 8 : 0) |
                        (left > 2 ? data[at + 2] : 0);
        text[0] = letters[bits >> 18];
        text[1] = letters[bits >> 12 & 63];
        text[2] = left > 1 ? letters[bits >> 6 & 63] : '=';
        text[3] = left > 2 ? letters[bits & 63] : '=';
        text += 4;
    }
    *text = '\0';
}

/* Four letters, `padding` of them at the end '='. */
static int parse_four(const char *text, size_t padding, uint32_t *bits)
{
    *bits = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *letter = i >= 4 - padding ? letters : memchr(letters, text[i], 64);
        if (letter == NULL)
            return -1;
        *bits = *bits << 6 | (uint32_t)(letter - letters);
    }
    /* Bits that no byte takes are 0: there is one text for some bytes. */
    return (*bits & ((1U << 8 * padding) - 1)) == 0 ? 0 : -1;
}

int base64_parse(const char *text, size_t text_size, uint8_t *data, size_t *size)
{
    *size = 0;
    if (text_size % 4 != 0)
        return -1;
    for (size_t at = 0; at < text_size; at += 4) {
        bool last = at + 4 == text_size;
        size_t padding = last && text[at + 3] == '=' ? (text[at + 2] == '=' ? 2 : 1) : 0;
        uint32_t bits;

        if (parse_four(text + at, padding, &bits) != 0)
            return -1;
        for (size_t i = 0; i < 3 - padding; i++)
            data[(*size)++] = (uint8_t)(bits >> (16 - 8 * i));
    }
    return 0;
}
