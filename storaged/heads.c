/* heads.c: opens each record's message on the thread pool and cuts the header sections out of it.
 *
 * Sections are reached through a window of the file, so that a head costs one read or two, and the values none. */
#include "storaged/heads.h"

#include "storaged/node.h"
#include "storaged/request.h"
#include "storaged/store/disk.h"
#include "storaged/work.h"

#include "proto/base/json_read.h"
#include "proto/base/log.h"
#include "proto/node_api.h"

#include <stdlib.h>

enum { WINDOW_SIZE = 4096 };

struct heads_job {
    struct work work;
    struct http_exchange *ex;
    struct node_loop *loop;
    struct run_key run;
    struct buf question;
    struct buf heads;
    enum status status;
    struct error err;
};

/* A message in a file, read through a window. */
struct file_source {
    struct grib_source source;
    int fd;
    uint64_t offset; /* of the message */
    uint64_t window; /* where in the message the window begins */
    size_t window_size;
    uint8_t bytes[WINDOW_SIZE];
};

static enum status window_move(struct file_source *file, uint64_t offset, struct error *err)
{
    uint64_t left = file->source.size - offset;
    size_t size = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;

    file->window_size = 0;
    enum status status = disk_read(file->fd, file->offset + offset, file->bytes, size, true, err);
    if (status != STATUS_OK)
        return status;
    file->window = offset;
    file->window_size = size;
    return STATUS_OK;
}

static enum status file_read(struct grib_source *source, uint64_t offset, void *data, size_t size,
                             struct error *err)
{
    struct file_source *file = container_of(source, struct file_source, source);

    if (offset > source->size || size > source->size - offset)
        return error_set(err, STATUS_BAD_GRIB, "a section reaches beyond the message");
    if (size > WINDOW_SIZE)
        return disk_read(file->fd, file->offset + offset, data, size, true, err);
    if (offset < file->window || offset - file->window + size > file->window_size) {
        enum status status = window_move(file, offset, err);
        if (status != STATUS_OK)
            return status;
    }
    memcpy(data, file->bytes + (offset - file->window), size);
    return STATUS_OK;
}

/* One record's heads, or 0 fields where it is void or its bytes can't be read. */
static enum status heads_of_record(struct heads_job *job, uint64_t journal_id, uint64_t record)
{
    struct store *store = job->loop->node->store;
    struct store_place place;
    struct store_file *file;
    struct file_source source;
    struct error err;

    error_init(&err);
    enum status status = store_record_open(store, &job->run, journal_id, record, &place, &file, &err);
    if (status == STATUS_NOT_FOUND) {
        buf_u16(&job->heads, 0);
        return STATUS_OK;
    }
    if (status != STATUS_OK) {
        job->err = err;
        return status;
    }
    source.source = (struct grib_source){ .size = place.length, .read = file_read };
    source.fd = store_file_fd(file);
    source.offset = place.offset;
    source.window = 0;
    source.window_size = 0;
    status = grib_heads(&source.source, &job->heads, &err);
    store_file_release(file);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (status == STATUS_TOO_LARGE || status == STATUS_NO_MEMORY) /* the answer is full; the message is not to blame */
        return error_set(&job->err, STATUS_TOO_LARGE,
                         "the heads are more than %d bytes: ask for fewer records", HEADS_ANSWER_MAX);
    log_msg(LOG_WARN, "heads.unreadable", "record %llu: %s", (unsigned long long)record, err.text);
    store_suspect(store, &job->run, &place); /* bytes that are not there, or others: its digest tells */
    buf_u16(&job->heads, 0);
    return STATUS_OK;
}

static enum status heads_of_all(struct heads_job *job, const json_t *question)
{
    const char *text;
    uint8_t id[8];
    json_t *records;

    enum status status = json_get_string(question, "journal", &text, &job->err);
    if (status == STATUS_OK && hex_parse(text, strlen(text), id, sizeof id) != 0)
        status = error_set(&job->err, STATUS_BAD_VALUE, "journal: 16 lower-case hex digits");
    if (status == STATUS_OK)
        status = json_get_array(question, "records", &records, &job->err);
    if (status == STATUS_OK && json_array_size(records) > HEADS_RECORDS_MAX)
        status = error_set(&job->err, STATUS_BAD_VALUE, "records: at most %d", HEADS_RECORDS_MAX);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(records); i++) {
        const json_t *number = json_array_get(records, i);
        if (!json_is_integer(number) || json_integer_value(number) < 0)
            return error_set(&job->err, STATUS_BAD_VALUE, "records[%zu]: not a whole number", i);
        status = heads_of_record(job, get_u64(id), (uint64_t)json_integer_value(number));
        if (buf_status(&job->heads) != STATUS_OK)
            return error_set(&job->err, STATUS_TOO_LARGE,
                             "the heads are more than %d bytes: ask for fewer records",
                             HEADS_ANSWER_MAX);
    }
    return status;
}

static void heads_run(struct work *work)
{
    struct heads_job *job = container_of(work, struct heads_job, work);
    json_t *question;

    job->status = json_parse(job->question.data, job->question.size, &question, &job->err);
    if (job->status != STATUS_OK)
        return;
    job->status = heads_of_all(job, question);
    json_decref(question);
}

static void job_free(struct heads_job *job)
{
    buf_fini(&job->question);
    buf_fini(&job->heads);
    free(job);
}

static void heads_done(struct work *work)
{
    struct heads_job *job = container_of(work, struct heads_job, work);

    if (job->status != STATUS_OK)
        request_fail(job->ex, &job->err);
    else
        http_reply(job->ex, 200, TYPE_OCTETS, &job->heads);
    job_free(job);
}

static void heads_on_body(struct http_exchange *ex, enum status status, struct slice body)
{
    struct heads_job *job = http_user(ex);

    buf_append(&job->question, body.data, body.size);
    if (status == STATUS_OK)
        status = buf_status(&job->question);
    if (status != STATUS_OK)
        error_set(&job->err, status, "the question: %s", status_title(status));
    else
        status = work_start(&job->work, job->loop, heads_run, heads_done, &job->err);
    if (status == STATUS_OK)
        return;
    request_fail(ex, &job->err);
    job_free(job);
}

void heads_handle(struct http_exchange *ex)
{
    static const char *const keys[] = { NULL };
    struct run_key run;

    if (!request_keys_known(ex, keys) || !request_run(ex, &run))
        return;
    struct heads_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        abort();
    job->ex = ex;
    job->loop = request_loop(ex);
    job->run = run;
    buf_init(&job->question, HEADS_BODY_MAX);
    buf_init(&job->heads, HEADS_ANSWER_MAX);
    error_init(&job->err);
    http_set_user(ex, job, NULL);
    http_body_gather(ex, HEADS_BODY_MAX, heads_on_body);
}
