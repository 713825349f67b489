/* httpload.c: HTTP/1.1 load on a server of this machine, and what came of it.
 *
 *   begin - warmup          begin                    end
 *   |  nothing is counted   |  the window            |  no request is begun; those under way are waited for
 *
 * The rate is that of the answers that were complete within the window. Latencies are of the requests begun in it, also if they ended
 * later: leaving out the slow ones would flatter. The server's CPU time is read at both ends of the window. On a machine so slow that
 * nothing was complete, or compared, at the end, the window stays open until something is. */
#include "load_conn.h"
#include "load_histogram.h"
#include "load_process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };
enum { EVENTS_MAX = 512, STALLED_MS = 60000 };
#define NS_A_SECOND 1000000000.0

struct load_cpu {
    double server, client;
};

struct load {
    const struct load_options *options;
    struct load_work work;
    struct load_sample sample;
    struct load_conn *conn; /* owned */
    unsigned opened;
    unsigned busy; /* connections with a request under way */
    int epoll;
    uint64_t begin_ns, end_ns;
    bool begun, ended; /* the CPU times at both ends are taken */
    struct load_cpu cpu_begin, cpu_end;
    uint64_t requests, bytes; /* complete within the window */
    uint64_t total;           /* complete at all */
    uint64_t body_bytes;      /* of all PUTs begun */
    struct histogram latency;
};

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static bool load_cpu(const struct load *load, struct load_cpu *cpu, struct gen_error *err)
{
    cpu->server = 0;
    if (load->options->pid != 0 && !process_cpu_seconds(load->options->pid, &cpu->server, err))
        return false;
    return process_cpu_seconds(getpid(), &cpu->client, err);
}

/* There is something to tell. */
static bool load_enough(const struct load *load)
{
    return load->requests > 0 && (load->options->put || load->sample.checked > 0);
}

/* Open and close the window. */
static bool load_tick(struct load *load, uint64_t now, struct gen_error *err)
{
    if (!load->begun && now >= load->begin_ns) {
        load->begun = true;
        load->begin_ns = now;
        load->end_ns = now + (uint64_t)(load->options->seconds * NS_A_SECOND);
        return load_cpu(load, &load->cpu_begin, err);
    }
    if (load->begun && !load->ended && now >= load->end_ns && load_enough(load)) {
        load->ended = true;
        load->end_ns = now;
        return load_cpu(load, &load->cpu_end, err);
    }
    return true;
}

/* --- connections --- */

static bool load_open_conns(struct load *load, struct gen_error *err)
{
    load->conn = calloc(load->options->connections, sizeof *load->conn);
    if (load->conn == NULL)
        return gen_fail(err, "out of memory");
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        return gen_fail(err, "epoll: %s", strerror(errno));
    while (load->opened < load->options->connections) {
        struct load_conn *conn = &load->conn[load->opened++];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = conn };

        if (!conn_open(conn, &load->work, err))
            return false;
        if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, conn->stream.fd, &event) != 0)
            return gen_fail(err, "epoll: %s", strerror(errno));
    }
    return true;
}

static bool load_open(struct load *load, const struct load_options *options, struct gen_error *err)
{
    *load = (struct load){ .options = options, .epoll = -1 };
    return work_open(&load->work, options, err) && sample_init(&load->sample, options, err) &&
           load_open_conns(load, err);
}

static void load_close(struct load *load)
{
    for (unsigned i = 0; i < load->opened; i++)
        conn_close(&load->conn[i]);
    free(load->conn);
    if (load->epoll >= 0)
        close(load->epoll);
    sample_fini(&load->sample);
    work_close(&load->work);
}

/* epoll has to know when there is something to send, and only then. */
static bool load_wait_for(struct load *load, struct load_conn *conn, struct gen_error *err)
{
    bool waits = conn_waits_to_send(conn);
    struct epoll_event event = { .events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = conn };

    if (waits == conn->waits_to_send)
        return true;
    conn->waits_to_send = waits;
    return epoll_ctl(load->epoll, EPOLL_CTL_MOD, conn->stream.fd, &event) == 0 ||
           gen_fail(err, "epoll: %s", strerror(errno));
}

/* --- the loop --- */

static bool load_goes_on(const struct load *load)
{
    return !load->ended &&
           (load->options->bytes_max == 0 || load->body_bytes < load->options->bytes_max);
}

