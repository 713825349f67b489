/* test_decoders.c: the pool with real children: gribstore-decoder itself, and where a fault is wanted on command the stand-in
 * tests/lib/fake_decoder.c. DECODER and FAKE_DECODER are their paths. */
#include "indexer/decoders.h"

#include "indexer/decoder_child.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/json_read.h"
#include "proto/base/log.h"
#include "proto/grib_head.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a pool and its loop ---- */

struct fixture {
    uv_loop_t loop;
    struct decoders *pool;
    bool stopped;
};

static void open_pool(struct fixture *fixture, struct decoders_options options)
{
    struct error err;

    *fixture = (struct fixture){ .stopped = false };
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    options.loop = &fixture->loop;
    if (decoders_start(&options, &fixture->pool, &err) != STATUS_OK)
        fail_msg("%s", err.text);
}

static void on_stopped(void *data)
{
    *(bool *)data = true;
}

/* Nothing may be left on the loop, and no process, dead or alive. */
static void close_pool(struct fixture *fixture)
{
    decoders_stop(fixture->pool, on_stopped, &fixture->stopped);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_true(fixture->stopped);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static struct decoders_stats stats_of(struct fixture *fixture)
{
    struct decoders_stats stats;

    decoders_stats(fixture->pool, &stats);
    return stats;
}

static void wait_until_ready(struct fixture *fixture)
{
    while (!decoders_ready(fixture->pool))
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* ---- batches ---- */

struct job {
    struct decode_batch batch;
    struct decode_item *items;
    bool done;
    enum status status;
};

static void on_done(struct decode_batch *batch, enum status status)
{
    struct job *job = container_of(batch, struct job, batch);

    assert_false(job->done);
    job->done = true;
    job->status = status;
}

static void make_job(struct job *job, const char *const *heads, size_t count)
{
    *job = (struct job){ .items = calloc(count + 1, sizeof *job->items) };
    for (size_t i = 0; i < count; i++)
        job->items[i] = (struct decode_item){ .head = (const uint8_t *)heads[i],
                                              .size = strlen(heads[i]) };
    job->batch = (struct decode_batch){ .items = job->items, .count = count, .on_done = on_done };
}

static void submit(struct fixture *fixture, struct job *job)
{
    decoders_submit(fixture->pool, &job->batch);
    assert_false(job->done); /* never from within */
}

static void wait_for(struct fixture *fixture, struct job *job)
{
    /* A timer that is due already fires in front of the poll, which then would wait for nothing. */
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    while (!job->done)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

static void run_job(struct fixture *fixture, struct job *job)
{
    submit(fixture, job);
    wait_for(fixture, job);
    assert_int_equal(job->status, STATUS_OK);
}

static void free_job(struct job *job)
{
    for (size_t i = 0; i < job->batch.count; i++)
        free(job->items[i].keys);
    free(job->items);
}

/* A new reference. */
static json_t *keys_of(const struct decode_item *item)
{
    json_t *keys = NULL;

    if (item->keys == NULL)
        fail_msg("%.*s: %s", (int)item->size, (const char *)item->head, item->reason);
    assert_int_equal(item->keys_size, strlen(item->keys));
    assert_int_equal(json_parse(item->keys, item->keys_size, &keys, NULL), STATUS_OK);
    return keys;
}

static json_int_t whole_key(const struct decode_item *item, const char *name)
{
    json_t *keys = keys_of(item);
    json_int_t value = json_integer_value(json_object_get(keys, name));

    json_decref(keys);
    return value;
}

static void assert_text_key(const struct decode_item *item, const char *name, const char *value)
{
    json_t *keys = keys_of(item);

    assert_string_equal(json_string_value(json_object_get(keys, name)), value);
    json_decref(keys);
}

/* The stand-in said this head back. */
static void assert_echo(const struct decode_item *item)
{
    json_t *keys = keys_of(item);
    const char *head = json_string_value(json_object_get(keys, "head"));

    assert_non_null(head);
    assert_int_equal(strlen(head), item->size);
    assert_memory_equal(head, item->head, item->size);
    assert_string_equal(item->reason, "");
    json_decref(keys);
}

static void assert_refused(const struct decode_item *item, const char *reason)
{
    assert_null(item->keys);
    assert_string_equal(item->reason, reason);
}

/* ---- on command ---- */

enum { MACHINE_TRIES = 10 };

#define FAKE(...) ((struct decoders_options){ .program = FAKE_DECODER, __VA_ARGS__ })

static void ten_thousand_heads_come_back_in_order(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct fixture fixture;
    struct job job;
    char(*names)[16] = calloc(COUNT, sizeof *names);
    const char **heads = calloc(COUNT, sizeof *heads);

    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "head %zu", i);
        heads[i] = names[i];
    }
    open_pool(&fixture, FAKE(.children = 3));
    make_job(&job, heads, COUNT);
    run_job(&fixture, &job);
    for (size_t i = 0; i < COUNT; i++)
        assert_echo(&job.items[i]);
    assert_int_equal(stats_of(&fixture).decoded, COUNT);
    assert_int_equal(stats_of(&fixture).deaths, 0);
    close_pool(&fixture);
    free_job(&job);
    free(heads);
    free(names);
}

static void the_head_that_kills_is_refused_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *head, *reason;
    } cases[] = {
        { "abort", "decoder died: signal 6 (abort)" },
        { "segv", "decoder died: signal 11 (segmentation fault)" },
        { "exit", "decoder died: exit status 3" },
        { "junk", "decoder gave an answer of no possible length" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *heads[] = { "a", "b", cases[i].head, "c", "d", cases[i].head, "e" };
        struct fixture fixture;
        struct job job;

        open_pool(&fixture, FAKE(.children = 2));
        make_job(&job, heads, ARRAY_COUNT(heads));
        run_job(&fixture, &job);
        for (size_t at = 0; at < ARRAY_COUNT(heads); at++)
            if (at == 2 || at == 5)
                assert_refused(&job.items[at], cases[i].reason);
            else
                assert_echo(&job.items[at]);
        assert_int_equal(stats_of(&fixture).refused, 2);
        assert_true(stats_of(&fixture).deaths >= 2);
        close_pool(&fixture);
        free_job(&job);
    }
}

