/* gribgen_list.h: lists of numbers as MARS writes them: 0/6/12, 0/to/240/by/6, 0/90m/6.
 *
 * Steps are kept in minutes (24 is 24 hours, 90m is 90 minutes), levels and members as they stand. */
#ifndef GRIBGEN_LIST_H
#define GRIBGEN_LIST_H

#include "gribgen_error.h"

#include <stddef.h>
#include <stdint.h>

enum { GEN_LIST_MAX = 4096, GEN_STEP_DEFAULT_MINUTES = 360 };

struct gen_list {
    size_t count;
    int32_t number[GEN_LIST_MAX];
};

/* Read a list of plain numbers from 0 to max. `by` is 1 unless said. Fails on an empty or malformed list, a number said twice,
 * a `by` of 0, more than GEN_LIST_MAX numbers; the text then names option. */
bool gen_list_parse(struct gen_list *list, const char *option, const char *text, int32_t max,
                    struct gen_error *err);

/* The same for steps: hours, or minutes with an m behind the number; kept in minutes. `by` is 6 hours unless said. */
bool gen_list_parse_steps(struct gen_list *list, const char *option, const char *text,
                          struct gen_error *err);

#endif
