/* gribgen_verify.h: is a file what gribgen promises? Every message decoded, every value against the formula.
 *
 * Checked are: nothing but whole messages from the first byte to the last; each field is one of the table in gribgen_field.c at a
 * place of the globe that its grid says; each value is the formula's within half a step of the packing; no identity twice;
 * ecCodes and our own reading agree on the number of fields. */
#ifndef GRIBGEN_VERIFY_H
#define GRIBGEN_VERIFY_H

#include "gribgen_error.h"

#include <stddef.h>
#include <stdint.h>

struct gen_verified {
    uint64_t messages, fields, values;
    double worst; /* the largest difference met, in steps of the packing: 0.5 is all that rounding explains */
};

/* Check all messages in bytes, made with seed. On false err says which message failed in what. */
bool gen_verify(const uint8_t *bytes, size_t size, uint64_t seed, struct gen_verified *verified,
                struct gen_error *err);

#endif