static void a_head_that_hangs_is_refused_after_its_time(void **state)
{
    (void)state;
    const char *heads[] = { "a", "hang", "b" };
    bool whole = false;

    /* A machine that stands still for so long makes others look like it: then once more. */
    for (unsigned tries = 0; !whole && tries < MACHINE_TRIES; tries++) {
        struct fixture fixture;
        struct job job;
        open_pool(&fixture, FAKE(.children = 1, .timeout_ms = 500));
        make_job(&job, heads, ARRAY_COUNT(heads));
        run_job(&fixture, &job);
        assert_refused(&job.items[1], "decoder timed out after 1.5 s");
        whole = job.items[0].keys != NULL && job.items[2].keys != NULL;
        if (whole) {
            assert_echo(&job.items[0]);
            assert_echo(&job.items[2]);
            assert_int_equal(stats_of(&fixture).deaths, 0);
            assert_true(stats_of(&fixture).timeouts >= 1);
        }
        close_pool(&fixture);
        free_job(&job);
    }
    assert_true(whole);
}

/* "poison" is answered, and the damage it leaves kills with whatever comes next: that one is innocent. */
static void a_head_after_a_poisonous_one_is_not_refused(void **state)
{
    (void)state;
    const char *heads[] = { "poison", "a", "poison", "b", "c", "poison" };

    for (unsigned children = 1; children <= 2; children++) {
        struct fixture fixture;
        struct job job;

        open_pool(&fixture, FAKE(.children = children));
        make_job(&job, heads, ARRAY_COUNT(heads));
        run_job(&fixture, &job);
        for (size_t i = 0; i < ARRAY_COUNT(heads); i++)
            assert_echo(&job.items[i]);
        assert_int_equal(stats_of(&fixture).refused, 0);
        close_pool(&fixture);
        free_job(&job);
    }
}

static void refusals_and_bad_keys_are_told_as_text(void **state)
{
    (void)state;
    const char *heads[] = { "refuse no \x01 such \xff thing", "text", "a" };
    struct fixture fixture;
    struct job job;

    open_pool(&fixture, FAKE(.children = 1));
    make_job(&job, heads, ARRAY_COUNT(heads));
    run_job(&fixture, &job);
    assert_refused(&job.items[0], "no ? such ? thing");
    assert_refused(&job.items[1], "decoder gave keys that are no JSON object");
    assert_echo(&job.items[2]);
    assert_int_equal(stats_of(&fixture).deaths, 0);
    close_pool(&fixture);
    free_job(&job);
}

