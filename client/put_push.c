/* put_push.c: windows, and the asks and bodies that they are made into. */
#include "client/put_push.h"

#include "client/put_answer.h"
#include "proto/base/clock.h"
#include "proto/base/json_write.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PUT_URL_MAX = 512, PUT_HAVE_SIZE_MAX = 16 << 20 };

struct put_window {
    struct put_push *push;
    struct put_message *messages; /* owned; by base_time, then as in the input */
    size_t count;
    bool asked; /* all asks are answered: bodies are made */
    unsigned asks_left, bodies_left;
};

/* One request of a window, sent until it is answered: an ask, or a body. */
struct put_job {
    struct list list;
    struct put_window *window;
    bool ask;
    size_t first, count; /* its messages; of a body those marked missing */
    uint64_t size;       /* of a body */
    struct transfer_request request;
    struct node *node;
    char url[PUT_URL_MAX];
    struct buf body;          /* of an ask */
    size_t at;                /* the message being sent */
    uint64_t at_offset;       /* and how much of it was */
    uint64_t retry_at_ms;     /* not before */
    uint64_t failed_since_ms; /* 0: did not fail yet */
    unsigned failures;
    struct error read_err; /* why body_read failed */
};

static void put_window_step(struct put_window *window);

void put_push_init(struct put_push *push, struct gs_session *session, const struct gs_put_options *options,
                   struct put_file *files, struct gs_put_summary *summary)
{
    *push = (struct put_push){ .session = session, .options = options, .files = files, .summary = summary };
    list_init(&push->jobs);
    list_init(&push->sent);
    error_init(&push->err);
}

bool put_push_idle(const struct put_push *push)
{
    return push->windows == 0;
}

static void put_push_fail(struct put_push *push, enum status status, const struct error *err)
{
    if (push->status != STATUS_OK)
        return;
    push->status = status;
    push->err = *err;
    push->err.status = status;
}

/* ---- jobs ---- */

static void job_free(struct put_job *job)
{
    transfer_request_fini(&job->request);
    buf_fini(&job->body);
    free(job);
}

static struct put_job *job_new(struct put_window *window, bool ask, size_t first)
{
    struct put_job *job = calloc(1, sizeof *job);

    if (job == NULL) {
        struct error err;

        error_set(&err, STATUS_NO_MEMORY, "no memory for a request");
        put_push_fail(window->push, STATUS_NO_MEMORY, &err);
        return NULL;
    }
    job->window = window;
    job->ask = ask;
    job->first = first;
    buf_init(&job->body, PUT_HAVE_SIZE_MAX);
    transfer_request_init(&job->request);
    list_append(&window->push->jobs, &job->list);
    return job;
}

/* ---- a body, read from its files while it is sent ---- */

static void job_skip_known(struct put_job *job)
{
    size_t end = job->first + job->count;

    while (job->at < end && !job->window->messages[job->at].missing)
        job->at++;
}

static int64_t job_body_read(struct transfer_request *request, uint8_t *data, size_t size)
{
    struct put_job *job = container_of(request, struct put_job, request);
    size_t done = 0;

    job_skip_known(job);
    while (done < size && job->at < job->first + job->count) {
        const struct put_message *message = &job->window->messages[job->at];
        uint64_t left = message->size - job->at_offset;
        size_t part = left < size - done ? (size_t)left : size - done;

        if (put_file_read(&job->window->push->files[message->file], message->offset + job->at_offset,
                          data + done, part, &job->read_err) != STATUS_OK)
            return -1;
        done += part;
        job->at_offset += part;
        if (job->at_offset == message->size) {
            job->at++;
            job->at_offset = 0;
            job_skip_known(job);
        }
    }
    return (int64_t)done;
}

static int job_body_rewind(struct transfer_request *request)
{
    struct put_job *job = container_of(request, struct put_job, request);

    job->at = job->first;
    job->at_offset = 0;
    return 0;
}

/* ---- answers ---- */

/* Where byte offset of the body lies in its file: for errors about it. */
static void job_place(const struct put_job *job, uint64_t offset, struct error *err)
{
    const struct put_push *push = job->window->push;

    for (size_t i = job->first; i < job->first + job->count; i++) {
        const struct put_message *message = &job->window->messages[i];

        if (!message->missing)
            continue;
        if (offset < message->size) {
            error_wrap(err, "%s: at byte %" PRIu64, push->files[message->file].name,
                       message->offset + offset);
            error_at(err, message->offset + offset);
            return;
        }
        offset -= message->size;
    }
}

static enum status job_asked(struct put_job *job, struct error *err)
{
    struct put_window *window = job->window;

    return put_answer_have(&job->request.answer, window->messages + job->first, job->count, err);
}

