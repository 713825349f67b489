/* test_fsm.c: machines go as their tables say, wait for all they started, and abort on anything else. */
#include "proto/base/fsm.h"

#include "proto/base/bytes.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORK_READ, WORK_SEND, WORK_ANSWER, WORK_GONE };

/* One machine whose steps do what the test tells them. */
struct work {
    struct fsm fsm;
    enum fsm_next (*plan[3])(struct work *work);
    char path[16]; /* the steps' first letters, in the order they ran */
    bool *freed;
};

static enum fsm_next work_step(struct fsm *fsm)
{
    struct work *work = container_of(fsm, struct work, fsm);

    work->path[strlen(work->path)] = fsm->steps[fsm->step].name[0];
    return work->plan[fsm->step](work);
}

#define TO(step) (1u << WORK_##step)
static const struct fsm_step work_steps[] = {
    [WORK_READ] = { "read", work_step, TO(SEND) | TO(READ) },
    [WORK_SEND] = { "send", work_step, TO(ANSWER) },
    [WORK_ANSWER] = { "answer", work_step, TO(READ) },
};

static void work_start(struct work *work)
{
    fsm_start(&work->fsm, "work", work_steps, ARRAY_COUNT(work_steps), WORK_READ, WORK_ANSWER);
}

static enum fsm_next go_send(struct work *work)
{
    return fsm_go(&work->fsm, WORK_SEND);
}

static enum fsm_next go_answer(struct work *work)
{
    return fsm_go(&work->fsm, WORK_ANSWER);
}

static enum fsm_next wait_three_for_answer(struct work *work)
{
    return fsm_wait(&work->fsm, 3, WORK_ANSWER);
}

static enum fsm_next end(struct work *work)
{
    (void)work;
    return FSM_END;
}

static enum fsm_next end_and_free(struct work *work)
{
    *work->freed = true;
    free(work);
    return FSM_END;
}

static enum fsm_next fail_malformed(struct work *work)
{
    struct error err;

    error_init(&err);
    error_set(&err, STATUS_MALFORMED, "bad magic");
    return fsm_fail(&work->fsm, STATUS_MALFORMED, &err);
}

static void steps_run_in_the_order_they_name(void **state)
{
    struct work work = { .plan = { go_send, go_answer, end } };

    (void)state;
    work_start(&work);
    assert_string_equal(work.path, "rsa");
    assert_int_equal(work.fsm.status, STATUS_OK);
}

static void it_moves_when_all_it_started_has_come_back(void **state)
{
    struct work work = { .plan = { go_send, wait_three_for_answer, end } };

    (void)state;
    work_start(&work);
    for (unsigned i = 0; i < 3; i++) {
        assert_string_equal(work.path, "rs");
        fsm_resume(&work.fsm, STATUS_OK, NULL);
    }
    assert_string_equal(work.path, "rsa");
}

static void the_last_step_may_free_the_machine(void **state)
{
    struct work *work = calloc(1, sizeof *work);
    bool freed = false;

    (void)state;
    assert_non_null(work);
    *work = (struct work){ .plan = { go_send, wait_three_for_answer, end_and_free }, .freed = &freed };
    work_start(work);
    fsm_resume(&work->fsm, STATUS_OK, NULL);
    fsm_resume(&work->fsm, STATUS_OK, NULL);
    assert_false(freed);
    fsm_resume(&work->fsm, STATUS_OK, NULL);
    assert_true(freed);
}

static void a_failure_goes_to_the_fail_step_at_once(void **state)
{
    struct work work = { .plan = { fail_malformed, go_answer, end } };

    (void)state;
    work_start(&work);
    assert_string_equal(work.path, "ra");
    assert_int_equal(work.fsm.status, STATUS_MALFORMED);
    assert_string_equal(work.fsm.err.text, "bad magic");
}

static enum fsm_next wait_three_for_send(struct work *work)
{
    return fsm_wait(&work->fsm, 3, WORK_SEND);
}

