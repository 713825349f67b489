/* http_head.h: a strict scan of a request's head (RFC 9112 sections 2 to 6), in front of llhttp.
 * Pure.
 *
 * Whoever stands between a client and us may read a doubtful head otherwise than we do, and then
 * a second request hides in the body of the first. So nothing doubtful passes: every line ends
 * in CRLF and holds no other CR, LF or NUL; no line is folded; names are tokens; the version is
 * 1.0 or 1.1; there is exactly one valid Host in 1.1; a body has one Content-Length of 1 to 19
 * digits or, in 1.1 only, exactly `chunked`, and never both. Fields that a later part looks at
 * are kept as places in the text; the scan owns no memory and never allocates. */
#ifndef PROTO_HTTP_HEAD_H
#define PROTO_HTTP_HEAD_H

#include "proto/http/http_exchange.h"

enum {
    HTTP_METHOD_OTHER = HTTP_OPTIONS_ + 1, /* a token that is none of ours: PATCH, TRACE, ... */
};

struct http_head_limits {
    size_t head_max, line_max, target_max;
    unsigned fields_max; /* more than HTTP_FIELDS_MAX counts as that */
};

struct http_span { /* a part of the head's text */
    uint32_t offset, size;
};

struct http_field {
    struct http_span name, value; /* the value without blanks around it */
};

struct http_head {
    /* the scan */
    size_t start; /* 2 after an empty line in front of the request line (RFC 9112 section 2.2), else 0 */
    size_t line;        /* where the unfinished line begins */
    size_t at;          /* looked at so far */
    bool has_line;      /* the request line is whole */
    const char *reason; /* of a refusal, for people */

    /* the request; valid once http_head_feed() has returned OK */
    size_t size; /* of the whole head, its last CRLF included */
    enum http_method method;
    unsigned minor;               /* HTTP/1.minor */
    struct http_span target;      /* as sent */
    struct http_span path, query; /* without '?'; the path of "*" is "*" */
    unsigned fields_count;
    struct http_field fields[HTTP_FIELDS_MAX];
    enum status refuse; /* OK, or TARGET_TOO_LONG, HEAD_TOO_LARGE: framing is intact, so the connection may be kept */

    /* what the fields say */
    uint64_t content_length; /* 0 without a body or when chunked */
    bool has_length, chunked;
    bool keep_alive;  /* by version and Connection */
    bool close_asked; /* Connection: close */
    bool expect_continue, expect_other;
    bool content_encoding, content_range;
    unsigned hosts, lengths, codings; /* how many fields of these names came */
    bool connection_close, connection_keep;
};

void http_head_init(struct http_head *head);

/* text is the head from its first byte, size what is there of it: each call sees what the last one saw, and more.
 *   STATUS_MORE             it goes on
 *   STATUS_OK               it is whole: head->size bytes
 *   STATUS_BAD_REQUEST      it is malformed; head->reason says how
 *   STATUS_TARGET_TOO_LONG, STATUS_HEAD_TOO_LARGE   no end within the limits
 * After an error nothing that follows on the connection can be trusted. */
enum status http_head_feed(struct http_head *head, const uint8_t *text, size_t size,
                           const struct http_head_limits *limits);

static inline struct slice http_span_slice(const uint8_t *text, struct http_span span)
{
    return slice_of(text + span.offset, span.size);
}

/* ASCII letters compare alike in either case; every other byte only with itself. */
bool http_name_equals(struct slice name, const char *other);

/* May the byte be part of a token; of a field's value, blanks included? */
bool http_token_byte(uint8_t byte);
bool http_value_byte(uint8_t byte);

/* Is token one of the members of a comma-separated list? */
bool http_list_has(struct slice list, const char *token);

#endif
