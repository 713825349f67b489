/* test_work.c: blocking work on threads of its own: done once, on the loop, by the thread that was free last; what is too much waits. */
#include "indexer/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { JOBS = 3 * WORK_THREADS_MAX };

struct job {
    struct work work;
    uv_sem_t *waits; /* borrowed; NULL: it does not block */
    uv_thread_t ran_on;
    unsigned begun, done; /* its number among those that began, were done */
    struct job *next;     /* to be started when this one is done */
};

static uv_loop_t loop;
static uv_thread_t loop_thread;
static struct job jobs[JOBS];
static atomic_uint begun, running, running_most;
static uv_sem_t has_begun; /* posted by each */
static unsigned done;

static void run(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    unsigned now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&running_most);

    job->begun = atomic_fetch_add(&begun, 1) + 1;
    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now))
        ;
    job->ran_on = uv_thread_self();
    uv_sem_post(&has_begun);
    if (job->waits != NULL)
        uv_sem_wait(job->waits);
    work->status = error_set(&work->err, STATUS_NOT_FOUND, "job %u", job->begun);
    atomic_fetch_sub(&running, 1);
}

static void on_done(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    uv_thread_t here = uv_thread_self();

    assert_true(uv_thread_equal(&here, &loop_thread));
    assert_int_equal(work->status, STATUS_NOT_FOUND);
    assert_int_equal(job->done, 0);
    job->done = ++done;
    if (job->next != NULL)
        work_start(&loop, &job->next->work, run, on_done);
}

static void start(struct job *job)
{
    work_start(&loop, &job->work, run, on_done);
}

static int set_up(void **state)
{
    (void)state;
    loop_thread = uv_thread_self();
    memset(jobs, 0, sizeof jobs);
    begun = running = running_most = 0;
    done = 0;
    uv_sem_init(&has_begun, 0);
    return uv_loop_init(&loop);
}

static int tear_down(void **state)
{
    (void)state;
    work_stop(&loop);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_sem_destroy(&has_begun);
    return uv_loop_close(&loop);
}

/* --- cases --- */

static void work_runs_elsewhere_and_is_told_on_the_loop(void **state)
{
    uv_thread_t here = uv_thread_self();

    (void)state;
    start(&jobs[0]);
    assert_int_equal(jobs[0].done, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(jobs[0].done, 1);
    assert_false(uv_thread_equal(&jobs[0].ran_on, &here));
    assert_string_equal(jobs[0].work.err.text, "job 1");
}

static void what_comes_one_by_one_finds_the_same_thread(void **state)
{
    (void)state;
    for (unsigned i = 0; i + 1 < JOBS; i++)
        jobs[i].next = &jobs[i + 1];
    start(&jobs[0]);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(done, JOBS);
    for (unsigned i = 1; i < JOBS; i++)
        assert_true(uv_thread_equal(&jobs[i].ran_on, &jobs[0].ran_on));
}

static void the_thread_that_was_free_last_is_the_first_to_work(void **state)
{
    uv_sem_t early, late;

    (void)state;
    uv_sem_init(&early, 0);
    uv_sem_init(&late, 0);
    jobs[0].waits = &late;
    jobs[1].waits = &early;
    start(&jobs[0]);
    start(&jobs[1]);
    uv_sem_post(&early);
    while (jobs[1].done == 0)
        uv_run(&loop, UV_RUN_ONCE);
    uv_sem_post(&late);
    uv_run(&loop, UV_RUN_DEFAULT);
    start(&jobs[2]);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_false(uv_thread_equal(&jobs[0].ran_on, &jobs[1].ran_on));
    assert_true(uv_thread_equal(&jobs[2].ran_on, &jobs[0].ran_on));
    uv_sem_destroy(&early);
    uv_sem_destroy(&late);
}

static void what_is_more_than_there_are_threads_waits_in_its_order(void **state)
{
    uv_sem_t gate;

    (void)state;
    uv_sem_init(&gate, 0);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i].waits = &gate;
        start(&jobs[i]);
    }
    for (unsigned i = 0; i < WORK_THREADS_MAX; i++)
        uv_sem_wait(&has_begun);
    for (unsigned i = 0; i < JOBS; i++) { /* one at a time, so that who comes next is seen */
        uv_sem_post(&gate);
        if (i + WORK_THREADS_MAX < JOBS)
            uv_sem_wait(&has_begun);
        while (done == i)
            uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(done, JOBS);
    assert_int_equal(running_most, WORK_THREADS_MAX);
    for (unsigned i = WORK_THREADS_MAX; i < JOBS; i++)
        assert_int_equal(jobs[i].begun, i + 1);
    uv_sem_destroy(&gate);
}

static void a_stop_awaits_what_is_under_way_and_what_follows(void **state)
{
    uv_sem_t gate;

    (void)state;
    uv_sem_init(&gate, 0);
    for (unsigned i = 0; i < JOBS / 2; i++) {
        jobs[i].waits = &gate;
        jobs[i].next = &jobs[JOBS / 2 + i];
        start(&jobs[i]);
    }
    work_stop(&loop);
    assert_int_equal(done, 0);
    for (unsigned i = 0; i < JOBS / 2; i++)
        uv_sem_post(&gate);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(done, JOBS);
    assert_int_equal(uv_loop_close(&loop), 0); /* nothing of it is left */
    assert_int_equal(uv_loop_init(&loop), 0);
    uv_sem_destroy(&gate);
}

static void after_a_stop_there_may_be_work_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        start(&jobs[i]);
        work_stop(&loop);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(done, i + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(work_runs_elsewhere_and_is_told_on_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_comes_one_by_one_finds_the_same_thread, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_thread_that_was_free_last_is_the_first_to_work, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_more_than_there_are_threads_waits_in_its_order,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_awaits_what_is_under_way_and_what_follows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_a_stop_there_may_be_work_again, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
