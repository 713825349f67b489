/* http_problem.h: a status and its story as application/problem+json (RFC 9457): type, code, title, status, detail,
 * instance (the request id), and where it applies offset. */
#ifndef PROTO_HTTP_PROBLEM_H
#define PROTO_HTTP_PROBLEM_H

#include "proto/base/buf.h"

/* extra: further members as text without braces, or NULL. */
void http_problem_print(struct buf *buf, enum status status, const struct error *err,
                        const char *instance, const struct buf *extra);

#endif
