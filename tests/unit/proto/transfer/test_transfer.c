/* test_transfer.c: every claim holds with a loop and without, against a real server on a loopback port. */
#include "proto/transfer/transfer_uv.h"
#include "test_server.h"

#include "proto/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a test's world: a server, and a transfer with or without a loop ---- */

enum driver { DRIVER_POLL, DRIVER_LOOP };

struct world {
    enum driver driver;
    struct test_server server;
    struct transfer *transfer;
    uv_loop_t loop;
    bool closed;
};

static const struct transfer_options *world_options;

static void world_on_closed(void *data)
{
    *(bool *)data = true;
}

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct error err;

    assert_non_null(world);
    world->driver = (enum driver)(uintptr_t)*state;
    test_server_start(&world->server);
    uv_loop_init(&world->loop);
    enum status status = world->driver == DRIVER_POLL
                             ? transfer_new(world_options, &world->transfer, &err)
                             : transfer_uv_new(world_options, &world->loop, &world->transfer, &err);
    assert_int_equal(status, STATUS_OK);
    *state = world;
    return 0;
}

static void world_close_transfer(struct world *world)
{
    if (world->driver == DRIVER_POLL) {
        transfer_free(world->transfer);
    } else {
        transfer_uv_close(world->transfer, world_on_closed, &world->closed);
        while (!world->closed)
            uv_run(&world->loop, UV_RUN_DEFAULT);
    }
    world->transfer = NULL;
}

static int world_close(void **state)
{
    struct world *world = *state;

    if (world->transfer != NULL)
        world_close_transfer(world);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    test_server_stop(&world->server);
    free(world);
    return 0;
}

/* A request with its URL and what came of it. */
struct job {
    struct transfer_request request;
    struct world *world;
    char url[256];
    unsigned done;
    enum status status;
    struct error err;
};

static void job_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    struct job *job = container_of(request, struct job, request);

    job->done++;
    job->status = status;
    job->err = *err;
    uv_stop(&job->world->loop);
}

static void job_init(struct job *job, struct world *world, const char *method, const char *target)
{
    memset(job, 0, sizeof *job);
    transfer_request_init(&job->request);
    snprintf(job->url, sizeof job->url, "%s%s", world->server.url, target);
    job->world = world;
    job->request.method = method;
    job->request.url = job->url;
    job->request.on_done = job_on_done;
}

