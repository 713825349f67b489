/* json_read.h: jansson behind a small door: parse with limits, fetch members with their type
 * checked.
 *
 * A json_t from json_parse() is owned by the caller (json_decref). Everything fetched from it is
 * borrowed until then. Getters return BAD_VALUE and name the member ("url: not a string"); the
 * caller puts its place in front with error_wrap(err, "nodes[%zu]", i). */
#ifndef PROTO_BASE_JSON_READ_H
#define PROTO_BASE_JSON_READ_H

#include "proto/base/bytes.h"
#include "proto/base/json_write.h"
#include "proto/base/status.h"

#include <jansson.h>

/* Strict: one value of any type, UTF-8, no zero characters, no duplicate keys, nothing behind
 * it, 2048 levels deep at most (jansson's limit). Otherwise BAD_VALUE, text "JSON: LINE:COLUMN:
 * ...", offset the byte; or NO_MEMORY. *value is NULL then. How long a text may be is the
 * caller's to limit. */
enum status json_parse(const void *data, size_t size, json_t **value, struct error *err);

/* For daemons, before the first value: jansson calls a text malformed in some places where it had no memory, and who sent it
 * would not try again. From now on the process ends on it. */
void json_end_without_memory(void);

/* Required members; null counts as missing. */
enum status json_get_string(const json_t *object, const char *key, const char **text, struct error *err);
enum status json_get_u64(const json_t *object, const char *key, uint64_t max, uint64_t *value,
                         struct error *err);
enum status json_get_array(const json_t *object, const char *key, json_t **array, struct error *err);

/* Optional members: the default where absent or null; an error where of another type. */
enum status json_opt_string(const json_t *object, const char *key, const char *missing,
                            const char **text, struct error *err);
enum status json_opt_u64(const json_t *object, const char *key, uint64_t max, uint64_t missing,
                         uint64_t *value, struct error *err);

/* Writes a parsed value, compact, numbers in their shortest form: by our writer and not jansson's,
 * which is many times slower. What would nest deeper than the writer can becomes null. */
void json_print(struct json_writer *json, const json_t *value);

#endif
