/* put_job.c: prints a request, lets it pull its body, reads its answer. */
#include "client/put_job.h"

#include "client/put_push.h"
#include "proto/base/json_write.h"
#include "proto/node_api.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PUT_TEXT_MAX = 16 << 20 };

struct put_job *put_job_new(struct put_window *window, enum put_kind kind, uint32_t *picks, size_t count)
{
    struct put_job *job = calloc(1, sizeof *job);

    if (job == NULL) {
        free(picks);
        return NULL;
    }
    job->window = window;
    job->kind = kind;
    job->picks = picks;
    job->count = count;
    buf_init(&job->text, PUT_TEXT_MAX);
    transfer_request_init(&job->request);
    return job;
}

void put_job_free(struct put_job *job)
{
    transfer_request_fini(&job->request);
    buf_fini(&job->text);
    free(job->picks);
    free(job);
}

/* ---- a body, read from its files while it is sent ---- */

static const struct put_message *job_message(const struct put_job *job, size_t i)
{
    return &job->messages[job->picks[i]];
}

static int64_t job_body_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct put_job *job = container_of(request, struct put_job, request);
    size_t done = 0;

    while (done < size && job->at < job->count) {
        const struct put_message *message = job_message(job, job->at);
        uint64_t left = message->size - job->at_offset;
        size_t part = left < size - done ? (size_t)left : size - done;

        if (put_file_read(&job->push->files[message->file], message->offset + job->at_offset,
                          data + done, part, &job->read_err) != STATUS_OK)
            return -1;
        done += part;
        job->at_offset += part;
        if (job->at_offset == message->size) {
            job->at++;
            job->at_offset = 0;
        }
    }
    return (int64_t)done;
}

static int job_body_rewind(struct transfer_request *request)
{
    struct put_job *job = container_of(request, struct put_job, request);

    job->at = 0;
    job->at_offset = 0;
    return 0;
}

/* ---- sending ---- */

static void job_write_ask(struct put_job *job)
{
    const struct put_message *messages = job->messages + job->first;
    struct json_writer json;
    char text[DIGEST_TEXT_SIZE], base_time[BASE_TIME_TEXT_SIZE];

    json_init(&json, &job->text);
    json_object_begin(&json);
    json_put_string(&json, "source", job->push->options->source);
    base_time_print(messages[0].base_time, base_time);
    json_put_string(&json, "base_time", base_time);
    json_key(&json, "digests");
    json_array_begin(&json);
    for (size_t i = 0; i < job->count; i++) {
        digest_print(&messages[i].digest, text);
        json_text(&json, text);
    }
    json_array_end(&json);
    json_object_end(&json);
}

static void job_prepare_ask(struct put_job *job)
{
    snprintf(job->url, sizeof job->url, "%s/have?scope=cluster", job->node->url);
    job_write_ask(job);
    job->request.method = "POST";
    job->request.body = slice_of(job->text.data, job->text.size);
    job->request.headers[0] = (struct transfer_header){ "Content-Type", "application/json" };
}

/* The first owner gives the stamps; the others get them, and the incarnation of the run that they belong to. */
static void job_prepare_stamps(struct put_job *job)
{
    if (job->rank == 0)
        return;
    put_place_stamps(job->messages, job->picks, job->count, &job->text);
    job->request.headers[0] = (struct transfer_header){ HEADER_STORED_AT, buf_string(&job->text) };
    if (job_message(job, 0)->incarnation == 0)
        return;
    snprintf(job->incarnation, sizeof job->incarnation, "%" PRIu64, job_message(job, 0)->incarnation);
    job->request.headers[1] = (struct transfer_header){ HEADER_INCARNATION, job->incarnation };
}

static void job_prepare_body(struct put_job *job)
{
    snprintf(job->url, sizeof job->url, job->kind == PUT_COPY ? "%s/replica/%s" : "%s/ingest/%s/",
             job->node->url, job->push->options->source);
    if (job->kind == PUT_COPY)
        job_prepare_stamps(job);
    job_body_rewind(&job->request);
    job->request.method = "PUT";
    job->request.body_read = job_body_read;
    job->request.body_rewind = job_body_rewind;
    job->request.body_size = job->size;
}

/* Another cluster's node may stand at a member's address by now: it is to refuse what is not for it, and not to keep it. */
static void job_name_cluster(struct put_job *job)
{
    const struct cluster_map *map = job->push->session->map;
    unsigned i = 0;

    while (job->request.headers[i].name != NULL)
        i++;
    if (map != NULL)
        job->request.headers[i] = (struct transfer_header){ HEADER_CLUSTER, map->cluster };
}

enum status put_job_send(struct put_job *job, struct node *node,
                         void (*on_done)(struct transfer_request *request, enum status status,
                                         const struct error *err),
                         struct error *err)
{
    struct gs_session *session = job->push->session;

    transfer_request_fini(&job->request);
    transfer_request_init(&job->request);
    buf_clear(&job->text);
    error_init(&job->read_err);
    job->node = node;
    job->request.url = job->url;
    job->request.stall_timeout_ms = job->kind == PUT_COPY ? PUT_COPY_STALL_MS : PUT_STALL_MS;
    job->request.answer_max = PUT_ANSWER_MAX;
    job->request.on_done = on_done;
    if (job->kind == PUT_ASK)
        job_prepare_ask(job);
    else
        job_prepare_body(job);
    job_name_cluster(job);
    enum status status = buf_status(&job->text);
    if (status != STATUS_OK)
        return error_set(err, status, "no memory for a request");
    status = session_sign(session, &job->request, err);
    if (status != STATUS_OK)
        return status;
    node->under_way++;
    watch_begin(&job->watch, session, &job->request, node->url);
    transfer_start(session->transfer, &job->request);
    return STATUS_OK;
}

/* ---- the answer ---- */

/* Where byte offset of the body lies in its file: for errors about it. */
static void job_place(const struct put_job *job, uint64_t offset, struct error *err)
{
    for (size_t i = 0; i < job->count; i++) {
        const struct put_message *message = job_message(job, i);

        if (offset < message->size) {
            error_wrap(err, "%s: at byte %" PRIu64, job->push->files[message->file].name,
                       message->offset + offset);
            error_at(err, message->offset + offset);
            return;
        }
        offset -= message->size;
    }
}

enum status put_job_result(struct put_job *job, struct put_message *messages,
                           struct put_line *lines, struct error *err)
{
    enum status status = watch_result(&job->watch, transfer_answer_status(&job->request, err), err);

    if (job->read_err.status != STATUS_OK) {
        *err = job->read_err;
        return err->status;
    }
    if (status == STATUS_OK && job->kind == PUT_ASK)
        return put_answer_have(&job->request.answer, messages + job->first, job->count, err);
    if (status == STATUS_OK)
        return put_answer_lines(&job->request.answer, messages, job->picks, job->count, lines, err);
    if (err->has_offset && job->kind != PUT_ASK)
        job_place(job, err->offset, err);
    return status;
}

uint64_t put_job_epoch(const struct put_job *job, const char *cluster, bool *other)
{
    const char *theirs = transfer_answer_header(&job->request, HEADER_CLUSTER);
    const char *text = transfer_answer_header(&job->request, HEADER_EPOCH);
    uint64_t epoch;

    *other = theirs != NULL && strcmp(theirs, cluster) != 0;
    if (theirs == NULL || *other || text == NULL ||
        decimal_parse(text, strlen(text), UINT64_MAX, &epoch) != 0)
        return 0;
    return epoch;
}