static void job_wait(struct job *job)
{
    while (job->done == 0) {
        if (job->world->driver == DRIVER_POLL)
            transfer_run(job->world->transfer, 50);
        else
            uv_run(&job->world->loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(job->done, 1);
}

static void job_run(struct job *job)
{
    transfer_start(job->world->transfer, &job->request);
    assert_int_equal(job->done, 0);
    job_wait(job);
}

static void job_fini(struct job *job)
{
    transfer_request_fini(&job->request);
}

static void assert_answer(struct job *job, const char *text)
{
    assert_string_equal(buf_string(&job->request.answer), text);
}

static void assert_header(struct job *job, const char *name, const char *value)
{
    const char *found = transfer_answer_header(&job->request, name);

    assert_non_null(found);
    assert_string_equal(found, value);
}

/* ---- claims ---- */

static void a_get_brings_status_headers_and_body(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/echo");
    job.request.headers[0] = (struct transfer_header){ "Authorization", "Bearer one" };
    job_run(&job);
    assert_int_equal(job.status, STATUS_OK);
    assert_int_equal(job.request.http_status, 200);
    assert_header(&job, "x-method", "GET");
    assert_header(&job, "X-AUTHORIZATION", "Bearer one");
    assert_header(&job, "X-Expect", "no");
    assert_null(transfer_answer_header(&job.request, "X-Nothing"));
    assert_int_equal(transfer_answer_status(&job.request, NULL), STATUS_OK);
    job_fini(&job);
}

static void a_token_never_travels_with_the_next_request(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/echo");
    job.request.headers[0] = (struct transfer_header){ "Authorization", "Bearer one" };
    job_run(&job);
    job_fini(&job);
    job_init(&job, *state, "GET", "/echo");
    job_run(&job);
    assert_header(&job, "X-Authorization", "");
    job_fini(&job);
}

static void a_head_has_a_length_and_no_body(void **state)
{
    struct job job;

    job_init(&job, *state, "HEAD", "/head");
    job_run(&job);
    assert_int_equal(job.status, STATUS_OK);
    assert_header(&job, "Content-Length", "12345");
    assert_int_equal(job.request.answer.size, 0);
    job_fini(&job);
}

static void bodies_go_with_every_method(void **state)
{
    static const char *const methods[] = { "PUT", "POST", "DELETE", "PATCH" };

    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        struct job job;

        job_init(&job, *state, methods[i], "/echo");
        job.request.body = slice_text("GRIB7777");
        job_run(&job);
        assert_int_equal(job.status, STATUS_OK);
        assert_header(&job, "X-Method", methods[i]);
        assert_header(&job, "X-Expect", "no");
        assert_answer(&job, "GRIB7777");
        job_fini(&job);
    }
}

static void an_empty_put_says_that_it_is_empty(void **state)
{
    struct job job;

    job_init(&job, *state, "PUT", "/echo");
    job_run(&job);
    assert_int_equal(job.status, STATUS_OK);
    assert_header(&job, "X-Size", "0");
    job_fini(&job);
}

/* A pulled body of zeros. */
struct pull {
    struct job job;
    uint64_t left, size;
    unsigned rewinds;
    int64_t give_up_at; /* -1: never */
};

static int64_t pull_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct pull *pull = container_of(request, struct pull, job.request);

    if (pull->give_up_at >= 0 && pull->size - pull->left >= (uint64_t)pull->give_up_at)
        return -1;
    if (size > pull->left)
        size = (size_t)pull->left;
    memset(data, '0', size);
    pull->left -= size;
    return (int64_t)size;
}

static int pull_rewind(struct transfer_request *request)
{
    struct pull *pull = container_of(request, struct pull, job.request);

    pull->rewinds++;
    pull->left = pull->size;
    return 0;
}

static void pull_init(struct pull *pull, struct world *world, const char *target, uint64_t size, bool known)
{
    job_init(&pull->job, world, "PUT", target);
    pull->job.request.body_read = pull_read;
    pull->job.request.body_rewind = pull_rewind;
    pull->job.request.body_size = known ? size : UINT64_MAX;
    pull->left = pull->size = size;
    pull->rewinds = 0;
    pull->give_up_at = -1;
}

static void large_and_chunked_bodies_are_pulled_and_ask_first(void **state)
{
    struct pull pull;

    pull_init(&pull, *state, "/echo", 3 << 20, true);
    job_run(&pull.job);
    assert_int_equal(pull.job.status, STATUS_OK);
    assert_header(&pull.job, "X-Size", "3145728");
    assert_header(&pull.job, "X-Expect", "yes");
    job_fini(&pull.job);

    pull_init(&pull, *state, "/echo", 300000, false);
    job_run(&pull.job);
    assert_int_equal(pull.job.status, STATUS_OK);
    assert_header(&pull.job, "X-Size", "300000");
    job_fini(&pull.job);

    pull_init(&pull, *state, "/echo", 1 << 20, true);
    job_run(&pull.job);
    assert_header(&pull.job, "X-Expect", "no");
    assert_header(&pull.job, "X-Size", "1048576");
    job_fini(&pull.job);
}

static void a_body_that_fails_fails_its_request(void **state)
{
    struct pull pull;

    pull_init(&pull, *state, "/echo", 3 << 20, true);
    pull.give_up_at = 1 << 20;
    job_run(&pull.job);
    assert_int_equal(pull.job.status, STATUS_IO);
    assert_non_null(strstr(pull.job.err.text, "the body can't be read"));
    job_fini(&pull.job);
}

