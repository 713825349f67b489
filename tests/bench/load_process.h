/* load_process.h: CPU time that a process has used, from /proc. */
#ifndef BENCH_LOAD_PROCESS_H
#define BENCH_LOAD_PROCESS_H

#include "gribgen_error.h"

#include <sys/types.h>

/* Seconds of user and system time of all threads of pid since it began (clock ticks of 10 ms). False with err: no such
 * process. */
bool process_cpu_seconds(pid_t pid, double *seconds, struct gen_error *err);

#endif
