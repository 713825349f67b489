/* multipart.h: a multipart/byteranges answer (RFC 9110 section 14.6), as it comes in. Pure.
 *
 * What a part holds goes piece by piece to on_bytes; its head is bounded, its length is what its Content-Range says. */
#ifndef CLIENT_MULTIPART_H
#define CLIENT_MULTIPART_H

#include "proto/base/bytes.h"
#include "proto/base/status.h"

#include <stdbool.h>

enum { MULTIPART_BOUNDARY_MAX = 70, MULTIPART_HEAD_MAX = 2048 };

struct multipart {
    char boundary[MULTIPART_BOUNDARY_MAX + 1];
    enum { MULTIPART_DELIMITER, MULTIPART_HEAD, MULTIPART_BYTES, MULTIPART_OVER } state;
    char line[MULTIPART_HEAD_MAX]; /* as far as it has come */
    size_t line_size, head_size;
    bool has_range;
    uint64_t first, last, at; /* of the part: octets of the file */
    /* 0, or -1 to stop. offset: of these bytes in the file; end: the part's. */
    int (*on_bytes)(struct multipart *multipart, uint64_t offset, uint64_t end, struct slice bytes);
    void *user;
};

/* content_type of the answer; false: it is no multipart/byteranges with a boundary. */
bool multipart_init(struct multipart *multipart, const char *content_type,
                    int (*on_bytes)(struct multipart *, uint64_t, uint64_t, struct slice), void *user);
/* OK; MALFORMED: not such an answer; CANCELLED: on_bytes said so. Bytes behind the last part are passed over. */
enum status multipart_feed(struct multipart *multipart, struct slice bytes);

#endif
