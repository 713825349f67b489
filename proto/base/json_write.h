/* json_write.h: an append-only JSON writer (RFC 8259) into a buf.
 *
 * Commas and nesting are the writer's; an object's members come as json_key() and then one
 * value. Strings are escaped; each byte that is not UTF-8 becomes U+FFFD, so that what leaves is
 * always valid JSON. Misuse (a value without a key in an object, unbalanced ends, more than
 * JSON_DEPTH_MAX levels) is an assert. At the top level values are written as they come: what
 * parts them (NDJSON's newline) is the caller's. Failure (limit, memory) is the buf's: look at
 * the end.
 *
 * The names keep clear of jansson's json_object(), json_array(), json_string() and json_null(): one
 * program has both, and libjansson would call ours in place of its own. */
#ifndef PROTO_BASE_JSON_WRITE_H
#define PROTO_BASE_JSON_WRITE_H

#include "proto/base/buf.h"

#include <stdbool.h>

enum { JSON_DEPTH_MAX = 32 };

struct json_writer {
    struct buf *buf; /* borrowed */
    unsigned depth;
    bool after_key;
    uint8_t state[JSON_DEPTH_MAX];
};

void json_init(struct json_writer *json, struct buf *buf);
void json_object_begin(struct json_writer *json);
void json_object_end(struct json_writer *json);
void json_array_begin(struct json_writer *json);
void json_array_end(struct json_writer *json);
void json_key(struct json_writer *json, const char *key);
void json_text(struct json_writer *json, const char *text); /* NULL writes null */
void json_slice(struct json_writer *json, struct slice text);
void json_format(struct json_writer *json, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void json_u64(struct json_writer *json, uint64_t value);
void json_i64(struct json_writer *json, int64_t value);
void json_double(struct json_writer *json, double value); /* as buf_double(); not finite: null */
void json_bool(struct json_writer *json, bool value);
void json_none(struct json_writer *json);                               /* null */
void json_raw(struct json_writer *json, const void *data, size_t size); /* one ready value */

/* json_key() and the value in one line. */
void json_put_string(struct json_writer *json, const char *key, const char *text);
void json_put_u64(struct json_writer *json, const char *key, uint64_t value);
void json_put_i64(struct json_writer *json, const char *key, int64_t value);
void json_put_double(struct json_writer *json, const char *key, double value);
void json_put_bool(struct json_writer *json, const char *key, bool value);
void json_put_hex(struct json_writer *json, const char *key, const uint8_t *data, size_t size);
/* Microseconds since 1970 as RFC 3339; 0 is a time that has not come: left out, key and all. */
void json_put_time(struct json_writer *json, const char *key, uint64_t time_us);

#endif
