/* decoder_child.c: a process, two pipes and a timer. */
#include "indexer/decoder_child.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    START_TIMEOUT_MS = 60 * 1000,
    PATIENCE = 3,   /* times a head's time: it may be tried twice within */
    CPU_SHARE = 10, /* a head's CPU time is this part of its time */
    READ_SIZE = 64 << 10,
    ANSWERS_SIZE_MAX = 4 + DECODER_ANSWER_SIZE_MAX + READ_SIZE, /* all but the end of one, and a read */
};

/* What a decoder may know of the environment: where ecCodes' tables are, and how sanitizers report. No passwords. */
static const char *const environment_kept[] = {
    "ECCODES_DEFINITION_PATH=",
    "ECCODES_SAMPLES_PATH=",
    "LD_LIBRARY_PATH=",
    "PATH=",
    "ASAN_OPTIONS=",
    "UBSAN_OPTIONS=",
};

extern char **environ;

/* ---- the end ---- */

static void child_on_handle_closed(uv_handle_t *handle)
{
    struct decoder_child *child = handle->data;

    if (--child->open > 0)
        return;
    child->state = DECODER_DOWN;
    buf_fini(&child->answers);
    child->events->on_gone(child);
}

static void child_close_handles(struct decoder_child *child)
{
    if (child->closing)
        return;
    child->closing = true;
    uv_timer_stop(&child->timer);
    uv_close((uv_handle_t *)&child->in, child_on_handle_closed);
    uv_close((uv_handle_t *)&child->out, child_on_handle_closed);
    uv_close((uv_handle_t *)&child->process, child_on_handle_closed);
}

static void child_kill(struct decoder_child *child)
{
    child->ending = true;
    if (!child->exited) /* then its id may be another's */
        uv_process_kill(&child->process, SIGKILL);
}

static void child_on_exit(uv_process_t *process, int64_t status, int signal)
{
    struct decoder_child *child = process->data;

    child->exited = child->ending = true;
    child->exit_status = status;
    child->exit_signal = signal;
    if (child->drained)
        child_close_handles(child);
}

static void child_drained(struct decoder_child *child)
{
    child->drained = true;
    uv_read_stop((uv_stream_t *)&child->out);
    child_kill(child);
    if (child->exited)
        child_close_handles(child);
}

static void child_break(struct decoder_child *child, const char *malformed)
{
    child->malformed = malformed;
    child_drained(child);
}

void decoder_child_end(struct decoder_child *child)
{
    assert(child->state != DECODER_DOWN);

    child->quiet = true;
    child_kill(child);
}

/* ---- time ---- */

static void child_on_time(uv_timer_t *timer)
{
    struct decoder_child *child = timer->data;

    if (child->state == DECODER_DOWN) {
        decoder_child_start(child);
        return;
    }
    child->timed_out = !child->ending;
    child_kill(child);
}

/* ---- answers ---- */

static void child_settle(struct decoder_child *child)
{
    if (child->state != DECODER_BUSY || child->writing || child->answered < child->count)
        return;
    child->state = DECODER_IDLE;
    child->fresh = false;
    uv_timer_stop(&child->timer);
    child->events->on_idle(child);
}

/* False: it is no answer to what was asked. */
static bool child_take(struct decoder_child *child, const struct decoder_frame *answer)
{
    struct slice body = slice_of(answer->body, answer->size);

    if (answer->tag != child->tag + child->answered || child->answered == child->count ||
        answer->word > DECODER_TIMED_OUT)
        return false;
    child->answered++;
    if (child->state == DECODER_STARTING) {
        child->state = DECODER_IDLE;
        child->was_ready = true;
        uv_timer_stop(&child->timer);
        child->events->on_ready(child, body);
        return true;
    }
    if (!child->ending)
        uv_timer_start(&child->timer, child_on_time, PATIENCE * child->timeout_ms, 0);
    child->heads++;
    child->events->on_answer(child, child->answered - 1, answer->word, body);
    return true;
}

/* Returns the bytes used; stops at the first answer that is not whole. */
static size_t child_take_all(struct decoder_child *child, const uint8_t *data, size_t size)
{
    struct decoder_frame answer;
    enum status status = STATUS_OK;
    size_t used = 0, next = 0;

    while (child->malformed == NULL &&
           (status = decoder_answer_read(slice_of(data + used, size - used), &answer, &next)) ==
               STATUS_OK) {
        if (!child_take(child, &answer))
            child_break(child, "an answer to nothing that was asked");
        used += next;
    }
    if (status == STATUS_MALFORMED)
        child_break(child, "an answer of no possible length");
    return used;
}

static void child_on_alloc(uv_handle_t *handle, size_t wished, uv_buf_t *room)
{
    struct decoder_child *child = handle->data;
    (void)wished;

    uint8_t *at = buf_reserve(&child->answers, READ_SIZE);
    *room = uv_buf_init((char *)at, at == NULL ? 0 : READ_SIZE);
}

static void child_on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *room)
{
    struct decoder_child *child = stream->data;
    (void)room;

    if (got < 0) {
        child_drained(child);
        return;
    }
    child->answers.size += (size_t)got;
    size_t used = child_take_all(child, child->answers.data, child->answers.size);
    buf_consume(&child->answers, used);
    child_settle(child);
}

/* ---- work ---- */

static void child_on_written(uv_write_t *write, int status)
{
    struct decoder_child *child = write->data;

    child->writing = false;
    if (status < 0 && status != UV_ECANCELED)
        child_kill(child);
    child_settle(child);
}

static void child_write(struct decoder_child *child, const uv_buf_t *bufs, unsigned count)
{
    child->writing = true;
    child->write.data = child;
    int status = uv_write(&child->write, (uv_stream_t *)&child->in, bufs, count, child_on_written);
    if (status < 0) {
        child->writing = false;
        child_kill(child);
    }
}

