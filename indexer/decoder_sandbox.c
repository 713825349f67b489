/* decoder_sandbox.c: the door to libseccomp, and rlimits. */
#include "indexer/decoder_sandbox.h"

#include "proto/base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 64, LIFE_CPU_SECONDS = 3600 };

/* ---- limits ---- */

static enum status set_limit(int resource, uint64_t value, const char *what, struct error *err)
{
    struct rlimit limit = { .rlim_cur = value, .rlim_max = value };

    return setrlimit(resource, &limit) == 0 ? STATUS_OK
                                            : error_set_errno(err, errno, "limit of %s", what);
}

/* The address space that sanitizers map would break the limit at once. */
static bool has_sanitizer(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

enum status sandbox_limit(uint64_t memory_max, struct error *err)
{
    enum status status;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return error_set_errno(err, errno, "death with the parent");
    /* No core, even where cores go to a program and the limit does not count. */
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return error_set_errno(err, errno, "no core dumps");
    close_range(STDERR_FILENO + 1, ~0U, 0);
    if ((status = set_limit(RLIMIT_CORE, 0, "core", err)) != STATUS_OK ||
        (status = set_limit(RLIMIT_CPU, LIFE_CPU_SECONDS, "CPU time", err)) != STATUS_OK ||
        (status = set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, "descriptors", err)) != STATUS_OK)
        return status;
    if (memory_max > 0 && !has_sanitizer())
        return set_limit(RLIMIT_AS, memory_max, "memory", err);
    return STATUS_OK;
}

static void set_timer(int which, uint64_t ms)
{
    struct itimerval timer = { .it_value = { .tv_sec = (time_t)(ms / 1000),
                                             .tv_usec = (suseconds_t)(ms % 1000 * 1000) } };

    setitimer(which, &timer, NULL); /* fails for a wrong argument only */
}

void sandbox_allow_time(uint64_t clock_ms, uint64_t cpu_ms)
{
    set_timer(ITIMER_REAL, clock_ms);
    set_timer(ITIMER_PROF, cpu_ms);
}

/* ---- system calls ---- */

/* Allowed whatever the arguments. */
static const int calls_allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(pread64),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(setitimer),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getrandom),
    SCMP_SYS(sysinfo),
    SCMP_SYS(uname),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* Adds up failures: a filter with a hole is none. */
static int allow_calls(scmp_filter_ctx filter)
{
    int failed = 0;

    for (size_t i = 0; i < ARRAY_COUNT(calls_allowed); i++)
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls_allowed[i], 0);
    return failed;
}

/* Files to read; memory that is not code; signals to itself (abort). */
static int allow_with_arguments(scmp_filter_ctx filter)
{
    const scmp_datum_t writes = O_ACCMODE | O_CREAT | O_TRUNC;
    const scmp_datum_t self = (scmp_datum_t)getpid();
    int failed = 0;

    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
                               SCMP_A1(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, writes, O_RDONLY));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, self));
    return failed;
}

static enum status silence_stderr(struct error *err)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        return error_set_errno(err, errno, "/dev/null");
    close(fd);
    return STATUS_OK;
}

enum status sandbox_enter(struct error *err)
{
    enum status status = silence_stderr(err);

    if (status != STATUS_OK)
        return status;
    /* Refused, not killed: a call that another libc makes in passing must not turn every head into one that kills. */
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return error_set(err, STATUS_NO_MEMORY, "seccomp");
    if (allow_calls(filter) != 0 || allow_with_arguments(filter) != 0)
        status = error_set(err, STATUS_INTERNAL, "seccomp: a rule can't be added");
    else if (seccomp_load(filter) != 0)
        status = error_set(err, STATUS_INTERNAL, "seccomp: the kernel does not take the filter");
    seccomp_release(filter);
    return status;
}
