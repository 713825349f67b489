/* get.h: digests as users write them. */
#ifndef CLIENT_GET_H
#define CLIENT_GET_H

#include "proto/digest.h"

/* 64 hex digits, "sha256:" in front or not, lower or upper case. Pure. */
bool digest_parse_text(const char *text, struct digest *digest);

#endif
