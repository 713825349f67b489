/* gribgen_identity.h: the identity of a field, from its octets.
 *
 * The first 16 bytes of SHA-256 over: edition 2: the character 2, octet 7 of section 0, sections 1, 2 (if any), 3 and 4 in effect
 * for the field; edition 1: the character 1, octets 4-7, 9-26 and 29 to the end of section 1, then section 2 (if any). */
#ifndef GRIBGEN_IDENTITY_H
#define GRIBGEN_IDENTITY_H

#include "gribgen_raw.h"

#include <stdio.h>

enum { GEN_IDENTITY_SIZE = 16, GEN_DIGEST_SIZE = 32 };

/* The identity of field number sub (from 0). False when the hash can't be had (out of memory). */
bool gen_identity(const struct raw_message *message, size_t sub, uint8_t identity[GEN_IDENTITY_SIZE]);

/* Write a line a field: message, offset, length, sub (from 1), digest, identity, with tabs between. Bytes between messages
 * are stepped over. */
bool gen_identities(const uint8_t *bytes, size_t size, FILE *out, struct gen_error *err);

#endif
