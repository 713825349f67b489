/* http_exchange.h: one request and its reply, as conductors see them.
 *
 * A handler (http_router.h) is called on the server's loop when the head of a request is whole. It looks at the request,
 * starts what it needs, and replies exactly once: now or later, always on that loop. The exchange lives until its reply
 * has been written or dropped; a client that left is no event (http_gone() tells): the reply then goes nowhere. Slices
 * of the request are borrowed until the reply is started.
 *
 * Replying to HEAD is replying to GET: the server leaves the body out. Every reply carries Content-Length unless it is
 * streamed with an unknown length (then chunked, or close for HTTP/1.0). Errors get `Cache-Control: no-store`. */
#ifndef PROTO_HTTP_EXCHANGE_H
#define PROTO_HTTP_EXCHANGE_H

#include "proto/base/buf.h"
#include "proto/base/status.h"

#include <uv.h>

struct http_exchange;
struct http_server;

enum http_method {
    HTTP_GET_,
    HTTP_HEAD_,
    HTTP_PUT_,
    HTTP_POST_,
    HTTP_DELETE_,
    HTTP_OPTIONS_,
};
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
enum {
    HTTP_FIELDS_MAX = 100
}; /* header fields that are kept of a request, whatever the settings */

/* --- the request --- */
enum http_method http_method(const struct http_exchange *ex);
struct slice http_path(const struct http_exchange *ex); /* as sent, without the query */
struct slice http_param(const struct http_exchange *ex,
                        const char *name); /* of the route's pattern, percent-decoded; size 0: none */
/* The value of a query key, decoded; data NULL: absent. http_query_next() walks all pairs in order: start with *at = 0;
 * false at the end. Decoded text lives as long as the request. '+' is a blank. */
struct slice http_query(struct http_exchange *ex, const char *key);
bool http_query_next(struct http_exchange *ex, size_t *at, struct slice *key, struct slice *value);
struct slice http_header(const struct http_exchange *ex, const char *name); /* the first; data NULL: absent */
/* All fields of that name joined by ", " (RFC 9110 section 5.3), for list-valued ones. */
struct slice http_header_joined(struct http_exchange *ex, const char *name);
bool http_is_conditional(const struct http_exchange *ex); /* any field whose name begins with If- */
uint64_t http_content_length(const struct http_exchange *ex); /* HTTP_LENGTH_UNKNOWN: chunked; 0: no body */
const char *http_request_id(const struct http_exchange *ex); /* X-Request-Id as sent (if sane), or made here */
bool http_gone(const struct http_exchange *ex);              /* the client left */
void *http_context(const struct http_exchange *ex); /* the server's context: node, indexer */
/* SHA-256 of the certificate (DER) that the client showed and that the server's client CA vouches for. False: none (no
 * TLS, none shown, none asked for): fingerprint is untouched then. */
bool http_client_certificate(const struct http_exchange *ex, uint8_t fingerprint[32]);
uv_loop_t *http_loop(const struct http_exchange *ex);
struct http_server *http_exchange_server(const struct http_exchange *ex);

/* A pointer of the conductor's, and what to call when the exchange is over (reply written, or dropped). */
void http_set_user(struct http_exchange *ex, void *user, void (*on_over)(struct http_exchange *ex));
void *http_user(const struct http_exchange *ex);

/* --- its body: one of these, or none --- */
/* Gather it all (100 Continue is sent when asked for). on_body gets OK and the bytes (borrowed during the call), or
 * TOO_LARGE, TIMEOUT, BAD_REQUEST, CANCELLED: it then still replies (the server knows what can be sent). */
void http_body_gather(struct http_exchange *ex, size_t size_max,
                      void (*on_body)(struct http_exchange *ex, enum status status, struct slice body));

