/* http_digest.h: integrity fields (RFC 9530), with sha-256 as their one algorithm. Pure. */
#ifndef PROTO_HTTP_DIGEST_H
#define PROTO_HTTP_DIGEST_H

#include "proto/base/bytes.h"

#include <stdbool.h>

enum { HTTP_DIGEST_TEXT_SIZE = 56 };

/* The value of Repr-Digest and Content-Digest: "sha-256=:BASE64:". */
void http_digest_print(const uint8_t sha256[32], char text[HTTP_DIGEST_TEXT_SIZE]);

/* The value of Want-Content-Digest, "sha-512=3, sha-256=10": is sha-256 among what is wanted? 0 means that it is not. What is
 * malformed wants nothing. */
bool http_digest_wanted(struct slice want);

#endif
