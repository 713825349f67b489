/* bytes.h: slices of memory, and big-endian numbers in them. */
#ifndef PROTO_BASE_BYTES_H
#define PROTO_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A borrowed run of bytes; not terminated. */
struct slice {
    const uint8_t *data;
    size_t size;
};

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){ .data = data, .size = size };
}

static inline struct slice slice_text(const char *text)
{
    return (struct slice){ .data = (const uint8_t *)text, .size = strlen(text) };
}

static inline int slice_equals(struct slice slice, const char *text)
{
    size_t size = strlen(text);
    return slice.size == size && (size == 0 || memcmp(slice.data, text, size) == 0);
}

static inline uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get_u24(const uint8_t *at)
{
    return (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
}

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline uint64_t get_u64(const uint8_t *at)
{
    return (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
}

static inline void put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static inline void put_u64(uint8_t *at, uint64_t value)
{
    put_u32(at, (uint32_t)(value >> 32));
    put_u32(at + 4, (uint32_t)value);
}

/* Lower-case hex, terminated: text holds 2 * size + 1. */
void hex_print(const uint8_t *data, size_t size, char *text);

/* Exactly 2 * size lower-case hex digits; 0 on success, -1 otherwise. */
int hex_parse(const char *text, size_t text_size, uint8_t *data, size_t size);

/* The digits of value, without a terminator: how many (at most DECIMAL_SIZE_MAX). */
enum { DECIMAL_SIZE_MAX = 20 };
size_t decimal_print(uint64_t value, char *text);

/* A decimal number without sign or leading blanks, at most max; 0 on success, -1 otherwise. */
int decimal_parse(const char *text, size_t size, uint64_t max, uint64_t *value);

/* How many bytes (1 to 4) the valid UTF-8 character at at[0] has, of which left bytes are there;
 * 0 where there is none (overlong forms, surrogates, cut ones). */
size_t utf8_length(const uint8_t *at, size_t left);

/* Random bytes from the kernel (getrandom); aborts where the kernel has none. */
void random_bytes(void *data, size_t size);

#endif
