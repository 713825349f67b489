/* decoder_parent.c: the shared page, the worker, the parent. */
#include "indexer/decoder_parent.h"

#include "indexer/decoder_death.h"
#include "indexer/decoder_pipe.h"
#include "indexer/decoder_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TRIES_MAX = 4,       /* of a head whose worker somebody else killed */
    WORKER_REPLACE = 10, /* exit status: it has had its heads */
    WORKER_BROKEN = 11,  /* the input ended inside a frame, the output is gone */
};

enum worker_state { WORKER_READS, WORKER_DECODES, WORKER_ANSWERS };

/* What a worker leaves behind. The parent believes nothing in it but what it checks: a worker may have written anything. */
struct shared {
    _Atomic uint32_t state; /* enum worker_state */
    _Atomic uint32_t size;  /* of the frame */
    _Atomic uint64_t heads; /* answered by this worker */
    uint8_t frame[DECODER_FRAME_SIZE_MAX];
};

/* ---- the pipe ---- */

/* What was standard output: a library that prints there must not be taken for an answer. */
static int answers = STDOUT_FILENO;

static bool keep_answers(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    answers = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    bool kept = null >= 0 && answers >= 0 && dup2(null, STDOUT_FILENO) >= 0;
    if (null >= 0)
        close(null);
    return kept;
}

/* False at the end of the input; *between: it came between two frames. */
static bool read_all(uint8_t *data, size_t size, bool *between)
{
    size_t have = 0;

    while (have < size) {
        ssize_t got = read(STDIN_FILENO, data + have, size - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *between = got == 0 && have == 0;
            return false;
        }
        have += (size_t)got;
    }
    return true;
}

static bool write_all(const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(answers, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        data += put;
        size -= (size_t)put;
    }
    return true;
}

/* ---- the worker ---- */

/* The next frame into the shared page; an exit status, or -1: it is there. */
static int worker_read(struct shared *shared)
{
    uint8_t prefix[4];
    bool between = false;

    if (!read_all(prefix, sizeof prefix, &between))
        return between ? EXIT_SUCCESS : WORKER_BROKEN;
    uint32_t size = get_u32(prefix);
    if (size < DECODER_FRAME_HEAD_SIZE - 4 || size > DECODER_FRAME_SIZE_MAX ||
        !read_all(shared->frame, size, &between))
        return WORKER_BROKEN;
    shared->size = size;
    return -1;
}

static bool worker_answer(const struct decoder_parent_options *options, struct shared *shared,
                          struct buf *answer)
{
    buf_clear(answer);
    shared->state = WORKER_DECODES;
    sandbox_allow_time(options->timeout_ms, options->cpu_ms);
    bool whole = options->answer(shared->frame, shared->size, answer);
    sandbox_allow_time(0, options->cpu_ms); /* while it waits for the next one, only the clock goes on */
    shared->state = WORKER_ANSWERS;
    whole = whole && write_all(answer->data, answer->size);
    shared->heads++;
    shared->state = WORKER_READS;
    return whole;
}

/* Returns its exit status. again: begins with the frame that is there. */
static int worker_run(const struct decoder_parent_options *options, struct shared *shared,
                      uint64_t heads_max, bool again)
{
    struct buf answer;
    int status;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() == 1 || options->enter(NULL) != STATUS_OK)
        return WORKER_BROKEN;
    buf_init(&answer, DECODER_ANSWER_SIZE_MAX);
    for (; shared->heads < heads_max; again = false) {
        if (!again && (status = worker_read(shared)) >= 0)
            return status;
        if (!worker_answer(options, shared, &answer))
            return WORKER_BROKEN;
    }
    return WORKER_REPLACE;
}

/* ---- the parent ---- */

struct parent {
    const struct decoder_parent_options *options;
    struct shared *shared;
    uint64_t heads_max; /* of the next worker */
    unsigned tries;     /* of the frame in the shared page */
};

/* Returns the word of the answer. */
static uint32_t parent_reason(const struct parent *parent, int status, char text[DECODER_REASON_SIZE])
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    bool of_cpu = signal == SIGPROF || signal == SIGXCPU;

    if (signal == SIGALRM || of_cpu) {
        decoder_timeout_text(of_cpu ? parent->options->cpu_ms : parent->options->timeout_ms, of_cpu, text);
        return DECODER_TIMED_OUT;
    }
    decoder_death_text(signal, WIFEXITED(status) ? WEXITSTATUS(status) : 0, text);
    return DECODER_DIED;
}

/* For the head that killed its worker. */
static bool parent_answer(const struct parent *parent, int status)
{
    uint8_t answer[DECODER_FRAME_HEAD_SIZE + DECODER_REASON_SIZE];
    char text[DECODER_REASON_SIZE];
    uint32_t word = parent_reason(parent, status, text);

    decoder_frame_print(answer, strlen(text), get_u64(parent->shared->frame), word);
    memcpy(answer + DECODER_FRAME_HEAD_SIZE, text, strlen(text));
    return write_all(answer, DECODER_FRAME_HEAD_SIZE + strlen(text));
}

/* The worker died of the frame in the shared page, or of what an earlier one left. *again: it is to be tried once more. */
static bool parent_judge(struct parent *parent, int status, bool *again)
{
    bool killed = WIFSIGNALED(status) &&
                  WTERMSIG(status) == SIGKILL; /* from outside: ecCodes does not do that to itself */
    /* The clock goes on while the machine stands still, or has no CPU to give: one that only took long gets its time once more. */
    bool late = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM && parent->tries == 0;
    bool guilty = parent->shared->heads == 0 && !killed && !late;

    parent->heads_max = 1;
    *again = !guilty && ++parent->tries < TRIES_MAX;
    if (*again)
        return parent->shared->size >= DECODER_FRAME_HEAD_SIZE - 4 &&
               parent->shared->size <= DECODER_FRAME_SIZE_MAX;
    parent->tries = 0;
    return parent_answer(parent, status);
}

static void parent_grow(struct parent *parent)
{
    parent->tries = 0;
    if (parent->heads_max < parent->options->heads_max / 2)
        parent->heads_max *= 2;
    else
        parent->heads_max = parent->options->heads_max;
}

/* One worker's life. False: the end; *whole says whether a good one. */
static bool parent_turn(struct parent *parent, bool *again, bool *whole)
{
    int status;

    parent->shared->heads = 0;
    parent->shared->state = *again ? WORKER_DECODES : WORKER_READS;
    pid_t pid = fork();
    if (pid == 0)
        _exit(worker_run(parent->options, parent->shared, parent->heads_max, *again));
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    if (pid < 0)
        return false;
    *whole = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS &&
             parent->shared->state == WORKER_READS;
    if (*whole)
        return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_REPLACE &&
        parent->shared->state == WORKER_READS) {
        parent_grow(parent);
        *again = false;
        return true;
    }
    return parent->shared->state == WORKER_DECODES && parent_judge(parent, status, again);
}

bool decoder_parent_run(const struct decoder_parent_options *options)
{
    struct parent parent = { .options = options, .heads_max = options->heads_max };
    bool again = false, whole = false;

    if (!keep_answers())
        return false;
    parent.shared = mmap(NULL, sizeof *parent.shared, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (parent.shared == MAP_FAILED)
        return false;
    while (parent_turn(&parent, &again, &whole))
        ;
    munmap(parent.shared, sizeof *parent.shared);
    return whole;
}