/* A pulled body that has nothing at every second question. */
struct slow_pull {
    struct pull pull;
    bool is_ready;
    unsigned waits;
};

static int64_t slow_pull_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct slow_pull *slow = container_of(request, struct slow_pull, pull.job.request);

    slow->is_ready = !slow->is_ready;
    if (slow->is_ready)
        return pull_read(request, data, size);
    slow->waits++;
    return TRANSFER_BODY_LATER;
}

/* One turn of whoever drives it. */
static void job_turn(struct job *job)
{
    if (job->world->driver == DRIVER_POLL)
        transfer_run(job->world->transfer, 1);
    else
        uv_run(&job->world->loop, UV_RUN_NOWAIT);
}

static void a_body_may_come_later(void **state)
{
    static const uint64_t size = 900000;
    struct slow_pull slow = { .is_ready = true };

    pull_init(&slow.pull, *state, "/echo", size, true);
    slow.pull.job.request.body_read = slow_pull_read;
    transfer_start(slow.pull.job.world->transfer, &slow.pull.job.request);
    for (unsigned seen = 0; slow.pull.job.done == 0; job_turn(&slow.pull.job)) {
        if (slow.waits == seen)
            continue;
        seen = slow.waits;
        assert_int_equal(slow.pull.job.done, 0);
        transfer_body_ready(&slow.pull.job.request);
    }
    assert_int_equal(slow.pull.job.status, STATUS_OK);
    assert_header(&slow.pull.job, "X-Size", "900000");
    assert_true(slow.waits > 2);
    transfer_body_ready(&slow.pull.job.request); /* too late: nothing */
    job_fini(&slow.pull.job);
}

static void who_waits_for_its_body_can_be_cancelled(void **state)
{
    struct slow_pull slow = { .is_ready = true };

    pull_init(&slow.pull, *state, "/echo", 3 << 20, true);
    slow.pull.job.request.body_read = slow_pull_read;
    transfer_start(slow.pull.job.world->transfer, &slow.pull.job.request);
    while (slow.waits == 0)
        job_turn(&slow.pull.job);
    transfer_cancel(&slow.pull.job.request);
    while (slow.pull.job.done == 0)
        job_turn(&slow.pull.job);
    transfer_body_ready(&slow.pull.job.request);
    assert_int_equal(slow.pull.job.status, STATUS_CANCELLED);
    job_fini(&slow.pull.job);
}

static void a_kept_connection_found_dead_is_replaced_and_the_body_sent_again(void **state)
{
    struct world *world = *state;
    struct job first;
    struct pull pull;

    job_init(&first, world, "GET", "/echo");
    job_run(&first);
    job_fini(&first);
    pull_init(&pull, world, "/stale", 1000, true);
    job_run(&pull.job);
    assert_int_equal(pull.job.status, STATUS_OK);
    assert_header(&pull.job, "X-Size", "1000");
    assert_int_equal(pull.rewinds, 1);
    assert_int_equal(atomic_load(&world->server.connections), 2);
    job_fini(&pull.job);
}

static void connections_are_kept(void **state)
{
    struct world *world = *state;

    for (unsigned i = 0; i < 5; i++) {
        struct job job;

        job_init(&job, world, "GET", "/connection");
        job_run(&job);
        assert_answer(&job, "1");
        job_fini(&job);
    }
}

/* Takes an answer piece by piece; may stop it in two ways. */
struct taker {
    struct job job;
    uint64_t taken;
    uint64_t refuse_at, cancel_at; /* 0: never */
    unsigned calls_after_cancel;
    bool cancelled;
};