/* An answer to a head that was not sent ends the child; nothing of it is believed. */
static void an_answer_that_nobody_asked_for_ends_the_child(void **state)
{
    (void)state;
    const char *heads[] = { "early" };
    struct fixture fixture;
    struct job job;

    open_pool(&fixture, FAKE(.children = 1));
    make_job(&job, heads, ARRAY_COUNT(heads));
    run_job(&fixture, &job);
    assert_echo(&job.items[0]);
    while (stats_of(&fixture).deaths == 0)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    close_pool(&fixture);
    free_job(&job);
}

static void a_death_that_does_not_come_back_refuses_nothing(void **state)
{
    (void)state;
    char path[] = "/tmp/gribstore-once-XXXXXX", head[64];
    const char *heads[] = { "a", head, "b" };
    struct fixture fixture;
    struct job job;

    assert_non_null(mkdtemp(path));
    snprintf(head, sizeof head, "once %s/made", path);
    open_pool(&fixture, FAKE(.children = 1));
    make_job(&job, heads, ARRAY_COUNT(heads));
    run_job(&fixture, &job);
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++)
        assert_echo(&job.items[i]);
    assert_int_equal(stats_of(&fixture).deaths, 1);
    close_pool(&fixture);
    free_job(&job);
    unlink(head + 5);
    rmdir(path);
}

static void many_killers_leave_the_pool_alive(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    const char *heads[COUNT];
    struct fixture fixture;
    struct job job;

    for (size_t i = 0; i < COUNT; i++)
        heads[i] = i % 3 == 0 ? "a" : i % 3 == 1 ? "abort" : "segv";
    open_pool(&fixture, FAKE(.children = 3));
    make_job(&job, heads, COUNT);
    run_job(&fixture, &job);
    for (size_t i = 0; i < COUNT; i++)
        if (i % 3 == 0)
            assert_echo(&job.items[i]);
        else
            assert_null(job.items[i].keys);
    assert_int_equal(stats_of(&fixture).refused, 40);
    assert_true(decoders_ready(fixture.pool));
    close_pool(&fixture);
    free_job(&job);
}

/* A batch of killers was there first, and costs a child's start a head: good ones behind it need not wait for its end. */
static void a_batch_of_killers_keeps_no_other_waiting(void **state)
{
    (void)state;
    enum { KILLERS = 80, GOOD = 40 };
    const char *killers[KILLERS], *good[GOOD];
    struct fixture fixture;
    struct job first, second, third;

    for (size_t i = 0; i < KILLERS; i++)
        killers[i] = "abort";
    for (size_t i = 0; i < GOOD; i++)
        good[i] = "a";
    open_pool(&fixture, FAKE(.children = 1));
    make_job(&first, killers, KILLERS);
    make_job(&second, good, GOOD);
    make_job(&third, good, GOOD);
    submit(&fixture, &first);
    submit(&fixture, &second);
    submit(&fixture, &third);
    wait_for(&fixture, &second);
    wait_for(&fixture, &third);
    assert_false(first.done);
    wait_for(&fixture, &first);
    for (size_t i = 0; i < GOOD; i++) {
        assert_echo(&second.items[i]);
        assert_echo(&third.items[i]);
    }
    for (size_t i = 0; i < KILLERS; i++)
        assert_refused(&first.items[i], "decoder died: signal 6 (abort)");
    close_pool(&fixture);
    free_job(&first);
    free_job(&second);
    free_job(&third);
}

/* Several batches under way: no child is idle while a head of any of them waits. */
static void several_batches_use_all_children(void **state)
{
    (void)state;
    enum { BATCHES = 4, CHILDREN = 3 };
    const char *heads[] = { "hang" };
    struct fixture fixture;
    struct job jobs[BATCHES];

    open_pool(&fixture, FAKE(.children = CHILDREN));
    for (size_t i = 0; i < BATCHES; i++) {
        make_job(&jobs[i], heads, 1);
        submit(&fixture, &jobs[i]);
    }
    while (stats_of(&fixture).busy < CHILDREN) /* one batch each; nothing of it ends */
        uv_run(&fixture.loop, UV_RUN_ONCE);
    close_pool(&fixture);
    for (size_t i = 0; i < BATCHES; i++) {
        assert_int_equal(jobs[i].status, STATUS_CANCELLED);
        free_job(&jobs[i]);
    }
}

