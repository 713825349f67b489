/* tsan.c: what ThreadSanitizer has to be told, linked into every program of a build with TSAN.
 *
 * It sees only calls that it intercepts, and what was compiled for it: libraries were not. Some fool it:
 *   - libuv closes descriptors by syscall(SYS_close), which is not intercepted. The number's next owner then seems to race with
 *     the reads of the last one. So that call is made visible here, rather than reports about descriptors left out.
 *   - libmongoc hands memory from its monitor's threads to callers by atomics that were not compiled for it; the memcpy() and
 *     free() on both sides are intercepted. What those two libraries touch themselves is passed over.
 * And the drills' shim (tests/fault/shim) keeps a table by descriptor, whose entries the kernel hands from thread to thread with
 * the number. */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *__tsan_default_suppressions(void);
void __sanitizer_syscall_pre_impl_close(long fd);

const char *__tsan_default_suppressions(void)
{
    return "race:libmongoc-1.0.so\n"
           "race:libbson-1.0.so\n"
           "race:fault_shim.so\n";
}

enum { ARGUMENTS = 6 };

long syscall(long number, ...)
{
    static long (*real)(long number, ...);
    long (*next)(long number, ...) = __atomic_load_n(&real, __ATOMIC_ACQUIRE);
    long argument[ARGUMENTS];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < ARGUMENTS; i++)
        argument[i] = va_arg(list, long); /* as libc does: those that were not given mean nothing */
    va_end(list);
    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
        __atomic_store_n(&real, next, __ATOMIC_RELEASE);
    }
    if (number == SYS_close)
        __sanitizer_syscall_pre_impl_close(argument[0]);
    return next(number, argument[0], argument[1], argument[2], argument[3], argument[4], argument[5]);
}