static int taker_on_data(struct transfer_request *request, struct slice data)
{
    struct taker *taker = container_of(request, struct taker, job.request);

    taker->calls_after_cancel += taker->cancelled;
    for (size_t i = 0; i < data.size; i++)
        assert_int_equal(data.data[i], (taker->taken + i) % 251);
    taker->taken += data.size;
    if (taker->cancel_at > 0 && taker->taken >= taker->cancel_at) {
        taker->cancelled = true;
        transfer_cancel(request);
    }
    return taker->refuse_at > 0 && taker->taken >= taker->refuse_at ? -1 : 0;
}

static void taker_init(struct taker *taker, struct world *world, const char *target)
{
    memset(taker, 0, sizeof *taker);
    job_init(&taker->job, world, "GET", target);
    taker->job.request.on_data = taker_on_data;
}

static void on_data_takes_answers_larger_than_the_limit(void **state)
{
    struct taker taker;

    taker_init(&taker, *state, "/bytes/5000000");
    job_run(&taker.job);
    assert_int_equal(taker.job.status, STATUS_OK);
    assert_int_equal(taker.job.request.http_status, 206);
    assert_int_equal(taker.taken, 5000000);
    assert_int_equal(taker.job.request.answer.size, 0);
    job_fini(&taker.job);
}

static void a_receiver_can_refuse(void **state)
{
    struct taker taker;

    taker_init(&taker, *state, "/bytes/5000000");
    taker.refuse_at = 100000;
    job_run(&taker.job);
    assert_int_equal(taker.job.status, STATUS_IO);
    job_fini(&taker.job);
}

static void cancelling_from_on_data_is_the_last_callback_but_done(void **state)
{
    struct taker taker;

    taker_init(&taker, *state, "/bytes/5000000");
    taker.cancel_at = 100000;
    job_run(&taker.job);
    assert_int_equal(taker.job.status, STATUS_CANCELLED);
    assert_int_equal(taker.calls_after_cancel, 0);
    job_fini(&taker.job);
}

static void an_answer_over_the_limit_is_too_large(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/bytes/2000");
    job.request.answer_max = 1999;
    job_run(&job);
    assert_int_equal(job.status, STATUS_TOO_LARGE);
    job_fini(&job);

    job_init(&job, *state, "GET", "/bytes/2000");
    job.request.answer_max = 2000;
    job_run(&job);
    assert_int_equal(job.status, STATUS_OK);
    assert_int_equal(job.request.answer.size, 2000);
    job_fini(&job);
}

static void a_problem_tells_its_code_detail_and_offset_even_past_on_data(void **state)
{
    struct taker taker;
    struct error err;

    taker_init(&taker, *state, "/problem");
    job_run(&taker.job);
    assert_int_equal(taker.job.status, STATUS_OK);
    assert_int_equal(taker.job.request.http_status, 422);
    assert_int_equal(taker.taken, 0);
    assert_int_equal(transfer_answer_status(&taker.job.request, &err), STATUS_BAD_GRIB);
    assert_int_equal(err.status, STATUS_BAD_GRIB);
    assert_non_null(strstr(err.text, "message 3 has no 7777"));
    assert_true(err.has_offset);
    assert_int_equal(err.offset, 4711);
    job_fini(&taker.job);
}

static void an_answer_without_problem_json_is_told_by_its_http_status(void **state)
{
    static const struct {
        const char *target;
        enum status status;
        const char *text;
    } cases[] = {
        { "/busy", STATUS_OVERLOADED, "answered 503" },
        { "/none", STATUS_NOT_FOUND, "answered 404" },
        { "/redirect", STATUS_INTERNAL, "answered 302" },
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct job job;
        struct error err;

        job_init(&job, *state, "GET", cases[i].target);
        job_run(&job);
        assert_int_equal(job.status, STATUS_OK);
        assert_int_equal(transfer_answer_status(&job.request, &err), cases[i].status);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_false(err.has_offset);
        job_fini(&job);
    }
}

