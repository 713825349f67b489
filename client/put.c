/* put.c: reads files, cuts windows, keeps requests under way. */
#include "client/put.h"

#include "proto/base/clock.h"
#include "proto/run.h"

#include <stdlib.h>

enum { PUT_PROGRESS_MS = 100, PUT_RUN_CAPACITY = 64 };

struct put {
    struct gs_session *session;
    struct gs_put_options options; /* complete */
    struct gs_put_summary summary;
    const struct gs_input *inputs;
    size_t count;
    struct put_runs *runs;
    struct put_file *files; /* owned; open from the start of their reading to the end of the put */
    size_t next_file;       /* the next to be read */
    struct put_scan scan;
    struct put_push push;
    struct put_message *window; /* owned; being filled */
    size_t window_count;
    uint64_t window_size;
    unsigned window_files; /* opened since it began */
    uint64_t started_ms, told_ms;
    struct error problem; /* of the last file that ended early */
};

/* ---- runs ---- */

void put_runs_fini(struct put_runs *runs)
{
    for (size_t i = 0; i < runs->count; i++)
        free(runs->items[i].digests);
    free(runs->items);
    *runs = (struct put_runs){ 0 };
}

static struct put_run *put_runs_find(struct put_runs *runs, int64_t base_time)
{
    size_t low = 0, high = runs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (runs->items[middle].base_time < base_time)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < runs->count && runs->items[low].base_time == base_time)
        return &runs->items[low];
    struct put_run *items = realloc(runs->items, (runs->count + 1) * sizeof *items);
    if (items == NULL)
        return NULL;
    runs->items = items;
    memmove(&items[low + 1], &items[low], (runs->count - low) * sizeof *items);
    runs->count++;
    items[low] = (struct put_run){ .base_time = base_time };
    return &items[low];
}

enum status put_runs_add(struct put_runs *runs, const struct put_message *message, struct error *err)
{
    struct put_run *run = put_runs_find(runs, message->base_time);

    if (run != NULL && run->count == run->capacity) {
        size_t capacity = run->capacity > 0 ? run->capacity * 2 : PUT_RUN_CAPACITY;
        struct digest *digests = realloc(run->digests, capacity * sizeof *digests);

        if (digests == NULL)
            return error_set(err, STATUS_NO_MEMORY, "no memory for the list of messages");
        run->digests = digests;
        run->capacity = capacity;
    }
    if (run == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the list of messages");
    run->digests[run->count++] = message->digest;
    run->bytes += message->size;
    return STATUS_OK;
}

/* ---- progress ---- */

static void put_tell(struct put *put, bool always)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (put->options.on_progress == NULL || (!always && now_ms < put->told_ms + PUT_PROGRESS_MS))
        return;
    put->told_ms = now_ms;
    put->summary.took_ms = now_ms - put->started_ms;
    put->options.on_progress(put->options.user, &put->summary);
}

static void put_tell_runs(const struct put *put)
{
    for (size_t i = 0; put->options.on_run != NULL && i < put->runs->count; i++) {
        const struct put_run *run = &put->runs->items[i];
        char base_time[BASE_TIME_TEXT_SIZE];

        base_time_print(run->base_time, base_time);
        put->options.on_run(put->options.user, put->options.source, base_time, run->count, run->bytes);
    }
}

static void put_problem(struct put *put, enum status status, const struct error *err)
{
    struct gs_error error;

    put->summary.problems++;
    put->problem = *err;
    put->problem.status = status;
    if (put->options.on_problem == NULL)
        return;
    gs_error_fill(&error, status, err);
    put->options.on_problem(put->options.user, &error);
}

/* ---- reading ---- */

static void put_flush_window(struct put *put)
{
    put->window_files = 0;
    if (put->window_count == 0)
        return;
    put_push_window(&put->push, put->window, put->window_count);
    put->window = NULL;
    put->window_count = 0;
    put->window_size = 0;
}

