/* fsm.h: a request as a table of steps: go, wait, resume, fail; every move is checked and traced.
 *
 * A step function does its part and says what comes next. fsm_wait(fsm, n, STEP): n things were
 * started, each calls fsm_resume() exactly once, later; when the last has, the machine moves to
 * STEP, or, when one brought a failure, to the machine's `fail` step with fsm->status the first
 * failure. A machine moves only when all it started has come back: that lets it embed its requests
 * and free itself. A move that the table does not allow aborts.
 *
 *     static const struct fsm_step put_steps[] = {
 *         [PUT_DIGEST] = { "digest", put_digest, TO(PLACE) },
 *         ...
 *         [PUT_ANSWER] = { "answer", put_answer, 0 },
 *     };
 *     fsm_start(&put->fsm, "put", put_steps, ARRAY_COUNT(put_steps), PUT_DIGEST, PUT_ANSWER);
 *
 * The last step returns FSM_END; its function may have freed the machine, which is not touched
 * after.
 *
 * In the fail step a failure that comes back leads on to that wait's step all the same (to fail
 * again would go round for ever), and fsm_fail() aborts. A machine that goes round (its fail
 * step leads back to the start) sets fsm->status to STATUS_OK before it starts anew, or the next
 * failure would keep the first one's story. */
#ifndef PROTO_BASE_FSM_H
#define PROTO_BASE_FSM_H

#include "proto/base/status.h"

struct fsm;

enum fsm_next { FSM_GO, FSM_WAIT, FSM_FAIL, FSM_END };

enum { FSM_STEPS_MAX = 32 }; /* bits in struct fsm_step's mask */

struct fsm_step {
    const char *name;
    enum fsm_next (*run)(struct fsm *fsm);
    uint32_t to; /* bit mask of the steps that may follow; the fail step always may */
};

struct fsm {
    const char *name;
    const struct fsm_step *steps;
    unsigned steps_count;
    unsigned step;
    unsigned next;
    unsigned fail_step;
    unsigned waits;     /* things that have not come back */
    bool running;       /* a step function is on the stack: resume only counts */
    bool failed;        /* one of the things waited for has brought a failure */
    enum status status; /* the first failure; OK so far */
    struct error err;   /* its story */
};

void fsm_start(struct fsm *fsm, const char *name, const struct fsm_step *steps,
               unsigned steps_count, unsigned first, unsigned fail_step);

/* What a step function returns. */
enum fsm_next fsm_go(struct fsm *fsm, unsigned step);
enum fsm_next fsm_wait(struct fsm *fsm, unsigned count, unsigned step);

/* At once to the fail step; err may be NULL. Not while something started is under way. */
enum fsm_next fsm_fail(struct fsm *fsm, enum status status, const struct error *err);

/* One of the things waited for is back; err may be NULL. May run further steps and may free the
 * machine. */
void fsm_resume(struct fsm *fsm, enum status status, const struct error *err);

#endif
