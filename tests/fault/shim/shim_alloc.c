/* shim_alloc.c: memory that can't be had. Without effect under ASan, whose own allocator comes first. */
#include "tests/fault/shim/shim_control.h"

#include <errno.h>
#include <stdlib.h>

/* glibc's own, by the names that it keeps for this. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static bool alloc_fails(void)
{
    if (shim_control_ask(SHIM_ALLOC, NULL, 0, 0).action != SHIM_FAIL)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return alloc_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return alloc_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return alloc_fails() ? NULL : __libc_realloc(memory, size);
}