static void a_head_against_the_rules_is_a_failure_or_what_its_first_line_says(void **state)
{
    for (unsigned i = 0; i < TEST_SERVER_ODD_COUNT; i++) {
        struct job job;
        char target[32];

        snprintf(target, sizeof target, "/odd/%u", i);
        job_init(&job, *state, "GET", target);
        job_run(&job);
        if (job.status == STATUS_OK) {
            assert_int_equal(job.request.http_status, 200);
            assert_int_equal(job.request.answer.size, 2);
        } else if (job.status != STATUS_MALFORMED) {
            fail_msg("odd head %u: %s: %s", i, status_name(job.status), job.request.err.text);
        }
        assert_int_equal(job.done, 1);
        job_fini(&job);
    }
}

static void redirects_are_not_followed(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/redirect");
    job_run(&job);
    assert_int_equal(job.request.http_status, 302);
    assert_header(&job, "Location", "/echo");
    job_fini(&job);
}

static void connections_that_break_are_unreachable(void **state)
{
    static const char *const targets[] = { "/close", "/cut" };

    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        struct job job;
        struct error err;

        job_init(&job, *state, "GET", targets[i]);
        job_run(&job);
        assert_int_equal(job.status, STATUS_UNREACHABLE);
        assert_int_equal(transfer_answer_status(&job.request, &err), STATUS_UNREACHABLE);
        assert_non_null(strstr(err.text, targets[i]));
        job_fini(&job);
    }
}

/* A port on which nobody listens: bound, so that nobody else takes it meanwhile. */
static int port_without_listener(char *url, size_t size)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(url, size, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    return fd;
}

static void a_refused_connection_is_unreachable(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/");
    int fd = port_without_listener(job.url, sizeof job.url);
    job_run(&job);
    assert_int_equal(job.status, STATUS_UNREACHABLE);
    assert_int_equal(job.request.http_status, 0);
    job_fini(&job);
    close(fd);
}

static void silence_is_a_timeout_before_and_within_the_answer(void **state)
{
    static const char *const targets[] = { "/silent", "/stalled" };

    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        struct job job;

        job_init(&job, *state, "GET", targets[i]);
        job.request.stall_timeout_ms = 40;
        uint64_t start = clock_monotonic_ms();
        job_run(&job);
        uint64_t took = clock_monotonic_ms() - start;
        assert_int_equal(job.status, STATUS_TIMEOUT);
        assert_true(took >= 40);
        job_fini(&job);
    }
}

static void a_request_ends_when_its_time_is_over(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/silent");
    job.request.stall_timeout_ms = 0;
    job.request.timeout_ms = 40;
    job_run(&job);
    assert_int_equal(job.status, STATUS_TIMEOUT);
    assert_non_null(strstr(job.err.text, "no answer after"));
    job_fini(&job);
}

static void other_protocols_and_split_headers_are_refused(void **state)
{
    struct job job;

    job_init(&job, *state, "GET", "/");
    job.request.url = "file:///etc/hostname";
    job_run(&job);
    assert_int_equal(job.status, STATUS_BAD_VALUE);
    job_fini(&job);

    job_init(&job, *state, "GET", "/echo");
    job.request.headers[0] = (struct transfer_header){ "X-Name", "a\r\nX-Other: b" };
    job_run(&job);
    assert_int_equal(job.status, STATUS_BAD_VALUE);
    job_fini(&job);
}

static void a_cancelled_request_is_done_once_and_later(void **state)
{
    struct world *world = *state;
    struct job job;

    job_init(&job, world, "GET", "/silent");
    transfer_start(world->transfer, &job.request);
    transfer_cancel(&job.request);
    transfer_cancel(&job.request);
    assert_int_equal(job.done, 0);
    job_wait(&job);
    assert_int_equal(job.status, STATUS_CANCELLED);
    transfer_cancel(&job.request); /* no longer under way: nothing happens */
    job_fini(&job);
}

