/* reindex_job.c: at most one reindex of names in this indexer, its counts, and what clients are told of it. */
#include "indexer/reindex_job.h"

#include "indexer/quarantine_retry.h"
#include "indexer/reindex.h"
#include "proto/base/clock.h"
#include "proto/base/json_write.h"
#include "proto/base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

enum { JOB_BODY_MAX = 1 << 20 };

struct reindex_job {
    struct indexer *indexer;
    struct reindex *reindex; /* NULL: none is under way */
    struct reindex_count count;
    struct run_key run; /* that was read last */
    bool has_run, cancelled;
    uint64_t started_us, ended_us; /* wall clock; 0: not */
    char error[256];               /* of the last one */
    void (*on_stopped)(struct indexer *indexer);
};

/* --- the answer --- */

static void put_names(struct json_writer *json, const struct reindex_job *job)
{
    char run[RUN_TEXT_SIZE];

    json_key(json, "names");
    json_object_begin(json);
    json_put_bool(json, "running", job->reindex != NULL);
    if (job->reindex != NULL && job->has_run) {
        run_key_print(&job->run, run);
        json_put_string(json, "run", run);
    }
    json_put_u64(json, "documents", job->count.documents);
    json_put_u64(json, "fields", job->count.issues);
    json_put_u64(json, "renamed", job->count.renamed);
    json_put_u64(json, "without_octets", job->count.unkept);
    json_put_u64(json, "refused", job->count.refused);
    json_put_bool(json, "cancelled", job->cancelled);
    json_put_time(json, "started_at", job->started_us);
    json_put_time(json, "ended_at", job->ended_us);
    if (job->error[0] != '\0')
        json_put_string(json, "error", job->error);
    json_object_end(json);
}

static void put_quarantine(struct json_writer *json, const struct indexer *indexer)
{
    struct quarantine_retry_status retry;

    quarantine_retry_status(indexer, &retry);
    json_key(json, "quarantine");
    json_object_begin(json);
    json_put_bool(json, "running", retry.running || retry.wanted);
    json_put_u64(json, "looked_at", retry.looked_at);
    json_put_u64(json, "decoded", retry.decoded);
    json_put_u64(json, "refused", retry.refused);
    json_put_u64(json, "unread", retry.skipped);
    json_put_time(json, "started_at", retry.started_us);
    json_put_time(json, "ended_at", retry.ended_us);
    if (retry.error[0] != '\0')
        json_put_string(json, "error", retry.error);
    json_object_end(json);
}

static void job_reply(struct http_exchange *ex, int code)
{
    struct indexer *indexer = http_context(ex);
    struct json_writer json;
    struct buf body;

    buf_init(&body, JOB_BODY_MAX);
    json_init(&json, &body);
    json_object_begin(&json);
    put_quarantine(&json, indexer);
    put_names(&json, indexer->reindex_job);
    json_object_end(&json);
    http_reply_header(ex, "Cache-Control", "no-store");
    http_reply(ex, code, "application/json", &body);
}

/* About to stop: there is none any more. */
static bool job_is_gone(struct http_exchange *ex)
{
    const struct indexer *indexer = http_context(ex);
    struct error err;

    if (indexer->reindex_job != NULL && indexer->decoders != NULL && !indexer->draining)
        return false;
    error_init(&err);
    error_set(&err, STATUS_DRAINING, "the indexer is about to stop");
    http_reply_error(ex, STATUS_DRAINING, &err, NULL);
    return true;
}

/* --- the job --- */

static void job_on_progress(void *data, const struct run_key *run, const struct reindex_count *count)
{
    struct reindex_job *job = data;

    job->run = *run;
    job->has_run = true;
    job->count = *count;
}

static void job_closed(struct reindex_job *job)
{
    struct indexer *indexer = job->indexer;
    void (*on_stopped)(struct indexer *) = job->on_stopped;

    indexer->reindex_job = NULL;
    free(job);
    on_stopped(indexer);
}

static void job_on_done(void *data, enum status status, const struct reindex_count *count,
                        const struct error *err)
{
    struct reindex_job *job = data;

    job->reindex = NULL;
    job->count = *count;
    job->ended_us = clock_wall_us();
    if (status != STATUS_OK && status != STATUS_CANCELLED)
        snprintf(job->error, sizeof job->error, "%.250s", err->text);
    log_msg(job->error[0] != '\0' ? LOG_WARN : LOG_INFO, "reindex.end",
            "%s: %" PRIu64 " documents, %" PRIu64 " fields have new names, %" PRIu64
            " without octets, %" PRIu64 " refused%s%s",
            status == STATUS_OK ? "all" : "so far", count->documents, count->renamed, count->unkept,
            count->refused, job->error[0] != '\0' ? ": " : "", job->error);
    if (job->on_stopped != NULL)
        job_closed(job);
}

static void job_begin(struct reindex_job *job)
{
    struct indexer *indexer = job->indexer;
    const struct reindex_options options = {
        .loop = indexer->loop,
        .catalog = indexer->catalog,
        .decoders = indexer->decoders,
        .on_progress = job_on_progress,
        .on_done = job_on_done,
        .data = job,
    };

    job->count = (struct reindex_count){ .documents = 0 };
    job->has_run = job->cancelled = false;
    job->started_us = clock_wall_us();
    job->ended_us = 0;
    job->error[0] = '\0';
    log_msg(LOG_INFO, "reindex.begin", "with ecCodes %s", decoders_release(indexer->decoders));
    job->reindex = reindex_start(&options);
}

void reindex_begin_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);
    struct error err;

    if (job_is_gone(ex))
        return;
    if (indexer->reindex_job->reindex != NULL) {
        error_init(&err);
        error_set(&err, STATUS_CONFLICT, "one is under way: GET /v1/reindex says how far, DELETE ends it");
        http_reply_error(ex, STATUS_CONFLICT, &err, NULL);
        return;
    }
    quarantine_retry_wanted(indexer);
    job_begin(indexer->reindex_job);
    job_reply(ex, 202);
}

void reindex_status_route(struct http_exchange *ex)
{
    if (!job_is_gone(ex))
        job_reply(ex, 200);
}

void reindex_cancel_route(struct http_exchange *ex)
{
    struct indexer *indexer = http_context(ex);

    if (job_is_gone(ex))
        return;
    quarantine_retry_cancel(indexer);
    if (indexer->reindex_job->reindex != NULL) {
        indexer->reindex_job->cancelled = true;
        reindex_cancel(indexer->reindex_job->reindex);
    }
    job_reply(ex, 202);
}

/* --- start and stop --- */

enum status reindex_job_start(struct indexer *indexer, struct error *err)
{
    struct reindex_job *job = calloc(1, sizeof *job);

    if (job == NULL)
        return error_set(err, STATUS_NO_MEMORY, "reindex");
    job->indexer = indexer;
    indexer->reindex_job = job;
    return STATUS_OK;
}

void reindex_job_leave(struct indexer *indexer)
{
    if (indexer->reindex_job->reindex != NULL)
        reindex_cancel(indexer->reindex_job->reindex);
}

void reindex_job_stop(struct indexer *indexer, void (*on_stopped)(struct indexer *indexer))
{
    struct reindex_job *job = indexer->reindex_job;

    job->on_stopped = on_stopped;
    if (job->reindex != NULL)
        reindex_cancel(job->reindex);
    else
        job_closed(job);
}
