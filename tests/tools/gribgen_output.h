/* gribgen_output.h: messages on their way to a file or a pipe, hashed and counted as they go.
 *
 * A message is made in place in one large buffer and the buffer is written when it is full: that is what lets 100,000
 * messages a second through. */
#ifndef GRIBGEN_OUTPUT_H
#define GRIBGEN_OUTPUT_H

#include "gribgen_error.h"

#include <stddef.h>
#include <stdint.h>

enum { GEN_OUTPUT_BUFFER_SIZE = 4 << 20, GEN_SHA256_TEXT_SIZE = 65 };

struct gen_summary {
    uint64_t messages, fields, bytes;
    uint64_t size_min, size_median, size_max; /* of a message */
    char sha256[GEN_SHA256_TEXT_SIZE];        /* of all bytes */
};

struct gen_output;

/* Open path for writing, emptied first; "-" is the standard output, which must not be a terminal. NULL with err. */
struct gen_output *gen_output_open(const char *path, struct gen_error *err);

/* Room for one message of that size; NULL with err when the bytes before it can't be written. Lasts until the next call. */
uint8_t *gen_output_room(struct gen_output *output, size_t size, struct gen_error *err);

/* The message whose room was given last is complete. */
bool gen_output_commit(struct gen_output *output, size_t size, size_t fields, struct gen_error *err);

/* Write what is left, close, and sum up. The output is gone after it, whatever it returns. */
bool gen_output_close(struct gen_output *output, struct gen_summary *summary, struct gen_error *err);

/* Close without writing what is left. NULL is fine. */
void gen_output_abandon(struct gen_output *output);

#endif
