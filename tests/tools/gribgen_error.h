/* gribgen_error.h: the one sentence that says why something failed.
 *
 * Whatever can fail in gribgen returns bool and takes a struct gen_error that its caller owns: on false the text is set, on
 * true it is untouched. Nothing below gribgen.c prints. */
#ifndef GRIBGEN_ERROR_H
#define GRIBGEN_ERROR_H

#include <stdbool.h>

enum { GEN_ERROR_SIZE = 320 };

struct gen_error {
    char text[GEN_ERROR_SIZE];
};

/* Write the sentence and return false, so that a caller can `return gen_fail(err, ...)`. Cut where it is too long. */
bool gen_fail(struct gen_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Put "WHERE: " before a sentence already there, and return false. */
bool gen_fail_in(struct gen_error *err, const char *where, unsigned long long number);

#endif