/* Two under way: the first that is done cancels the other and starts itself again. */
struct pair {
    struct job job;
    struct job *other;
    unsigned again;
};

static void pair_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    struct pair *pair = container_of(request, struct pair, job.request);

    if (pair->again > 0) {
        pair->again--;
        transfer_cancel(&pair->other->request);
        transfer_start(pair->job.world->transfer, request);
        return;
    }
    job_on_done(request, status, err);
}

static void on_done_may_cancel_others_and_start_again(void **state)
{
    struct world *world = *state;
    struct pair pair;
    struct job silent;

    job_init(&silent, world, "GET", "/silent");
    job_init(&pair.job, world, "GET", "/echo");
    pair.job.request.on_done = pair_on_done;
    pair.other = &silent;
    pair.again = 3;
    transfer_start(world->transfer, &silent.request);
    transfer_start(world->transfer, &pair.job.request);
    job_wait(&pair.job);
    job_wait(&silent);
    assert_int_equal(pair.job.status, STATUS_OK);
    assert_int_equal(pair.again, 0);
    assert_int_equal(silent.status, STATUS_CANCELLED);
    job_fini(&pair.job);
    job_fini(&silent);
}

static void a_loop_ends_when_nothing_is_under_way(void **state)
{
    struct world *world = *state;
    struct job job;

    job_init(&job, world, "GET", "/echo");
    job_run(&job);
    uint64_t start = clock_monotonic_ms();
    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_in_range(clock_monotonic_ms() - start, 0, 60000);
    job_fini(&job);
}

static void closing_cancels_what_is_under_way(void **state)
{
    struct world *world = *state;
    struct job silent, queued;

    job_init(&silent, world, "GET", "/silent");
    transfer_start(world->transfer, &silent.request);
    if (world->driver == DRIVER_POLL)
        transfer_run(world->transfer, 0);
    else
        uv_run(&world->loop, UV_RUN_NOWAIT);
    job_init(&queued, world, "GET", "/silent");
    transfer_start(world->transfer, &queued.request);
    world_close_transfer(world);
    assert_int_equal(silent.done, 1);
    assert_int_equal(silent.status, STATUS_CANCELLED);
    assert_int_equal(queued.done, 1);
    assert_int_equal(queued.status, STATUS_CANCELLED);
    job_fini(&silent);
    job_fini(&queued);
}

static int world_open_narrow(void **state)
{
    static const struct transfer_options narrow = { .connections_max = 8, .connections_per_host_max = 3 };

    world_options = &narrow;
    int result = world_open(state);
    world_options = NULL;
    return result;
}

static void more_requests_than_connections_wait_their_turn(void **state)
{
    enum { COUNT = 60 };
    struct world *world = *state;
    struct job *jobs = calloc(COUNT, sizeof *jobs);

    assert_non_null(jobs);
    for (unsigned i = 0; i < COUNT; i++) {
        job_init(&jobs[i], world, "GET", "/bytes/20000");
        transfer_start(world->transfer, &jobs[i].request);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        job_wait(&jobs[i]);
        assert_int_equal(jobs[i].status, STATUS_OK);
        assert_int_equal(jobs[i].request.answer.size, 20000);
        job_fini(&jobs[i]);
    }
    assert_in_range(atomic_load(&world->server.open_most), 1, 3);
    free(jobs);
}

/* ---- without a loop only ---- */

static void perform_is_one_request_and_its_status(void **state)
{
    struct world *world = *state;
    struct job job;
    struct error err;

    job_init(&job, world, "PUT", "/echo");
    job.request.body = slice_text("abc");
    job.request.on_done = NULL;
    assert_int_equal(transfer_perform(world->transfer, &job.request, &err), STATUS_OK);
    assert_answer(&job, "abc");
    job.request.url = "http://127.0.0.1:1/";
    assert_int_equal(transfer_perform(world->transfer, &job.request, &err), STATUS_UNREACHABLE);
    job_fini(&job);
    job_init(&job, world, "GET", "/problem");
    assert_int_equal(transfer_perform(world->transfer, &job.request, &err), STATUS_BAD_GRIB);
    job_fini(&job);
}

