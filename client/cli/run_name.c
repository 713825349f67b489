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