static void a_child_is_replaced_after_so_many_heads(void **state)
{
    (void)state;
    const char *heads[] = { "a", "b", "c" };
    json_int_t first = 0;
    struct fixture fixture;

    open_pool(&fixture, FAKE(.children = 1, .heads_max = 6));
    for (unsigned round = 0; round < 4; round++) {
        struct job job;
        make_job(&job, heads, ARRAY_COUNT(heads));
        run_job(&fixture, &job);
        json_int_t pid = whole_key(&job.items[2], "pid");
        if (round % 2 == 0)
            assert_int_not_equal(pid, first); /* a new one for every other batch */
        else
            assert_int_equal(pid, first);
        first = pid;
        free_job(&job);
    }
    assert_int_equal(stats_of(&fixture).deaths, 0);
    close_pool(&fixture);
}

static void one_batch_too_many_is_overloaded(void **state)
{
    (void)state;
    const char *heads[] = { "a" };
    struct fixture fixture;
    struct job jobs[4];

    open_pool(&fixture, FAKE(.children = 1, .queue_max = 2)); /* not ready yet: nothing is handed out */
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
        make_job(&jobs[i], heads, 1);
        submit(&fixture, &jobs[i]);
    }
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++) {
        wait_for(&fixture, &jobs[i]);
        assert_int_equal(jobs[i].status, i < 2 ? STATUS_OK : STATUS_OVERLOADED);
    }
    close_pool(&fixture);
    for (size_t i = 0; i < ARRAY_COUNT(jobs); i++)
        free_job(&jobs[i]);
}

static void an_empty_batch_is_done(void **state)
{
    (void)state;
    struct fixture fixture;
    struct job job;

    open_pool(&fixture, FAKE(.children = 1));
    make_job(&job, NULL, 0);
    run_job(&fixture, &job);
    close_pool(&fixture);
    free_job(&job);
}

static void a_head_past_its_limit_is_refused_unsent(void **state)
{
    (void)state;
    struct fixture fixture;
    const char *heads[] = { "", "a", "" };
    uint8_t *large = calloc(1, GRIB_FIELD_HEAD_SIZE_MAX + 1);
    struct job job;

    memset(large, 'x', GRIB_FIELD_HEAD_SIZE_MAX + 1);
    open_pool(&fixture, FAKE(.children = 1));
    make_job(&job, heads, ARRAY_COUNT(heads));
    job.items[0].head = job.items[2].head = large;
    job.items[0].size = job.items[2].size = GRIB_FIELD_HEAD_SIZE_MAX + 1;
    run_job(&fixture, &job);
    assert_refused(&job.items[0], "a head of more than 1 MiB");
    assert_echo(&job.items[1]);
    assert_refused(&job.items[2], "a head of more than 1 MiB");
    close_pool(&fixture);
    free_job(&job);
    free(large);
}

static void a_stop_cancels_what_is_under_way(void **state)
{
    (void)state;
    const char *heads[] = { "a", "hang", "b" };
    struct fixture fixture;
    struct job under_way, waiting, late;

    open_pool(&fixture, FAKE(.children = 1));
    make_job(&under_way, heads, ARRAY_COUNT(heads));
    make_job(&waiting, heads, ARRAY_COUNT(heads));
    make_job(&late, heads, ARRAY_COUNT(heads));
    submit(&fixture, &under_way);
    submit(&fixture, &waiting);
    while (stats_of(&fixture).decoded == 0)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    decoders_stop(fixture.pool, on_stopped, &fixture.stopped);
    submit(&fixture, &late);
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_true(fixture.stopped);
    assert_int_equal(under_way.status, STATUS_CANCELLED);
    assert_int_equal(waiting.status, STATUS_CANCELLED);
    assert_int_equal(late.status, STATUS_CANCELLED);
    assert_true(under_way.done && waiting.done && late.done);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    free_job(&under_way);
    free_job(&waiting);
    free_job(&late);
}

