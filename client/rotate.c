/* rotate.c: space, push, wait for the index, ready, retire, purged: a table of steps, each of which may be done twice.
 *
 * A rotation that stopped anywhere is begun anew: the push sends what is missing, a run that is ready stays so, one that is
 * retired is waited for. So there is nothing to remember between two calls. The lease is taken first and let go in any case. */
#include "client/indexer_api.h"
#include "client/lease.h"
#include "client/probe.h"
#include "client/put.h"
#include "client/runs.h"
#include "proto/base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    ROTATE_KEEP = 2,
    ROTATE_GRACE_MS = 60000,
    ROTATE_WAIT_MS = 3600 * 1000,
    ROTATE_POLL_MIN_MS = 100,
    ROTATE_POLL_MAX_MS = 2000,
    ROTATE_ASK_SHARE = 10, /* asking takes at most one part in so many of the time */
};

struct rotate {
    struct gs_session *session;
    struct gs_rotate_options options; /* complete */
    const struct gs_input *inputs;
    size_t count;
    struct gs_rotate_report *report;
    struct lease lease;
    struct put_runs runs; /* what was pushed */
    struct run_list list; /* of the source, when retirement is decided */
    bool *retire;         /* owned; of list */
};

static void rotate_tell(const struct rotate *rotate, enum gs_rotate_phase phase, const char *format,
                        ...) __attribute__((format(printf, 3, 4)));

static void rotate_tell(const struct rotate *rotate, enum gs_rotate_phase phase, const char *format, ...)
{
    char text[GS_TEXT_SIZE];
    va_list list;

    if (rotate->options.on_phase == NULL)
        return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    rotate->options.on_phase(rotate->options.put.user, phase, text);
}

static struct run_key rotate_key(const struct rotate *rotate, const struct put_run *run)
{
    struct run_key key = { .base_time = run->base_time };

    snprintf(key.source, sizeof key.source, "%s", rotate->options.put.source);
    return key;
}

/* Pauses between two looks, longer each time; TIMEOUT when the time is over. */
static enum status rotate_pause(struct rotate *rotate, uint64_t *pause_ms, uint64_t until_ms,
                                struct error *err)
{
    if (clock_monotonic_ms() >= until_ms)
        return STATUS_TIMEOUT;
    enum status status = session_wait(rotate->session, *pause_ms, err);
    if (*pause_ms < ROTATE_POLL_MAX_MS)
        *pause_ms = *pause_ms * 3 / 2 < ROTATE_POLL_MAX_MS ? *pause_ms * 3 / 2 : ROTATE_POLL_MAX_MS;
    return status;
}

/* ---- lease ---- */

static enum status rotate_lease(struct rotate *rotate, struct error *err)
{
    char name[SOURCE_SIZE_MAX + 16];

    if (rotate->options.dry_run)
        return STATUS_OK;
    rotate_tell(rotate, GS_ROTATE_LEASE, "one rotation of %s at a time", rotate->options.put.source);
    snprintf(name, sizeof name, "rotate-%s", rotate->options.put.source);
    enum status status = lease_take(&rotate->lease, rotate->session, name, err);
    return status == STATUS_OK
               ? status
               : error_wrap(err, "another rotation of %s may be under way", rotate->options.put.source);
}

/* ---- space ---- */

static uint64_t rotate_input_size(const struct rotate *rotate, bool *pipes)
{
    uint64_t size = 0;

    *pipes = false;
    for (size_t i = 0; i < rotate->count; i++) {
        struct stat info;
        int failed = rotate->inputs[i].fd >= 0 ? fstat(rotate->inputs[i].fd, &info)
                                               : stat(rotate->inputs[i].name, &info);

        if (failed == 0 && S_ISREG(info.st_mode))
            size += (uint64_t)info.st_size;
        *pipes = *pipes || (failed == 0 && !S_ISREG(info.st_mode));
    }
    return size;
}

/* Bytes that all nodes can take; false: a node does not say, or does not answer. */
static bool rotate_free(struct rotate *rotate, uint64_t *free_bytes, struct error *err)
{
    struct probes probes;
    bool known = true;

    *free_bytes = 0;
    if (probes_session(rotate->session, &probes, err) != STATUS_OK)
        return false;
    for (size_t i = 0; i < probes.count; i++) {
        const struct probe_disk *disk = &probes.items[i].disk;

        if (!probes.items[i].is_node)
            continue;
        known = known && disk->known;
        if (disk->known && disk->free > disk->reserved)
            *free_bytes += disk->free - disk->reserved;
    }
    probes_fini(&probes);
    return known;
}

