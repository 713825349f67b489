/* gribgen_take.h: the table of options: what each does with its value, and with which modes it goes. */
#ifndef GRIBGEN_TAKE_H
#define GRIBGEN_TAKE_H

#include "gribgen_options.h"

enum { TAKE_ROWS = 25 };

/* One option being read. */
struct take {
    struct gen_options *options;
    char option[32]; /* as the user writes it, for messages */
    struct gen_error *err;
};

struct take_row {
    const char *name; /* without the dashes */
    bool has_value;
    int modes; /* enum gen_mode: where it means something */
    bool (*take)(struct take *take, const char *value);
};

extern const struct take_row take_rows[TAKE_ROWS];

#endif