static enum status put_take(struct put *put, struct put_message *message, struct error *err)
{
    if (put->window == NULL)
        put->window = malloc(PUT_WINDOW_MESSAGES_MAX * sizeof *put->window);
    if (put->window == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for messages");
    message->file = (uint32_t)(put->next_file - 1);
    put->window[put->window_count++] = *message;
    put->window_size += message->size;
    put->files[message->file].pending++;
    put->summary.messages++;
    put->summary.bytes += message->size;
    enum status status = put_runs_add(put->runs, message, err);
    if (put->window_count == PUT_WINDOW_MESSAGES_MAX || put->window_size >= PUT_WINDOW_SIZE_MAX)
        put_flush_window(put);
    return status;
}

/* While a pipe is copied: a cancel ends it, a lease goes on. */
static enum status put_on_copy(void *user, struct error *err)
{
    struct put *put = user;

    return session_wait(put->session, 0, err);
}

static void put_next_file(struct put *put)
{
    struct put_file *file = &put->files[put->next_file];
    struct error err;

    error_init(&err);
    if (put->window_files++ == PUT_WINDOW_FILES_MAX)
        put_flush_window(put);
    enum status status = put_file_open(file, &put->inputs[put->next_file], put_on_copy, put, &err);
    put->next_file++;
    put->summary.files++;
    if (status != STATUS_OK) {
        file->read_all = true;
        if (status != STATUS_CANCELLED) /* put_loop() sees that for itself */
            put_problem(put, status, &err);
        return;
    }
    put->summary.bytes_total += file->size;
    put_scan_begin(&put->scan, file);
}

static bool put_reads(const struct put *put)
{
    return put->push.status == STATUS_OK && (!put->scan.ended || put->next_file < put->count);
}

/* One message, or the rest of a chunk; true: there is more to be had without reading on. */
static bool put_read_one(struct put *put)
{
    struct put_message message;
    struct error err;
    uint64_t before = put->scan.read;

    enum status status = put_scan_next(&put->scan, &message, &err);
    put->summary.bytes_read += put->scan.read - before;
    put->summary.skipped = put->scan.skipped;
    put->summary.bytes_skipped = put->scan.bytes_skipped;
    bool more = status == STATUS_OK;
    if (status == STATUS_OK)
        status = put_take(put, &message, &err);
    else if (status != STATUS_MORE && status != STATUS_NOT_FOUND)
        put_problem(put, status, &err);
    if (status == STATUS_NO_MEMORY && put->push.status == STATUS_OK) {
        put->push.status = status;
        put->push.err = err;
    }
    return more && put->push.status == STATUS_OK && put->push.windows < PUT_WINDOWS_MAX;
}

/* One chunk of the input. */
static void put_read(struct put *put)
{
    if (put->scan.ended) {
        put_next_file(put);
        return;
    }
    while (put_read_one(put))
        ;
    if (put->scan.ended) {
        put->files[put->next_file - 1].read_all = true;
        put_file_settle(&put->files[put->next_file - 1]);
    }
}

/* ---- the whole ---- */

static enum status put_loop(struct put *put, struct error *err)
{
    while (put_reads(put) || !put_push_idle(&put->push)) {
        uint64_t wait_ms = put_push_pump(&put->push);
        bool reads = put_reads(put) && put->push.windows < PUT_WINDOWS_MAX;
        enum status status = STATUS_OK;

        put_tell(put, false);
        if (reads) {
            put_read(put);
            if (!put_reads(put))
                put_flush_window(put);
            status = session_wait(put->session, 0, err);
        } else if (!put_push_idle(&put->push)) {
            uint64_t start_ms = clock_monotonic_ms();

            status = session_wait(put->session,
                                  wait_ms < PUT_PROGRESS_MS ? wait_ms : PUT_PROGRESS_MS, err);
            put->summary.waited_ms += clock_monotonic_ms() - start_ms;
        }
        if (status != STATUS_OK)
            return status;
    }
    if (put->push.status != STATUS_OK) {
        *err = put->push.err;
        return put->push.status;
    }
    return STATUS_OK;
}

static enum status put_end(struct put *put, enum status status, struct error *err)
{
    put->summary.took_ms = clock_monotonic_ms() - put->started_ms;
    put_tell(put, true);
    if (status == STATUS_OK)
        put_tell_runs(put);
    if (status == STATUS_OK && put->summary.problems > 0) {
        *err = put->problem;
        status = put->problem.status;
    }
    return status;
}

static void put_fini(struct put *put)
{
    put_push_fini(&put->push);
    for (size_t i = 0; i < put->next_file; i++)
        put_file_close(&put->files[i]);
    put_scan_fini(&put->scan);
    free(put->window);
    free(put->files);
}

static enum status put_check_options(struct gs_put_options *options, struct error *err)
{
    if (options->source == NULL || !source_valid(slice_text(options->source)))
        return error_set(err, STATUS_BAD_VALUE,
                         "'%s' is no source; write [a-z0-9][a-z0-9._-]{0,63}, as in --source hres",
                         options->source != NULL ? options->source : "");
    if (options->body_size_max == 0)
        options->body_size_max = PUT_BODY_SIZE_MAX;
    if (options->body_messages_max == 0)
        options->body_messages_max = PUT_BODY_MESSAGES_MAX;
    if (options->parallel == 0)
        options->parallel = PUT_PARALLEL;
    if (options->parallel > PUT_PARALLEL_MAX)
        options->parallel = PUT_PARALLEL_MAX;
    return STATUS_OK;
}

enum status put_files(struct gs_session *session, const struct gs_put_options *options,
                      const struct gs_input *inputs, size_t count, struct put_runs *runs,
                      struct gs_put_summary *summary, struct error *err)
{
    struct put_runs own_runs = { 0 };
    struct put put = {
        .session = session, .options = *options, .inputs = inputs, .count = count, .scan.ended = true
    };

