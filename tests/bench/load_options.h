/* load_options.h: the command line of httpload. */
#ifndef BENCH_LOAD_OPTIONS_H
#define BENCH_LOAD_OPTIONS_H

#include "gribgen_error.h"

#include <stdint.h>
#include <sys/types.h>

enum { LOAD_RANGES_MAX = 100, LOAD_CONNECTIONS_MAX = 10000 };

struct load_options {
    bool put;       /* else GET */
    uint16_t port;  /* on 127.0.0.1 */
    double seconds; /* of the window that is measured */
    double warmup;  /* before it */
    unsigned connections;
    unsigned check_one_in; /* answers whose every byte is compared: one in so many, on average */
    pid_t pid;             /* of the server, for its CPU time; 0: not asked */
    uint64_t seed;
    const char *ca_file; /* speak TLS 1.3, and trust these; NULL: plain HTTP */

    const char *files; /* GET: a list of "PATH LOCAL-FILE" lines */
    uint64_t size;     /* bytes a range */
    unsigned ranges;   /* a request */

    const char *path;     /* PUT: where to; {n} stands for the message's number */
    const char *template; /* a file of one GRIB message or more, to be stamped */
    uint64_t bytes_max;   /* stop after so many bytes of bodies; 0: only after the window */
};

enum load_asked { LOAD_RUN, LOAD_HELP };

/* Strings stay argv's. False with err: not understood. */
bool load_options_parse(struct load_options *options, int argc, char **argv, enum load_asked *asked,
                        struct gen_error *err);

extern const char load_help[];

#endif
