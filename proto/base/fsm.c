/* fsm.c: runs a machine's steps until it waits or ends, and checks each move.
 *
 *   running   a step function is on the stack; resumes only count: it has not said what it waits for
 *   waiting   waits > 0; each resume takes one off, the last one moves
 *   ended     the step said FSM_END; the memory may be gone
 *
 * `waits` may run below zero (unsigned, so it wraps) while a step runs: things that came back
 * before fsm_wait() counted them. fsm_wait() adds its count and is back in range. The checks
 * stay in release: a wrong move writes wrong data. */
#include "proto/base/fsm.h"

#include "proto/base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* Tells which machine broke which rule, and ends the process. */
static _Noreturn void fsm_abort(const struct fsm *fsm, const char *rule, unsigned to)
{
    struct log_line line;

    log_begin(&line, LOG_ERROR, "fsm.broken");
    log_str(&line, "machine", fsm->name);
    log_str(&line, "step", fsm->step < fsm->steps_count ? fsm->steps[fsm->step].name : "none");
    if (to < fsm->steps_count)
        log_str(&line, "to", fsm->steps[to].name);
    log_str(&line, "rule", rule);
    log_end(&line);
    abort();
}

static void fsm_check(const struct fsm *fsm, bool holds, const char *rule)
{
    if (!holds)
        fsm_abort(fsm, rule, fsm->steps_count);
}

static void fsm_check_step(const struct fsm *fsm, unsigned step)
{
    fsm_check(fsm, step < fsm->steps_count && fsm->steps[step].run != NULL, "no such step");
}

static void fsm_check_move(const struct fsm *fsm, unsigned to)
{
    fsm_check_step(fsm, to);
    if (!(fsm->steps[fsm->step].to & 1u << to))
        fsm_abort(fsm, "the table does not allow this move", to);
}

static void fsm_trace(const struct fsm *fsm, unsigned to)
{
    struct log_line line;

    if (!log_wants(LOG_DEBUG))
        return;
    log_begin(&line, LOG_DEBUG, "fsm.move");
    log_str(&line, "machine", fsm->name);
    log_fmt(&line, "id", "%p", (const void *)fsm);
    log_str(&line, "from", fsm->steps[fsm->step].name);
    log_str(&line, "to", fsm->steps[to].name);
    if (fsm->status != STATUS_OK) {
        log_str(&line, "status", status_name(fsm->status));
        log_str(&line, "error", fsm->err.text);
    }
    log_end(&line);
}

/* Only the first failure is kept: those after it are mostly its echoes. */
static void fsm_note(struct fsm *fsm, enum status status, const struct error *err)
{
    if (fsm->status != STATUS_OK)
        return;
    fsm->status = status;
    if (err != NULL && err != &fsm->err)
        fsm->err = *err;
    else if (err == NULL)
        error_set(&fsm->err, status, "%s", status_title(status));
}

static void fsm_move(struct fsm *fsm, unsigned to)
{
    fsm_check_step(fsm, to);
    fsm_trace(fsm, to);
    fsm->step = to;
}

/* Everything waited for is back: on, or to the fail step. In the fail step itself a failure
 * changes nothing, as to go there again would be to fail again. */
static void fsm_move_on(struct fsm *fsm)
{
    bool failed = fsm->failed && fsm->step != fsm->fail_step;

    fsm->failed = false;
    fsm_move(fsm, failed ? fsm->fail_step : fsm->next);
}

static void fsm_run(struct fsm *fsm)
{
    for (;;) {
        fsm->running = true;
        fsm->next = fsm->steps_count; /* no step: the function has to name one */
        enum fsm_next next = fsm->steps[fsm->step].run(fsm);
        if (next == FSM_END)
            return; /* fsm may be gone */
        fsm->running = false;
        if (next == FSM_WAIT && fsm->waits > 0)
            return;
        fsm_check(fsm, fsm->waits == 0, "moved on while something it started was under way");
        if (next == FSM_FAIL)
            fsm_move(fsm, fsm->fail_step);
        else
            fsm_move_on(fsm);
    }
}

void fsm_start(struct fsm *fsm, const char *name, const struct fsm_step *steps,
               unsigned steps_count, unsigned first, unsigned fail_step)
{
    *fsm = (struct fsm){
        .name = name,
        .steps = steps,
        .steps_count = steps_count,
        .step = first,
        .next = steps_count,
        .fail_step = fail_step,
    };
    error_init(&fsm->err);
    fsm_check(fsm, steps_count <= FSM_STEPS_MAX, "more steps than a mask has bits");
    fsm_check_step(fsm, first);
    fsm_check_step(fsm, fail_step);
    fsm_run(fsm);
}

enum fsm_next fsm_go(struct fsm *fsm, unsigned step)
{
    fsm_check(fsm, fsm->running, "fsm_go() outside a step");
    fsm_check_move(fsm, step);
    fsm->next = step;
    return FSM_GO;
}

enum fsm_next fsm_wait(struct fsm *fsm, unsigned count, unsigned step)
{
    fsm_check(fsm, fsm->running, "fsm_wait() outside a step");
    fsm_check_move(fsm, step);
    fsm->next = step;
    fsm->waits += count;
    fsm_check(fsm, fsm->waits <= count, "more came back than were started");
    return FSM_WAIT;
}

enum fsm_next fsm_fail(struct fsm *fsm, enum status status, const struct error *err)
{
    fsm_check(fsm, fsm->running, "fsm_fail() outside a step");
    fsm_check(fsm, status != STATUS_OK, "fsm_fail() without a failure");
    fsm_check(fsm, fsm->step != fsm->fail_step, "fsm_fail() in the fail step");
    fsm_note(fsm, status, err);
    return FSM_FAIL;
}

void fsm_resume(struct fsm *fsm, enum status status, const struct error *err)
{
    if (status != STATUS_OK) {
        fsm_note(fsm, status, err);
        fsm->failed = true;
    }
    fsm_check(fsm, fsm->running || fsm->waits > 0, "resumed more often than it waits");
    fsm->waits--;
    if (fsm->running || fsm->waits > 0)
        return;
    fsm_move_on(fsm);
    fsm_run(fsm);
}
