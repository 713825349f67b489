/* shim_system.h: the real syscall(2), which the shim replaces, too. */
#ifndef TESTS_FAULT_SHIM_SYSTEM_H
#define TESTS_FAULT_SHIM_SYSTEM_H

/* As syscall(2): -1 and errno. */
#define shim_system(...) shim_system_real()(__VA_ARGS__)
typedef long shim_system_call(long number, ...);
shim_system_call *shim_system_real(void);
/* A function of the library behind us, by its name. */
void *shim_next(const char *name);

#endif
