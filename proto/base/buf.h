/* buf.h: a growing buffer with a limit.
 *
 * A buffer that would pass its limit, or for which memory runs out, fails for good: every later
 * append does nothing and buf_status() says why. So a writer appends without checks and looks
 * once at the end. */
#ifndef PROTO_BASE_BUF_H
#define PROTO_BASE_BUF_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

#include <stdarg.h>

struct buf {
    uint8_t *data; /* owned; NULL while empty */
    size_t size;
    size_t capacity;
    size_t size_max;
    enum status status; /* OK, TOO_LARGE or NO_MEMORY */
};

void buf_init(struct buf *buf, size_t size_max);
void buf_fini(struct buf *buf);  /* frees; safe twice */
void buf_clear(struct buf *buf); /* size 0, status OK; memory stays */
enum status buf_status(const struct buf *buf);
void buf_append(struct buf *buf, const void *data, size_t size);
void buf_text(struct buf *buf, const char *text);
void buf_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vformat(struct buf *buf, const char *format, va_list list)
    __attribute__((format(printf, 2, 0)));
void buf_u16(struct buf *buf, uint16_t value); /* big endian */
void buf_u32(struct buf *buf, uint32_t value);
void buf_u64(struct buf *buf, uint64_t value);

/* As text: a plain number; the shortest that reads back as value, which is finite (whole numbers
 * without ".0", "." in every locale). */
void buf_decimal(struct buf *buf, uint64_t value);
void buf_double(struct buf *buf, double value);

/* Room for size more bytes at the end, to be filled by the caller, who then adds to buf->size;
 * NULL on failure. */
uint8_t *buf_reserve(struct buf *buf, size_t size);

/* Drop the first size bytes; the rest moves down. */
void buf_consume(struct buf *buf, size_t size);

/* The contents as a terminated string (the terminator is not counted in size); "" on failure. */
const char *buf_string(struct buf *buf);

/* The memory goes to the caller, who frees it; the buffer is empty again. NULL and 0 when
 * nothing is in it or it has failed (buf_status() still says so). */
uint8_t *buf_take(struct buf *buf, size_t *size);

#endif
