/* load_process.c: CPU time that a process has used, from /proc. */
#include "load_process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool process_cpu_seconds(pid_t pid, double *seconds, struct gen_error *err)
{
    char path[64], text[1024];
    unsigned long long user, system;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return gen_fail(err, "%s: %s", path, strerror(errno));
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';

    /* The name, in brackets, may hold anything; fields are counted after it: the 12th and 13th are the times. */
    const char *at = strrchr(text, ')');
    if (at == NULL ||
        sscanf(at + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu", &user, &system) != 2)
        return gen_fail(err, "%s: not understood", path);
    *seconds = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    return true;
}