static enum status job_pushed(struct put_job *job, struct error *err)
{
    struct put_push *push = job->window->push;
    struct put_answer answer;

    enum status status = put_answer_check(&job->request.answer, job->window->messages + job->first,
                                          job->count, &answer, err);
    if (status != STATUS_OK)
        return status;
    push->summary->stored += answer.stored;
    push->summary->known += answer.known;
    push->summary->bytes_pushed += job->size;
    if (push->summary->copies == 0 || answer.copies < push->summary->copies)
        push->summary->copies = answer.copies;
    return STATUS_OK;
}

/* Failed for now: again after a while, unless that has been going on for too long. */
static bool job_retry(struct put_job *job, struct error *err)
{
    struct put_push *push = job->window->push;
    uint64_t now_ms = clock_monotonic_ms();

    if (job->failed_since_ms == 0)
        job->failed_since_ms = now_ms;
    if (now_ms - job->failed_since_ms >= push->session->retry_ms) {
        error_wrap(err, "given up after %" PRIu64 " s", (now_ms - job->failed_since_ms) / 1000);
        return false;
    }
    job->failures++;
    push->summary->retries++;
    job->retry_at_ms = now_ms + (job->failures < 6 ? 100u << job->failures : 6400);
    list_append(&push->jobs, &job->list);
    return true;
}

static void job_end(struct put_job *job)
{
    struct put_window *window = job->window;

    if (job->ask)
        window->asks_left--;
    else
        window->bodies_left--;
    job_free(job);
    put_window_step(window);
}

static enum status job_result(struct put_job *job, struct error *err)
{
    enum status status = transfer_answer_status(&job->request, err);

    if (job->read_err.status != STATUS_OK) {
        *err = job->read_err;
        return err->status;
    }
    if (status == STATUS_OK)
        return job->ask ? job_asked(job, err) : job_pushed(job, err);
    if (err->has_offset && !job->ask)
        job_place(job, err->offset, err);
    return status;
}

static void job_on_done(struct transfer_request *request, enum status unused, const struct error *unused_err)
{
    struct put_job *job = container_of(request, struct put_job, request);
    struct put_push *push = job->window->push;
    struct error err;

    (void)unused, (void)unused_err;
    error_init(&err);
    list_remove(&job->list);
    push->sent_count--;
    job->node->under_way--;
    enum status status = job_result(job, &err);
    if (status_is_temporary(status))
        node_failed(job->node, clock_monotonic_ms());
    else if (status != STATUS_CANCELLED)
        node_answered(job->node);
    session_wake(push->session);
    if (status_is_temporary(status) && push->status == STATUS_OK && job_retry(job, &err))
        return;
    if (status != STATUS_OK && status != STATUS_CANCELLED)
        put_push_fail(push, status, &err);
    job_end(job);
}

/* ---- sending ---- */

static void job_write_ask(struct put_job *job)
{
    const struct put_message *messages = job->window->messages + job->first;
    struct json_writer json;
    char text[DIGEST_TEXT_SIZE], base_time[BASE_TIME_TEXT_SIZE];

    buf_clear(&job->body);
    json_init(&json, &job->body);
    json_object_begin(&json);
    json_put_string(&json, "source", job->window->push->options->source);
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
    job->request.body = slice_of(job->body.data, job->body.size);
    job->request.headers[0] = (struct transfer_header){ "Content-Type", "application/json" };
}

static void job_prepare_body(struct put_job *job)
{
    snprintf(job->url, sizeof job->url, "%s/ingest/%s/", job->node->url,
             job->window->push->options->source);
    job_body_rewind(&job->request);
    job->request.method = "PUT";
    job->request.body_read = job_body_read;
    job->request.body_rewind = job_body_rewind;
    job->request.body_size = job->size;
}

static enum status job_send(struct put_job *job, struct node *node, struct error *err)
{
    struct put_push *push = job->window->push;

    transfer_request_fini(&job->request);
    transfer_request_init(&job->request);
    job->node = node;
    job->request.url = job->url;
    job->request.stall_timeout_ms = PUT_STALL_MS;
    job->request.answer_max = PUT_ANSWER_MAX;
    job->request.on_done = job_on_done;
    error_init(&job->read_err);
    if (job->ask)
        job_prepare_ask(job);
    else
        job_prepare_body(job);
    enum status status = session_sign(push->session, &job->request, err);
    if (status != STATUS_OK)
        return status;
    list_remove(&job->list);
    list_append(&push->sent, &job->list);
    push->sent_count++;
    node->under_way++;
    transfer_start(push->session->transfer, &job->request);
    return STATUS_OK;
}

