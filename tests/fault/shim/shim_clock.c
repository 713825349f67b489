/* shim_clock.c: a wall clock that is set forward and back while the process runs. The monotonic ones are left alone. */
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_system.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static void clock_shift(struct timespec *now)
{
    int64_t us = shim_control_clock();
    int64_t ns = now->tv_nsec + us % 1000000 * 1000;

    now->tv_sec += us / 1000000 + (ns >= 1000000000) - (ns < 0);
    now->tv_nsec = (ns + 1000000000) % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = (int)shim_system(SYS_clock_gettime, clock, now);

    if (failed == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        clock_shift(now);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *now)
{
    struct timespec precise = { 0 };

    clock_gettime(CLOCK_REALTIME, &precise);
    if (now != NULL)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