/* A program that is not there is tried again and again, but later and later. */
static void a_missing_program_does_not_spin(void **state)
{
    (void)state;
    struct fixture fixture;

    open_pool(&fixture, (struct decoders_options){ .program = "/nonexistent/decoder", .children = 1 });
    /* By the clock that timers go by, which stands still between two turns of the loop: another one may be a millisecond ahead of it. */
    uint64_t begin = uv_now(&fixture.loop);
    while (stats_of(&fixture).deaths < 4)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_true(uv_now(&fixture.loop) - begin >= 100 + 200 + 400);
    assert_false(decoders_ready(fixture.pool));
    assert_string_equal(decoders_release(fixture.pool), "");
    assert_int_equal(decoders_form(fixture.pool), 0);
    close_pool(&fixture);
}

static void a_program_that_is_no_decoder_is_never_ready(void **state)
{
    (void)state;
    struct fixture fixture;

    open_pool(&fixture, (struct decoders_options){ .program = "/bin/echo", .children = 2 });
    while (stats_of(&fixture).deaths < 4)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_false(decoders_ready(fixture.pool));
    close_pool(&fixture);
}

/* ---- the real one ---- */

#define REAL(...) ((struct decoders_options){ .program = DECODER, __VA_ARGS__ })

/* A head of edition 1: 2 metre temperature on a grid of 2 by 2 points. */
static const uint8_t small_head[] = {
    'G',  'R', 'I',  'B', 0, 0, 96, 1, 0, 0, 28, 128, 98, 255, 255, 0x80, 167, 105, 0,    2,
    13,   4,   8,    0,   0, 1, 6,  0, 0, 0, 0,  0,   21, 0,   0,   0,    0,   0,   32,   0,
    255,  0,   0,    2,   0, 2, 0,  0, 0, 0, 0,  0,   0,  0,   3,   0xe8, 0,   3,   0xe8, 3,
    0xe8, 3,   0xe8, 0,   0, 0, 0,  0, 0, 0, 20, 0,   0,  0,   0,   0,    0,   0,   16,
};

static void make_real_job(struct job *job, size_t count, uint8_t **heads)
{
    *heads = calloc(count, sizeof small_head);
    *job = (struct job){ .items = calloc(count, sizeof *job->items) };
    for (size_t i = 0; i < count; i++) {
        uint8_t *head = *heads + i * sizeof small_head;
        memcpy(head, small_head, sizeof small_head);
        head[26] = (uint8_t)(i % 200); /* P1 */
        job->items[i] = (struct decode_item){ .head = head, .size = sizeof small_head };
    }
    job->batch = (struct decode_batch){ .items = job->items, .count = count, .on_done = on_done };
}

static void assert_real_keys(const struct job *job)
{
    for (size_t i = 0; i < job->batch.count; i++) {
        if (job->items[i].keys == NULL)
            fail_msg("head %zu: %s", i, job->items[i].reason);
        assert_text_key(&job->items[i], "param", "2t");
        assert_int_equal(whole_key(&job->items[i], "step_seconds"), i % 200 * 3600);
    }
}

#define KILLABLE(...) ((struct decoders_options){ .program = KILLABLE_DECODER, __VA_ARGS__ })

struct commanded {
    uint8_t head[sizeof small_head];
    char command[32];
};

static void run_commanded(struct fixture *fixture, struct job *job, struct commanded *commanded,
                          const char *word)
{
    memcpy(commanded->head, small_head, sizeof small_head);
    snprintf(commanded->command, sizeof commanded->command, "GRIBSTORE-KILL %s", word);
    *job = (struct job){ .items = calloc(1, sizeof *job->items) };
    job->items[0] = (struct decode_item){ .head = commanded->head, .size = sizeof *commanded };
    job->batch = (struct decode_batch){ .items = job->items, .count = 1, .on_done = on_done };
    run_job(fixture, job);
}

/* By the clock, with a worker that had nothing before it: the machine may have stood still. What is late again is to blame. */
static void a_head_that_was_late_once_is_not_refused_for_it(void **state)
{
    (void)state;
    struct commanded killer, late, hang;
    bool decoded = false;

    for (unsigned tries = 0; !decoded && tries < MACHINE_TRIES; tries++) {
        struct fixture fixture;
        struct job killed, first, second;
        open_pool(&fixture, KILLABLE(.children = 1, .timeout_ms = 1500));
        run_commanded(&fixture, &killed, &killer, "abort"); /* the next worker has answered nothing before */
        run_commanded(&fixture, &first, &late, "late");
        decoded = strstr(first.items[0].reason, "timed out") == NULL;
        run_commanded(&fixture, &second, &hang, "hang");
        assert_refused(&second.items[0], "decoder timed out after 1.5 s");
        close_pool(&fixture);
        free_job(&killed);
        free_job(&first);
        free_job(&second);
    }
    assert_true(decoded);
}

