/* run_name.h: runs as users write them. */
#ifndef CLIENT_CLI_RUN_NAME_H
#define CLIENT_CLI_RUN_NAME_H

#include "client/cli/output.h"
#include "proto/run.h"

enum { RUN_NAME_PART_SIZE = 128 };

struct run_name {
    char source[RUN_NAME_PART_SIZE], base_time[RUN_NAME_PART_SIZE];
};

/* "hres/20130408T0000Z": at the first slash; whether the parts make sense is for who uses them. Overlong parts are cut,
 * and make no sense then either. */
void run_name_split(const char *text, struct run_name *name);
/* The same as a key; false: it is no run's name. */
bool run_name_key(const char *text, struct run_key *run);

/* Which runs --source (*source, may be NULL) and --run (name, may be NULL) leave: with a name *only is run, and *source its
 * source. GS_OK, or the exit code of what was said against them. */
int run_name_choose(const struct cli *cli, const char *name, struct run_key *run,
                    const char **source, const struct run_key **only);

#endif
