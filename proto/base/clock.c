/* clock.c: the kernel's two clocks, or a test's. */
#include "proto/base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t clock_read_us(clockid_t id)
{
    struct timespec now;
    int failed = clock_gettime(id, &now);

    assert(failed == 0);
    (void)failed;
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t clock_kernel_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

static uint64_t clock_kernel_monotonic_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

static uint64_t (*clock_wall)(void) = clock_kernel_wall_us;
static uint64_t (*clock_monotonic)(void) = clock_kernel_monotonic_us;

uint64_t clock_wall_us(void)
{
    return clock_wall();
}

uint64_t clock_monotonic_us(void)
{
    return clock_monotonic();
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic() / 1000;
}

void clock_replace(uint64_t (*wall_us)(void), uint64_t (*monotonic_us)(void))
{
    clock_wall = wall_us != NULL ? wall_us : clock_kernel_wall_us;
    clock_monotonic = monotonic_us != NULL ? monotonic_us : clock_kernel_monotonic_us;
}

void clock_print_rfc3339(int64_t time_us, char text[CLOCK_TEXT_SIZE])
{
    int64_t us = time_us % 1000000;
    time_t seconds = (time_t)(time_us / 1000000);
    char fraction[24] = "";
    char whole[96]; /* wide enough for any struct tm; what gmtime_r() gives needs 31 at most */
    struct tm tm;

    if (us < 0) { /* before 1970: the fraction counts forward all the same */
        us += 1000000;
        seconds--;
    }
    const struct tm *got = gmtime_r(&seconds, &tm);
    assert(got != NULL); /* an int64_t of microseconds ends in the year 294247 */
    (void)got;
    if (us != 0)
        snprintf(fraction, sizeof fraction, ".%06" PRId64, us);
    int length = snprintf(whole, sizeof whole, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", tm.tm_year + 1900,
                          tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, fraction);
    assert(length > 0 && length < CLOCK_TEXT_SIZE);
    memcpy(text, whole, (size_t)length + 1);
}
