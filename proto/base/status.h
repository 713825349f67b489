/* status.h: every way to fail, in one table: its name, its HTTP status, its code and title.
 *
 * `enum status` is for code, `struct error` is for people: each layer adds what it knows in
 * front of the text (`run hres/20130408T0000Z: journal: bad magic`). The codes are those of
 * application/problem+json (RFC 9457): `type` is urn:gribstore:error:CODE. A status that has no
 * code of its own there is `internal`, 500. */
#ifndef PROTO_BASE_STATUS_H
#define PROTO_BASE_STATUS_H

#ifdef NDEBUG
#error "asserts stay in, in release too: what we do wrong has to stop us"
#endif

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* X(name, HTTP status, code, title) */
#define STATUS_TABLE(X)                                                                            \
    X(OK, 200, "ok", "OK")                                                                         \
    X(MORE, 200, "more", "More bytes are needed")                                                  \
    X(BAD_REQUEST, 400, "bad-request", "The request is malformed")                                 \
    X(UNKNOWN_KEY, 400, "unknown-key", "A key of the request is not known")                        \
    X(BAD_VALUE, 400, "bad-value", "A value of the request is malformed")                          \
    X(CLOCK, 400, "clock", "A time stamp lies too far ahead of this node's clock")                 \
    X(UNAUTHORIZED, 401, "unauthorized", "A token is needed")                                      \
    X(FORBIDDEN, 403, "forbidden", "The token does not allow this")                                \
    X(NOT_FOUND, 404, "not-found", "There is no such thing here")                                  \
    X(METHOD, 405, "method", "The method is not allowed here")                                     \
    X(TIMEOUT, 408, "timeout", "The request took too long to arrive")                              \
    X(LENGTH_REQUIRED, 411, "length-required", "The body needs a length")                          \
    X(TOO_LARGE, 413, "too-large", "The body is too large")                                        \
    X(TARGET_TOO_LONG, 414, "target-too-long", "The request target is too long")                   \
    X(RANGE, 416, "range", "No part of the range lies in the file")                                \
    X(EXPECTATION, 417, "expectation", "The expectation can't be met")                             \
    X(HEAD_TOO_LARGE, 431, "head-too-large", "The head of the request is too large")               \
    X(STALE_RUN, 409, "stale-run", "The run has another incarnation, version or state")            \
    X(JOURNAL_CHANGED, 409, "journal-changed", "The journal is another one now")                   \
    X(OTHER_CLUSTER, 409, "other-cluster", "The other side belongs to another cluster")            \
    X(CONFLICT, 409, "stale-run", "Another change came first")                                     \
    X(RUN_RETIRED, 410, "run-retired", "The run is retired and takes nothing more")                \
    X(PURGED, 410, "purged", "The run was purged")                                                 \
    X(DAMAGED, 410, "damaged", "The bytes are damaged on this node")                               \
    X(PRECONDITION, 412, "precondition", "A condition of the request does not hold")               \
    X(STALE_EPOCH, 412, "stale-epoch", "A newer cluster map exists")                               \
    X(ENCODING, 415, "encoding", "The content encoding is not supported")                          \
    X(NOT_GRIB, 422, "not-grib", "The body is not GRIB")                                           \
    X(BAD_GRIB, 422, "bad-grib", "A GRIB message is malformed")                                    \
    X(BAD_DATE, 422, "bad-date", "The reference date of a message is not taken")                       \
    X(DIGEST_MISMATCH, 422, "digest-mismatch", "The bytes do not have the declared digest")        \
    X(LIMITED, 429, "limited", "Too many requests")                                                \
    X(OVERLOADED, 503, "overloaded", "Too much is under way")                                      \
    X(DRAINING, 503, "draining", "The process is about to stop")                                   \
    X(TOO_FEW_COPIES, 503, "too-few-copies", "Too few nodes answered to keep enough copies")       \
    X(HOLDER_DOWN, 503, "holder-down", "A node that may hold it does not answer")                  \
    X(READ_ONLY, 503, "read-only", "The node takes no more writes until it is restarted")          \
    X(NOT_READY, 503, "overloaded", "The process is not ready yet")                                \
    X(FULL, 507, "full", "There is no room left for it")                                           \
    X(MALFORMED, 500, "internal", "Bytes are not in the form they should have")                    \
    X(CORRUPT, 500, "internal", "Stored bytes are damaged")                                        \
    X(IO, 500, "internal", "An input or output operation failed")                                  \
    X(NO_MEMORY, 500, "internal", "Memory ran out")                                                \
    X(EXISTS, 500, "internal", "It is there already")                                              \
    X(LOCKED, 500, "internal", "Another process holds the lock")                                   \
    X(UNREACHABLE, 502, "internal", "The other side does not answer")                              \
    X(UNTRUSTED, 502, "internal", "The other side's certificate, or ours to it, does not hold")     \
    X(CANCELLED, 500, "internal", "It was cancelled")                                              \
    X(UNSUPPORTED, 501, "internal", "This is not supported")                                       \
    X(INTERNAL, 500, "internal", "Something went wrong inside")

enum status {
#define STATUS_ENUM(name, http, code, title) STATUS_##name,
    STATUS_TABLE(STATUS_ENUM)
#undef STATUS_ENUM
        STATUS_COUNT
};

const char *status_name(enum status status);  /* "BAD_GRIB" */
const char *status_code(enum status status);  /* "bad-grib" */
const char *status_title(enum status status); /* a sentence without a full stop */
int status_http(enum status status);          /* 422 */

/* The first failure with this code, or STATUS_INTERNAL ("internal" too): what a client makes of
 * a problem+json. Never OK or MORE, whatever the other side calls its failure. */
enum status status_from_code(const char *code);

/* From errno: ENOSPC, EDQUOT -> FULL; ENOMEM -> NO_MEMORY; ENOENT -> NOT_FOUND; EEXIST ->
 * EXISTS; others IO. */
enum status status_from_errno(int error_number);

enum { ERROR_TEXT_SIZE = 512 };

struct error {
    enum status status;
    bool has_offset; /* offset names a place in the body or file */
    uint64_t offset;
    char text[ERROR_TEXT_SIZE]; /* cut with "..." when longer; always terminated */
};

/* All of these take err == NULL. error_set() and error_wrap() return the status, to be returned
 * on the same line; error_wrap(NULL, ...) returns the one this thread set last. It never returns
 * OK. Arguments may point into err. */
void error_init(struct error *err);
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
enum status error_set_errno(struct error *err, int error_number, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* appends ": " and strerror */
enum status error_wrap(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* puts "format: " in front; keeps the status */
void error_at(struct error *err, uint64_t offset);

#endif
