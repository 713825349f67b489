/* http_range.h: Range, Content-Range and multipart/byteranges (RFC 9110 section 14), in the dialect that clients read. Pure.
 *
 * Rules: ends past the end are clamped; a range that starts past the end is dropped; when all are, the answer is 416; another
 * unit, or anything malformed, is ignored (200). At most ranges_max of them, and never more bytes than the file + 400 a part: beyond that the header is ignored. */
#ifndef PROTO_HTTP_RANGE_H
#define PROTO_HTTP_RANGE_H

#include "proto/base/buf.h"

enum { HTTP_RANGES_MAX = 1000, HTTP_BOUNDARY_SIZE = 25 };

struct http_range {
    uint64_t offset, length; /* length > 0, inside the file */
};

enum http_ranges { HTTP_RANGES_NONE, HTTP_RANGES_SOME, HTTP_RANGES_UNSATISFIABLE };

/* ranges holds ranges_max, at most HTTP_RANGES_MAX; *count is set with SOME: in the order asked, none merged. */
enum http_ranges http_ranges_parse(struct slice header, uint64_t file_size, unsigned ranges_max,
                                   struct http_range *ranges, unsigned *count);

/* A fresh boundary: letters and digits only. */
void http_boundary_make(char boundary[HTTP_BOUNDARY_SIZE]);

/* The delimiter and part header in front of range; then the closing delimiter, with its CRLF. */
void http_multipart_head(struct buf *buf, const char *boundary, bool first, const char *content_type,
                         const struct http_range *range, uint64_t file_size);
void http_multipart_end(struct buf *buf, const char *boundary);

#endif