bool decoder_child_idle(const struct decoder_child *child)
{
    return child->state == DECODER_IDLE && !child->ending;
}

void decoder_child_give(struct decoder_child *child, const struct slice *heads, unsigned count)
{
    assert(decoder_child_idle(child) && count > 0 && count <= DECODER_JOB_MAX);
    uv_buf_t bufs[2 * DECODER_JOB_MAX];

    child->state = DECODER_BUSY;
    child->tag += child->count;
    child->count = count;
    child->answered = 0;
    for (unsigned i = 0; i < count; i++) {
        decoder_frame_print(child->fronts[i], heads[i].size, child->tag + i, DECODER_DECODE);
        bufs[2 * i] = uv_buf_init((char *)child->fronts[i], DECODER_FRAME_HEAD_SIZE);
        bufs[2 * i + 1] = uv_buf_init((char *)heads[i].data, (unsigned)heads[i].size);
    }
    uv_timer_start(&child->timer, child_on_time, PATIENCE * child->timeout_ms, 0);
    child_write(child, bufs, 2 * count);
}

/* ---- the start ---- */

/* Keeps what it may know; the list ends with NULL and points into the environment. */
static void child_environment(char *kept[ARRAY_COUNT(environment_kept) + 1])
{
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(environment_kept); i++)
        for (char **variable = environ; *variable != NULL; variable++)
            if (strncmp(*variable, environment_kept[i], strlen(environment_kept[i])) == 0) {
                kept[count++] = *variable;
                break;
            }
    kept[count] = NULL;
}

static int child_spawn(struct decoder_child *child)
{
    char memory[48], timeout[48], cpu[48];
    char *arguments[] = { (char *)child->program, memory, timeout, cpu, NULL };
    char *environment[ARRAY_COUNT(environment_kept) + 1];
    uv_stdio_container_t stdio[] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&child->in },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&child->out },
        { .flags = UV_INHERIT_FD, .data.fd = 2 },
    };
    uv_process_options_t options = {
        .file = child->program,
        .args = arguments,
        .env = environment,
        .exit_cb = child_on_exit,
        .stdio = stdio,
        .stdio_count = (int)ARRAY_COUNT(stdio),
    };

    snprintf(memory, sizeof memory, "--memory=%" PRIu64, child->memory_max);
    snprintf(timeout, sizeof timeout, "--timeout=%" PRIu64 "ms", child->timeout_ms);
    snprintf(cpu, sizeof cpu, "--cpu=%" PRIu64 "ms", child->timeout_ms / CPU_SHARE + 1);
    child_environment(environment);
    return uv_spawn(child->loop, &child->process, &options);
}

static void child_reset(struct decoder_child *child)
{
    child->state = DECODER_STARTING;
    child->ending = child->quiet = child->timed_out = child->closing = false;
    child->writing = child->exited = child->drained = false;
    child->fresh = true;
    child->was_ready = false;
    child->malformed = NULL;
    child->start_error = 0;
    child->tag = 1;
    child->count = 1; /* the question which release it has */
    child->answered = 0;
    child->heads = 0;
    child->open = 3;
    buf_init(&child->answers, ANSWERS_SIZE_MAX);
}

static void child_ask_release(struct decoder_child *child)
{
    decoder_frame_print(child->fronts[0], 0, child->tag, DECODER_ASK_RELEASE);
    uv_buf_t buf = uv_buf_init((char *)child->fronts[0], DECODER_FRAME_HEAD_SIZE);

    uv_timer_start(&child->timer, child_on_time, START_TIMEOUT_MS, 0);
    child_write(child, &buf, 1);
}

void decoder_child_start(struct decoder_child *child)
{
    assert(child->state == DECODER_DOWN);

    child_reset(child);
    uv_pipe_init(child->loop, &child->in, 0);
    uv_pipe_init(child->loop, &child->out, 0);
    child->in.data = child->out.data = child->process.data = child;
    child->start_error = child_spawn(child);
    if (child->start_error != 0) {
        child->exited = child->drained = child->ending = true;
        child_close_handles(child);
        return;
    }
    uv_read_start((uv_stream_t *)&child->out, child_on_alloc, child_on_read);
    child_ask_release(child);
}

void decoder_child_start_later(struct decoder_child *child, uint64_t delay_ms)
{
    assert(child->state == DECODER_DOWN);
    uv_timer_start(&child->timer, child_on_time, delay_ms, 0);
}

void decoder_child_init(struct decoder_child *child)
{
    child->state = DECODER_DOWN;
    uv_timer_init(child->loop, &child->timer);
    child->timer.data = child;
}

static void child_on_timer_closed(uv_handle_t *handle)
{
    struct decoder_child *child = handle->data;

    child->events->on_closed(child);
}

void decoder_child_close(struct decoder_child *child)
{
    assert(child->state == DECODER_DOWN);
    uv_close((uv_handle_t *)&child->timer, child_on_timer_closed);
}

/* ---- why ---- */

void decoder_child_reason(const struct decoder_child *child, char text[DECODER_REASON_SIZE])
{
    if (child->start_error != 0)
        snprintf(text, DECODER_REASON_SIZE, "decoder can't be started: %s",
                 uv_strerror(child->start_error));
    else if (child->timed_out && !child->was_ready)
        snprintf(text, DECODER_REASON_SIZE, "decoder was not ready after %d s", START_TIMEOUT_MS / 1000);
    else if (child->timed_out)
        decoder_timeout_text(PATIENCE * child->timeout_ms, false, text);
    else if (child->malformed != NULL)
        decoder_garbage_text(child->malformed, text);
    else
        decoder_death_text(child->exit_signal, child->exit_status, text);
}
