/* shim_main.c: the start of the shim, and the door to the real system. */
#include "tests/fault/shim/shim_control.h"
#include "tests/fault/shim/shim_files.h"
#include "tests/fault/shim/shim_log.h"
#include "tests/fault/shim/shim_system.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void *shim_next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

shim_system_call *shim_system_real(void)
{
    static shim_system_call *real; /* who comes twice finds the same */

    if (real == NULL) {
        void *found = shim_next("syscall");
        memcpy(&real, &found, sizeof real);
    }
    return real;
}

/* Calls past the library: one that changes a file below the root would be missing in the log. */
long syscall(long number, ...)
{
    long a[6];
    va_list list;

    va_start(list, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    switch (number) {
    case SYS_openat2:
    case SYS_io_uring_setup:
        shim_control_unmodelled("syscall");
        break;
    case SYS_write:
    case SYS_pwrite64:
    case SYS_pwritev:
    case SYS_pwritev2:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_fsync:
    case SYS_fdatasync:
        if (shim_file_of((int)a[0]) != NULL)
            shim_control_unmodelled("syscall");
        break;
    default:
        break;
    }
    return shim_system(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

__attribute__((constructor)) static void shim_start(void)
{
    shim_control_open();
    shim_files_open();
    shim_log_open();
}