/* The files' sizes are an upper bound and cost nothing; only when that does not fit is the cluster asked what is missing. */
static enum status rotate_space(struct rotate *rotate, struct error *err)
{
    bool pipes;
    uint64_t free_bytes, needed = rotate_input_size(rotate, &pipes);
    struct gs_put_options ask = rotate->options.put;
    struct gs_put_summary summary = { 0 };

    enum status status = session_map(rotate->session, err);
    if (status != STATUS_OK)
        return status;
    unsigned replicas = rotate->session->map->replicas;
    bool known = rotate_free(rotate, &free_bytes, err);
    if (!known || pipes) { /* a pipe has no size, and what is read of it now would be gone */
        rotate_tell(rotate, GS_ROTATE_SPACE, "not checked: %s",
                    pipes ? "not every input is a file" : "not every node says how much it can take");
        return STATUS_OK;
    }
    if (needed * replicas > free_bytes) {
        ask.dry_run = 1;
        ask.on_run = NULL;
        ask.on_problem = NULL;
        status = put_files(rotate->session, &ask, rotate->inputs, rotate->count, NULL, &summary, err);
        if (summary.problems == 0 && status != STATUS_OK)
            return status;
        needed = summary.bytes_missing;
    }
    rotate_tell(rotate, GS_ROTATE_SPACE, "%" PRIu64 " MB in %u copies needed at most, %" PRIu64 " MB free",
                needed / 1000000, replicas, free_bytes / 1000000);
    if (needed * replicas <= free_bytes)
        return STATUS_OK;
    return error_set(err, STATUS_FULL,
                     "%" PRIu64 " MB in %u copies do not fit: the nodes can take %" PRIu64 " MB",
                     needed / 1000000, replicas, free_bytes / 1000000);
}

/* ---- push ---- */

static enum status rotate_push(struct rotate *rotate, struct error *err)
{
    struct gs_put_options options = rotate->options.put;

    options.dry_run = rotate->options.dry_run;
    rotate_tell(rotate, GS_ROTATE_PUSH, "%zu files", rotate->count);
    enum status status = put_files(rotate->session, &options, rotate->inputs, rotate->count,
                                   &rotate->runs, &rotate->report->put, err);
    rotate->report->runs_pushed = rotate->runs.count;
    if (status == STATUS_OK && rotate->runs.count == 0)
        status = error_set(err, STATUS_NOT_FOUND, "no message in the input");
    return status;
}

/* ---- index ---- */

/* A run that was retired takes nothing more, and its records leave the index: waiting for them would be in vain. */
static enum status rotate_check_state(const struct gs_run *run, struct error *err)
{
    if (strcmp(run->state, "retired") == 0)
        return error_set(err, STATUS_RUN_RETIRED, "run %s/%s is retired", run->source, run->base_time);
    if (strcmp(run->state, "purged") == 0)
        return error_set(err, STATUS_PURGED, "run %s/%s was purged", run->source, run->base_time);
    return STATUS_OK;
}

static enum status rotate_ask_state(struct rotate *rotate, const struct run_key *key, struct error *err)
{
    struct gs_run run;
    enum status status = run_ask(rotate->session, key, NULL, &run, err);

    if (status == STATUS_NOT_FOUND) /* the index has not heard of it yet */
        return STATUS_OK;
    return status == STATUS_OK ? rotate_check_state(&run, err) : status;
}

static enum status rotate_index_run(struct rotate *rotate, struct put_run *run, uint64_t until_ms,
                                    struct error *err)
{
    struct run_key key = rotate_key(rotate, run);
    uint64_t pause_ms = ROTATE_POLL_MIN_MS;
    size_t left = run->count;
    char name[RUN_TEXT_SIZE];

    run_key_print(&key, name);
    for (;;) {
        uint64_t asked_ms = clock_monotonic_ms();
        enum status status = run_check(rotate->session, &key, run->digests, &left, err);

        if (status == STATUS_NOT_FOUND) /* the index has not heard of the run yet */
            status = STATUS_OK;
        if (status == STATUS_OK && left > 0)
            status = rotate_ask_state(rotate, &key, err);
        if (status != STATUS_OK || left == 0)
            return status;
        uint64_t took_ms = clock_monotonic_ms() - asked_ms;
        if (pause_ms < took_ms * ROTATE_ASK_SHARE) /* the indexer has better things to do */
            pause_ms = took_ms * ROTATE_ASK_SHARE;
        status = rotate_pause(rotate, &pause_ms, until_ms, err);
        if (status == STATUS_TIMEOUT)
            return error_set(err, status,
                             "run %s: of %zu messages %zu are not in the index with all their copies yet",
                             name, run->count, left);
        if (status != STATUS_OK)
            return status;
        rotate_tell(rotate, GS_ROTATE_INDEX, "%s: %zu of %zu", name, run->count - left, run->count);
    }
}