/* Ids of a process's children; returns how many. */
static size_t find_children_of(pid_t parent, pid_t *pids, size_t max)
{
    char path[64];
    size_t count = 0;
    int pid;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (count < max && fscanf(file, "%d", &pid) == 1)
        pids[count++] = pid;
    fclose(file);
    return count;
}

static size_t find_children(pid_t *pids, size_t max)
{
    return find_children_of(getpid(), pids, max);
}

/* The process that a child has forked to decode. */
static pid_t find_worker(void)
{
    pid_t child = 0, worker = 0;

    assert_int_equal(find_children(&child, 1), 1);
    assert_int_equal(find_children_of(child, &worker, 1), 1);
    return worker;
}

static void the_real_decoder_tells_its_release_and_decodes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct job job;
    uint8_t *heads;

    open_pool(&fixture, REAL(.children = 1));
    wait_until_ready(&fixture);
    assert_true(strncmp(decoders_release(fixture.pool), "2.", 2) == 0);
    make_real_job(&job, 3, &heads);
    job.items[1].size = 20; /* cut */
    run_job(&fixture, &job);
    assert_null(job.items[1].keys);
    assert_true(strlen(job.items[1].reason) > 0);
    assert_text_key(&job.items[2], "valid_time", "2013-04-08T02:00:00Z");
    assert_int_equal(stats_of(&fixture).deaths, 0);
    close_pool(&fixture);
    free_job(&job);
    free(heads);
}

/* The next day's heads cost no decode, but for the first of their kind. */
static void heads_that_differ_in_dates_only_are_remembered(void **state)
{
    (void)state;
    enum { COUNT = 150, AT_DAY = 22 };
    struct decode_memo_stats memo;
    struct fixture fixture;
    struct job job;
    uint8_t *heads;

    open_pool(&fixture, REAL(.children = 1, .memo_size = 1 << 20));
    for (uint8_t day = 8; day < 12; day++) {
        make_real_job(&job, COUNT, &heads);
        for (size_t i = 0; i < COUNT; i++)
            heads[i * sizeof small_head + AT_DAY] = day;
        run_job(&fixture, &job);
        assert_real_keys(&job);
        assert_int_equal(whole_key(&job.items[COUNT - 1], "date"), 20130400 + day);
        free_job(&job);
        free(heads);
    }
    memo = stats_of(&fixture).memo;
    assert_int_equal(memo.hits + stats_of(&fixture).decoded, 4 * COUNT);
    /* Of the second day what was handed out before the first answer came. */
    assert_true(memo.hits >= 3 * COUNT - DECODER_JOB_MAX);
    assert_true(memo.checks > 0 && memo.mismatches == 0);
    close_pool(&fixture);
}

/* One of the children is killed, if there is one: both may be between an end and the next start. */
static void kill_a_child(unsigned *kills)
{
    pid_t pids[8] = { 0 };
    size_t count = find_children(pids, ARRAY_COUNT(pids));

    if (count > 0 && kill(pids[*kills % count], SIGKILL) == 0)
        ++*kills;
}

static void a_killed_child_loses_no_head(void **state)
{
    (void)state;
    enum { COUNT = 600, EVERY = 80, DEATHS = 3 };
    struct fixture fixture;
    unsigned kills = 0;

    open_pool(&fixture, REAL(.children = 2));
    wait_until_ready(&fixture);
    while (stats_of(&fixture).deaths < DEATHS) { /* who is dead already is killed in vain */
        struct job job;
        uint8_t *heads;
        make_real_job(&job, COUNT, &heads);
        submit(&fixture, &job);
        for (; !job.done; uv_run(&fixture.loop, UV_RUN_ONCE))
            if (stats_of(&fixture).decoded > EVERY * (kills + 1))
                kill_a_child(&kills);
        assert_int_equal(job.status, STATUS_OK);
        assert_real_keys(&job);
        free_job(&job);
        free(heads);
    }
    assert_int_equal(stats_of(&fixture).refused, 0);
    close_pool(&fixture);
}

