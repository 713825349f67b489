/* fuzz.h: what the targets share: a property that must hold, and an input cut into pieces.
 *
 * Whatever a target is fed lies in memory of exactly its size, so that ASan sees the first byte too far. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "proto/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv); /* of targets that have something to start */

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition);             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* For log_setup(): nothing at all is said. */
#define FUZZ_LOG ((enum log_level)(LOG_ERROR + 1))

/* An input is read from its front; what is left is the payload. Past the end there are zeros. */
struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

static inline uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes)
{
    uint64_t number = 0;

    while (bytes-- > 0)
        number = number << 8 | fuzz_byte(input);
    return number;
}

/* A copy in memory of its own size; the caller frees it. */
static inline uint8_t *fuzz_copy(const void *data, size_t size)
{
    uint8_t *copy = malloc(size);

    MUST(copy != NULL || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* The same, terminated: for what takes text. */
static inline char *fuzz_text(const void *data, size_t size)
{
    char *copy = malloc(size + 1);

    MUST(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

/* Sizes of pieces, again and again in the same order: one byte says how many there are, then a byte each: 1 to 128 bytes,
 * or a multiple of 64. Without any the whole is one piece. */
struct fuzz_cuts {
    const uint8_t *sizes;
    size_t count, at;
};

static inline struct fuzz_cuts fuzz_cuts(struct fuzz_input *input)
{
    size_t count = fuzz_byte(input) % 16;

    if (count > input->size)
        count = input->size;
    struct fuzz_cuts cuts = { .sizes = input->data, .count = count };
    input->data += count;
    input->size -= count;
    return cuts;
}

/* The size of the next piece of what is left. */
static inline size_t fuzz_cut(struct fuzz_cuts *cuts, size_t left)
{
    if (cuts->count == 0)
        return left;
    uint8_t byte = cuts->sizes[cuts->at++ % cuts->count];
    size_t size = byte < 128 ? (size_t)byte + 1 : ((size_t)byte - 127) * 64;
    return size < left ? size : left;
}

#endif
