/* reindex_main.c: a loop, a catalog, decoders, and one reindex. */
#include "indexer/reindex_main.h"

#include "indexer/reindex.h"
#include "indexer/work.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REINDEX_TELL_MS = 10000 };

struct reindex_process {
    uv_loop_t loop;
    struct catalog *catalog;
    struct decoders *decoders;
    struct run_key run; /* under way */
    bool told;          /* any run yet */
    uint64_t told_ms;
    enum status status;
};

static void reindex_tell(const char *event, const char *run, const struct reindex_count *count)
{
    log_msg(LOG_INFO, event,
            "%s: %" PRIu64 " documents, %" PRIu64 " fields, %" PRIu64 " have new names, %" PRIu64
            " without octets, %" PRIu64 " refused",
            run, count->documents, count->issues, count->renamed, count->unkept, count->refused);
}

/* A line a run, and every ten seconds in a long one. */
static void reindex_on_progress(void *data, const struct run_key *run, const struct reindex_count *count)
{
    struct reindex_process *process = data;
    uint64_t now = clock_monotonic_ms();
    char name[RUN_TEXT_SIZE];

    if (process->told && run_key_compare(run, &process->run) == 0 && now - process->told_ms < REINDEX_TELL_MS)
        return;
    process->told = true;
    process->told_ms = now;
    process->run = *run;
    run_key_print(run, name);
    reindex_tell("reindex.run", name, count);
}

static void reindex_on_decoders_stopped(void *data)
{
    (void)data; /* the loop has nothing left */
}

static void reindex_on_done(void *data, enum status status, const struct reindex_count *count,
                            const struct error *err)
{
    struct reindex_process *process = data;

    process->status = status;
    if (status != STATUS_OK)
        log_msg(LOG_ERROR, "reindex.failed", "%s", err->text);
    reindex_tell(status == STATUS_OK ? "reindex.done" : "reindex.so-far", "all", count);
    decoders_stop(process->decoders, reindex_on_decoders_stopped, process);
}

static enum status reindex_open(struct reindex_process *process, const struct settings *settings,
                                struct error *err)
{
    struct decoders_options decoders = {
        .loop = &process->loop,
        .program = settings->decoder,
        .children = (unsigned)settings->decoders,
        .timeout_ms = settings->decode_timeout_ms,
    };
    enum status status = catalog_open(settings->catalog, &process->catalog, err);

    if (status != STATUS_OK)
        return error_wrap(err, "catalog");
    status = decoders_start(&decoders, &process->decoders, err);
    return status == STATUS_OK ? STATUS_OK : error_wrap(err, "decoders");
}

int reindex_main(const struct settings *settings)
{
    struct reindex_process process = { .status = STATUS_OK };
    struct error err;

    error_init(&err);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&process.loop);
    if (reindex_open(&process, settings, &err) != STATUS_OK) {
        log_msg(LOG_ERROR, "reindex.start", "%s", err.text);
        _exit(EXIT_FAILURE); /* what was started before the failure ends with the process */
    }
    struct reindex_options options = {
        .loop = &process.loop,
        .catalog = process.catalog,
        .decoders = process.decoders,
        .on_progress = reindex_on_progress,
        .on_done = reindex_on_done,
        .data = &process,
    };
    reindex_start(&options);
    uv_run(&process.loop, UV_RUN_DEFAULT);
    work_stop(&process.loop);
    uv_run(&process.loop, UV_RUN_DEFAULT);
    catalog_close(process.catalog);
    uv_loop_close(&process.loop);
    return process.status == STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
