/* http_frame.h: where the body of a request begins and ends in the stream.
 *
 * The head has passed http_head_feed(); llhttp reads it again and has to agree. Then the body is cut out: by length, or by
 * chunks (RFC 9112 section 7.1), as strictly as the head. Chunk extensions are bounded a line and in all (CVE-2024-22019),
 * trailers in all; both are looked at for their bytes alone and thrown away. llhttp is not asked about chunks: 8.1 takes
 * folded and nameless trailers, and bare LF behind the last chunk, and refuses blanks in a quoted extension. Pure. */
#ifndef PROTO_HTTP_FRAME_H
#define PROTO_HTTP_FRAME_H

#include "proto/http/http_head.h"

/* What all chunk lines and trailers may have beyond the bytes of the body itself. */
enum { HTTP_CHUNK_OVERHEAD_MAX = 16384 };

struct http_frame_limits {
    uint64_t body_max;
    size_t chunk_line_max; /* a chunk's size with its extensions */
    size_t trailers_max;
};

enum http_frame_event {
    HTTP_FRAME_MORE,      /* all input is used; the body goes on */
    HTTP_FRAME_CHUNK,     /* *chunk is a piece of the body */
    HTTP_FRAME_END,       /* the request is over; what is left of the input belongs to the next */
    HTTP_FRAME_BAD,       /* malformed: nothing behind it can be trusted */
    HTTP_FRAME_TOO_LARGE, /* more than body_max */
};

struct http_frame {
    const struct http_frame_limits *limits; /* borrowed */
    uint64_t body_size;                     /* of the body, so far */
    uint64_t left;                          /* of the length, or of the chunk under way */
    uint64_t overhead;                      /* of chunk lines and trailers, so far */
    size_t line;                            /* of the chunk line, or of the trailers, under way */
    uint8_t state;                          /* with chunks: what comes next */
    bool chunked;
    bool ended, failed; /* never both */
};

/* The next request. text is the head's, limits outlive it; false: llhttp reads it otherwise than head does. */
bool http_frame_begin(struct http_frame *frame, const struct http_head *head, const uint8_t *text,
                      const struct http_frame_limits *limits);

/* The next event; input is moved forward by what was used. */
enum http_frame_event http_frame_next(struct http_frame *frame, struct slice *input, struct slice *chunk);

#endif
