/* digest_json.h: lists of digests in JSON, each as 64 lower-case hex digits. */
#ifndef PROTO_DIGEST_JSON_H
#define PROTO_DIGEST_JSON_H

#include "proto/base/json_read.h"
#include "proto/digest.h"

/* The key, and the list. */
void digest_json_put(struct json_writer *json, const char *key, const struct digest *digests,
                     size_t count);

/* One of a list that the caller begins and ends. */
void digest_json_put_one(struct json_writer *json, const struct digest *digest);

/* The item at `place`; BAD_VALUE names it, as in "digests[17]: ...". */
enum status digest_json_item(const json_t *list, const char *key, size_t place,
                             struct digest *digest, struct error *err);

#endif