static enum status rotate_index(struct rotate *rotate, struct error *err)
{
    uint64_t until_ms = clock_monotonic_ms() + rotate->options.wait_ms;
    enum status status = STATUS_OK;

    if (rotate->options.dry_run)
        return STATUS_OK;
    rotate_tell(rotate, GS_ROTATE_INDEX, "until the index has every message with all its copies");
    for (size_t i = 0; i < rotate->runs.count && status == STATUS_OK; i++)
        status = rotate_index_run(rotate, &rotate->runs.items[i], until_ms, err);
    return status;
}

/* ---- ready ---- */

static enum status rotate_ready(struct rotate *rotate, struct error *err)
{
    for (size_t i = 0; i < rotate->runs.count; i++) {
        struct run_key key = rotate_key(rotate, &rotate->runs.items[i]);
        struct gs_run run = { 0 };
        enum status status = run_ask(rotate->session, &key, NULL, &run, err);

        if (status == STATUS_NOT_FOUND && rotate->options.dry_run) {
            snprintf(run.source, sizeof run.source, "%s", key.source);
            base_time_print(key.base_time, run.base_time);
            status = STATUS_OK;
        } else if (status == STATUS_OK) {
            status = rotate_check_state(&run, err); /* ready would undo it */
        }
        if (status == STATUS_OK && strcmp(run.state, "ready") != 0 && !rotate->options.dry_run)
            status = run_ask(rotate->session, &key, "ready", &run, err);
        if (status != STATUS_OK)
            return status;
        rotate->report->runs_ready++;
        rotate->report->quarantined += run.quarantined;
        if (rotate->options.on_ready != NULL)
            rotate->options.on_ready(rotate->options.put.user, &run);
    }
    return STATUS_OK;
}

/* ---- retire ---- */

static enum status rotate_choose(struct rotate *rotate, struct error *err)
{
    int64_t *pushed = calloc(rotate->runs.count + 1, sizeof *pushed);
    enum status status = run_list_get(rotate->session, rotate->options.put.source, &rotate->list, err);

    if (status == STATUS_OK)
        rotate->retire = calloc(rotate->list.count + 1, sizeof *rotate->retire);
    if (pushed == NULL || (status == STATUS_OK && rotate->retire == NULL))
        status = error_set(err, STATUS_NO_MEMORY, "no memory for the list of runs");
    for (size_t i = 0; pushed != NULL && status == STATUS_OK && i < rotate->runs.count; i++)
        pushed[i] = rotate->runs.items[i].base_time;
    if (status == STATUS_OK)
        runs_past_retention(&rotate->list, rotate->options.keep, pushed, rotate->runs.count,
                            rotate->retire);
    free(pushed);
    return status;
}

static enum status rotate_run_key(const struct gs_run *run, struct run_key *key, struct error *err)
{
    return run_key_parse(slice_text(run->source), slice_text(run->base_time), key, err);
}

static enum status rotate_retire_one(struct rotate *rotate, struct gs_run *run, struct error *err)
{
    struct run_key key;
    char action[64];

    enum status status = rotate_run_key(run, &key, err);
    snprintf(action, sizeof action, "retire?grace=%" PRIu64 "ms", rotate->options.grace_ms);
    if (status == STATUS_OK && !rotate->options.dry_run)
        status = run_ask(rotate->session, &key, action, run, err);
    if (status != STATUS_OK)
        return status;
    rotate->report->runs_retired++;
    if (rotate->options.on_retired != NULL)
        rotate->options.on_retired(rotate->options.put.user, run);
    return STATUS_OK;
}

/* Runs that an earlier call retired are waited for too. */
static enum status rotate_wait_purged(struct rotate *rotate, const struct gs_run *run,
                                      uint64_t until_ms, struct error *err)
{
    uint64_t pause_ms = ROTATE_POLL_MIN_MS;
    struct gs_run now = *run;
    struct run_key key;

    enum status status = rotate_run_key(run, &key, err);
    while (status == STATUS_OK) {
        status = run_ask(rotate->session, &key, NULL, &now, err);
        if (status == STATUS_NOT_FOUND || (status == STATUS_OK && strcmp(now.state, "purged") == 0)) {
            rotate->report->runs_purged++;
            return STATUS_OK;
        }
        if (status == STATUS_OK && strcmp(now.state, "retired") != 0)
            return error_set(err, STATUS_CONFLICT, "run %s/%s: is %s again: somebody undid its retirement",
                             now.source, now.base_time, now.state);
        if (status == STATUS_OK)
            status = rotate_pause(rotate, &pause_ms, until_ms, err);
    }
    if (status == STATUS_TIMEOUT)
        return error_set(err, status, "run %s/%s: is retired, but not purged yet; that goes on by itself",
                         now.source, now.base_time);
    return status;
}