/* Nobody gives it a head meanwhile, by which it would show that it is well. */
static void a_child_that_was_killed_when_idle_makes_the_pool_ready_again(void **state)
{
    struct fixture fixture;
    unsigned kills = 0;

    (void)state;
    open_pool(&fixture, REAL(.children = 1));
    wait_until_ready(&fixture);
    while (kills == 0)
        kill_a_child(&kills);
    while (stats_of(&fixture).deaths == 0)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_false(decoders_ready(fixture.pool));
    wait_until_ready(&fixture);
    close_pool(&fixture);
}

/* A part of a reduced Gaussian grid, whose first row has one point: on that ecCodes 2.28 aborts. */
static const uint8_t killing_head[] = {
    'G', 'R', 'I', 'B', 0,   0, 0, 1, 0, 0,   28, 128, 98, 255, 255, 0x80, 167, 1, 0,  0, 13,  4,
    8,   0,   0,   1,   0,   0, 0, 0, 0, 0,   21, 0,   0,  0,   0,   0,    40,  0, 33, 4, 255, 255,
    0,   4,   1,   56,  128, 0, 0, 0, 0, 129, 56, 128, 4,  30,  176, 255,  255, 0, 2,  0, 0,   0,
    0,   0,   0,   1,   0,   8, 0, 8, 0, 4,   0,  0,   20, 0,   0,   0,    0,   0, 0,  0, 16,
};

static void a_head_that_kills_ecCodes_is_refused_and_no_other(void **state)
{
    (void)state;
    enum { COUNT = 40, KILLER = 17 };
    struct fixture fixture;
    struct job job;
    uint8_t *heads;

    open_pool(&fixture, REAL(.children = 2));
    make_real_job(&job, COUNT, &heads);
    job.items[KILLER].head = killing_head;
    job.items[KILLER].size = sizeof killing_head;
    run_job(&fixture, &job);
    assert_refused(&job.items[KILLER], "decoder died: signal 6 (abort)");
    for (size_t i = 0; i < COUNT; i++)
        if (i != KILLER)
            assert_non_null(job.items[i].keys);
    assert_int_equal(stats_of(&fixture).refused, 1);
    close_pool(&fixture);
    free_job(&job);
    free(heads);
}