static void push_drop_waiting(struct put_push *push)
{
    while (!list_empty(&push->jobs)) {
        struct put_job *job = list_first(&push->jobs, struct put_job, list);

        list_remove(&job->list);
        job_end(job);
    }
}

uint64_t put_push_pump(struct put_push *push)
{
    uint64_t now_ms = clock_monotonic_ms(), next_ms = UINT64_MAX;

    if (push->status != STATUS_OK)
        push_drop_waiting(push);
    list_for_each_safe (item, after, &push->jobs) {
        struct put_job *job = container_of(item, struct put_job, list);
        struct error err;

        if (push->sent_count >= push->options->parallel)
            break;
        if (job->retry_at_ms > now_ms) {
            next_ms = job->retry_at_ms < next_ms ? job->retry_at_ms : next_ms;
            continue;
        }
        struct node *node = nodes_pick(&push->session->nodes, now_ms);
        if (node == NULL) {
            uint64_t node_ms = nodes_next_ms(&push->session->nodes, now_ms);
            next_ms = node_ms < next_ms ? node_ms : next_ms;
            break;
        }
        if (job_send(job, node, &err) != STATUS_OK) {
            put_push_fail(push, err.status, &err);
            break;
        }
    }
    if (push->status != STATUS_OK)
        push_drop_waiting(push);
    return next_ms == UINT64_MAX ? UINT64_MAX : next_ms - now_ms;
}

void put_push_fini(struct put_push *push)
{
    struct error err;

    error_set(&err, STATUS_CANCELLED, "cancelled");
    put_push_fail(push, STATUS_CANCELLED, &err);
    list_for_each_safe (item, after, &push->sent)
        transfer_cancel(&container_of(item, struct put_job, list)->request);
    push_drop_waiting(push);
    while (push->sent_count > 0)
        transfer_run(push->session->transfer, 10);
    assert(push->windows == 0);
}

/* ---- windows ---- */

static int message_order(const void *a, const void *b)
{
    const struct put_message *left = a, *right = b;

    if (left->base_time != right->base_time)
        return left->base_time < right->base_time ? -1 : 1;
    if (left->file != right->file)
        return left->file < right->file ? -1 : 1;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void window_ask(struct put_window *window)
{
    for (size_t first = 0; first < window->count;) {
        size_t end = first + 1;

        while (end < window->count && window->messages[end].base_time == window->messages[first].base_time)
            end++;
        struct put_job *job = job_new(window, true, first);
        if (job == NULL)
            return;
        job->count = end - first;
        window->asks_left++;
        first = end;
    }
}

/* Does a further message fit into the body? A message larger than a body goes alone. */
static bool body_takes(const struct put_push *push, const struct put_job *job, unsigned messages,
                       uint64_t size)
{
    return job != NULL && messages < push->options->body_messages_max &&
           job->size + size <= push->options->body_size_max;
}

static void window_make_bodies(struct put_window *window)
{
    struct put_push *push = window->push;
    struct put_job *job = NULL;
    unsigned messages = 0;

    for (size_t i = 0; i < window->count; i++) {
        const struct put_message *message = &window->messages[i];

        if (!message->missing) {
            push->summary->known++;
            continue;
        }
        push->summary->bytes_missing += message->size;
        if (push->options->dry_run)
            continue;
        if (!body_takes(push, job, messages, message->size)) {
            job = job_new(window, false, i);
            if (job == NULL)
                return;
            window->bodies_left++;
            messages = 0;
        }
        messages++;
        job->count = i + 1 - job->first;
        job->size += message->size;
    }
}

static void window_free(struct put_window *window)
{
    for (size_t i = 0; i < window->count; i++) {
        struct put_file *file = &window->push->files[window->messages[i].file];

        assert(file->pending > 0);
        file->pending--;
        put_file_settle(file);
    }
    window->push->windows--;
    free(window->messages);
    free(window);
}

/* Asked, then sent, then done. */
static void put_window_step(struct put_window *window)
{
    if (window->asks_left > 0)
        return;
    if (!window->asked) {
        window->asked = true;
        if (window->push->status == STATUS_OK)
            window_make_bodies(window);
    }
    if (window->bodies_left == 0)
        window_free(window);
}

void put_push_window(struct put_push *push, struct put_message *messages, size_t count)
{
    struct put_window *window = calloc(1, sizeof *window);

    if (window == NULL || count == 0) {
        struct error err;

        free(messages);
        free(window);
        if (count > 0)
            put_push_fail(push, error_set(&err, STATUS_NO_MEMORY, "no memory for a request"), &err);
        return;
    }
    qsort(messages, count, sizeof *messages, message_order);
    *window = (struct put_window){ .push = push, .messages = messages, .count = count };
    push->windows++;
    window_ask(window);
    put_window_step(window);
}
