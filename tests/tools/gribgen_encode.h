/* gribgen_encode.h: from a planned message to its bytes, by ecCodes.
 *
 * The only writer that knows ecCodes. It starts from the sample messages of libeccodes-data and sets raw octets wherever it
 * can, so that what comes out does not depend on the release's tables of names. */
#ifndef GRIBGEN_ENCODE_H
#define GRIBGEN_ENCODE_H

#include "gribgen_plan.h"

struct gen_encoder;

/* Make one; the request is borrowed as long as the encoder lives. NULL with err when memory or the samples lack. */
struct gen_encoder *gen_encoder_new(const struct gen_request *request, struct gen_error *err);

/* Encode a message. *bytes belongs to the encoder and lasts until the next call. */
bool gen_encode(struct gen_encoder *encoder, const struct gen_message *message,
                const uint8_t **bytes, size_t *size, struct gen_error *err);

/* NULL is fine. */
void gen_encoder_free(struct gen_encoder *encoder);

#endif
