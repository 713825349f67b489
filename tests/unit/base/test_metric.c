/* test_metric.c: metrics as Prometheus reads them. */
#include "proto/base/metric.h"

#include "proto/base/clock.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct metric requests_get = { .name = "test_requests_total",
                                      .help = "Requests.\nBy \\ method.",
                                      .labels = "method=\"GET\"",
                                      .kind = METRIC_COUNTER };
static struct metric requests_put = { .name = "test_requests_total",
                                      .help = "Requests.\nBy \\ method.",
                                      .labels = "method=\"PUT\"",
                                      .kind = METRIC_COUNTER };
static struct metric queue = { .name = "test_queue", .help = "Waiting.", .kind = METRIC_GAUGE };
static struct metric busy = {
    .name = "test_busy_seconds_total", .help = "Busy.", .kind = METRIC_COUNTER, .scale = 1e-6
};
static const uint64_t bounds_us[] = { 1000, 5000, 1000000 };
static struct metric latency = { .name = "test_latency_seconds",
                                 .help = "Latency.",
                                 .labels = "op=\"put\"",
                                 .kind = METRIC_HISTOGRAM,
                                 .scale = 1e-6,
                                 .bounds = bounds_us,
                                 .bounds_count = ARRAY_COUNT(bounds_us) };
static struct metric sizes = {
    .name = "test_sizes", .help = "Sizes.", .kind = METRIC_HISTOGRAM, .bounds = bounds_us, .bounds_count = 1
};

/* Registered once for all tests, the second requests behind another name: printing has to group them. */
static int register_all(void **state)
{
    (void)state;
    metric_register(&requests_get);
    metric_register(&queue);
    metric_register(&requests_put);
    metric_register(&busy);
    metric_register(&latency);
    metric_register(&sizes);
    return 0;
}

static void assert_printed(const char *text)
{
    struct buf buf;

    buf_init(&buf, 1 << 20);
    metric_print(&buf);
    assert_int_equal(buf_status(&buf), STATUS_OK);
    if (strstr(buf_string(&buf), text) == NULL)
        fail_msg("no '%s' in:\n%s", text, buf_string(&buf));
    buf_fini(&buf);
}

static void a_name_has_one_head_and_its_samples_together(void **state)
{
    (void)state;
    metric_add(&requests_get, 3);
    metric_add(&requests_put, 1);
    assert_printed("# HELP test_requests_total Requests.\\nBy \\\\ method.\n"
                   "# TYPE test_requests_total counter\n"
                   "test_requests_total{method=\"GET\"} 3\n"
                   "test_requests_total{method=\"PUT\"} 1\n"
                   "# HELP test_queue Waiting.\n"
                   "# TYPE test_queue gauge\n");
}

static void a_gauge_goes_up_and_down(void **state)
{
    (void)state;
    metric_set(&queue, 5);
    metric_add(&queue, -7);
    assert_printed("\ntest_queue -2\n");
}

static void a_scale_leaves_no_dust(void **state)
{
    (void)state;
    metric_add(&busy, 123);
    assert_printed("\ntest_busy_seconds_total 0.000123\n");
    metric_add(&busy, 999877);
    assert_printed("\ntest_busy_seconds_total 1\n");
}

static void a_histogram_is_cumulative(void **state)
{
    (void)state;
    metric_observe(&latency, 0);
    metric_observe(&latency, 1000);
    metric_observe(&latency, 1001);
    metric_observe(&latency, 5000000);
    assert_printed("# TYPE test_latency_seconds histogram\n"
                   "test_latency_seconds_bucket{op=\"put\",le=\"0.001\"} 2\n"
                   "test_latency_seconds_bucket{op=\"put\",le=\"0.005\"} 3\n"
                   "test_latency_seconds_bucket{op=\"put\",le=\"1\"} 3\n"
                   "test_latency_seconds_bucket{op=\"put\",le=\"+Inf\"} 4\n"
                   "test_latency_seconds_sum{op=\"put\"} 5.002001\n"
                   "test_latency_seconds_count{op=\"put\"} 4\n");
}

