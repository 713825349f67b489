/* gribgen_options.h: the command line, as one struct. */
#ifndef GRIBGEN_OPTIONS_H
#define GRIBGEN_OPTIONS_H

#include "gribgen_plan.h"
#include "gribgen_stamp.h"

enum gen_mode { GEN_MAKE = 1, GEN_STAMP = 2, GEN_VERIFY = 4, GEN_IDENTITIES = 8, GEN_HELP = 16 };

struct gen_options {
    enum gen_mode mode;
    const char *input; /* of stamp, verify, identities */
    const char *out;
    const char *summary; /* NULL: none */
    bool json;
    struct gen_request request; /* what to make; base time and seed go for the other modes too */
    struct stamp_options stamp;
};

/* Fill options from the arguments; strings in it point into argv. False on anything that doesn't fit together: a usage error. */
bool gen_options_parse(struct gen_options *options, int argc, char **argv, struct gen_error *err);

/* The text of --help. */
extern const char gen_help[];

#endif
