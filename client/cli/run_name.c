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
