/* test_decoder_sandbox.c: what is left of a process in the sandbox. Each case is a child of its own, which says by its exit
 * status how far it came. */
#include "indexer/decoder_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { REFUSED = 0, WORKS = 0, ALLOWED = 1, FAILS = 1, NOT_ENTERED = 99 };

/* Runs try() in the sandbox; what it returns is the exit status. */
static int in_sandbox(int (*try)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (sandbox_limit(0, NULL) != STATUS_OK || sandbox_enter(NULL) != STATUS_OK)
            _exit(NOT_ENTERED);
        _exit(try());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int refused(long result)
{
    return result == -1 && errno == EPERM ? REFUSED : ALLOWED;
}

static int try_to_write(void)
{
    return refused(open("/tmp/gribstore-sandbox", O_WRONLY));
}
static int try_to_create(void)
{
    return refused(open("/tmp/gribstore-sandbox", O_RDONLY | O_CREAT, 0600));
}
static int try_to_read_and_write(void)
{
    return refused(openat(AT_FDCWD, "/dev/null", O_RDWR));
}
static int try_to_rename(void)
{
    return refused(rename("/tmp/gribstore-sandbox", "/tmp/gribstore-sandbox-2"));
}
static int try_to_unlink(void)
{
    return refused(unlink("/tmp/gribstore-sandbox"));
}
static int try_network(void)
{
    return refused(socket(AF_INET, SOCK_STREAM, 0));
}
static int try_local_network(void)
{
    return refused(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int try_to_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return refused(pid);
}
static int try_to_run(void)
{
    char *argv[] = { (char *)"true", NULL };

    return refused(execv("/bin/true", argv));
}
static int try_to_signal(void)
{
    return refused(kill(getppid(), 0));
}
static int try_to_trace(void)
{
    return refused(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}
static int try_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
                   errno == EPERM
               ? REFUSED
               : ALLOWED;
}
static int try_more_memory(void)
{
    struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

    return refused(setrlimit(RLIMIT_AS, &limit));
}

static void what_a_decoder_need_not_do_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int (*try)(void);
    } tries[] = {
        { "open to write", try_to_write },
        { "create", try_to_create },
        { "open to read and write", try_to_read_and_write },
        { "rename", try_to_rename },
        { "unlink", try_to_unlink },
        { "a socket", try_network },
        { "a local socket", try_local_network },
        { "fork", try_to_fork },
        { "exec", try_to_run },
        { "a signal to its parent", try_to_signal },
        { "trace its parent", try_to_trace },
        { "memory as code", try_code },
        { "raise a limit", try_more_memory },
    };

    for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++)
        if (in_sandbox(tries[i].try) != REFUSED)
            fail_msg("%s is not refused", tries[i].what);
}

static int try_to_read_a_file(void)
{
    char byte;
    int fd = open("/proc/self/status", O_RDONLY);

    return fd >= 0 && read(fd, &byte, 1) == 1 ? WORKS : FAILS;
}
static int try_memory(void)
{
    char *much = malloc(8 << 20);

    if (much == NULL)
        return FAILS;
    memset(much, 1, 8 << 20);
    free(much);
    return WORKS;
}
static int try_cpu(void)
{
    struct itimerval left;

    sandbox_allow_time(5000, 1000);
    return getitimer(ITIMER_PROF, &left) != 0 ||
                   (left.it_value.tv_sec == 0 && left.it_value.tv_usec > 0) || left.it_value.tv_sec == 1
               ? WORKS
               : FAILS;
}

static void what_a_decoder_does_works(void **state)
{
    (void)state;
    assert_int_equal(in_sandbox(try_to_read_a_file), WORKS);
    assert_int_equal(in_sandbox(try_memory), WORKS);
    assert_int_equal(in_sandbox(try_cpu), WORKS);
}

static void an_abort_is_an_abort(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (sandbox_limit(0, NULL) != STATUS_OK || sandbox_enter(NULL) != STATUS_OK)
            _exit(NOT_ENTERED);
        abort();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_false(WCOREDUMP(status));
}

static void a_loop_ends_with_its_cpu_time(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (sandbox_limit(0, NULL) != STATUS_OK || sandbox_enter(NULL) != STATUS_OK)
            _exit(NOT_ENTERED);
        sandbox_allow_time(0, 100);
        for (volatile unsigned turns = 0;; turns++)
            ;
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGPROF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_decoder_need_not_do_is_refused),
        cmocka_unit_test(what_a_decoder_does_works),
        cmocka_unit_test(an_abort_is_an_abort),
        cmocka_unit_test(a_loop_ends_with_its_cpu_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