/* Stream it. on_chunk gets bytes (borrowed during the call; all are taken); after http_body_pause() no more come until
 * http_body_resume(), and at most one read buffer is held. on_end comes once: OK, or as above. A conductor that replies
 * before the end gets no further call; the rest is read and thrown away within limits, or the connection is closed. */
void http_body_stream(struct http_exchange *ex,
                      void (*on_chunk)(struct http_exchange *ex, struct slice chunk),
                      void (*on_end)(struct http_exchange *ex, enum status status));
void http_body_pause(struct http_exchange *ex);
void http_body_resume(struct http_exchange *ex);

/* --- the reply --- */
/* Further header fields, before the reply is started. Values with CR, LF or NUL are a programming error. */
void http_reply_header(struct http_exchange *ex, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Header fields as they leave, each with its CRLF, for answers below 300 and 304: for who sends the same ones many times
 * and prints them once. */
void http_reply_fields(struct http_exchange *ex, const char *text, size_t size);

/* A whole body; the buffer's memory goes to the exchange, the buffer is left empty. body NULL or empty: no body. */
void http_reply(struct http_exchange *ex, int http_status, const char *content_type, struct buf *body);
void http_reply_text(struct http_exchange *ex, int http_status, const char *content_type,
                     const char *text);

/* application/problem+json: status decides code, title and HTTP status; err (may be NULL) the detail and offset. With
 * 503 and 429 a Retry-After of a few seconds. extra (may be NULL, memory taken) holds further members as
 * `"stored":1,"known":0` without braces. */
void http_reply_error(struct http_exchange *ex, enum status status, const struct error *err,
                      struct buf *extra);

/* Pieces of a file (or of memory), one after another; the length is their sum. `head` of each piece is written first
 * (multipart delimiters). The file is read with preadv2 where the page cache has it, on the thread pool where not; small
 * pieces leave in one write with the header. A read that fails or comes short cuts the connection: never a wrong byte.
 * pieces and heads are copied or taken: pieces is malloc'ed by the caller and freed by the exchange, heads' bytes lie in
 * `text`, taken as in http_reply(). on_over (http_set_user) is when fd may be closed. */
struct http_piece {
    size_t head_offset, head_size; /* in text */
    int fd;                        /* -1: no file bytes */
    uint64_t offset, length;
};
void http_reply_file(struct http_exchange *ex, int http_status, const char *content_type,
                     struct http_piece *pieces, unsigned count, struct buf *text);

/* The same, in memory that the exchange has already: count pieces, all zero, and (where text is not NULL) the buffer of
 * their heads, empty; once filled they are sent. */
struct http_piece *http_reply_pieces(struct http_exchange *ex, unsigned count, struct buf **text);
void http_reply_send_pieces(struct http_exchange *ex, int http_status, const char *content_type);

/* Who wants to know where a file could not be read asks so before the first http_reply_header(). Called once, on the
 * loop: `size` bytes at `offset` of fd failed, or the file ends before. may_reply: nothing had left yet; reply and header
 * fields are taken back and on_unreadable has to start another reply before it returns. Otherwise the connection is cut. */
struct http_unreadable {
    int fd;
    uint64_t offset, size;
    bool may_reply;
};
void http_on_unreadable(struct http_exchange *ex,
                        void (*on_unreadable)(struct http_exchange *ex,
                                              const struct http_unreadable *what));

/* Streamed: after http_stream_start() the exchange calls on_ready whenever it can take more (at once the first time);
 * the conductor then, now or later, calls http_stream_push() once (memory taken as in http_reply()); last ends the body.
 * length: of it all, or HTTP_LENGTH_UNKNOWN. http_stream_fail() cuts the connection, so that nobody takes the part for
 * the whole. */
void http_stream_start(struct http_exchange *ex, int http_status, const char *content_type,
                       uint64_t length, void (*on_ready)(struct http_exchange *ex));
void http_stream_push(struct http_exchange *ex, struct buf *data, bool last);
void http_stream_fail(struct http_exchange *ex);

#endif