static bool load_start(struct load *load, struct load_conn *conn, uint64_t now, struct gen_error *err)
{
    if (conn_start(conn, &load->work, &load->sample, now, err) == CONN_FAILED)
        return false;
    load->busy++;
    load->body_bytes += conn->request.body_size;
    return load_wait_for(load, conn, err);
}

static void load_count(struct load *load, const struct load_conn *conn, uint64_t now)
{
    load->total++;
    if (load->begun && !load->ended) {
        load->requests++;
        load->bytes += load->options->put ? conn->request.body_size
                                          : conn->request.ranges * conn->request.size;
    }
    if (load->begun && conn->started_ns >= load->begin_ns)
        histogram_add(&load->latency, now - conn->started_ns);
}

static bool load_on_event(struct load *load, const struct epoll_event *event, struct gen_error *err)
{
    struct load_conn *conn = event->data.ptr;
    enum conn_result result = conn_on_event(conn, event->events, &load->sample, err);

    if (result == CONN_FAILED)
        return false;
    if (result == CONN_WAIT)
        return load_wait_for(load, conn, err);
    uint64_t now = clock_ns();
    load_count(load, conn, now);
    load->busy--;
    if (!load_tick(load, now, err))
        return false;
    return !load_goes_on(load) || load_start(load, conn, now, err);
}

static bool load_loop(struct load *load, struct gen_error *err)
{
    struct epoll_event events[EVENTS_MAX];

    while (load->busy > 0) {
        int count = epoll_wait(load->epoll, events, EVENTS_MAX, STALLED_MS);

        if (count < 0 && errno != EINTR)
            return gen_fail(err, "epoll: %s", strerror(errno));
        if (count == 0)
            return gen_fail(err, "no answer for %d s", STALLED_MS / 1000);
        if (!load_tick(load, clock_ns(), err))
            return false;
        for (int i = 0; i < count; i++)
            if (!load_on_event(load, &events[i], err))
                return false;
    }
    return true;
}

/* A window that bytes_max cut short ends with its last answer. */
static bool load_end_window(struct load *load, struct gen_error *err)
{
    uint64_t now = clock_ns();

    if (!load->begun)
        return gen_fail(err, "--bytes-max was reached in the warm-up");
    if (!load_enough(load))
        return gen_fail(err, "no answer was complete in the window, or none was compared");
    if (now < load->end_ns)
        load->end_ns = now;
    return load_tick(load, now, err);
}

static bool load_run(struct load *load, struct gen_error *err)
{
    uint64_t now = clock_ns();

    load->begin_ns = now + (uint64_t)(load->options->warmup * NS_A_SECOND);
    load->end_ns = UINT64_MAX;
    for (unsigned i = 0; i < load->opened; i++)
        if (!load_start(load, &load->conn[i], now, err))
            return false;
    return load_loop(load, err) && load_end_window(load, err);
}

static double load_latency_us(const struct load *load, double share)
{
    return (double)histogram_quantile(&load->latency, share) / 1000;
}

static void load_print(const struct load *load)
{
    double seconds = (double)(load->end_ns - load->begin_ns) / NS_A_SECOND;

    printf("{\"requests\": %" PRIu64 ", \"total\": %" PRIu64 ", \"seconds\": %.6f, \"rate\": %.3f, ",
           load->requests, load->total, seconds, (double)load->requests / seconds);
    printf("\"bytes\": %" PRIu64 ", \"bytes_rate\": %.1f, \"checked\": %" PRIu64 ", ", load->bytes,
           (double)load->bytes / seconds, load->sample.checked);
    printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, ",
           load_latency_us(load, 0.5), load_latency_us(load, 0.9), load_latency_us(load, 0.99),
           load_latency_us(load, 0.999), (double)load->latency.max / 1000);
    printf("\"server_cpu_seconds\": %.2f, \"client_cpu_seconds\": %.2f}\n",
           load->cpu_end.server - load->cpu_begin.server, load->cpu_end.client - load->cpu_begin.client);
}

int main(int argc, char **argv)
{
    static struct load load; /* the histogram is large */
    struct load_options options;
    struct gen_error err;
    enum load_asked asked;

    if (!load_options_parse(&options, argc, argv, &asked, &err)) {
        fprintf(stderr, "httpload: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (asked == LOAD_HELP) {
        fputs(load_help, stdout);
        return EXIT_DONE;
    }
    bool ok = load_open(&load, &options, &err) && load_run(&load, &err);
    if (ok)
        load_print(&load);
    else
        fprintf(stderr, "httpload: %s\n", err.text);
    load_close(&load);
    return ok ? EXIT_DONE : EXIT_FAILED;
}
