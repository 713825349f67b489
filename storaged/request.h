/* request.h: what the conductors of requests have in common: names out of paths, keys of queries, JSON answers. */
#ifndef STORAGED_REQUEST_H
#define STORAGED_REQUEST_H

#include "proto/base/json_write.h"
#include "proto/http/http_exchange.h"
#include "proto/run.h"

#define TYPE_JSON "application/json"
#define TYPE_OCTETS "application/octet-stream"
#define TYPE_GRIB "application/wmo-grib" /* both editions: a data file may hold either */

enum { REQUEST_WHOLE_MAX = 256 << 20 }; /* of bodies that are gathered whole, on a loop */

struct node_loop;

/* The loop a request lives on. */
struct node_loop *request_loop(const struct http_exchange *ex);

/* Are all query keys among known (ended by NULL)? If not it has replied 400 unknown-key with the nearest one. */
bool request_keys_known(struct http_exchange *ex, const char *const *known);

/* {source} and {base_time} of the path. false: it has replied 400. */
bool request_run(struct http_exchange *ex, struct run_key *run);

/* A number among query keys. Absent: missing, and true. false: it has replied 400. */
bool request_query_u64(struct http_exchange *ex, const char *key, uint64_t missing, uint64_t *value);

/* The header that names the run's incarnation. Absent: 0, and true. false: it has replied 400. */
bool request_incarnation(struct http_exchange *ex, uint64_t *incarnation);

/* Counts a large body that is gathered whole, before it is read, by the length that it has or may have. false: too many are
 * under way, it has replied 503. *size goes to request_whole_end(), when the body and what was made of it are freed. */
bool request_whole_begin(struct http_exchange *ex, uint64_t size_max, uint64_t *size);
void request_whole_end(struct node_loop *loop, uint64_t size);

/* Replies with err, whose status it is. */
void request_fail(struct http_exchange *ex, const struct error *err);
void request_fail_with(struct http_exchange *ex, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 409 and the like about a run: the error carries `"run": {...}`, what holds here. */
void request_fail_run(struct http_exchange *ex, enum status status, const struct error *err,
                      const struct run_key *run, const struct run_info *info);

/* {"source", "base_time", "incarnation", "version", "state"} as members of the object under way. */
void request_print_run(struct json_writer *json, const struct run_key *run, const struct run_info *info);

/* buf as JSON, or the buffer's own failure. */
void request_reply_json(struct http_exchange *ex, int http_status, struct buf *buf);

#endif