static void a_failure_that_comes_back_waits_for_the_others(void **state)
{
    struct work work = { .plan = { wait_three_for_send, go_answer, end } };
    struct error err;

    (void)state;
    error_init(&err);
    error_set(&err, STATUS_FULL, "disk 1");
    work_start(&work);
    fsm_resume(&work.fsm, STATUS_FULL, &err);
    fsm_resume(&work.fsm, STATUS_IO, NULL);
    assert_string_equal(work.path, "r");
    fsm_resume(&work.fsm, STATUS_OK, NULL);
    assert_string_equal(work.path, "ra");
    assert_int_equal(work.fsm.status, STATUS_FULL);
    assert_string_equal(work.fsm.err.text, "disk 1");
}

static void a_failure_without_a_story_has_its_title(void **state)
{
    struct work work = { .plan = { wait_three_for_send, go_answer, end } };

    (void)state;
    work_start(&work);
    for (unsigned i = 0; i < 3; i++)
        fsm_resume(&work.fsm, STATUS_TIMEOUT, NULL);
    assert_int_equal(work.fsm.err.status, STATUS_TIMEOUT);
    assert_string_equal(work.fsm.err.text, status_title(STATUS_TIMEOUT));
}

static enum fsm_next resumed_within(struct work *work)
{
    for (unsigned i = 0; i < 3; i++)
        fsm_resume(&work->fsm, i == 1 ? STATUS_IO : STATUS_OK, NULL);
    assert_string_equal(work->path, "rs"); /* it only counted */
    return fsm_wait(&work->fsm, 3, WORK_ANSWER);
}

static void what_comes_back_within_a_step_is_only_counted(void **state)
{
    struct work work = { .plan = { go_send, resumed_within, end } };

    (void)state;
    work_start(&work);
    assert_string_equal(work.path, "rsa");
    assert_int_equal(work.fsm.status, STATUS_IO);
}

static enum fsm_next wait_for_none(struct work *work)
{
    return fsm_wait(&work->fsm, 0, WORK_ANSWER);
}

static void to_wait_for_nothing_is_to_go(void **state)
{
    struct work work = { .plan = { go_send, wait_for_none, end } };

    (void)state;
    work_start(&work);
    assert_string_equal(work.path, "rsa");
}

static enum fsm_next read_once_more(struct work *work)
{
    return strlen(work->path) < 4 ? fsm_wait(&work->fsm, 1, WORK_READ) : FSM_END;
}

static enum fsm_next answer_and_go_round(struct work *work)
{
    work->fsm.status = STATUS_OK;
    return fsm_wait(&work->fsm, 1, WORK_READ);
}

static void a_machine_may_go_round_after_a_failure(void **state)
{
    struct work work = { .plan = { read_once_more, go_answer, answer_and_go_round } };

    (void)state;
    work_start(&work);
    fsm_resume(&work.fsm, STATUS_UNREACHABLE, NULL);
    assert_string_equal(work.path, "ra");
    fsm_resume(&work.fsm, STATUS_OK, NULL);
    assert_string_equal(work.path, "rar");
    fsm_resume(&work.fsm, STATUS_OK, NULL); /* the old failure is not this wait's */
    assert_string_equal(work.path, "rarr");
    assert_int_equal(work.fsm.status, STATUS_OK);
}

static void a_failure_in_the_fail_step_leads_on(void **state)
{
    struct work work = { .plan = { read_once_more, go_answer, answer_and_go_round } };

    (void)state;
    work_start(&work);
    fsm_resume(&work.fsm, STATUS_UNREACHABLE, NULL);
    assert_string_equal(work.path, "ra");
    fsm_resume(&work.fsm, STATUS_CANCELLED, NULL);
    assert_string_equal(work.path, "rar");
    assert_int_equal(work.fsm.status, STATUS_CANCELLED);
}

/* --- what aborts --- */

static bool aborts(void (*run)(void))
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        signal(SIGABRT, SIG_DFL); /* cmocka's handler would report the child as a test */
        dup2(null, STDERR_FILENO);
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void go_where_the_table_does_not(void)
{
    struct work work = { .plan = { go_answer, go_answer, end } };

    work_start(&work);
}