static void break_on_done(struct transfer_request *request, enum status status, const struct error *err)
{
    struct job *job = container_of(request, struct job, request);

    job_on_done(request, status, err);
    transfer_break(job->world->transfer);
}

static void run_returns_at_a_break_or_when_its_time_is_over(void **state)
{
    struct world *world = *state;
    struct job silent, quick;

    job_init(&silent, world, "GET", "/silent");
    job_init(&quick, world, "GET", "/echo");
    quick.request.on_done = break_on_done;
    transfer_start(world->transfer, &silent.request);
    transfer_start(world->transfer, &quick.request);
    assert_int_equal(transfer_run(world->transfer, UINT64_MAX), 1);
    assert_int_equal(quick.done, 1);
    assert_int_equal(transfer_run(world->transfer, 10), 1);
    transfer_cancel(&silent.request);
    assert_int_equal(transfer_run(world->transfer, UINT64_MAX), 0);
    assert_int_equal(silent.done, 1);
    job_fini(&silent);
    job_fini(&quick);
}

#define POLL(test)                                                                                 \
    cmocka_unit_test_prestate_setup_teardown(test, world_open, world_close, (void *)DRIVER_POLL)
#define LOOP(test)                                                                                 \
    cmocka_unit_test_prestate_setup_teardown(test, world_open, world_close, (void *)DRIVER_LOOP)
#define BOTH(test) POLL(test), LOOP(test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_get_brings_status_headers_and_body),
        BOTH(a_token_never_travels_with_the_next_request),
        BOTH(a_head_has_a_length_and_no_body),
        BOTH(bodies_go_with_every_method),
        BOTH(an_empty_put_says_that_it_is_empty),
        BOTH(large_and_chunked_bodies_are_pulled_and_ask_first),
        BOTH(a_body_that_fails_fails_its_request),
        BOTH(a_body_may_come_later),
        BOTH(who_waits_for_its_body_can_be_cancelled),
        BOTH(a_kept_connection_found_dead_is_replaced_and_the_body_sent_again),
        BOTH(connections_are_kept),
        BOTH(on_data_takes_answers_larger_than_the_limit),
        BOTH(a_receiver_can_refuse),
        BOTH(cancelling_from_on_data_is_the_last_callback_but_done),
        BOTH(an_answer_over_the_limit_is_too_large),
        BOTH(a_problem_tells_its_code_detail_and_offset_even_past_on_data),
        BOTH(an_answer_without_problem_json_is_told_by_its_http_status),
        BOTH(a_head_against_the_rules_is_a_failure_or_what_its_first_line_says),
        BOTH(redirects_are_not_followed),
        BOTH(connections_that_break_are_unreachable),
        BOTH(a_refused_connection_is_unreachable),
        BOTH(silence_is_a_timeout_before_and_within_the_answer),
        BOTH(a_request_ends_when_its_time_is_over),
        BOTH(other_protocols_and_split_headers_are_refused),
        BOTH(a_cancelled_request_is_done_once_and_later),
        BOTH(on_done_may_cancel_others_and_start_again),
        BOTH(closing_cancels_what_is_under_way),
        cmocka_unit_test_prestate_setup_teardown(more_requests_than_connections_wait_their_turn,
                                                 world_open_narrow, world_close, (void *)DRIVER_POLL),
        cmocka_unit_test_prestate_setup_teardown(more_requests_than_connections_wait_their_turn,
                                                 world_open_narrow, world_close, (void *)DRIVER_LOOP),
        LOOP(a_loop_ends_when_nothing_is_under_way),
        POLL(perform_is_one_request_and_its_status),
        POLL(run_returns_at_a_break_or_when_its_time_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
