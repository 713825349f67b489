/* http_condition.h: ETag and the If- headers (RFC 9110 section 13), in their order of precedence. Pure. */
#ifndef PROTO_HTTP_CONDITION_H
#define PROTO_HTTP_CONDITION_H

#include "proto/base/bytes.h"

#include <stdbool.h>

struct http_conditions { /* header values; data NULL: absent */
    struct slice if_match, if_none_match, if_modified_since, if_unmodified_since, if_range;
};

enum http_condition {
    HTTP_CONDITION_GO,          /* answer as asked */
    HTTP_CONDITION_WHOLE,       /* If-Range does not hold: ignore Range */
    HTTP_CONDITION_NOT_CHANGED, /* 304 */
    HTTP_CONDITION_FAILED,      /* 412 */
};

/* etag with its quotes, strong; modified in seconds since 1970 (whole). For GET and HEAD of something that exists. */
enum http_condition http_condition_check(const struct http_conditions *conditions, const char *etag,
                                         int64_t modified);

bool http_date_parse(struct slice text, int64_t *time); /* the three forms of RFC 9110 section 5.6.7 */
enum { HTTP_DATE_SIZE = 32 };
void http_date_print(int64_t time, char text[HTTP_DATE_SIZE]); /* IMF-fixdate */

#endif