static void read_proc(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* Of a worker that was killed from outside no head is to blame, and its child goes on with another. */
static void a_killed_worker_loses_no_head(void **state)
{
    (void)state;
    enum { COUNT = 400 };
    struct fixture fixture;
    struct job job;
    uint8_t *heads;

    open_pool(&fixture, REAL(.children = 1));
    wait_until_ready(&fixture);
    make_real_job(&job, COUNT, &heads);
    submit(&fixture, &job);
    for (unsigned kills = 0; !job.done; uv_run(&fixture.loop, UV_RUN_ONCE))
        if (stats_of(&fixture).decoded > 100 * (kills + 1)) {
            pid_t child = 0, worker = 0;
            /* Killed while it reads, a worker takes its child with it: there may be none just now. */
            if (find_children(&child, 1) == 1 && find_children_of(child, &worker, 1) == 1 &&
                kill(worker, SIGKILL) == 0)
                kills++;
        }
    assert_int_equal(job.status, STATUS_OK);
    assert_real_keys(&job);
    assert_int_equal(stats_of(&fixture).refused, 0);
    close_pool(&fixture);
    free_job(&job);
    free(heads);
}

/* Each costs a fork or two, not the start of a program: children are the same ones before and after. */
static void many_heads_that_kill_ecCodes_cost_no_child(void **state)
{
    (void)state;
    enum { COUNT = 36, EACH = 3 };
    struct fixture fixture;
    struct job job;
    uint8_t *heads;
    pid_t before = 0, after = 0;

    open_pool(&fixture, REAL(.children = 1));
    wait_until_ready(&fixture);
    assert_int_equal(find_children(&before, 1), 1);
    make_real_job(&job, COUNT, &heads);
    for (size_t i = 0; i < COUNT; i += EACH) {
        job.items[i].head = killing_head;
        job.items[i].size = sizeof killing_head;
    }
    uint64_t begin = clock_monotonic_ms();
    run_job(&fixture, &job);
    print_message("%u killers in %u ms\n", COUNT / EACH, (unsigned)(clock_monotonic_ms() - begin));
    for (size_t i = 0; i < COUNT; i++)
        if (i % EACH == 0)
            assert_refused(&job.items[i], "decoder died: signal 6 (abort)");
        else
            assert_non_null(job.items[i].keys);
    assert_int_equal(stats_of(&fixture).deaths, COUNT / EACH);
    assert_int_equal(stats_of(&fixture).refused, COUNT / EACH);
    assert_int_equal(find_children(&after, 1), 1);
    assert_int_equal(after, before);
    close_pool(&fixture);
    free_job(&job);
    free(heads);
}

static void what_decodes_lives_in_its_sandbox(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[8192];

    open_pool(&fixture, REAL(.children = 1, .memory_max = UINT64_C(900) << 20));
    wait_until_ready(&fixture);
    pid_t pid = find_worker();
    read_proc(pid, "status", text, sizeof text);
    assert_non_null(strstr(text, "Seccomp:\t2\n"));
    assert_non_null(strstr(text, "NoNewPrivs:\t1\n"));
    read_proc(pid, "limits", text, sizeof text);
    assert_non_null(strstr(text, "Max core file size        0                    0 "));
    assert_non_null(strstr(text, "Max open files            64                   64 "));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_non_null(strstr(text, "Max address space         943718400            943718400 "));
#endif
    close_pool(&fixture);
}

static void children_learn_no_secrets_from_the_environment(void **state)
{
    (void)state;
    struct fixture fixture;
    char text[8192];
    pid_t pid = 0;

    setenv("GRIBSTORE_TEST_PASSWORD", "secret", 1);
    open_pool(&fixture, FAKE(.children = 1));
    wait_until_ready(&fixture);
    assert_int_equal(find_children(&pid, 1), 1);
    read_proc(pid, "environ", text, sizeof text);
    assert_null(strstr(text, "GRIBSTORE_TEST_PASSWORD"));
    close_pool(&fixture);
    unsetenv("GRIBSTORE_TEST_PASSWORD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_heads_come_back_in_order),
        cmocka_unit_test(the_head_that_kills_is_refused_and_no_other),
        cmocka_unit_test(a_head_that_hangs_is_refused_after_its_time),
        cmocka_unit_test(a_head_after_a_poisonous_one_is_not_refused),
        cmocka_unit_test(refusals_and_bad_keys_are_told_as_text),
        cmocka_unit_test(an_answer_that_nobody_asked_for_ends_the_child),
        cmocka_unit_test(a_death_that_does_not_come_back_refuses_nothing),
        cmocka_unit_test(many_killers_leave_the_pool_alive),
        cmocka_unit_test(a_batch_of_killers_keeps_no_other_waiting),
        cmocka_unit_test(several_batches_use_all_children),
        cmocka_unit_test(a_child_is_replaced_after_so_many_heads),
        cmocka_unit_test(one_batch_too_many_is_overloaded),
        cmocka_unit_test(an_empty_batch_is_done),
        cmocka_unit_test(a_head_past_its_limit_is_refused_unsent),
        cmocka_unit_test(a_stop_cancels_what_is_under_way),
        cmocka_unit_test(a_missing_program_does_not_spin),
        cmocka_unit_test(a_program_that_is_no_decoder_is_never_ready),
        cmocka_unit_test(the_real_decoder_tells_its_release_and_decodes),
        cmocka_unit_test(a_head_that_was_late_once_is_not_refused_for_it),
        cmocka_unit_test(heads_that_differ_in_dates_only_are_remembered),
        cmocka_unit_test(a_killed_child_loses_no_head),
        cmocka_unit_test(a_child_that_was_killed_when_idle_makes_the_pool_ready_again),
        cmocka_unit_test(a_head_that_kills_ecCodes_is_refused_and_no_other),
        cmocka_unit_test(a_killed_worker_loses_no_head),
        cmocka_unit_test(many_heads_that_kill_ecCodes_cost_no_child),
        cmocka_unit_test(what_decodes_lives_in_its_sandbox),
        cmocka_unit_test(children_learn_no_secrets_from_the_environment),
    };

    log_setup(LOG_ERROR, LOG_LOGFMT); /* deaths are meant here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
