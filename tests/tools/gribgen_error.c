/* gribgen_error.c: the one sentence that says why something failed. */
#include "gribgen_error.h"

#include <stdarg.h>
#include <stdio.h>

bool gen_fail(struct gen_error *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return false;
}

bool gen_fail_in(struct gen_error *err, const char *where, unsigned long long number)
{
    struct gen_error inner = *err;

    return gen_fail(err, "%s %llu: %.240s", where, number, inner.text);
}
