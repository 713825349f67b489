/* base64.h: bytes as text, RFC 4648 section 4, padded. Pure. */
#ifndef PROTO_BASE_BASE64_H
#define PROTO_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#define BASE64_TEXT_SIZE(size) (((size) + 2) / 3 * 4 + 1)
#define BASE64_DATA_SIZE(size) ((size) / 4 * 3)

/* Terminated: text holds BASE64_TEXT_SIZE(size). */
void base64_print(const uint8_t *data, size_t size, char *text);

/* Exactly what base64_print() makes; data holds BASE64_DATA_SIZE(text_size), *size is how many were written. 0 on success, -1 otherwise. */
int base64_parse(const char *text, size_t text_size, uint8_t *data, size_t *size);

#endif