static enum status rotate_retire(struct rotate *rotate, struct error *err)
{
    enum status status = rotate_choose(rotate, err);
    uint64_t until_ms = clock_monotonic_ms() + rotate->options.grace_ms + rotate->options.wait_ms;

    if (status == STATUS_OK)
        rotate_tell(rotate, GS_ROTATE_RETIRE, "the newest %u ready runs stay", rotate->options.keep);
    for (size_t i = 0; i < rotate->list.count && status == STATUS_OK; i++) {
        if (rotate->retire[i])
            status = rotate_retire_one(rotate, &rotate->list.items[i], err);
    }
    for (size_t i = 0; i < rotate->list.count && status == STATUS_OK && !rotate->options.dry_run; i++) {
        const struct gs_run *run = &rotate->list.items[i];

        if (rotate->retire[i] || strcmp(run->state, "retired") == 0)
            status = rotate_wait_purged(rotate, run, until_ms, err);
    }
    return status;
}

/* ---- the whole ---- */

static const struct {
    enum status (*run)(struct rotate *rotate, struct error *err);
    size_t took; /* member of the report */
    const char *bound_by;
} rotate_steps[] = {
    { rotate_lease, offsetof(struct gs_rotate_report, lease_ms), "waiting for another rotation" },
    { rotate_space, offsetof(struct gs_rotate_report, space_ms), "asking how full the nodes are" },
    { rotate_push, offsetof(struct gs_rotate_report, push_ms), "the push" },
    { rotate_index, offsetof(struct gs_rotate_report, index_ms), "the index" },
    { rotate_ready, offsetof(struct gs_rotate_report, ready_ms), "the index database" },
    { rotate_retire, offsetof(struct gs_rotate_report, retire_ms), "the grace and the purge of old runs" },
};

static enum status rotate_all(struct rotate *rotate, struct error *err)
{
    struct gs_rotate_report *report = rotate->report;
    enum status status = STATUS_OK;
    uint64_t longest_ms = 0;

    for (size_t i = 0; i < ARRAY_COUNT(rotate_steps) && status == STATUS_OK; i++) {
        uint64_t start_ms = clock_monotonic_ms();
        uint64_t *took_ms = (uint64_t *)((char *)report + rotate_steps[i].took);

        status = rotate_steps[i].run(rotate, err);
        *took_ms = clock_monotonic_ms() - start_ms;
        report->took_ms += *took_ms;
        if (*took_ms < longest_ms)
            continue;
        longest_ms = *took_ms;
        snprintf(report->bound_by, sizeof report->bound_by, "%s", rotate_steps[i].bound_by);
    }
    if (longest_ms == report->push_ms && longest_ms > 0)
        snprintf(report->bound_by, sizeof report->bound_by, "%s",
                 report->put.waited_ms * 2 > report->push_ms ? "the nodes and the network"
                                                             : "reading and hashing the files");
    return status;
}

void gs_rotate_options_init(struct gs_rotate_options *options)
{
    *options = (struct gs_rotate_options){ .keep = ROTATE_KEEP,
                                           .grace_ms = ROTATE_GRACE_MS,
                                           .wait_ms = ROTATE_WAIT_MS };
    gs_put_options_init(&options->put);
}

enum gs_status gs_rotate(struct gs_session *session, const struct gs_rotate_options *options,
                         const struct gs_input *inputs, size_t count,
                         struct gs_rotate_report *report, struct gs_error *error)
{
    struct gs_rotate_report local;
    struct error err;

    error_init(&err);
    if (report == NULL)
        report = &local;
    *report = (struct gs_rotate_report){ 0 };
    struct rotate rotate = {
        .session = session, .options = *options, .inputs = inputs, .count = count, .report = report
    };
    enum status status = STATUS_OK;
    if (options->put.source == NULL || !source_valid(slice_text(options->put.source)))
        status = error_set(&err, STATUS_BAD_VALUE,
                           "no such source can be: write [a-z0-9][a-z0-9._-]{0,63}");
    else if (options->keep == 0)
        status = error_set(&err, STATUS_BAD_VALUE, "keep 0 would leave no run: keep at least 1");
    if (status == STATUS_OK)
        status = rotate_all(&rotate, &err);
    lease_release(&rotate.lease);
    put_runs_fini(&rotate.runs);
    run_list_fini(&rotate.list);
    free(rotate.retire);
    return gs_error_fill_push(error, status, &err);
}
