/* run_name.c: runs as users write them. */
#include "client/cli/run_name.h"

#include <stdio.h>
#include <string.h>

void run_name_split(const char *text, struct run_name *name)
{
    size_t size = strcspn(text, "/");

    snprintf(name->source, sizeof name->source, "%.*s", (int)size, text);
    snprintf(name->base_time, sizeof name->base_time, "%s", text[size] == '/' ? text + size + 1 : "");
}

bool run_name_key(const char *text, struct run_key *run)
{
    struct run_name name;

    run_name_split(text, &name);
    return run_key_parse(slice_text(name.source), slice_text(name.base_time), run, NULL) == STATUS_OK;
}

int run_name_choose(const struct cli *cli, const char *name, struct run_key *run,
                    const char **source, const struct run_key **only)
{
    if (*source != NULL && !source_valid(slice_text(*source)))
        return cli_usage(cli, "--source: %s is none", *source);
    if (name == NULL)
        return GS_OK;
    if (!run_name_key(name, run))
        return cli_usage(cli, "--run: write SOURCE/BASE_TIME, as in hres/20130408T0000Z");
    *only = run;
    *source = run->source;
    return GS_OK;
}