static enum fsm_next wait_for_read(struct work *work)
{
    return fsm_wait(&work->fsm, 1, WORK_READ);
}

static void wait_for_what_the_table_does_not(void)
{
    struct work work = { .plan = { go_send, wait_for_read, end } };

    work_start(&work);
}

static enum fsm_next go_nowhere(struct work *work)
{
    return fsm_go(&work->fsm, WORK_GONE);
}

static void go_to_no_step(void)
{
    struct work work = { .plan = { go_nowhere, go_answer, end } };

    work_start(&work);
}

static void resume_what_was_never_started(void)
{
    struct work work = { 0 };

    fsm_resume(&work.fsm, STATUS_OK, NULL);
}

static enum fsm_next resume_twice_wait_once(struct work *work)
{
    fsm_resume(&work->fsm, STATUS_OK, NULL);
    fsm_resume(&work->fsm, STATUS_OK, NULL);
    return fsm_wait(&work->fsm, 1, WORK_SEND);
}

static void resume_more_than_was_started(void)
{
    struct work work = { .plan = { resume_twice_wait_once, go_answer, end } };

    work_start(&work);
}

static enum fsm_next resume_and_go(struct work *work)
{
    fsm_resume(&work->fsm, STATUS_OK, NULL);
    return fsm_go(&work->fsm, WORK_SEND);
}

static void go_without_waiting_for_what_was_started(void)
{
    struct work work = { .plan = { resume_and_go, go_answer, end } };

    work_start(&work);
}

static void fail_in_the_fail_step(void)
{
    struct work work = { .plan = { go_send, go_answer, fail_malformed } };

    work_start(&work);
}

static enum fsm_next fail_ok(struct work *work)
{
    return fsm_fail(&work->fsm, STATUS_OK, NULL);
}

static void fail_without_a_failure(void)
{
    struct work work = { .plan = { fail_ok, go_answer, end } };

    work_start(&work);
}

static enum fsm_next say_go_alone(struct work *work)
{
    (void)work;
    return FSM_GO;
}

static void go_without_saying_where(void)
{
    struct work work = { .plan = { go_send, say_go_alone, end } };

    work_start(&work);
}

static void move_from_outside(void)
{
    struct work work = { .plan = { wait_three_for_send, go_answer, end } };

    work_start(&work);
    (void)fsm_go(&work.fsm, WORK_SEND);
}

static void the_right_way(void)
{
    struct work work = { .plan = { go_send, go_answer, end } };

    work_start(&work);
}

static void every_broken_rule_aborts(void **state)
{
    static void (*const broken[])(void) = {
        go_where_the_table_does_not,
        wait_for_what_the_table_does_not,
        go_to_no_step,
        resume_what_was_never_started,
        resume_more_than_was_started,
        go_without_waiting_for_what_was_started,
        fail_in_the_fail_step,
        fail_without_a_failure,
        go_without_saying_where,
        move_from_outside,
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(broken); i++)
        if (!aborts(broken[i]))
            fail_msg("case %u did not abort", i);
    assert_false(aborts(the_right_way));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_run_in_the_order_they_name),
        cmocka_unit_test(it_moves_when_all_it_started_has_come_back),
        cmocka_unit_test(the_last_step_may_free_the_machine),
        cmocka_unit_test(a_failure_goes_to_the_fail_step_at_once),
        cmocka_unit_test(a_failure_that_comes_back_waits_for_the_others),
        cmocka_unit_test(a_failure_without_a_story_has_its_title),
        cmocka_unit_test(what_comes_back_within_a_step_is_only_counted),
        cmocka_unit_test(to_wait_for_nothing_is_to_go),
        cmocka_unit_test(a_machine_may_go_round_after_a_failure),
        cmocka_unit_test(a_failure_in_the_fail_step_leads_on),
        cmocka_unit_test(every_broken_rule_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