static void a_histogram_without_labels_has_only_le(void **state)
{
    (void)state;
    metric_observe(&sizes, 7);
    assert_printed("test_sizes_bucket{le=\"1000\"} 1\n"
                   "test_sizes_bucket{le=\"+Inf\"} 1\n"
                   "test_sizes_sum 7\n"
                   "test_sizes_count 1\n");
}

static void samples_of_the_moment_have_their_own_head(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1000);
    metric_head(&buf, "test_free_bytes", "Free.", METRIC_GAUGE);
    metric_sample(&buf, "test_free_bytes", "disk=\"a\"", 1.5);
    metric_sample(&buf, "test_free_bytes", NULL, (double)NAN);
    metric_sample(&buf, "test_free_bytes", "", (double)-INFINITY);
    assert_string_equal(buf_string(&buf), "# HELP test_free_bytes Free.\n"
                                          "# TYPE test_free_bytes gauge\n"
                                          "test_free_bytes{disk=\"a\"} 1.5\n"
                                          "test_free_bytes NaN\n"
                                          "test_free_bytes -Inf\n");
    buf_fini(&buf);
}

/* The value of a metric that stands alone; NAN, which fails every comparison, where there is none. */
static double printed_value(const char *name)
{
    char start[100];
    struct buf buf;

    buf_init(&buf, 1 << 20);
    metric_print(&buf);
    snprintf(start, sizeof start, "\n%s ", name);
    const char *at = strstr(buf_string(&buf), start);
    double value = at != NULL ? strtod(at + strlen(start), NULL) : (double)NAN;
    buf_fini(&buf);
    return value;
}

static void the_process_tells_about_itself(void **state)
{
    double before = printed_value("process_open_fds");
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_true(printed_value("process_open_fds") == before + 1);
    close(fd);
    assert_true(printed_value("process_open_fds") == before);
    assert_true(printed_value("process_max_fds") >= before);
    assert_true(printed_value("process_resident_memory_bytes") > 100000);
    assert_true(printed_value("process_cpu_seconds_total") >= 0);
    double age = (double)clock_wall_us() / 1e6 - printed_value("process_start_time_seconds");
    assert_true(age > -3 && age < 120); /* btime is in whole seconds, and moves when the clock is set */
}

static void every_line_is_a_comment_or_a_sample(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    metric_print(&buf);
    char *text = strdup(buf_string(&buf));
    assert_non_null(text);
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *end;

        if (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0)
            continue;
        char *space = strrchr(line, ' ');
        assert_non_null(space);
        assert_true(space > line);
        strtod(space + 1, &end);
        assert_true(end > space + 1 && *end == '\0');
    }
    free(text);
    buf_fini(&buf);
}

static void *observe_many(void *argument)
{
    for (unsigned i = 0; i < 10000; i++) {
        metric_observe(argument, 7);
        metric_add(&queue, 1);
    }
    return NULL;
}

static void nothing_is_lost_between_threads(void **state)
{
    uint64_t sum = atomic_load(&sizes.sum);
    pthread_t threads[4];

    (void)state;
    metric_set(&queue, 0);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, observe_many, &sizes), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&sizes.sum), sum + 4 * 10000 * 7);
    assert_int_equal(atomic_load(&queue.value), 40000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_head_and_its_samples_together),
        cmocka_unit_test(a_gauge_goes_up_and_down),
        cmocka_unit_test(a_scale_leaves_no_dust),
        cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(a_histogram_without_labels_has_only_le),
        cmocka_unit_test(samples_of_the_moment_have_their_own_head),
        cmocka_unit_test(the_process_tells_about_itself),
        cmocka_unit_test(every_line_is_a_comment_or_a_sample),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, register_all, NULL);
}