    put.runs = runs != NULL ? runs : &own_runs;
    put.started_ms = clock_monotonic_ms();
    enum status status = put_check_options(&put.options, err);
    if (status == STATUS_OK)
        status = session_map(session, err);
    if (status == STATUS_OK)
        status = put_scan_init(&put.scan, err);
    put.files = calloc(count + 1, sizeof *put.files);
    if (status == STATUS_OK && put.files == NULL)
        status = error_set(err, STATUS_NO_MEMORY, "no memory for files");
    put_push_init(&put.push, session, &put.options, put.files, &put.summary);
    if (status == STATUS_OK)
        status = put_loop(&put, err);
    status = put_end(&put, status, err);
    put_fini(&put);
    put_runs_fini(&own_runs);
    if (summary != NULL)
        *summary = put.summary;
    return status;
}

void gs_put_options_init(struct gs_put_options *options)
{
    *options = (struct gs_put_options){
        .body_size_max = PUT_BODY_SIZE_MAX,
        .body_messages_max = PUT_BODY_MESSAGES_MAX,
        .parallel = PUT_PARALLEL,
    };
}

enum gs_status gs_put(struct gs_session *session, const struct gs_put_options *options,
                      const struct gs_input *inputs, size_t count, struct gs_put_summary *summary,
                      struct gs_error *error)
{
    struct gs_put_summary local;
    struct error err;

    error_init(&err);
    if (summary == NULL)
        summary = &local;
    *summary = (struct gs_put_summary){ 0 };
    enum status status = put_files(session, options, inputs, count, NULL, summary, &err);
    enum gs_status result = gs_error_fill_push(error, status, &err);
    /* A file had a problem, and something of the input was taken all the same. */
    if (result != GS_OK && summary->problems > 0 && summary->stored + summary->known > 0 &&
        summary->stored + summary->known == summary->messages) {
        result = GS_PARTIAL;
        if (error != NULL)
            error->status = GS_PARTIAL;
    }
    return result;
}
